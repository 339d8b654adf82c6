/* fuzz-notify.c: any bytes as a notification of a task: what is understood is within its bounds, and text is text. */
#include <jansson.h>

#include "jobbers-run/notify.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static NotifyMessage m;
        /* Exactly as long as it is, so that a read beyond its end is seen. */
        char *copy = malloc(size ?: 1);
        if (!copy)
                return 0;
        if (size > 0)
                memcpy(copy, data, size);
        notify_parse(copy, size, &m);
        free(copy);
        if (m.progress < -1 || m.progress > 100 || m.extend == USEC_INFINITY || strlen(m.status) > NOTIFY_STATUS_MAX)
                abort();
        if (!m.has_status && m.status[0])
                abort();
        for (const char *s = m.status; *s; s++)
                if ((unsigned char) *s < 0x20 || *s == 0x7f)
                        abort();
        /* jansson takes nothing but valid UTF-8. */
        json_t *text = json_string(m.status);
        if (!text)
                abort();
        json_decref(text);
        return 0;
}
