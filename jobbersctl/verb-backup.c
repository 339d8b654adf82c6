/* verb-backup.c: the verb that has the daemon copy its database. */
#include <stdio.h>

#include "jobbersctl/ctl.h"

int verb_backup(Ctl *ctl, int argc, char **argv) {
        _cleanup_json_ json_t *answer = NULL;

        int r = client_send(ctl->client, "POST", "/backup", NULL, &answer);
        if (r < 0)
                return ctl_exit(r);
        if (!ctl_print_json(ctl, answer))
                puts(ctl_str(answer, "file"));
        return CTL_OK;
}
