/* definition-set.c: all registered definitions: which files count, in which order, with which drop-ins; and what stays in force when one
 * of them is bad. A load builds a new list beside the old one and swaps at the end, so that failing halfway changes nothing. */
#include <sys/stat.h>

#include "base/map.h"
#include "base/str.h"
#include "model/account.h"
#include "model/definition-keys.h"
#include "model/definition-trust.h"
#include "model/textfile.h"
#include "model/unitfile.h"

/* One *.task file name, whichever directory it was found in. */
typedef struct DefinitionFile {
        char *dir;
        char *name;                     /* "x.task" */
        char *path;
        Definition *d;                  /* what it defines, or its last good version when it is bad; NULL for neither */
        char *claims;                   /* bad: the Name= it has, NULL where that could not be read */
        uint32_t claims_version;        /* bad: its Version=, 0 where that could not be read */
        bool bad;
} DefinitionFile;

struct DefinitionSet {
        DefinitionFile **files;         /* in order of precedence */
        size_t n_files;
        Map *by_name;                   /* of files */
        Definition **sorted;            /* in force; borrowed from files */
        size_t n;
        bool blind;                     /* a directory could not be read: what it defines is not known */
};

/* What a load carries along. */
typedef struct Load {
        const Settings *settings;
        definition_problem_fn problem;
        void *userdata;
        int problems;
        bool accounts_silent;           /* who knows the users did not answer: not asked again for each definition */
        const DefinitionSet *old;       /* NULL when single files are verified */
        DefinitionSet *set;
} Load;

static void load_problem(void *userdata, const char *path, unsigned line, const char *sentence) {
        Load *l = userdata;
        l->problems++;
        if (l->problem)
                l->problem(l->userdata, path, line, sentence);
}

static DefinitionFile *file_free(DefinitionFile *f) {
        if (!f)
                return NULL;
        definition_unref(f->d);
        free(f->dir);
        free(f->name);
        free(f->path);
        free(f->claims);
        free(f);
        return NULL;
}

static void file_free_p(DefinitionFile **f) {
        *f = file_free(*f);
}

static void set_clear(DefinitionSet *set) {
        for (size_t i = 0; i < set->n_files; i++)
                file_free(set->files[i]);
        free(set->files);
        map_free(set->by_name);
        free(set->sorted);
        *set = (DefinitionSet) {};
}

DefinitionSet *definition_set_new(void) {
        return calloc(1, sizeof(DefinitionSet));
}

void definition_set_free(DefinitionSet *set) {
        if (set)
                set_clear(set);
        free(set);
}

static DefinitionFile *set_file(const DefinitionSet *set, const char *name) {
        return set && set->by_name ? map_get_str(set->by_name, name) : NULL;
}

static int set_add_file(DefinitionSet *set, DefinitionFile **f) {
        DefinitionFile **files = reallocarray(set->files, set->n_files + 1, sizeof *files);
        if (!files)
                return -ENOMEM;
        set->files = files;
        int r = map_put(set->by_name, (*f)->name, strlen((*f)->name), *f);
        if (r < 0)
                return r;
        files[set->n_files++] = TAKE_PTR(*f);
        return 0;
}

static DefinitionFile *file_new(const char *dir, const char *name) {
        _cleanup_(file_free_p) DefinitionFile *f = calloc(1, sizeof *f);
        if (!f)
                return NULL;
        f->dir = strdup(dir);
        f->name = strdup(name);
        f->path = str_new("%s/%s", dir, name);
        return f->dir && f->name && f->path ? TAKE_PTR(f) : NULL;
}

/* ── one file ── */

static const char *read_problem(int error) {
        switch (error) {
        case -EINVAL:
                return "it is not a regular file";
        case -EFBIG:
                return "it is larger than 1 MiB";
        case -EACCES:
                return "permission denied; the user of the daemon must be able to read it, so run: chmod a+r on it";
        default:
                return strerror(-error);
        }
}

/* The file or one drop-in. *ret_mask: it stands for nothing. */
static int part_read(Load *l, DefinitionReader *reader, const char *path, bool *ret_mask) {
        _cleanup_free_ char *text = NULL, *sentence = NULL;
        struct stat st;
        size_t len = 0;

        int r = text_file_read(path, UNITFILE_SIZE_MAX, &text, &len, &st);
        *ret_mask = r == 1;
        if (r == 1)
                return 0;
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                reader->unread = true;
                definition_reader_problem(reader, path, 0, "cannot be read: %s", read_problem(r));
                return 0;
        }
        if (!l->settings->user_mode) {
                r = trust_check_file(path, &st, &sentence);
                if (r == -EPERM)
                        definition_reader_problem(reader, path, 0, "%s", sentence);
                else if (r < 0)
                        return r;
        }
        return definition_reader_read(reader, path, text, len);
}

