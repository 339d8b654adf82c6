/* verb-role.c: roles: roles, set-role, delete-role. */
#include <stdio.h>

#include "base/str.h"
#include "jobbersctl/ctl.h"
#include "jobbersctl/table.h"

static int role_fetch(Ctl *ctl, const char *name, json_t **ret) {
        _cleanup_free_ char *path = client_path(ctl->client, "/roles/%s", name);
        client_hint(ctl->client, HINT_ROLE);
        return path ? client_get(ctl->client, path, ret) : -ENOMEM;
}

/* What /status says of a role that this daemon serves; NULL of another. */
static const json_t *served(const json_t *status, const char *name) {
        const json_t *roles = json_object_get(status, "roles");
        for (size_t i = 0; i < json_array_size(roles); i++)
                if (STREQ(ctl_str(json_array_get(roles, i), "name"), name))
                        return json_array_get(roles, i);
        return NULL;
}

int verb_roles(Ctl *ctl, int argc, char **argv) {
        _cleanup_json_ json_t *names = NULL, *status = NULL, *all = json_array();
        _cleanup_table_ Table t = { 0 };
        char count[64];

        if (argc > 0 && !ctl_name_valid("role", argv[0]))
                return CTL_USAGE;
        table_init(&t, "*ROLE|SERVED|>RUNNING|>SLOTS|*QUEUES");
        int r = client_get(ctl->client, "/status", &status);
        if (r >= 0 && argc == 0)
                r = client_get(ctl->client, "/roles", &names);
        const json_t *list = json_object_get(names, "roles");
        for (size_t i = 0; r >= 0 && i < (argc > 0 ? 1 : json_array_size(list)); i++) {
                json_t *role = NULL;
                r = role_fetch(ctl, argc > 0 ? argv[0] : json_string_value(json_array_get(list, i)), &role);
                if (r < 0)
                        break;
                const json_t *s = served(status, ctl_str(role, "role"));
                json_object_set_new(role, "served", json_boolean(s != NULL));
                if (s) {
                        json_object_set(role, "slots", json_object_get(s, "slots"));
                        json_object_set(role, "running", json_object_get(s, "running"));
                }
                json_array_append_new(all, role);
        }
        if (r < 0)
                return ctl_exit(r);
        if (ctl_print_json(ctl, argc > 0 ? json_array_get(all, 0) : all))
                return CTL_OK;
        for (size_t i = 0; i < json_array_size(all); i++) {
                const json_t *role = json_array_get(all, i), *queues = json_object_get(role, "queues");
                _cleanup_str_ Str words = { 0 };
                for (size_t k = 0; k < json_array_size(queues); k++)
                        (void) str_printf(&words, "%s%s", k > 0 ? " " : "", json_string_value(json_array_get(queues, k)));
                bool here = ctl_true(role, "served");
                table_add(&t, COLOUR_NONE, ctl_str(role, "role"));
                table_add(&t, COLOUR_NONE, here ? "yes" : "no");
                table_addf(&t, COLOUR_NONE, here ? "%lld" : "-", (long long) ctl_int(role, "running", 0));
                table_addf(&t, COLOUR_NONE, here ? "%lld" : "-", (long long) ctl_int(role, "slots", 0));
                table_add(&t, COLOUR_NONE, words.s ? words.s : "-");
        }
        ctl_pager(ctl);
        table_print(&t, stdout, !ctl->no_legend);
        if (!ctl->no_legend && argc == 0)
                printf("\n%s. A daemon serves those that --role= names.\n", ctl_count((int64_t) json_array_size(all), "role", count));
        return CTL_OK;
}

int verb_set_role(Ctl *ctl, int argc, char **argv) {
        _cleanup_free_ char *path = client_path(ctl->client, "/roles/%s", argv[0]);
        _cleanup_json_ json_t *queues = json_array(), *now = NULL, *answer = NULL;
        bool nothing = argc == 2 && !*argv[1];  /* "": on purpose */
        int plus = 0;

        argc -= nothing;
        for (int i = 1; i < argc; i++)
                plus += argv[i][0] == '+';
        if (plus > 0 && plus < argc - 1) {
                fprintf(stderr, "jobbersctl: give either all the queues of role \"%s\", or +QUEUE for each one to add.\n", argv[0]);
                return CTL_USAGE;
        }
        if (!ctl_name_valid("role", argv[0]))
                return CTL_USAGE;
        for (int i = 1; i < argc; i++)
                if (!ctl_name_valid("queue", argv[i] + (plus > 0)))
                        return CTL_USAGE;
        int status = path && argc == 1 && !nothing ? client_call(ctl->client, "GET", path, NULL, NULL) : 0;
        if (status < 0)
                return CTL_FAILED;
        if (status == 200) {            /* only a new one may begin without */
                fprintf(stderr, "jobbersctl: which queues is role \"%s\" to serve? See: jobbersctl queues. To leave it none: jobbersctl set-role %s \"\"\n",
                        argv[0], argv[0]);
                return CTL_USAGE;
        }
        status = path && plus > 0 ? client_call(ctl->client, "GET", path, NULL, &now) : 0;
        if (status == 404)
                fprintf(stderr, "jobbersctl: there is no role \"%s\". Make it: jobbersctl set-role %s %s. %s\n", argv[0], argv[0], argv[1] + 1, HINT_ROLE);
        if (plus > 0 && status != 200)
                return status == 404 ? CTL_NOT_FOUND : ctl_exit(status < 0 ? status : client_refused(ctl->client, status, now));
        json_array_extend(queues, json_object_get(now, "queues"));
        for (int i = 1; i < argc; i++)
                json_array_append_new(queues, json_string(argv[i] + (plus > 0)));
        status = path ? client_call(ctl->client, "PUT", path, queues, &answer) : -ENOMEM;
        if (status == 404) {            /* PUT changes roles that are there */
                _cleanup_json_ json_t *body = json_pack("{s:s, s:O}", "name", argv[0], "queues", queues);
                json_decref(answer);
                answer = NULL;
                status = body ? client_call(ctl->client, "POST", "/roles", body, &answer) : -ENOMEM;
        }
        for (int i = 1; status == 400 && i < argc; i++)
                if (!queue_known(ctl, argv[i] + (plus > 0)))
                        return CTL_NOT_FOUND;
        if (status < 0 || status >= 300)
                return ctl_exit(status < 0 ? status : client_refused(ctl->client, status, answer));
        if (!ctl_print_json(ctl, answer) && !ctl->quiet) {
                const json_t *list = json_object_get(answer, "queues");
                printf("Role %s serves:", argv[0]);
                for (size_t i = 0; i < json_array_size(list); i++)
                        printf(" %s", json_string_value(json_array_get(list, i)));
                printf("%s\n", json_array_size(list) == 0 ? " nothing" : "");
        }
        return CTL_OK;
}

int verb_delete_role(Ctl *ctl, int argc, char **argv) {
        _cleanup_free_ char *path = client_path(ctl->client, "/roles/%s", argv[0]);
        _cleanup_json_ json_t *answer = NULL;
        if (!ctl_name_valid("role", argv[0]))
                return CTL_USAGE;
        client_hint(ctl->client, HINT_ROLE);
        int r = path ? client_send(ctl->client, "DELETE", path, NULL, &answer) : -ENOMEM;
        if (r < 0)
                return ctl_exit(r);
        if (!ctl_print_json(ctl, answer) && !ctl->quiet)
                printf("Role %s deleted.\n", argv[0]);
        return CTL_OK;
}
