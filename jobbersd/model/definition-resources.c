/* definition-resources.c: the kinds of value in [Resources], with systemd's meaning. Percentages of what the host has are worked out
 * here, once: both the daemon and the launcher read on the same host, and the canonical text carries plain numbers. */
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "model/definition-keys.h"

static int refuse(char **ret_reason, char *reason) {
        *ret_reason = reason;
        return reason ? -EINVAL : -ENOMEM;
}

static uint64_t part_of(uint64_t permyriad, uint64_t whole) {
        return (uint64_t) ((unsigned __int128) whole * permyriad / 10000);
}

/* A number below /proc/sys, or what it usually is. */
static uint64_t sysctl_read(const char *path, uint64_t usual) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        _cleanup_free_ char *text = NULL;
        uint64_t n;
        size_t len;

        if (fd < 0 || fd_read_all(fd, 64, &text, &len) < 0)
                return usual;
        text[strcspn(text, "\n")] = 0;
        return parse_u64(text, &n) < 0 ? usual : n;
}

static void not_set(const DefinitionKey *k, void *field) {
        *(uint64_t *) field = UINT64_MAX;
}

static void zero(const DefinitionKey *k, void *field) {
        *(uint64_t *) field = 0;
}

static int memory_parse(const DefinitionReader *r, const DefinitionKey *k, const char *value, void *field, char **ret_reason) {
        uint64_t n;
        if (parse_permyriad(value, &n) == 0) {
                if (n > 10000)
                        return refuse(ret_reason, strdup("more than 100% of the memory is no limit: use infinity"));
                n = part_of(n, (uint64_t) sysconf(_SC_PHYS_PAGES) * (uint64_t) sysconf(_SC_PAGESIZE));
        } else if (parse_size(value, &n) < 0)
                return refuse(ret_reason, strdup("it must be a size such as 512M or 2G, a percentage of the memory, or infinity"));
        if (n == 0)
                return refuse(ret_reason, strdup("it must be more than 0: nothing can run without memory"));
        *(uint64_t *) field = n;
        return 0;
}

static void memory_print(Str *b, const DefinitionKey *k, const void *field) {
        static const struct {
                const char *name;
                uint64_t bytes;
        } units[] = { { "G", 1U << 30 }, { "M", 1U << 20 }, { "K", 1U << 10 }, { "", 1 } };
        uint64_t n = *(const uint64_t *) field;
        size_t i = 0;

        if (n == UINT64_MAX)
                return;
        while (n % units[i].bytes != 0)
                i++;
        str_printf(b, "%s=%llu%s\n", k->name, (unsigned long long) (n / units[i].bytes), units[i].name);
}
const ValueType type_memory = { memory_parse, memory_print, not_set };

static int tasks_parse(const DefinitionReader *r, const DefinitionKey *k, const char *value, void *field, char **ret_reason) {
        uint64_t n;
        if (STREQ(value, "infinity"))
                n = UINT64_MAX;
        else if (parse_permyriad(value, &n) == 0 && n <= 10000)
                n = part_of(n, MIN(sysctl_read("/proc/sys/kernel/pid_max", 4194304), sysctl_read("/proc/sys/kernel/threads-max", 32768)));
        else if (parse_u64(value, &n) < 0)
                return refuse(ret_reason, strdup("it must be a number of processes and threads, a percentage of what the kernel allows, or infinity"));
        if (n == 0)
                return refuse(ret_reason, strdup("it must be more than 0: nothing can run without a process"));
        *(uint64_t *) field = n;
        return 0;
}

static void number_print(Str *b, const DefinitionKey *k, const void *field) {
        uint64_t n = *(const uint64_t *) field;
        if (n != UINT64_MAX)
                str_printf(b, "%s=%llu\n", k->name, (unsigned long long) n);
}
const ValueType type_tasks = { tasks_parse, number_print, not_set };