typedef struct Part {
        char *name, *path;
} Part;

typedef struct Parts {
        Part *items;
        size_t n;
} Parts;

static void parts_done(Parts *p) {
        for (size_t i = 0; i < p->n; i++) {
                free(p->items[i].name);
                free(p->items[i].path);
        }
        free(p->items);
}

static int part_compare(const void *a, const void *b) {
        return strcmp(((const Part *) a)->name, ((const Part *) b)->name);
}

/* Drop-ins of one directory, but for names that an earlier directory has. */
static int parts_gather(DefinitionReader *reader, const char *dir, Parts *parts) {
        _cleanup_strv_ char **names = NULL;

        int r = text_file_list(dir, ".conf", &names);
        if (r < 0 && r != -ENOMEM) {
                definition_reader_problem(reader, dir, 0, "the directory cannot be read: %s", strerror(-r));
                return 0;
        }
        size_t before = parts->n;
        for (size_t i = 0; r >= 0 && names[i]; i++) {
                bool known = false;
                for (size_t k = 0; k < before; k++)
                        known = known || STREQ(parts->items[k].name, names[i]);
                if (known)
                        continue;
                Part *items = reallocarray(parts->items, parts->n + 1, sizeof *items);
                if (!items)
                        return -ENOMEM;
                parts->items = items;
                Part *p = items + parts->n++;
                *p = (Part) { .name = strdup(names[i]), .path = str_new("%s/%s", dir, names[i]) };
                if (!p->name || !p->path)
                        return -ENOMEM;
        }
        return r;
}

static int drop_ins_read(Load *l, DefinitionReader *reader, char *const *dirs, const char *name) {
        _cleanup_(parts_done) Parts parts = {};
        int r = 0;

        for (size_t i = 0; r >= 0 && dirs[i]; i++) {
                _cleanup_free_ char *dir = str_new("%s/%s.d", dirs[i], name);
                r = dir ? parts_gather(reader, dir, &parts) : -ENOMEM;
        }
        if (r < 0 || parts.n == 0)
                return r;
        qsort(parts.items, parts.n, sizeof *parts.items, part_compare);
        for (size_t i = 0; r >= 0 && i < parts.n; i++) {
                bool mask;
                r = part_read(l, reader, parts.items[i].path, &mask);
        }
        return r;
}

/* Whether it may be used, as far as what it runs is concerned. 0 and *ret_ok, -ENOMEM. */
static int executable_check(Load *l, const Definition *d, const char *path, unsigned line, bool *ret_ok) {
        _cleanup_free_ char *sentence = NULL;
        int r = trust_check_executable(d, l->settings->user_mode, &sentence);
        if (r == -ENOMEM)
                return r;
        if (r != 0)
                load_problem(l, path, line, sentence);
        *ret_ok = r >= 0;
        return 0;
}

/* As whom it is to run. The account may still be made: said, and no more. */
static int accounts_check(Load *l, const Definition *d, const char *path) {
        const char *const keys[] = { "User", "Group" }, *const kinds[] = { "user", "group" }, *const names[] = { d->user, d->group };
        int r = 0;
        for (size_t i = 0; i < ARRAY_SIZE(keys) && !l->accounts_silent; i++) {
                _cleanup_(account_done) Account a = {};
                if (!names[i])
                        continue;
                r = i == 0 ? account_find_user(names[i], &a) : account_find_group(names[i], &a.gid);
                if (r == -ENOMEM)
                        return r;
                l->accounts_silent = r == -EAGAIN;
                if (r != -ESRCH)
                        continue;
                _cleanup_free_ char *sentence = str_new("%s=%s: there is no such %s on this host, so the task would fail", keys[i], names[i], kinds[i]);
                load_problem(l, path, 0, sentence ?: "its user or group does not exist on this host");
        }
        return 0;
}

