/* api-backup.c: POST /backup: a copy of the database beside it, a step each turn. No path comes from the client: what may be written where is not for
 * whoever may call to say. */
#include "http/api.h"
#include "http/json-text.h"

const Schema SCHEMA_BACKUP = { "Backup", .fields = (const Field[]) {
        { "message", FIELD_STRING, FIELD_REQUIRED },
        { "file", FIELD_STRING, FIELD_REQUIRED, .help = "The copy, readable for the daemon's user and root" },
        { "bytes", FIELD_INTEGER, FIELD_REQUIRED },
        {},
} };

static void free_copy(Request *r) {
        store_copy_free(r->state);
}

int api_backup(Request *r, Reply *ret) {
        const char *dir = engine_settings(r->engine)->state_dir;

        if (!r->state) {
                StoreCopy *c = NULL;
                int e = store_copy_new(&c, r->store);
                if (e == -EBUSY) {
                        reply_error(ret, 409, "a backup is being made already");
                        return 0;
                }
                if (e < 0) {
                        reply_error(ret, e == -ENOSPC ? 507 : 503, "no backup can be made in %s: %s", dir, strerror(-e));
                        return 0;
                }
                r->state = c;
                r->free_state = free_copy;
        }
        int e = store_copy_step(r->state);
        if (e > 0)
                return REPLY_CONTINUE;
        if (e < 0) {
                reply_error(ret, e == -ENOSPC ? 507 : 503, "the backup could not be written in %s: %s", dir, strerror(-e));
                return 0;
        }
        ret->status = 200;
        (void) str_append(&ret->text, "{");
        json_put_key_string(&ret->text, "message", "Backup made");
        json_put_key_string(&ret->text, "file", store_copy_path(r->state));
        json_put_key_int(&ret->text, "bytes", store_copy_bytes(r->state));
        return str_append(&ret->text, "}");
}
