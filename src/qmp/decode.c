#include "qmp/decode.h"

#include "base/alloc.h"
#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* Memory kept between lines; more goes back after the rare long one. */
    KEPT_BYTES = 64 * 1024,
    /* What a value holds in a tree, roughly: the node, its place in the parent, a key. */
    VALUE_BYTES = 128,
    /* QEMU's own words have a line or two. */
    ERROR_CLASS_MAX_BYTES = 64,
    ERROR_DESC_MAX_BYTES = 1024,
};

static enum qmp_decode broken(struct qmp_decoder *d, const char *problem)
{
    snprintf(d->problem, sizeof(d->problem), "%s", problem);
    buf_done(&d->bytes);
    return QMP_DECODE_BROKEN;
}

void qmp_message_done(struct qmp_message *m)
{
    switch (m->kind) {
    case QMP_MESSAGE_RETURN:
        json_decref(m->as.result);
        break;
    case QMP_MESSAGE_ERROR:
        free(m->as.error.class);
        free(m->as.error.desc);
        break;
    case QMP_MESSAGE_EVENT:
        qmp_event_done(&m->as.event);
        break;
    case QMP_MESSAGE_GREETING:
    case QMP_MESSAGE_COUNT_:
        break;
    }
    *m = (struct qmp_message){0};
}

/* True for a whole number, also one that had to be read as a real (parse_line). */
static bool whole_number(const json_t *j, int64_t *ret)
{
    if (json_is_integer(j)) {
        *ret = json_integer_value(j);
        return true;
    }
    const double real = json_real_value(j);
    const double exact_max = 9007199254740992.0; /* 2^53 */
    if (!json_is_real(j) || !(real >= -exact_max && real <= exact_max) ||
        real != (double)(int64_t)real)
        return false;
    *ret = (int64_t)real;
    return true;
}

static int64_t event_time_us(const json_t *timestamp)
{
    int64_t seconds, micros;
    if (!whole_number(json_object_get(timestamp, "seconds"), &seconds) ||
        !whole_number(json_object_get(timestamp, "microseconds"), &micros))
        return -1;
    const int64_t seconds_max = (int64_t)1 << 40; /* so that the product fits */
    if (seconds < 0 || seconds > seconds_max || micros < 0 || micros > 999999)
        return -1; /* QEMU itself says -1 when its clock failed */
    return seconds * 1000000 + micros;
}

static bool is_event_name(const char *name, size_t n)
{
    if (n == 0 || n > QMP_EVENT_NAME_MAX_BYTES)
        return false;
    for (size_t i = 0; i < n; i++) {
        const char c = name[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                c == '_' || c == '-' || c == '.'))
            return false;
    }
    return true;
}

static const char *read_event(const json_t *root, struct qmp_message *ret)
{
    const json_t *name = json_object_get(root, "event");
    if (!json_is_string(name) || !is_event_name(json_string_value(name), json_string_length(name)))
        return "an event without a proper name";
    json_t *data = json_object_get(root, "data");
    if (data && !json_is_object(data))
        return "an event whose data is no object";
    struct qmp_event *event = &ret->as.event;
    *event = (struct qmp_event){
        .data = json_incref(data),
        .time_us = event_time_us(json_object_get(root, "timestamp")),
    };
    memcpy(event->name, json_string_value(name), json_string_length(name));
    return NULL;
}

static const char *read_error(const json_t *root, struct qmp_message *ret)
{
    const json_t *error = json_object_get(root, "error");
    const char *class = json_get_string(error, "class");
    const char *desc = json_get_string(error, "desc");
    if (!class || !desc)
        return "an error without class and description";
    ret->as.error.class = xstrndup(class, strnlen(class, ERROR_CLASS_MAX_BYTES));
    ret->as.error.desc = xstrndup(desc, strnlen(desc, ERROR_DESC_MAX_BYTES));
    return NULL;
}

/* Fills all of *ret, or returns what is wrong and leaves nothing in it. */
static const char *read_message(const json_t *root, struct qmp_message *ret)
{
    static const char *const keys[QMP_MESSAGE_COUNT_] = {
        [QMP_MESSAGE_GREETING] = "QMP",
        [QMP_MESSAGE_RETURN] = "return",
        [QMP_MESSAGE_ERROR] = "error",
        [QMP_MESSAGE_EVENT] = "event",
    };
    if (!json_is_object(root))
        return "a value that is no object";
    unsigned found = 0;
    for (unsigned kind = 0; kind < QMP_MESSAGE_COUNT_; kind++) {
        if (json_object_get(root, keys[kind])) {
            found++;
            ret->kind = (enum qmp_message_kind)kind;
        }
    }
    if (found != 1)
        return found ? "a message of two kinds" : "an object that is no message";
    ret->has_id = whole_number(json_object_get(root, "id"), &ret->id);
    switch (ret->kind) {
    case QMP_MESSAGE_RETURN:
        ret->as.result = json_incref(json_object_get(root, "return"));
        return NULL;
    case QMP_MESSAGE_ERROR:
        return read_error(root, ret);
    case QMP_MESSAGE_EVENT:
        return read_event(root, ret);
    case QMP_MESSAGE_GREETING:
    case QMP_MESSAGE_COUNT_:
        break;
    }
    return NULL;
}

