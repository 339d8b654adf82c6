/* supervisor-record.c: the end of an attempt as it is written down. */
#include "jobbers-run/supervisor-private.h"

#include <poll.h>
#include <sys/wait.h>

#include "jobbers-run/stay.h"
#include "jobbers-run/supervisor.h"

static EndReason end_reason(const Supervisor *s) {
        switch (s->stop) {
        case STOP_CANCELLED:
                return END_CANCELLED;
        case STOP_SHUTDOWN:
                return END_SHUTDOWN;
        case STOP_TIMEOUT:
                return END_TIMEOUT;
        case STOP_STALLED:
                return END_STALLED;
        default:
                break;
        }
        /* Whichever process the OOM killer took: a task that failed after that failed by it, be it through its shell's exit status. */
        if (s->record.oom_kills > 0 && s->wait_status != 0)
                return END_OOM;
        return WIFSIGNALED(s->wait_status) ? END_SIGNAL : END_EXIT;
}

void supervisor_fill_record(Supervisor *s, char *sentence) {
        ExitRecord *r = &s->record;
        r->ended_at = MAX(clock_wall(), r->started_at);
        r->cpu_usec = s->cpu_usec;
        r->memory_peak = s->rss_max > 0 ? s->rss_max : -1;
        r->io_read = s->blocks_read * 512;
        r->io_write = s->blocks_written * 512;
        s->box.driver->account(&s->box, r);
        r->exit_status = WIFEXITED(s->wait_status) ? WEXITSTATUS(s->wait_status) : -1;
        r->term_signal = WIFSIGNALED(s->wait_status) ? WTERMSIG(s->wait_status) : 0;
        r->end_reason = end_reason(s);
        r->progress = s->uplink.progress;
        r->status_text = s->complained ? NULL : TAKE_PTR(s->uplink.status);
        if (s->failure && s->failure->status != 0)
                r->error = child_failure_sentence(s->failure, s->job->definition, s->job->user);
        else {
                char *why = NULL;
                (void) result_take(s->dir.work.fd, s->job->user->uid, s->job->settings->max_result, &r->result, &r->result_len, &why);
                r->error = why;
        }
        if (sentence) {
                free(r->error);
                r->error = sentence;
        }
}

void supervisor_write_record(Supervisor *s) {
        bool told = false;
        for (;;) {
                uplink_read(&s->uplink, "ending");
                int r = record_file_finish(&s->file, &s->record, s->uplink.fd < 0);
                if (r >= 0)
                        return;
                LogTask context = supervisor_log(s);
                bool in_memory = s->file.renamed;
                if (!told && in_memory)
                        log_task(&context, LOG_WARNING, r, "its exit record is in memory alone: it cannot be saved on disk now, which is tried again");
                else if (!told)
                        log_task(&context, LOG_ERR, r, "its exit record cannot be written, trying again each second");
                /* A launcher without a daemon tries as well. And whoever has the lock keeps the next daemon from its hello. */
                if (in_memory && (supervisor_has_launcher() || (s->job->stay && s->job->stay->lock_fd >= 0)))
                        return;
                told = true;
                struct pollfd p[2] = {
                        { .fd = s->uplink.fd, .events = POLLIN },
                        { .fd = s->uplink.listen_fd, .events = POLLIN },
                };
                usec_t until = clock_boot() + TRY_AGAIN;
                for (usec_t now; (now = clock_boot()) < until;) {
                        if (poll(p, 2, (int) ((until - now) / USEC_PER_MSEC) + 1) <= 0)
                                continue;
                        uplink_read(&s->uplink, "ending");
                        if (p[1].revents)
                                uplink_accept(&s->uplink);
                        p[0].fd = s->uplink.fd;
                }
        }
}
