/* roles.c: roles are named sets of queues. Those that this daemon serves (--role) have slots; a served one that is deleted keeps its
 * slots, and serves nothing until it is made again. */
#include "dispatch/internal.h"

static Role *role_any(Engine *e, const char *name) {
        for (size_t i = 0; i < e->n_roles; i++)
                if (STREQ(e->roles[i]->name, name))
                        return e->roles[i];
        return NULL;
}

Role *role_find(Engine *e, const char *name) {
        Role *role = role_any(e, name);
        return role && role->exists ? role : NULL;
}

static void role_free(Role *role) {
        free(role->name);
        strv_free(role->queues);
        free(role);
}

void roles_free(Engine *e) {
        for (size_t i = 0; i < e->n_roles; i++)
                role_free(e->roles[i]);
        free(e->roles);
        e->roles = NULL;
        e->n_roles = 0;
}

static Role *role_make(Engine *e, const char *name) {
        Role *role = role_any(e, name);
        if (role)
                return role;
        Role **all = reallocarray(e->roles, e->n_roles + 1, sizeof *all);
        if (!all)
                return NULL;
        e->roles = all;
        role = calloc(1, sizeof *role);
        if (!role)
                return NULL;
        role->name = strdup(name);
        role->queues = calloc(1, sizeof *role->queues);
        if (!role->name || !role->queues) {
                role_free(role);
                return NULL;
        }
        size_t at = e->n_roles;
        while (at > 0 && strcmp(all[at - 1]->name, name) > 0) {
                all[at] = all[at - 1];
                at--;
        }
        all[at] = role;
        e->n_roles++;
        return role;
}

/* A role that is neither stored nor served has no reason to stay: nothing points to it, since only served ones run attempts. */
static void roles_sweep(Engine *e) {
        size_t n = 0;
        for (size_t i = 0; i < e->n_roles; i++) {
                Role *role = e->roles[i];
                if (role->exists || role->served)
                        e->roles[n++] = role;
                else
                        role_free(role);
        }
        e->n_roles = n;
}

static bool role_has(const Role *role, const char *queue) {
        for (size_t i = 0; role->exists && role->queues[i]; i++)
                if (STREQ(role->queues[i], queue))
                        return true;
        return false;
}

void roles_link(Engine *e) {
        size_t cursor = 0;
        void *v;

        while (map_next(e->queue_map, &cursor, &v)) {
                Queue *q = v;
                q->n_roles = 0;
                Role **roles = reallocarray(q->roles, e->n_roles + 1, sizeof *roles);
                if (!roles) {
                        (void) engine_spoil(e, -ENOMEM);
                        continue;
                }
                q->roles = roles;
                for (size_t i = 0; q->exists && i < e->n_roles; i++)
                        if (e->roles[i]->served && role_has(e->roles[i], q->config.name))
                                q->roles[q->n_roles++] = e->roles[i];
        }
        e->dirty = true;
}

Role *role_for(Engine *e, Queue *q) {
        for (size_t i = 0; i < q->n_roles; i++)
                if (q->roles[i]->running < q->roles[i]->slots)
                        return q->roles[i];
        return NULL;
}

