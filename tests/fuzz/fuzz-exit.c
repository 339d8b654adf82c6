/* fuzz-exit.c: any bytes as an exit record, and any result inside one: refused, or folded into exactly one outcome. */
#include "model/exit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_exit_record_ ExitRecord record = {};
        _cleanup_exit_record_ ExitRecord again = {};
        _cleanup_outcome_ Outcome outcome = {};
        _cleanup_str_ Str text = {};

        if (exit_record_decode((const char *) data, size, &record) < 0)
                return 0;
        /* What was understood can be said, and is then understood in the same way. */
        if (exit_record_encode(&record, &text) < 0)
                return 0;
        if (exit_record_decode(text.s, text.len, &again) < 0 || again.end_reason != record.end_reason ||
            again.exit_status != record.exit_status || again.result_len != record.result_len || again.attempt != record.attempt)
                abort();
        if (exit_fold(&record, NULL, NULL, STOP_NONE, 0, 4096, 1, &outcome) >= 0 && !outcome.error && !outcome.results)
                abort();
        return 0;
}