/* Fills f->d, or marks it bad. */
static int file_read(Load *l, DefinitionFile *f, char *const *dirs) {
        _cleanup_(definition_reader_end) DefinitionReader reader = {};
        bool mask = false, ok = true;

        int r = definition_reader_begin(&reader, f->path, l->settings->libexec_dir, load_problem, l);
        if (r >= 0)
                r = part_read(l, &reader, f->path, &mask);
        if (r < 0 || mask)
                return r;
        r = drop_ins_read(l, &reader, dirs, f->name);
        if (r >= 0)
                r = definition_reader_finish(&reader, &f->d);
        if (r >= 0 && f->d)
                r = executable_check(l, f->d, reader.exec_path ?: f->path, reader.exec_line, &ok);
        if (!ok)
                f->d = definition_unref(f->d);
        if (r >= 0 && f->d)
                r = accounts_check(l, f->d, f->path);
        f->bad = !f->d;
        if (f->bad) {
                f->claims = TAKE_PTR(reader.d->name);
                f->claims_version = reader.d->version;
        }
        return r;
}

/* The last good version of a file that is now bad, unless what it runs may not be run any more. */
static int file_keep_last(Load *l, DefinitionFile *f) {
        _cleanup_free_ char *sentence = NULL;
        DefinitionFile *before = set_file(l->old, f->name);

        if (!before || !before->d)
                return 0;
        int r = trust_check_executable(before->d, l->settings->user_mode, &sentence);
        if (r == -ENOMEM)
                return r;
        if (r >= 0)
                f->d = definition_ref(before->d);
        return 0;
}

/* ── all files ── */

/* A directory that cannot be read now: what was found in it before still counts. */
static int dir_keep_last(Load *l, const char *dir) {
        int r = 0;
        for (size_t i = 0; r >= 0 && l->old && i < l->old->n_files; i++) {
                DefinitionFile *before = l->old->files[i];
                if (!STREQ(before->dir, dir) || set_file(l->set, before->name))
                        continue;
                _cleanup_(file_free_p) DefinitionFile *f = file_new(dir, before->name);
                if (!f)
                        return -ENOMEM;
                f->bad = true;
                r = file_keep_last(l, f);
                if (r >= 0)
                        r = set_add_file(l->set, &f);
        }
        return r;
}

static int dir_load(Load *l, const char *dir) {
        _cleanup_strv_ char **names = NULL;

        int r = text_file_list(dir, ".task", &names);
        if (r < 0 && r != -ENOMEM) {
                _cleanup_free_ char *sentence = str_new("the directory cannot be read: %s", strerror(-r));
                load_problem(l, dir, 0, sentence ?: "the directory cannot be read");
                l->set->blind = true;
                return dir_keep_last(l, dir);
        }
        for (size_t i = 0; r >= 0 && names[i]; i++) {
                if (set_file(l->set, names[i]))
                        continue;
                _cleanup_(file_free_p) DefinitionFile *f = file_new(dir, names[i]);
                if (!f)
                        return -ENOMEM;
                r = file_read(l, f, l->settings->task_dirs);
                if (r >= 0 && f->bad)
                        r = file_keep_last(l, f);
                if (r >= 0)
                        r = set_add_file(l->set, &f);
        }
        return r;
}

static int definition_compare(const Definition *a, const Definition *b) {
        int c = strcmp(a->name, b->name);
        return c ? c : (a->version > b->version) - (a->version < b->version);
}

/* By name and version; of the same pair the one that counts first: a good file before a last good version, then by precedence. */
typedef struct Candidate {
        DefinitionFile *file;
        size_t rank;
} Candidate;

static int candidate_compare(const void *a, const void *b) {
        const Candidate *x = a, *y = b;
        int c = definition_compare(x->file->d, y->file->d);
        if (c == 0)
                c = x->file->bad - y->file->bad;
        return c ? c : (x->rank > y->rank) - (x->rank < y->rank);
}

/* Which of the files' definitions are in force. */
static int set_settle(Load *l) {
        DefinitionSet *set = l->set;
        size_t n = 0;

        _cleanup_free_ Candidate *candidates = calloc(set->n_files + 1, sizeof *candidates);
        set->sorted = calloc(set->n_files + 1, sizeof *set->sorted);
        if (!candidates || !set->sorted)
                return -ENOMEM;
        for (size_t i = 0; i < set->n_files; i++)
                if (set->files[i]->d)
                        candidates[n++] = (Candidate) { set->files[i], i };
        qsort(candidates, n, sizeof *candidates, candidate_compare);

        for (size_t i = 0; i < n; i++) {
                DefinitionFile *f = candidates[i].file;
                Definition *winner = set->n > 0 ? set->sorted[set->n - 1] : NULL;
                if (!winner || definition_compare(winner, f->d) != 0)
                        set->sorted[set->n++] = f->d;
                else if (!f->bad) {
                        _cleanup_free_ char *sentence = str_new("%s version %u is defined by %s already, so this file is not used", f->d->name, f->d->version, winner->path);
                        load_problem(l, f->path, 0, sentence ?: "another file defines the same task, so this one is not used");
                }
        }
        return 0;
}

