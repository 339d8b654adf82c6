/* screen.h: a terminal taken over for a live view, and given back whatever happens: on q, at the end, on every signal that ends us or
 * stops us. Plain ANSI: what every terminal since the VT100 knows is all that is needed here. */
#pragma once

#include <termios.h>

#include "base/macro.h"

typedef enum ScreenEvent {
        SCREEN_TIMEOUT,
        SCREEN_LOOK,            /* a key that asks for a look, a resize, back from Ctrl-Z */
        SCREEN_QUIT,            /* q */
        SCREEN_SIGNAL,          /* a signal that ends us: Screen.signal says which */
} ScreenEvent;

typedef struct Screen {
        struct termios before;
        int signals;            /* signalfd */
        int signal;
        bool on;
} Screen;

#define SCREEN_INIT { .signals = -1 }

int screen_open(Screen *s);
/* Shows text, from the top, as many lines as there is room for. */
void screen_draw(const char *text, size_t len);
ScreenEvent screen_wait(Screen *s, int timeout_msec);
void screen_close(Screen *s);
#define _cleanup_screen_ _cleanup_(screen_close)

/* Lines of the terminal, 24 when unknown. */
int screen_height(void);
