/* bare-http.c: the limit for submissions: the libmicrohttpd that jobbersd is built on, one thread, epoll, reading the same POST and answering
 * with as many bytes, without doing anything. Prints its port and serves until its standard input ends. */
#include <err.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* As long as what /submit-task answers. */
static char answer[] = "{\"id\":\"01ARZ3NDEKTSV4RRFFQ69G5FAV\",\"name\":\"noop\",\"version\":1,\"queue\":\"default\",\"priority\":0,\"parameters\":{},"
                       "\"status\":\"submitted\",\"retry_attempt\":0,\"last_error\":null,\"results\":{},\"errors\":[],"
                       "\"submitted_at\":\"2026-01-01T00:00:00.000000Z\",\"scheduled_at\":null,\"started_at\":null,\"retried_at\":null,"
                       "\"heartbeat_at\":null,\"completed_at\":null,\"progress\":null,\"status_text\":null,\"stop_reason\":null}";

static enum MHD_Result handle(void *data, struct MHD_Connection *c, const char *url, const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **state) {
        static int begun;
        if (!*state) {
                *state = &begun;
                return MHD_YES;
        }
        if (*upload_size > 0) {
                *upload_size = 0;
                return MHD_YES;
        }
        struct MHD_Response *r = MHD_create_response_from_buffer(strlen(answer), answer, MHD_RESPMEM_PERSISTENT);
        (void) MHD_add_response_header(r, "Content-Type", "application/json");
        enum MHD_Result result = MHD_queue_response(c, MHD_HTTP_OK, r);
        MHD_destroy_response(r);
        return result;
}

int main(void) {
        char byte;
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        struct MHD_Daemon *d = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, handle, NULL, MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_END);
        if (!d)
                errx(1, "cannot start libmicrohttpd");
        printf("%u\n", MHD_get_daemon_info(d, MHD_DAEMON_INFO_BIND_PORT)->port);
        fflush(stdout);
        while (read(0, &byte, 1) > 0)
                ;
        MHD_stop_daemon(d);
        return 0;
}