static int percent_parse(const DefinitionReader *r, const DefinitionKey *k, const char *value, void *field, char **ret_reason) {
        uint64_t n;
        if (parse_permyriad(value, &n) < 0 || n < k->min || n > k->max)
                return refuse(ret_reason, strdup("it must be a percentage of one CPU such as 12.5% or 200%, and 1% at least"));
        *(uint64_t *) field = n;
        return 0;
}

static void percent_print(Str *b, const DefinitionKey *k, const void *field) {
        uint64_t n = *(const uint64_t *) field;
        if (n == 0)
                return;
        str_printf(b, "%s=%llu", k->name, (unsigned long long) n / 100);
        if (n % 100 > 0)
                str_printf(b, ".%02u", (unsigned) (n % 100));
        str_append(b, "%\n");
}
const ValueType type_percent = { percent_parse, percent_print, zero };

static int weight_parse(const DefinitionReader *r, const DefinitionKey *k, const char *value, void *field, char **ret_reason) {
        uint64_t n;
        if (parse_u64(value, &n) < 0 || n < 1 || n > 10000)
                return refuse(ret_reason, strdup("it must be a whole number from 1 to 10000"));
        *(uint64_t *) field = n;
        return 0;
}

static void weight_print(Str *b, const DefinitionKey *k, const void *field) {
        uint64_t n = *(const uint64_t *) field;
        if (n > 0)
                str_printf(b, "%s=%llu\n", k->name, (unsigned long long) n);
}
const ValueType type_weight = { weight_parse, weight_print, zero };

static int cpu_weight_parse(const DefinitionReader *r, const DefinitionKey *k, const char *value, void *field, char **ret_reason) {
        if (!STREQ(value, "idle"))
                return weight_parse(r, k, value, field, ret_reason);
        *(uint64_t *) field = CPU_WEIGHT_IDLE;
        return 0;
}

static void cpu_weight_print(Str *b, const DefinitionKey *k, const void *field) {
        if (*(const uint64_t *) field == CPU_WEIGHT_IDLE)
                str_printf(b, "%s=idle\n", k->name);
        else
                weight_print(b, k, field);
}
const ValueType type_cpu_weight = { cpu_weight_parse, cpu_weight_print, zero };

/* SOFT[:HARD] in two fields; one number sets both. Files of a process have no "infinity" in Linux: it is the most the kernel allows. */
static int nofile_number(const char *s, uint64_t *ret) {
        if (!STREQ(s, "infinity"))
                return parse_u64(s, ret);
        *ret = sysctl_read("/proc/sys/fs/nr_open", 1048576);
        return 0;
}

static int nofile_parse(const DefinitionReader *r, const DefinitionKey *k, const char *value, void *field, char **ret_reason) {
        const char *colon = strchr(value, ':');
        uint64_t soft, hard;

        _cleanup_free_ char *first = strndup(value, colon ? (size_t) (colon - value) : strlen(value));
        if (!first)
                return -ENOMEM;
        int n = nofile_number(first, &soft);
        if (n == 0)
                n = nofile_number(colon ? colon + 1 : first, &hard);
        if (n < 0 || soft == 0 || soft > hard || hard > INT32_MAX)
                return refuse(ret_reason, strdup("it must be a number of open files from 1 on, or SOFT:HARD with SOFT no larger than HARD"));
        ((uint64_t *) field)[0] = soft;
        ((uint64_t *) field)[1] = hard;
        return 0;
}

static void nofile_print(Str *b, const DefinitionKey *k, const void *field) {
        const uint64_t *n = field;
        if (n[0] == UINT64_MAX)
                return;
        str_printf(b, "%s=%llu", k->name, (unsigned long long) n[0]);
        if (n[1] != n[0])
                str_printf(b, ":%llu", (unsigned long long) n[1]);
        str_append(b, "\n");
}

static void nofile_clear(const DefinitionKey *k, void *field) {
        ((uint64_t *) field)[0] = ((uint64_t *) field)[1] = UINT64_MAX;
}
const ValueType type_nofile = { nofile_parse, nofile_print, nofile_clear };
_Static_assert(offsetof(Definition, limit_nofile_hard) == offsetof(Definition, limit_nofile_soft) + sizeof(uint64_t), "type_nofile writes both");
