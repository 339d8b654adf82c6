/* screen.c: see screen.h. */
#include "jobbersctl/screen.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"

/* Alternate screen, no cursor, no wrapping of long lines; and back. */
#define ENTER "\033[?1049h\033[?25l\033[?7l"
#define LEAVE "\033[?7h\033[?25h\033[?1049l"

static void put(const char *s, size_t n) {
        (void) fd_write_all(STDOUT_FILENO, s, n);
}

static int enter(Screen *s) {
        struct termios raw = s->before;
        raw.c_lflag &= ~(tcflag_t) (ICANON | ECHO);
        raw.c_cc[VMIN] = 1;
        raw.c_cc[VTIME] = 0;
        if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw) < 0)
                return -errno;
        s->on = true;
        put(ENTER, strlen(ENTER));
        return 0;
}

static void leave(Screen *s) {
        if (!s->on)
                return;
        s->on = false;
        put(LEAVE, strlen(LEAVE));
        (void) tcsetattr(STDIN_FILENO, TCSAFLUSH, &s->before);
}

static void signals_of(sigset_t *set) {
        static const int all[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH };
        sigemptyset(set);
        for (size_t i = 0; i < ARRAY_SIZE(all); i++)
                sigaddset(set, all[i]);
}

int screen_open(Screen *s) {
        sigset_t set;
        if (tcgetattr(STDIN_FILENO, &s->before) < 0)
                return -errno;
        signals_of(&set);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || (s->signals = signalfd(-1, &set, SFD_CLOEXEC)) < 0)
                return -errno;
        return enter(s);
}

void screen_close(Screen *s) {
        sigset_t set;
        leave(s);
        if (s->signals < 0)
                return;
        s->signals = fd_close(s->signals);
        signals_of(&set);
        sigprocmask(SIG_UNBLOCK, &set, NULL);
}

int screen_height(void) {
        struct winsize w;
        return ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_row > 0 ? w.ws_row : 24;
}

/* One write, so that nobody sees half of it. */
void screen_draw(const char *text, size_t len) {
        _cleanup_str_ Str out = { 0 };
        int room = screen_height();
        (void) str_append(&out, "\033[H");
        for (const char *end = text + len; text < end && room > 0; room--) {
                const char *nl = memchr(text, '\n', (size_t) (end - text));
                size_t n = nl ? (size_t) (nl - text) : (size_t) (end - text);
                (void) str_append(&out, "\033[2K");     /* before: at the right margin it would take the last letter */
                (void) str_append_n(&out, text, n);
                text += n + (nl != NULL);
                if (text < end && room > 1)
                        (void) str_append(&out, "\r\n");
        }
        if (room > 0)
                (void) str_append(&out, "\r\n\033[J");
        if (!out.failed)
                put(out.s, out.len);
}

static ScreenEvent on_signal(Screen *s) {
        struct signalfd_siginfo info;
        if (read(s->signals, &info, sizeof info) != sizeof info || info.ssi_signo == SIGWINCH)
                return SCREEN_LOOK;
        if (info.ssi_signo == SIGTSTP) {
                leave(s);
                raise(SIGSTOP);
                (void) enter(s);
                return SCREEN_LOOK;
        }
        s->signal = (int) info.ssi_signo;
        return SCREEN_SIGNAL;
}

ScreenEvent screen_wait(Screen *s, int timeout_msec) {
        struct pollfd p[2] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = s->signals, .events = POLLIN } };
        char key;
        if (poll(p, ARRAY_SIZE(p), timeout_msec) <= 0)
                return SCREEN_TIMEOUT;
        if (p[1].revents)
                return on_signal(s);
        if (read(STDIN_FILENO, &key, 1) != 1)
                return SCREEN_QUIT;             /* the terminal is gone */
        return key == 'q' || key == 'Q' ? SCREEN_QUIT : SCREEN_LOOK;
}
