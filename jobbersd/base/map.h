/* map.h: a hash map from byte strings to pointers. Open addressing, grows at 3/4. Keys are not copied: they
 * live in the value or for as long as the entry does. */
#pragma once

#include "base/macro.h"

typedef struct Map Map;

Map *map_new(void);                                                     /* NULL without memory */
void map_free(Map *m);                                                  /* not the values; NULL is fine */
int map_put(Map *m, const void *key, size_t len, void *value);          /* -EEXIST, -ENOMEM; value: not NULL */
void *map_get(const Map *m, const void *key, size_t len);               /* NULL if absent */
void *map_remove(Map *m, const void *key, size_t len);                  /* the value that was there, or NULL */
size_t map_size(const Map *m);
/* Walk in no order: start with *cursor = 0; false at the end. Removing the entry just returned is allowed. */
bool map_next(const Map *m, size_t *cursor, void **ret_value);

static inline void *map_get_str(const Map *m, const char *key) {
        return map_get(m, key, strlen(key));
}
