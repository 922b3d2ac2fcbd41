/* Diagnostics for us, on stderr. VMCTL_LOG (or RUST_LOG, as the reference documents) is a level or
 * a list `level,module=level`: error warn info debug trace. Default: warn. Library code does not
 * log above debug; what the user must know is an error or a progress line. */
#pragma once

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE };

/* Each file names its module: "qmp", "ssh", "machine" ... */
void log_write(enum log_level level, const char *module, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define log_debug(module, ...) log_write(LOG_DEBUG, (module), __VA_ARGS__)
#define log_warn(module, ...) log_write(LOG_WARN, (module), __VA_ARGS__)