int definition_set_load(DefinitionSet *set, const Settings *settings, definition_problem_fn problem, void *userdata) {
        DefinitionSet new = { .by_name = map_new() };
        Load l = { .settings = settings, .problem = problem, .userdata = userdata, .old = set, .set = &new };
        int r = new.by_name ? 0 : -ENOMEM;

        for (size_t i = 0; r >= 0 && i < strv_len(settings->task_dirs); i++)
                r = dir_load(&l, settings->task_dirs[i]);
        if (r >= 0)
                r = set_settle(&l);
        if (r < 0) {
                set_clear(&new);
                return r;
        }
        set_clear(set);
        *set = new;
        return l.problems;
}

/* ── looking up ── */

Definition *definition_set_get(const DefinitionSet *set, const char *name, uint32_t version) {
        size_t low = 0, high = set->n;
        while (low < high) {
                size_t middle = low + (high - low) / 2;
                Definition *d = set->sorted[middle];
                int c = strcmp(name, d->name);
                if (c == 0 && version == d->version)
                        return d;
                if (c < 0 || (c == 0 && version < d->version))
                        high = middle;
                else
                        low = middle + 1;
        }
        return NULL;
}

Definition *definition_set_get_hash(const DefinitionSet *set, uint64_t hash) {
        for (size_t i = 0; i < set->n; i++)
                if (set->sorted[i]->hash == hash)
                        return set->sorted[i];
        return NULL;
}

bool definition_set_may_define(const DefinitionSet *set, const char *name) {
        for (size_t i = 0; i < set->n_files; i++) {
                const DefinitionFile *f = set->files[i];
                if (f->bad && (!f->claims || STREQ(f->claims, name) || (f->d && STREQ(f->d->name, name))))
                        return true;
        }
        return set->blind;
}

const char *definition_set_path(const DefinitionSet *set, const char *name) {
        const DefinitionFile *best = NULL;
        uint32_t best_version = 0;
        for (size_t i = 0; i < set->n_files; i++) {
                const DefinitionFile *f = set->files[i];
                const char *its = f->bad ? f->claims : f->d ? f->d->name : NULL;
                uint32_t version = f->bad ? f->claims_version : f->d ? f->d->version : 0;
                if (!its || !STREQ(its, name) || (best && (version < best_version || (version == best_version && f->bad >= best->bad))))
                        continue;
                best = f;
                best_version = version;
        }
        return best ? best->path : NULL;
}

size_t definition_set_size(const DefinitionSet *set) {
        return set->n;
}

Definition *definition_set_at(const DefinitionSet *set, size_t i) {
        return i < set->n ? set->sorted[i] : NULL;
}

/* ── single files ── */

/* A drop-in alone: right as far as it goes, though it defines nothing. */
static int drop_in_verify(Load *l, const char *path) {
        _cleanup_(definition_reader_end) DefinitionReader reader = {};
        bool mask;

        int r = definition_reader_begin(&reader, path, l->settings->libexec_dir, load_problem, l);
        return r < 0 ? r : part_read(l, &reader, path, &mask);
}

static int task_verify(Load *l, const char *path) {
        const char *slash = strrchr(path, '/');
        size_t before = (size_t) l->problems;

        _cleanup_free_ char *dir = slash ? strndup(path, (size_t) (slash - path)) : strdup(".");
        _cleanup_(file_free_p) DefinitionFile *f = dir ? file_new(dir, slash ? slash + 1 : path) : NULL;
        if (!f)
                return -ENOMEM;
        /* As it was typed. */
        char *copy = strdup(path);
        if (!copy)
                return -ENOMEM;
        free(f->path);
        f->path = copy;

        char *dirs[] = { dir, NULL };
        int r = file_read(l, f, dirs);
        if (r >= 0 && !f->d && (size_t) l->problems == before)
                load_problem(l, path, 0, "the file is empty: it defines nothing, and hides files of its name in later directories");
        return r;
}

int definition_verify_file(const char *path, const Settings *settings, definition_problem_fn problem, void *userdata) {
        Load l = { .settings = settings, .problem = problem, .userdata = userdata };
        size_t n = strlen(path);
        bool drop_in = n > 5 && STREQ(path + n - 5, ".conf");

        int r = drop_in ? drop_in_verify(&l, path) : task_verify(&l, path);
        return r < 0 ? r : l.problems;
}
