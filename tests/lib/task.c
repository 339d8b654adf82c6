/* task.c: a task in C. What it does, its parameter "do" says. Built against the installed library. */
#include <jobbers.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int facts(JobbersTask *t) {
        char *text = jobbers_json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:I}", "id", jobbers_task_id(t), "name", jobbers_task_name(t), "queue",
                                       jobbers_task_queue(t), "version", (int) jobbers_task_version(t), "attempt", (int) jobbers_task_attempt(t), "retry_attempt",
                                       (int) jobbers_task_retry_attempt(t), "interval",
                                       jobbers_task_heartbeat_interval(t) == JOBBERS_INFINITY ? -1LL : (long long) jobbers_task_heartbeat_interval(t));
        int r = jobbers_task_result(t, text);
        free(text);
        return r < 0;
}

/* Heartbeats and progress from several threads at once. */
static void *beat(void *userdata) {
        for (int i = 0; i <= 1000; i++) {
                char status[32];
                snprintf(status, sizeof status, "step %d", i);
                jobbers_task_heartbeat(userdata);
                if (i % 100 == 0)
                        jobbers_task_progress(userdata, i / 10, status);
        }
        return NULL;
}

static int threads(JobbersTask *t) {
        pthread_t threads[4];
        for (int i = 0; i < 4; i++)
                if (pthread_create(threads + i, NULL, beat, t) != 0)
                        exit(4);
        for (int i = 0; i < 4; i++)
                pthread_join(threads[i], NULL);
        return jobbers_task_progress(t, 100, "joined\nby all") < 0;
}

/* A child speaks, flushes, and is gone. */
static int child(JobbersTask *t) {
        pid_t pid = fork();
        int status = 1;
        if (pid == 0) {
                int r = jobbers_task_progress(t, 42, "said by a child");
                _exit(r < 0 || jobbers_task_flush(t, 10000000) < 0);
        }
        waitpid(pid, &status, 0);
        return status != 0;
}

static int results(JobbersTask *t) {
        int wrong = jobbers_task_result(t, "[1]"), malformed = jobbers_task_result(t, "{");
        fprintf(stderr, "%d %d %s\n", wrong, malformed, jobbers_task_error(t));
        return jobbers_task_result(t, "{\"first\": true}") < 0 || jobbers_task_result(t, jobbers_task_parameters(t)) < 0;
}

int main(void) {
        JobbersTask *t;
        char *what = NULL;
        int r = jobbers_task_new(&t);
        if (r < 0) {
                fprintf(stderr, "no task: %d\n", r);
                return 3;
        }
        if (jobbers_json_get_string(jobbers_task_parameters(t), "/do", &what) < 0)
                what = strdup("facts");
        if (strcmp(what, "facts") == 0)
                r = facts(t);
        else if (strcmp(what, "threads") == 0)
                r = threads(t);
        else if (strcmp(what, "child") == 0)
                r = child(t);
        else if (strcmp(what, "results") == 0)
                r = results(t);
        else if (strcmp(what, "fail") == 0)
                r = jobbers_task_fail(t, "NoSource", "there is no \"source\" \xff here");
        else if (strcmp(what, "retry") == 0)
                r = jobbers_task_retry_attempt(t) > 0 ? facts(t) : jobbers_task_retry(t, NULL, "busy");
        else if (strcmp(what, "beats") == 0) {
                for (int i = 0; i < 100000 && r >= 0; i++)
                        r = jobbers_task_heartbeat(t);
                r = r < 0;
        } else if (strcmp(what, "extend") == 0) {
                r = jobbers_task_extend_timeout(t, 60000000) < 0;
                jobbers_task_status(t, "extended");
                while (r == 0 && getchar() != EOF)
                        ;
                int64_t seconds = 0;
                jobbers_json_get_integer(jobbers_task_parameters(t), "/seconds", &seconds);
                sleep((unsigned) seconds);
        }
        free(what);
        jobbers_task_free(t);
        return r;
}
