/* migrate.c: brings a database forward to the newest schema, one step a version, each step in one transaction. The steps are the files
 * sql/sqlite/NNN-*.sql in order of name; step i makes version i, so a step that was released is never changed. */
#include "base/log.h"
#include "base/str.h"
#include "store/store-private.h"

static const struct Step {
        const char *name, *script;
} steps[] = {
#include "schema.inc"
};

int store_schema_version(void) {
        return (int) ARRAY_SIZE(steps);
}

int store_migrate(const StoreDriver *driver, StoreDb *db, const char *path, int version, char **ret_sentence) {
        for (int v = version; v < store_schema_version(); v++) {
                int r = driver->migrate(db, steps[v].script, v + 1);
                if (r < 0) {
                        *ret_sentence = str_new("Cannot bring the database %s to schema %s: %s. It is unchanged.", path, steps[v].name,
                                                strerror(-r));
                        return r;
                }
                if (version > 0)
                        log_info("database: schema %s applied", steps[v].name);
        }
        return 0;
}
