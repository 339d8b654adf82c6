/* verb-top.c: the live view (being built: one look). */
#include "jobbersctl/ctl.h"

int verb_top(Ctl *ctl, int argc, char **argv) {
        return verb_status(ctl, 0, NULL);
}
