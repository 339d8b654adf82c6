/* players.h: processes that listen where a supervisor would, each with a part to play. */
#pragma once

#include "fixture.h"

#include <signal.h>
#include <sys/prctl.h>

typedef enum Play {
        PLAY_HONEST,            /* answers as it should; on STOP writes a record and ends */
        PLAY_OTHER_START_TIME,
        PLAY_OTHER_TASK,
        PLAY_SPEAKS_FIRST,      /* a note with a misleading text before the answer */
        PLAY_CLOSES_EARLY,      /* answers, closes its sockets, and ends with a record only when told by the pipe */
        PLAY_LEAVES,            /* takes the connection and ends without a word or a record */
        PLAY_MUMBLES,           /* honest, with words around it that mean nothing */
} Play;

typedef struct Supervisor {
        pid_t pid;
        int tell, hear;         /* our ends of two pipes */
} Supervisor;

static inline uint64_t own_start_time(void) {
        char text[1024];
        _cleanup_close_ int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
        ssize_t n = read(fd, text, sizeof text - 1);
        text[n > 0 ? n : 0] = '\0';
        char *at = strrchr(text, ')') + 1;
        unsigned long long value = 0;
        sscanf(at, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &value);
        return value;
}

static inline void supervisor_main(Fixture *f, Play play, int hear, int tell) {
        char name[ATTEMPT_NAME_MAX], id_str[ULID_STR_MAX], text[512];
        _cleanup_free_ char *dir = str_new("%s/%s", f->attempt_dir, attempt_file_name(&f->id, 1, "", name));
        _cleanup_free_ char *path = str_new("%s/control", dir);

        if (mkdir(dir, 0777) < 0)
                _exit(20);
        int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (fd_bind_unix(listener, path) < 0 || listen(listener, 4) < 0)
                _exit(21);
        if (write(tell, "L", 1) != 1)
                _exit(22);
        /* A connection that is given up before it says anything is followed by another. */
        int c = -1;
        ssize_t n = 0;
        while (n <= 0) {
                fd_close(c);
                c = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
                n = recv(c, text, sizeof text, 0);
        }
        if (n != 8 || memcmp(text, "HELLO=1\n", 8) != 0)
                _exit(23);
        if (play == PLAY_LEAVES)
                _exit(0);
        if (play == PLAY_SPEAKS_FIRST)
                channel_say(c, "STATUS=STATE=running PID=1 TASK=nobody\n");
        Ulid other = f->id;
        other.b[15] ^= 1;
        snprintf(text, sizeof text, "STATE=running\nTASK=%s\nATTEMPT=1\nPID=%d\nSTARTTIME=%llu\n",
                 ulid_format(play == PLAY_OTHER_TASK ? &other : &f->id, id_str), (int) getpid(),
                 (unsigned long long) own_start_time() + (play == PLAY_OTHER_START_TIME));
        if (play == PLAY_MUMBLES) {
                char more[768];
                snprintf(more, sizeof more, "%sMUMBLE\n=\n", text);
                channel_say(c, more);
        } else
                channel_say(c, text);
        if (play == PLAY_CLOSES_EARLY) {
                close(listener);
                close(c);
                if (read(hear, text, 1) != 0)
                        _exit(24);
                write_record(f, 0);
                _exit(0);
        }
        for (;;) {
                n = recv(c, text, sizeof text - 1, 0);
                if (n <= 0)
                        break;
                text[n] = '\0';
                if (write(tell, strncmp(text, "STOP=", 5) == 0 ? "S" : "?", 1) != 1)
                        _exit(25);
                if (STREQ(text, "STOP=cancelled\n")) {
                        write_record(f, 9);
                        _exit(0);
                }
        }
        /* The daemon left; a supervisor goes on alone until it is told to end. */
        (void) !read(hear, text, 1);
        _exit(0);
}

static inline Supervisor play(Fixture *f, Play p) {
        int down[2], up[2];
        char c;
        assert_int_equal(pipe2(down, O_CLOEXEC), 0);
        assert_int_equal(pipe2(up, O_CLOEXEC), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);        /* a test that fails, or never connects, leaves nobody behind */
                close(down[1]);
                close(up[0]);
                supervisor_main(f, p, down[0], up[1]);
        }
        close(down[0]);
        close(up[1]);
        assert_int_equal(read(up[0], &c, 1), 1);        /* it listens */
        assert_int_equal(c, 'L');
        return (Supervisor) { pid, down[1], up[0] };
}

/* Lets it go; the text of what it heard besides HELLO. */
static inline void supervisor_end(Supervisor *s, const char *heard) {
        char text[16] = "";
        int status;
        s->tell = fd_close(s->tell);
        ssize_t n = read(s->hear, text, sizeof text - 1);
        assert_true(n >= 0);
        text[n] = '\0';
        assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        assert_string_equal(text, heard);
        s->hear = fd_close(s->hear);
}

static inline LaunchAttempt *adopt(Fixture *f, bool expect) {
        LaunchAttempt *a = NULL;
        f->in_verb = true;
        assert_int_equal(launch_adopt(f->launch, &f->id, 1, f->evidence, f, &a), 0);
        f->in_verb = false;
        while (a->state == ATTEMPT_UNSEEN)
                assert_true(sd_event_run(f->event, UINT64_MAX) > 0);
        assert_int_equal(a->state == ATTEMPT_HELLO, expect);
        return a;
}
