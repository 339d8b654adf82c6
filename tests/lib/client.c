/* client.c: libjobbers' clients as a command: `client ADDRESS [--token-file=F | --token=T] [--timeout=USEC] VERB WORD…`. Each verb is one call.
 * Prints a line "RESULT ERROR" (the returned value; the sentence) and then what the call handed out. Built against the installed library. */
#include <jobbers.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int said(JobbersClient *c, int r, const char *out) {
        printf("%d %s\n%s\n", r, jobbers_client_error(c), out ? out : "");
        return 0;
}

static const char *or_null(const char *s) {
        return strcmp(s, "-") == 0 ? NULL : s;
}

/* submit NAME VERSION QUEUE PRIORITY PARAMETERS RUN_AT ID ("-" for what is not given) */
static int submit(JobbersClient *c, char **w) {
        char id[JOBBERS_ID_SIZE] = "";
        int r = jobbers_submit(c, JOBBERS_SUBMISSION(.name = or_null(w[0]), .version = (unsigned) atoi(w[1]), .queue = or_null(w[2]),
                                                     .priority = atoi(w[3]), .parameters = or_null(w[4]), .run_at = or_null(w[5]), .id = or_null(w[6])),
                               id);
        return said(c, r, id);
}

/* Structs of an older and of a later header. */
static int sizes(JobbersClient *c, const char *name) {
        struct {
                JobbersSubmission s;
                void *later;
        } s = { { .size = sizeof s, .name = name, .version = 1 }, NULL };
        int none = jobbers_submit(c, &(JobbersSubmission) { .name = name }, NULL);
        int later = jobbers_submit(c, &s.s, NULL);
        s.later = &s;
        int unknown = jobbers_submit(c, &s.s, NULL);
        printf("%d %d %d\n", none, later, unknown);
        return 0;
}

typedef struct Worker {
        pthread_t thread;
        const char *address, *name;
        int count, failures;
} Worker;

static void *work(void *userdata) {
        Worker *w = userdata;
        JobbersClient *c;
        if (jobbers_client_new(&c, w->address) < 0) {
                w->failures++;
                return NULL;
        }
        for (int i = 0; i < w->count; i++) {
                char id[JOBBERS_ID_SIZE];
                if (jobbers_submit(c, JOBBERS_SUBMISSION(.name = w->name, .version = 1), id) < 0 ||
                    jobbers_wait(c, id, 30000000, NULL) != JOBBERS_COMPLETED)
                        w->failures++;
                flockfile(stdout);
                printf("%s\n", id);
                funlockfile(stdout);
        }
        jobbers_client_free(c);
        return NULL;
}

/* threads NAME THREADS EACH: every thread has a client of its own. Prints the ids. */
static int threads(const char *address, char **w) {
        enum { MAX = 16 };
        Worker workers[MAX] = { 0 };
        int n = atoi(w[1]), failures = 0;
        for (int i = 0; i < n && i < MAX; i++) {
                workers[i] = (Worker) { .address = address, .name = w[0], .count = atoi(w[2]) };
                if (pthread_create(&workers[i].thread, NULL, work, workers + i) != 0)
                        return 1;
        }
        for (int i = 0; i < n && i < MAX; i++) {
                pthread_join(workers[i].thread, NULL);
                failures += workers[i].failures;
        }
        return failures > 0;
}

/* many NAME COUNT: submits over one client and waits for each. */
static int many(JobbersClient *c, char **w) {
        for (int i = atoi(w[1]); i > 0; i--) {
                char id[JOBBERS_ID_SIZE];
                int r = jobbers_submit(c, JOBBERS_SUBMISSION(.name = w[0], .version = 1), id);
                if (r >= 0)
                        r = jobbers_wait(c, id, JOBBERS_INFINITY, NULL);
                if (r != JOBBERS_COMPLETED)
                        return said(c, r, NULL);
        }
        return said(c, 0, NULL);
}

int main(int argc, char **argv) {
        JobbersClient *c = NULL;
        char *out = NULL;
        int i = 2, r = argc > 2 ? jobbers_client_new(&c, or_null(argv[1])) : -1;
        if (r < 0) {
                printf("%d \n\n", r);
                return 0;
        }
        for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
                const char *value = strchr(argv[i], '=') + 1;
                if (strncmp(argv[i], "--token-file", 12) == 0)
                        jobbers_client_set_token_file(c, value);
                else if (strncmp(argv[i], "--token", 7) == 0)
                        jobbers_client_set_token(c, value);
                else
                        jobbers_client_set_timeout(c, strtoull(value, NULL, 10));
        }
        const char *verb = argv[i++];
        char **w = argv + i;
        if (strcmp(verb, "submit") == 0)
                r = submit(c, w);
        else if (strcmp(verb, "status") == 0) {
                r = jobbers_status(c, w[0], &out);
                r = said(c, r, out);
        } else if (strcmp(verb, "wait") == 0) {
                r = jobbers_wait(c, w[0], strtoull(w[1], NULL, 10), &out);
                r = said(c, r, out);
        } else if (strcmp(verb, "cancel") == 0)
                r = said(c, jobbers_cancel(c, w[0]), NULL);
        else if (strcmp(verb, "call") == 0) {
                r = jobbers_client_call(c, w[0], w[1], or_null(w[2]), &out);
                r = said(c, r, out);
        } else if (strcmp(verb, "sizes") == 0)
                r = sizes(c, w[0]);
        else if (strcmp(verb, "many") == 0)
                r = many(c, w);
        else if (strcmp(verb, "threads") == 0)
                r = threads(argv[1], w);
        else
                r = 2;
        free(out);
        jobbers_client_free(c);
        return r;
}