/* QEMU has unsigned 64-bit values (a crashed Windows guest's GUEST_PANICKED carries five), jansson
 * signed ones. A line that has one above 2^63 is read again with all its numbers as reals. */
static json_t *parse_line(struct str line, json_error_t *reterr)
{
    json_t *root = json_parse(line, reterr);
    if (root || json_error_code(reterr) != json_error_numeric_overflow)
        return root;
    return json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, reterr);
}

static enum qmp_decode decode_line(struct qmp_decoder *d, struct str line, struct qmp_message *ret)
{
    json_error_t error = {0};
    cleanup_json json_t *root = parse_line(line, &error);
    if (!root) {
        char problem[sizeof(d->problem)];
        snprintf(problem, sizeof(problem), "a line that is no JSON: %.100s", error.text);
        return broken(d, problem);
    }
    struct qmp_message message = {.cost_bytes = line.n + (size_t)d->values * VALUE_BYTES};
    const char *problem = read_message(root, &message);
    if (problem)
        return broken(d, problem);
    *ret = message;
    return QMP_DECODE_MESSAGE;
}

/* What is wrong with the line so far, or NULL. */
static const char *scan_byte(struct qmp_decoder *d, char c)
{
    if (d->in_string) {
        if (d->is_escaped)
            d->is_escaped = false;
        else if (c == '\\')
            d->is_escaped = true;
        else if (c == '"')
            d->in_string = false;
        return NULL;
    }
    switch (c) {
    case '"':
        d->in_string = true;
        return NULL;
    case '{':
    case '[':
        if (++d->depth > QMP_DEPTH_MAX)
            return "a line that is nested too deeply";
        break;
    case '}':
    case ']':
        d->depth -= d->depth > 0;
        return NULL;
    case ',':
        break;
    default:
        return NULL;
    }
    return ++d->values > QMP_VALUES_MAX ? "a line of too many values" : NULL;
}

/* Where the next newline is, counted from the line's start; -1: not there yet. A newline ends the
 * line even inside quotes, where JSON has none. */
static ssize_t scan(struct qmp_decoder *d, const char **ret_problem)
{
    if (d->bytes.n == d->at)
        return -1;
    const char *line = d->bytes.p + d->at;
    const size_t n = d->bytes.n - d->at;
    const size_t max = d->line_max_bytes ? d->line_max_bytes : QMP_LINE_MAX_BYTES;
    while (d->scanned < n) {
        if (line[d->scanned] == '\n')
            return (ssize_t)d->scanned;
        if (d->scanned == max) {
            *ret_problem = "a line that is too long";
            return -1;
        }
        *ret_problem = scan_byte(d, line[d->scanned++]);
        if (*ret_problem)
            return -1;
    }
    return -1;
}

static void start_line(struct qmp_decoder *d, size_t at)
{
    d->at = at;
    d->scanned = 0;
    d->depth = 0;
    d->values = 0;
    d->in_string = false;
    d->is_escaped = false;
}

static bool is_blank(struct str line)
{
    for (size_t i = 0; i < line.n; i++) {
        if (line.p[i] != ' ' && line.p[i] != '\t' && line.p[i] != '\r')
            return false;
    }
    return true;
}

void qmp_decoder_feed(struct qmp_decoder *d, const char *p, size_t n)
{
    if (d->problem[0])
        return;
    /* Lines already handed out go at once when nothing follows them, else only when they are the
     * larger half: each byte is then moved once on average. */
    if (d->at == d->bytes.n) {
        if (d->bytes.cap > KEPT_BYTES)
            buf_done(&d->bytes);
        buf_clear(&d->bytes);
        d->at = 0;
    } else if (d->at > d->bytes.n / 2) {
        buf_drop(&d->bytes, d->at);
        d->at = 0;
    }
    buf_add(&d->bytes, p, n);
}

enum qmp_decode qmp_decoder_next(struct qmp_decoder *d, struct qmp_message *ret)
{
    while (!d->problem[0]) {
        const char *problem = NULL;
        const ssize_t n = scan(d, &problem);
        if (problem)
            return broken(d, problem);
        if (n < 0)
            return QMP_DECODE_MORE;
        const struct str line = {.p = d->bytes.p + d->at, .n = (size_t)n};
        const enum qmp_decode got = is_blank(line) ? QMP_DECODE_MORE : decode_line(d, line, ret);
        if (got == QMP_DECODE_BROKEN)
            return got;
        start_line(d, d->at + (size_t)n + 1);
        if (got == QMP_DECODE_MESSAGE)
            return got;
    }
    return QMP_DECODE_BROKEN;
}

void qmp_decoder_done(struct qmp_decoder *d)
{
    buf_done(&d->bytes);
    *d = (struct qmp_decoder){0};
}