static int string_cmp(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

/* A sorted copy without repeats. */
static int queues_copy(char *const *queues, char ***ret) {
        size_t n = strv_len(queues), kept = 0;
        _cleanup_free_ char **sorted = calloc(n + 1, sizeof *sorted);
        char **copy = calloc(n + 1, sizeof *copy);

        if (!sorted || !copy) {
                free(copy);
                return -ENOMEM;
        }
        for (size_t i = 0; i < n; i++)
                sorted[i] = queues[i];
        qsort(sorted, n, sizeof *sorted, string_cmp);
        for (size_t i = 0; i < n; i++) {
                if (kept > 0 && STREQ(copy[kept - 1], sorted[i]))
                        continue;
                copy[kept] = strdup(sorted[i]);
                if (!copy[kept++]) {
                        strv_free(copy);
                        return -ENOMEM;
                }
        }
        *ret = copy;
        return 0;
}

static int load_role(void *userdata, const char *name, char *const *queues, const Ulid *refresh_tag) {
        Engine *e = userdata;
        char **copy;
        Role *role = role_make(e, name);
        if (!role)
                return -ENOMEM;
        int r = queues_copy(queues, &copy);
        if (r < 0)
                return r;
        strv_free(role->queues);
        role->queues = copy;
        role->refresh_tag = *refresh_tag;
        role->exists = true;
        return 0;
}

int roles_load(Engine *e) {
        for (size_t i = 0; i < e->n_roles; i++)
                e->roles[i]->exists = false;
        for (size_t i = 0; i < e->settings->n_roles; i++) {
                const RoleSlots *s = &e->settings->roles[i];
                Role *role = role_make(e, s->name);
                if (!role)
                        return -ENOMEM;
                role->served = true;
                role->slots = s->slots > 0 ? s->slots : e->settings->slots;
        }
        int r = store_role_list(e->store, load_role, e);
        if (r < 0)
                return r;
        roles_sweep(e);
        roles_link(e);
        return 0;
}

/* A role may be made at any time, so this is no error; but a name that is mistyped must not look like a daemon with nothing to do. */
void roles_warn(Engine *e) {
        for (size_t i = 0; i < e->n_roles; i++)
                if (e->roles[i]->served && !e->roles[i]->exists)
                        log_warning("the role \"%s\" (--role=) does not exist, so no task runs for it; check its name, or make it: "
                                    "jobbersctl set-role %s QUEUE…", e->roles[i]->name, e->roles[i]->name);
}

int roles_forget_queue(Engine *e, const char *queue) {
        for (size_t i = 0; i < e->n_roles; i++) {
                char **q = e->roles[i]->queues;
                size_t n = 0;
                for (size_t k = 0; q[k]; k++) {
                        if (STREQ(q[k], queue))
                                free(q[k]);
                        else
                                q[n++] = q[k];
                }
                q[n] = NULL;
        }
        return 0;
}

/* ── verbs ── */

size_t engine_role_count(Engine *e) {
        size_t n = 0;
        for (size_t i = 0; i < e->n_roles; i++)
                n += e->roles[i]->exists;
        return n;
}

static void role_status(const Role *role, RoleStatus *ret) {
        *ret = (RoleStatus) {
                .name = role->name, .queues = role->queues, .refresh_tag = role->refresh_tag, .served = role->served, .exists = role->exists,
                .slots = role->slots, .running = role->running,
        };
}

void engine_role_at(Engine *e, size_t i, RoleStatus *ret) {
        for (size_t k = 0; k < e->n_roles; k++)
                if (e->roles[k]->exists && i-- == 0) {
                        role_status(e->roles[k], ret);
                        return;
                }
        *ret = (RoleStatus) {};
}

bool engine_role_served_at(Engine *e, size_t i, RoleStatus *ret) {
        for (size_t k = 0; k < e->n_roles; k++)
                if (e->roles[k]->served && i-- == 0) {
                        role_status(e->roles[k], ret);
                        return true;
                }
        return false;
}

int engine_role_get(Engine *e, const char *name, RoleStatus *ret) {
        Role *role = role_find(e, name);
        if (!role)
                return -ENOENT;
        role_status(role, ret);
        return 0;
}

static bool same_queues(char *const *a, char *const *b) {
        while (*a && *b && STREQ(*a, *b))
                a++, b++;
        return !*a && !*b;
}

static void say_put(Engine *e, const char *name, char *const *queues) {
        _cleanup_str_ Str s = {};

        for (size_t i = 0; queues[i]; i++)
                (void) str_printf(&s, "%s%s", i > 0 ? ", " : "", queues[i]);
        engine_say(e, "role %s: serves %s", name, s.len > 0 ? s.s : "no queue");
}

int engine_role_put(Engine *e, const char *name, char *const *queues, const char **ret_sentence) {
        char **copy;
        Ulid tag;
        int r = engine_writable(e, ret_sentence);

        if (r < 0)
                return r;
        if (!name_valid(name))
                return engine_refuse(e, ret_sentence, -EINVAL, "\"%s\" is not a name of a role: 1 to 64 letters, digits, '_', '.' or '-'", name);
        for (size_t i = 0; queues && queues[i]; i++)
                if (!queue_find(e, queues[i]))
                        return engine_refuse(e, ret_sentence, -EINVAL, "there is no queue \"%s\": create it with POST /queues", queues[i]);
        r = ulid_new(&tag);
        if (r >= 0)
                r = queues_copy(queues, &copy);
        if (r < 0)
                return engine_refuse(e, ret_sentence, engine_spoil(e, r), "the role \"%s\" could not be written", name);
        Role *role = role_make(e, name);
        r = role ? store_role_put(e->store, name, copy, &tag) : -ENOMEM;
        if (r < 0) {
                strv_free(copy);
                return engine_refuse(e, ret_sentence, engine_spoil(e, r), "the role \"%s\" could not be written", name);
        }
        if (!role->exists || !same_queues(role->queues, copy))
                say_put(e, name, copy);
        strv_free(role->queues);
        role->queues = copy;
        role->refresh_tag = tag;
        role->exists = true;
        e->counters.role_refreshes++;
        roles_link(e);
        return 0;
}

int engine_role_remove(Engine *e, const char *name, const char **ret_sentence) {
        Role *role = role_find(e, name);
        int r = engine_writable(e, ret_sentence);
        if (r < 0)
                return r;
        if (!role)
                return engine_refuse(e, ret_sentence, -ENOENT, "there is no role \"%s\"", name);
        if (STREQ(name, "default"))
                return engine_refuse(e, ret_sentence, -EPERM, "the role \"default\" cannot be deleted");
        r = store_role_remove(e->store, name);
        if (r < 0)
                return engine_refuse(e, ret_sentence, engine_spoil(e, r), "the role \"%s\" could not be deleted", name);
        role->exists = false;
        engine_say(e, "role %s: deleted", name);
        roles_link(e);          /* before the sweep: queues point to roles */
        roles_sweep(e);
        return 0;
}

int engine_role_refresh(Engine *e, const char *name, Ulid *ret_tag) {
        Role *role = role_find(e, name);
        Ulid tag;
        int r;

        if (!role)
                return -ENOENT;
        if ((r = engine_writable(e, NULL)) < 0 || (r = ulid_new(&tag)) < 0)
                return r;
        r = store_role_put(e->store, name, role->queues, &tag);
        if (r < 0)
                return engine_spoil(e, r);
        role->refresh_tag = *ret_tag = tag;
        e->counters.role_refreshes++;
        e->dirty = true;
        engine_again(e);
        return 0;
}
