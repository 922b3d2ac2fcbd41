/* Reading option values. */
#include "base/buf.h"
#include "base/name.h"
#include "cli/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Digits with an optional minus; nothing around them. Returns what follows, or NULL. */
static const char *read_integer(const char *s, int64_t *ret)
{
    const char *digits = s + (s[0] == '-');
    if (digits[0] < '0' || digits[0] > '9')
        return NULL;
    char *end;
    errno = 0;
    const long long value = strtoll(s, &end, 10);
    if (errno == ERANGE)
        return NULL;
    *ret = value;
    return end;
}

static bool read_duration(const char *s, int64_t *ret)
{
    int64_t value;
    const char *unit = read_integer(s, &value);
    if (!unit || value < 0)
        return false;
    const int64_t factor = strcmp(unit, "") == 0 || strcmp(unit, "s") == 0 ? 1
                           : strcmp(unit, "m") == 0                        ? 60
                           : strcmp(unit, "h") == 0                        ? 3600
                                                                           : 0;
    return factor && !__builtin_mul_overflow(value, factor, ret);
}

static bool is_bounded(const struct cli_option *o)
{
    return o->min != 0 || o->max != 0;
}

static int read_number(const struct cli_input *in,
    const struct cli_option *o,
    const char *value,
    struct cli_word place,
    int64_t *ret_number,
    struct vmm_error **errp)
{
    int64_t number = 0;
    const bool is_duration = o->kind == CLI_DURATION;
    const char *end = is_duration ? NULL : read_integer(value, &number);
    const bool is_number = is_duration ? read_duration(value, &number) : end && *end == '\0';
    char range[80] = "a whole number";
    if (is_bounded(o))
        snprintf(range, sizeof(range), "from %lld to %lld", (long long)o->min, (long long)o->max);
    if (!is_number)
        return cli_fail_at(errp, in, place, is_duration ? "seconds, or such as 90s, 5m, 2h" : range,
            "--%s needs %s, not \"%.100s\"", o->name, is_duration ? "a duration" : "a whole number",
            value);
    if (is_bounded(o) && (number < o->min || number > o->max))
        return cli_fail_at(errp, in, place, is_duration ? "out of range" : range,
            "--%s must be %s%s, not %.100s", o->name, range, is_duration ? " seconds" : "", value);
    *ret_number = number;
    return 0;
}

static int check_choice(const struct cli_input *in,
    const struct cli_option *o,
    const char *value,
    struct cli_word place,
    struct vmm_error **errp)
{
    cleanup_buf struct buf label = {0};
    for (const char *const *choice = o->choices; *choice; choice++) {
        if (strcmp(*choice, value) == 0)
            return 0;
        buf_addf(&label, "%s%s", choice == o->choices ? "one of " : ", ", *choice);
    }
    const char *meant = suggest(str_view(value), o->choices);
    if (meant) {
        buf_clear(&label);
        buf_addf(&label, "did you mean %s?", meant);
    }
    return cli_fail_at(
        errp, in, place, buf_cstr(&label), "--%s cannot be \"%.100s\"", o->name, value);
}

int cli_read_value(const struct cli_input *in,
    const struct cli_option *option,
    const char *value,
    struct cli_word place,
    int64_t *ret_number,
    struct vmm_error **errp)
{
    if (option->choices)
        return check_choice(in, option, value, place, errp);
    switch (option->kind) {
    case CLI_FLAG:
    case CLI_STRING:
        return 0;
    case CLI_PATH:
        return value[0] ? 0 : cli_fail_at(errp, in, place, NULL, "--%s needs a path", option->name);
    case CLI_INTEGER:
    case CLI_DURATION:
        return read_number(in, option, value, place, ret_number, errp);
    }
    return 0;
}
