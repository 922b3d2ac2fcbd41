#include "base/log.h"
#include "base/buf.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const level_names[] = {"error", "warn", "info", "debug", "trace"};

static const char *filter;
static pthread_once_t filter_once = PTHREAD_ONCE_INIT;

static void read_filter(void)
{
    filter = getenv("VMCTL_LOG");
    if (!filter)
        filter = getenv("RUST_LOG");
    if (!filter)
        filter = "warn";
}

static int level_of(const char *p, size_t n)
{
    for (int i = 0; i <= LOG_TRACE; i++) {
        if (strlen(level_names[i]) == n && strncmp(p, level_names[i], n) == 0)
            return i;
    }
    return -1;
}

/* `vm_manager::ssh` of the reference names our module `ssh`. */
static bool names_module(const char *p, size_t n, const char *module)
{
    const char prefix[] = "vm_manager::";
    if (n >= sizeof(prefix) - 1 && strncmp(p, prefix, sizeof(prefix) - 1) == 0) {
        p += sizeof(prefix) - 1;
        n -= sizeof(prefix) - 1;
    }
    return strlen(module) == n && strncmp(p, module, n) == 0;
}

static int level_for(const char *module)
{
    int general = LOG_WARN, special = -1;
    for (const char *p = filter; *p;) {
        const size_t n = strcspn(p, ",");
        const char *eq = memchr(p, '=', n);
        if (!eq) {
            const int level = level_of(p, n);
            if (level >= 0)
                general = level;
        } else if (names_module(p, (size_t)(eq - p), module)) {
            special = level_of(eq + 1, n - (size_t)(eq + 1 - p));
        }
        p += n + (p[n] == ',');
    }
    return special >= 0 ? special : general;
}

void log_write(enum log_level level, const char *module, const char *fmt, ...)
{
    pthread_once(&filter_once, read_filter);
    if ((int)level > level_for(module))
        return;
    cleanup_buf struct buf line = {0};
    buf_addf(&line, "%s %s: ", level_names[level], module);
    va_list ap;
    va_start(ap, fmt);
    buf_vaddf(&line, fmt, ap);
    va_end(ap);
    buf_addc(&line, '\n');
    /* One write, so that lines of several threads do not mix. */
    if (write(STDERR_FILENO, line.p, line.n) < 0)
        return;
}
