/* map.c: open addressing with linear probing. A removed entry leaves a mark ("gone") rather than having its
 * successors moved: nothing moves while somebody walks the map, so the entry just seen can be removed. Marks before an
 * empty slot are cleared at once, the others when the table is rebuilt, which happens in map_put only.
 *
 * Names come from users, so the hash starts from a random seed: nobody can choose keys that collide. */
#include "base/map.h"

#include <sys/random.h>

typedef struct Slot {
        const void *key;
        void *value;            /* NULL: empty; GONE: removed */
        uint32_t len, hash;
} Slot;

struct Map {
        Slot *slots;
        size_t mask;            /* number of slots less one; a power of two less one */
        size_t n, n_gone;
        uint64_t seed;
};

#define SLOTS_MIN 16U
static char gone_mark;
#define GONE ((void *) &gone_mark)

/* The product's two halves, folded: every bit of the input reaches every bit of the output. */
static uint64_t mix(uint64_t a, uint64_t b) {
        unsigned __int128 p = (unsigned __int128) a * b;

        return (uint64_t) p ^ (uint64_t) (p >> 64);
}

static uint32_t hash_bytes(uint64_t seed, const void *key, size_t len) {
        const uint8_t *p = key;
        uint64_t h = seed ^ len, w;

        for (size_t n = len; n > 0;) {
                size_t k = MIN(n, sizeof w);

                w = 0;
                memcpy(&w, p, k);
                h = mix(h ^ w ^ 0x9e3779b97f4a7c15ULL, 0xd6e8feb86659fd93ULL) + seed;
                p += k;
                n -= k;
        }
        h = mix(h ^ 0xa0761d6478bd642fULL, 0xe7037ed1a0b428dbULL);
        return (uint32_t) (h ^ h >> 32);
}

Map *map_new(void) {
        _cleanup_free_ Map *m = calloc(1, sizeof *m);

        if (!m)
                return NULL;
        m->slots = calloc(SLOTS_MIN, sizeof *m->slots);
        if (!m->slots)
                return NULL;
        m->mask = SLOTS_MIN - 1;
        if (getrandom(&m->seed, sizeof m->seed, GRND_NONBLOCK) != (ssize_t) sizeof m->seed)
                m->seed = mix((uintptr_t) m, 0x9e3779b97f4a7c15ULL);    /* early boot: the address must do */
        return TAKE_PTR(m);
}

void map_free(Map *m) {
        if (!m)
                return;
        free(m->slots);
        free(m);
}

static Slot *map_find(const Map *m, const void *key, size_t len, uint32_t hash) {
        for (size_t i = hash & m->mask;; i = (i + 1) & m->mask) {
                Slot *s = &m->slots[i];

                if (!s->value)
                        return NULL;
                if (s->hash == hash && s->len == len && s->value != GONE && (len == 0 || memcmp(s->key, key, len) == 0))
                        return s;
        }
}

/* New slots, at most half full, without marks. */
static int map_rebuild(Map *m) {
        size_t size = SLOTS_MIN;
        Slot *slots;

        while (size / 2 < m->n + 1)
                size *= 2;
        slots = calloc(size, sizeof *slots);
        if (!slots)
                return -ENOMEM;
        for (size_t i = 0; i <= m->mask; i++) {
                const Slot *s = &m->slots[i];
                size_t k = s->hash & (size - 1);

                if (!s->value || s->value == GONE)
                        continue;
                while (slots[k].value)
                        k = (k + 1) & (size - 1);
                slots[k] = *s;
        }
        free(m->slots);
        m->slots = slots;
        m->mask = size - 1;
        m->n_gone = 0;
        return 0;
}

int map_put(Map *m, const void *key, size_t len, void *value) {
        uint32_t hash;
        size_t i;

        if (!value || len > UINT32_MAX)
                return -EINVAL;
        hash = hash_bytes(m->seed, key, len);
        if (map_find(m, key, len, hash))
                return -EEXIST;
        if ((m->n + m->n_gone + 1) * 4 > (m->mask + 1) * 3 && map_rebuild(m) < 0)
                return -ENOMEM;
        for (i = hash & m->mask; m->slots[i].value && m->slots[i].value != GONE;)
                i = (i + 1) & m->mask;
        if (m->slots[i].value == GONE)
                m->n_gone--;
        m->slots[i] = (Slot) { .key = key, .value = value, .len = (uint32_t) len, .hash = hash };
        m->n++;
        return 0;
}

void *map_get(const Map *m, const void *key, size_t len) {
        const Slot *s = map_find(m, key, len, hash_bytes(m->seed, key, len));

        return s ? s->value : NULL;
}

void *map_remove(Map *m, const void *key, size_t len) {
        Slot *s = map_find(m, key, len, hash_bytes(m->seed, key, len));
        void *value;
        size_t i;

        if (!s)
                return NULL;
        value = s->value;
        *s = (Slot) { .value = GONE };
        m->n--;
        m->n_gone++;
        i = (size_t) (s - m->slots);
        if (!m->slots[(i + 1) & m->mask].value)
                /* No search passes an empty slot, so the marks before one serve nothing. */
                for (; m->slots[i].value == GONE; i = (i - 1) & m->mask) {
                        m->slots[i].value = NULL;
                        m->n_gone--;
                }
        return value;
}

size_t map_size(const Map *m) {
        return m->n;
}

bool map_next(const Map *m, size_t *cursor, void **ret_value) {
        while (*cursor <= m->mask) {
                void *value = m->slots[(*cursor)++].value;

                if (!value || value == GONE)
                        continue;
                *ret_value = value;
                return true;
        }
        return false;
}
