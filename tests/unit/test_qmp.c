/* The QMP client: its decoder by tables, the client against a peer whose words are written
 * beforehand, and against the real QEMU. With the fake one: tests/fake/qemu/test/. */
#include "../fake/qemu/test/vm.h"
#include "base/buf.h"
#include "base/json.h"
#include "qmp/internal.h"

#include <pthread.h>

enum { FIRST_ID = 100 }; /* of qmp_capabilities; the next command has 101 */

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n"
#define HANDSHAKE "{\"execute\":\"qmp_capabilities\",\"id\":100}\n"

/* ---- decoder ---- */

static void render(struct buf *out, const struct qmp_message *m)
{
    if (m->has_id)
        buf_addf(out, "#%lld ", (long long)m->id);
    cleanup_free char *json = NULL;
    switch (m->kind) {
    case QMP_MESSAGE_GREETING:
        buf_adds(out, "greeting");
        break;
    case QMP_MESSAGE_RETURN:
        json = json_dumps(m->as.result, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
        buf_addf(out, "return %s", json);
        break;
    case QMP_MESSAGE_ERROR:
        buf_addf(out, "error %s/%s", m->as.error.class, m->as.error.desc);
        break;
    case QMP_MESSAGE_EVENT:
        json = m->as.event.data ? json_dumps(m->as.event.data, JSON_COMPACT) : NULL;
        buf_addf(out, "event %s %s %lld", m->as.event.name, json ? json : "-",
            (long long)m->as.event.time_us);
        break;
    case QMP_MESSAGE_COUNT_:
        fail();
    }
    buf_addc(out, ';');
}

/* Everything the decoder makes of `text`, fed `step` bytes at a time. The caller owns it. */
static char *decoded(const char *text, size_t n, size_t step)
{
    struct qmp_decoder d = {0};
    struct buf out = {0};
    enum qmp_decode got = QMP_DECODE_MORE;
    for (size_t at = 0; at < n && got != QMP_DECODE_BROKEN; at += step) {
        qmp_decoder_feed(&d, text + at, n - at < step ? n - at : step);
        struct qmp_message m;
        while ((got = qmp_decoder_next(&d, &m)) == QMP_DECODE_MESSAGE) {
            render(&out, &m);
            qmp_message_done(&m);
        }
    }
    if (got == QMP_DECODE_BROKEN)
        buf_addf(&out, "! %.*s", (int)strcspn(d.problem, ":"),
            d.problem); /* after it: jansson's words */
    qmp_decoder_done(&d);
    return buf_steal(&out);
}

static void decoder_makes_messages_of_lines(void **state)
{
    (void)state;
    static const struct {
        int line;
        const char *input;
        const char *want;
    } rows[] = {
        /* clang-format off */
        {__LINE__, "", ""},
        {__LINE__, "\r\n \t\n\n", ""},
        {__LINE__, "{\"return\": {}}", ""}, /* not ended yet */
        {__LINE__, "{\"return\": {}}\n", "return {};"},
        {__LINE__, "{\"return\": {}, \"id\": 7}\r\n", "#7 return {};"},
        {__LINE__, "{\"return\": [1,\"a\"], \"id\": \"7\"}\n", "return [1,\"a\"];"},
        {__LINE__, "{\"return\": null, \"id\": null}\n", "return null;"},
        {__LINE__, "{\"id\": -7, \"return\": 3}\n{\"return\": 4}\n", "#-7 return 3;return 4;"},
        {__LINE__, "{\"QMP\": {}}\n", "greeting;"},
        {__LINE__, "{\"error\":{\"class\":\"C\",\"desc\":\"d e\"},\"id\":1}\n", "#1 error C/d e;"},
        {__LINE__, "{\"event\":\"STOP\",\"timestamp\":{\"seconds\":2,\"microseconds\":5}}\n",
            "event STOP - 2000005;"},
        {__LINE__, "{\"event\":\"STOP\",\"timestamp\":{\"seconds\":-1,\"microseconds\":-1}}\n",
            "event STOP - -1;"},
        {__LINE__, "{\"event\":\"S\",\"timestamp\":{\"seconds\":9223372036854775807,\"microseconds\":5}}\n",
            "event S - -1;"},
        {__LINE__, "{\"event\":\"__com.x_A-1\",\"data\":{\"a\":1}}\n", "event __com.x_A-1 {\"a\":1} -1;"},
        /* Braces in strings, escapes at their end. */
        {__LINE__, "{\"return\": \"]}[{\\\"\\\\\"}\n", "return \"]}[{\\\"\\\\\";"},
        /* Unsigned 64 bits, in place of the exact number something near it. */
        {__LINE__, "{\"return\": 18446744073709551615, \"id\": 7}\n", "#7 return 1.8446744073709552e19;"},
        {__LINE__, "{\"event\":\"P\",\"data\":{\"a\":9223372036854775808},\"timestamp\":"
                   "{\"seconds\":3,\"microseconds\":4}}\n", "event P {\"a\":9.2233720368547758e18} 3000004;"},
        {__LINE__, "{\"return\": 1, \"id\": 1.5}\n", "return 1;"},
        {__LINE__, "{\"return\": 1, \"id\": 1e300}\n", "return 1;"},
        {__LINE__, "hello\n", "! a line that is no JSON"},
        {__LINE__, "{\"return\": 1}\nhello\n{\"return\": 2}\n", "return 1;! a line that is no JSON"},
        {__LINE__, "{\"return\": 1e999}\n", "! a line that is no JSON"},
        {__LINE__, "{\"return\":\n1}\n", "! a line that is no JSON"},
        {__LINE__, "{\"return\": \"\xff\"}\n", "! a line that is no JSON"},
        {__LINE__, "{\"return\": 1, \"return\": 2}\n", "! a line that is no JSON"},
        {__LINE__, "{\"return\": 1} {\"return\": 2}\n", "! a line that is no JSON"},
        {__LINE__, "[]\n", "! a value that is no object"},
        {__LINE__, "7\n", "! a line that is no JSON"},
        {__LINE__, "{}\n", "! an object that is no message"},
        {__LINE__, "{\"id\": 1}\n", "! an object that is no message"},
        {__LINE__, "{\"return\": 1, \"event\": \"A\"}\n", "! a message of two kinds"},
        {__LINE__, "{\"event\": 1}\n", "! an event without a proper name"},
        {__LINE__, "{\"event\": \"\"}\n", "! an event without a proper name"},
        {__LINE__, "{\"event\": \"../x\"}\n", "! an event without a proper name"},
        {__LINE__, "{\"event\": \"A\\u001bB\"}\n", "! an event without a proper name"},
        {__LINE__, "{\"event\": \"A\", \"data\": []}\n", "! an event whose data is no object"},
        {__LINE__, "{\"error\": \"x\"}\n", "! an error without class and description"},
        {__LINE__, "{\"error\": {\"class\": \"A\"}}\n", "! an error without class and description"},
        /* clang-format on */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        const size_t n = strlen(rows[i].input);
        for (size_t step = 1; step <= n + 1; step++) {
            cleanup_free char *got = decoded(rows[i].input, n, step);
            if (strcmp(got, rows[i].want) != 0)
                fail_msg("row of line %d, %zu bytes at a time: got `%s`, want `%s`", rows[i].line,
                    step, got, rows[i].want);
        }
    }
}

static void nul_byte_in_a_line_is_refused(void **state)
{
    (void)state;
    static const char text[] = "{\"return\": 1}\0\n";
    cleanup_free char *got = decoded(text, sizeof(text) - 1, 1);
    assert_string_equal(got, "! a line that is no JSON");
}

/* `count` arrays in each other, as an answer. */
static char *nested(const char *before, size_t count, const char *after)
{
    struct buf b = {0};
    buf_addf(&b, "{\"return\":%s", before);
    for (size_t i = 0; i < count; i++)
        buf_addc(&b, '[');
    for (size_t i = 0; i < count; i++)
        buf_addc(&b, ']');
    buf_adds(&b, after);
    buf_adds(&b, "}\n");
    return buf_steal(&b);
}

static void assert_decoded_begins(const char *text, size_t step, const char *want)
{
    cleanup_free char *got = decoded(text, strlen(text), step);
    if (strncmp(got, want, strlen(want)) != 0)
        fail_msg("got `%.60s`, want `%s`", got, want);
}

static void decoder_keeps_its_limits(void **state)
{
    (void)state;
    cleanup_free char *deep = nested("", QMP_DEPTH_MAX - 1, "");
    assert_decoded_begins(deep, 7, "return [[");
    cleanup_free char *too_deep = nested("", QMP_DEPTH_MAX, "");
    assert_decoded_begins(too_deep, 7, "! a line that is nested to");
    cleanup_free char *in_string = nested("\"\\\\\\\"", 2 * QMP_DEPTH_MAX, "\"");
    assert_decoded_begins(in_string, 7, "return \"\\\\\\\"[[");
    cleanup_buf struct buf values = {0};
    buf_adds(&values, "{\"return\":[0");
    for (int i = 2; i < QMP_VALUES_MAX; i++) /* two are the object and the array */
        buf_adds(&values, ",0");
    const size_t at_limit = values.n;
    buf_adds(&values, "]}\n");
    assert_decoded_begins(values.p, 65536, "return [0,0");
    values.n = at_limit;
    buf_adds(&values, ",0]}\n");
    assert_decoded_begins(values.p, 65536, "! a line of too many value");

    char name[200];
    snprintf(name, sizeof(name), "{\"event\":\"%0*d\"}\n", QMP_EVENT_NAME_MAX_BYTES, 0);
    assert_decoded_begins(name, 1, "event 000");
    snprintf(name, sizeof(name), "{\"event\":\"%0*d\"}\n", QMP_EVENT_NAME_MAX_BYTES + 1, 0);
    assert_decoded_begins(name, 1, "! an event without a proper name");
}

/* A line of `n` bytes before its newline. */
static char *long_line(size_t n)
{
    static const char head[] = "{\"return\":\"", tail[] = "\"}\n";
    struct buf b = {0};
    buf_adds(&b, head);
    const size_t filler = n - (sizeof(head) - 1) - (sizeof(tail) - 2);
    memset(buf_reserve(&b, filler), 'x', filler);
    b.n += filler;
    buf_adds(&b, tail);
    return buf_steal(&b);
}

static void long_line_in_small_pieces_takes_linear_time(void **state)
{
    (void)state;
    cleanup_free char *longest = long_line(QMP_LINE_MAX_BYTES);
    const int64_t start = clock_ms();
    assert_decoded_begins(longest, 64, "return \"xxx");
    /* Looking at all of it again for each piece would be 2 TB. */
    assert_true(clock_ms() - start < LONG_MS);

    cleanup_free char *too_long = long_line(QMP_LINE_MAX_BYTES + 1);
    assert_decoded_begins(too_long, 65536, "! a line that is too long");
}

static void unended_line_is_refused_at_the_limit(void **state)
{
    (void)state;
    struct qmp_decoder d = {.line_max_bytes = 100};
    struct qmp_message m;
    char spaces[101];
    memset(spaces, ' ', sizeof(spaces));
    qmp_decoder_feed(&d, spaces, 100);
    assert_int_equal(qmp_decoder_next(&d, &m), QMP_DECODE_MORE);
    qmp_decoder_feed(&d, spaces, 1);
    assert_int_equal(qmp_decoder_next(&d, &m), QMP_DECODE_BROKEN);
    qmp_decoder_feed(&d, GREETING, strlen(GREETING));
    assert_int_equal(qmp_decoder_next(&d, &m), QMP_DECODE_BROKEN);
    assert_null(d.bytes.p);
    qmp_decoder_done(&d);
}

static void event_queue_drops_the_oldest(void **state)
{
    (void)state;
    struct event_queue queue = {0};
    for (int i = 0; i < QMP_EVENTS_MAX + 5; i++) {
        struct qmp_event event = {.time_us = i, .data = json_object()};
        event_queue_push(&queue, &event, 1);
    }
    struct qmp_event first;
    assert_true(event_queue_pop(&queue, &first));
    assert_int_equal(first.time_us, 5);
    assert_int_equal(queue.dropped, 5);
    qmp_event_done(&first);
    /* One as large as all may be drives out the rest, and stays. */
    struct qmp_event large = {.time_us = -7};
    event_queue_push(&queue, &large, (size_t)QMP_EVENTS_MAX_BYTES + 1);
    assert_int_equal(queue.count, 1);
    assert_true(event_queue_pop(&queue, &first));
    assert_int_equal(first.time_us, -7);
    assert_false(event_queue_pop(&queue, &first));
    event_queue_done(&queue);
}

/* ---- client, against words written beforehand ---- */

struct peer {
    int fd;
    struct qmp *q;
};

static void say(const struct peer *p, const char *words)
{
    assert_int_equal(fs_write_all(p->fd, words, strlen(words)), 0);
}

/* What the client has sent so far. The caller owns it. */
static char *heard(const struct peer *p)
{
    struct buf b = {0};
    ssize_t n;
    while ((n = recv(p->fd, buf_reserve(&b, 4096), 4096, MSG_DONTWAIT)) > 0)
        b.n += (size_t)n;
    return buf_steal(&b);
}

/* The other half of the handshake; its answer must not come before the question. */
static void *greet(void *arg)
{
    const struct peer *p = arg;
    say(p, GREETING);
    char heard_first[sizeof(HANDSHAKE)] = "";
    assert_int_equal(
        recv(p->fd, heard_first, sizeof(HANDSHAKE) - 1, MSG_WAITALL), sizeof(HANDSHAKE) - 1);
    assert_string_equal(heard_first, HANDSHAKE);
    say(p, "{\"return\": {}, \"id\": 100}\r\n");
    return NULL;
}

static struct peer ready_peer(void)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    struct peer p = {.fd = fds[1]};
    pthread_t greeter;
    assert_int_equal(pthread_create(&greeter, NULL, greet, &p), 0);
    struct vmm_error *e = NULL;
    const int r = qmp_open_fd_with(fds[0], FIRST_ID, in(LONG_MS), &p.q, &e);
    pthread_join(greeter, NULL);
    assert_ok(r, e);
    return p;
}

static void peer_done(struct peer *p)
{
    qmp_close(p->q);
    if (p->fd >= 0)
        close(p->fd);
}

static void handshake_failures_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *words;
        bool hangs_up;
        const char *reason;
        const char *message;
    } rows[] = {
        /* clang-format off */
        {"", false, "timeout", "QEMU sent no QMP greeting within "},
        {GREETING, false, "timeout", "did not answer \"qmp_capabilities\" within "},
        {"", true, "closed", "QEMU closed its QMP connection without a greeting"},
        {GREETING, true, "closed", "QEMU closed its QMP connection"},
        {"SSH-2.0-OpenSSH\r\n", false, "protocol", "QEMU sent what is no QMP: a line that is no JSON"},
        /* clang-format on */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        int fds[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        assert_int_equal(fs_write_all(fds[1], rows[i].words, strlen(rows[i].words)), 0);
        if (rows[i].hangs_up)
            shutdown(fds[1], SHUT_WR);
        struct qmp *q = NULL;
        struct vmm_error *e = NULL;
        const int64_t start = clock_ms();
        assert_int_equal(
            qmp_open_fd_with(fds[0], FIRST_ID, in(SHORT_MS), &q, &e), -VMM_E_QMP_CONNECT);
        assert_true(clock_ms() - start < SHORT_MS + LATE_MS);
        assert_error(&e, VMM_E_QMP_CONNECT, rows[i].reason, rows[i].message);
        assert_null(q);
        close(fds[1]);
    }
}

static void only_the_own_answer_is_taken(void **state)
{
    (void)state;
    struct peer p = ready_peer();
    say(&p,
        "{\"return\": 1}\n{\"return\": 2, \"id\": \"101\"}\n{\"return\": 3, \"id\": 100}\n"
        "{\"error\": {\"class\": \"A\", \"desc\": \"b\"}}\n" GREETING
        "{\"return\": 4, \"id\": 101}\n{\"return\": 5, \"id\": 101}\n{\"return\": 6, \"id\": 102}\n");
    json_t *result = NULL;
    struct vmm_error *e = NULL;
    assert_ok(
        qmp_command(p.q, "query-vnc", json_pack("{s:i}", "a", 1), in(LONG_MS), &result, &e), e);
    assert_int_equal(json_integer_value(result), 4);
    json_decref(result);
    cleanup_free char *sent = heard(&p);
    assert_string_equal(sent, "{\"execute\":\"query-vnc\",\"arguments\":{\"a\":1},\"id\":101}\n");
    /* 102 was answered before it was asked: that is no answer. */
    assert_int_equal(qmp_stop(p.q, in(SHORT_MS), &e), -VMM_E_QMP_COMMAND);
    assert_error(&e, VMM_E_QMP_COMMAND, "timeout", "QEMU did not answer \"stop\" within ");
    peer_done(&p);
}

static void late_answer_meets_no_later_command(void **state)
{
    (void)state;
    struct peer p = ready_peer();
    struct qmp_status status = {0};
    struct vmm_error *e = NULL;
    assert_int_equal(qmp_query_status(p.q, in(SHORT_MS), &status, &e), -VMM_E_QMP_COMMAND);
    assert_non_null(vmm_error_help(e));
    assert_error(&e, VMM_E_QMP_COMMAND, "timeout", "QEMU did not answer \"query-status\" within ");
    say(&p, "{\"return\": {\"status\": \"paused\", \"running\": false}, \"id\": 101}\n"
            "{\"return\": {\"status\": \"running\", \"running\": true}, \"id\": 102}\n");
    assert_ok(qmp_query_status(p.q, in(LONG_MS), &status, &e), e);
    assert_int_equal(status.state, QMP_RUN_STATE_RUNNING);
    assert_true(status.running);
    /* Nor when it comes between two commands. */
    assert_true(qmp_stop(p.q, in(1), &e) < 0);
    assert_error(&e, VMM_E_QMP_COMMAND, "timeout", NULL);
    say(&p, "{\"return\": {}, \"id\": 103}\n");
    assert_ok(qmp_pump(p.q, &e), e);
    assert_true(qmp_cont(p.q, in(1), &e) < 0);
    assert_error(&e, VMM_E_QMP_COMMAND, "timeout", "\"cont\"");
    peer_done(&p);
}

#define FLOOD_EVENT "{\"event\": \"RTC_CHANGE\", \"data\": {\"offset\": 1}}\n"

static void one_look_at_a_flood_is_bounded(void **state)
{
    (void)state;
    struct peer p = ready_peer();
    cleanup_buf struct buf events = {0};
    for (int i = 0; i < 100; i++)
        buf_adds(&events, FLOOD_EVENT);
    size_t filled = 0;
    for (ssize_t n; (n = send(p.fd, events.p, events.n, MSG_DONTWAIT)) > 0;) {
        filled += (size_t)n;
        if ((size_t)n < events.n)
            break;
    }
    assert_true(filled > 140000); /* more than a look takes: else this shows nothing */
    struct vmm_error *e = NULL;
    assert_ok(qmp_pump(p.q, &e), e);
    assert_int_equal(poll(&(struct pollfd){.fd = qmp_fd(p.q), .events = POLLIN}, 1, 0), 1);
    peer_done(&p);
}

/* Faster than anybody reads. */
static void *flood(void *arg)
{
    const struct peer *p = arg;
    cleanup_buf struct buf events = {0};
    for (int i = 0; i < 2000; i++)
        buf_adds(&events, FLOOD_EVENT);
    while (send(p->fd, events.p, events.n, MSG_NOSIGNAL) >= 0)
        continue;
    return NULL;
}

static void flood_hides_no_deadline(void **state)
{
    (void)state;
    struct peer p = ready_peer();
    pthread_t flooder;
    assert_int_equal(pthread_create(&flooder, NULL, flood, &p), 0);
    struct vmm_error *e = NULL;
    const int64_t start = clock_ms();
    assert_true(qmp_stop(p.q, in(SHORT_MS), &e) < 0);
    assert_ok(qmp_pump(p.q, NULL), NULL);
    assert_true(clock_ms() - start < SHORT_MS + LATE_MS);
    assert_error(&e, VMM_E_QMP_COMMAND, "timeout", "\"stop\"");
    assert_true(qmp_events_dropped(p.q) > 0);
    qmp_close(TAKE_PTR(p.q));
    pthread_join(flooder, NULL);
    peer_done(&p);
}

static void refusal_is_shown_sanitized(void **state)
{
    (void)state;
    struct peer p = ready_peer();
    say(&p,
        "{\"error\": {\"class\": \"Generic\\u001b[31mError\", \"desc\": \"two\\nlines \\u202e\\u0007\"},"
        " \"id\": 101}\n");
    struct vmm_error *e = NULL;
    assert_int_equal(qmp_cont(p.q, in(LONG_MS), &e), -VMM_E_QMP_COMMAND);
    assert_string_equal(vmm_error_message(e),
        "QEMU refused \"cont\": two lines <U+202E>\\x07 (Generic\\x1b[31mError)");
    assert_error(&e, VMM_E_QMP_COMMAND, "Generic\\x1b[31mError", NULL);
    peer_done(&p);
}

static void unlisted_or_late_command_is_not_sent(void **state)
{
    (void)state;
    struct peer p = ready_peer();
    struct vmm_error *e = NULL;
    json_t *args = json_pack("{s:s}", "command-line", "quit");
    assert_true(qmp_command(p.q, "human-monitor-command", args, in(LONG_MS), NULL, &e) < 0);
    assert_error(&e, VMM_E_QMP_COMMAND, "not-allowed", "\"human-monitor-command\"");
    assert_true(qmp_quit(p.q, in(0), &e) < 0);
    assert_error(&e, VMM_E_QMP_COMMAND, "timeout", "\"quit\"");
    cleanup_free char *sent = heard(&p);
    assert_string_equal(sent, "");
    peer_done(&p);
}

static void assert_next_event(struct qmp *q, const char *name, int64_t time_us)
{
    struct qmp_event event;
    assert_true(qmp_next_event(q, &event));
    assert_string_equal(event.name, name);
    assert_int_equal(event.time_us, time_us);
    qmp_event_done(&event);
}

static void events_are_kept_past_the_end(void **state)
{
    (void)state;
    struct peer p = ready_peer();
    struct qmp_event none;
    struct vmm_error *e = NULL;
    assert_ok(qmp_pump(p.q, &e), e);
    assert_false(qmp_next_event(p.q, &none));
    say(&p,
        "{\"event\": \"RESUME\"}\n{\"return\": {}, \"id\": 101}\n{\"event\": \"STOP\"}\n{\"event\": \"HALF");
    assert_ok(qmp_cont(p.q, in(LONG_MS), &e), e);
    say(&p,
        "WAY\"}\n{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, \"reason\": \"guest-shutdown\"}, "
        "\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}}\n{\"ev");
    assert_true(poll(&(struct pollfd){.fd = qmp_fd(p.q), .events = POLLIN}, 1, LONG_MS) == 1);
    close(TAKE_FD(p.fd));
    assert_true(qmp_pump(p.q, &e) < 0);
    assert_error(&e, VMM_E_QMP_COMMAND, "closed", "QEMU closed its QMP connection");
    assert_int_equal(qmp_fd(p.q), -1);
    assert_next_event(p.q, "RESUME", -1);
    assert_next_event(p.q, "STOP", -1);
    assert_next_event(p.q, "HALFWAY", -1);
    struct qmp_event last;
    assert_true(qmp_next_event(p.q, &last));
    assert_string_equal(json_get_string(last.data, "reason"), "guest-shutdown");
    assert_int_equal(last.time_us, 1000002);
    qmp_event_done(&last);
    assert_false(qmp_next_event(p.q, &none));
    assert_true(qmp_quit(p.q, in(LONG_MS), &e) < 0); /* it is not this quit that ended it */
    assert_error(&e, VMM_E_QMP_COMMAND, "closed", NULL);
    peer_done(&p);
}

static void typed_answers_are_checked(void **state)
{
    (void)state;
    static const struct {
        int line;
        const char *command; /* status, uuid, vnc */
        const char *answer;
        const char *want; /* NULL: refused as no documented answer */
    } rows[] = {
        /* clang-format off */
        {__LINE__, "status", "{\"status\":\"running\",\"running\":true}", "running 1"},
        {__LINE__, "status", "{\"status\":\"internal-error\",\"running\":false}", "internal-error 0"},
        {__LINE__, "status", "{\"status\":\"of-2031\",\"running\":true}", "unknown 1"},
        {__LINE__, "status", "{\"status\":\"unknown\",\"running\":false}", "unknown 0"},
        {__LINE__, "status", "{\"status\":\"running\"}", NULL},
        {__LINE__, "status", "{\"status\":1,\"running\":true}", NULL},
        {__LINE__, "status", "[]", NULL},
        {__LINE__, "status", "null", NULL},
        {__LINE__, "uuid", "{\"UUID\":\"01234567-89ab-cdef-0123-456789abcdef\"}",
            "01234567-89ab-cdef-0123-456789abcdef"},
        {__LINE__, "uuid", "{\"UUID\":\"01234567-89ab-cdef-0123-456789abcde\"}", NULL},
        {__LINE__, "uuid", "{\"UUID\":\"01234567-89ab-cdef-0123-456789abcdef0\"}", NULL},
        {__LINE__, "uuid", "{\"UUID\":\"01234567-89ab-cdef-0123+456789abcdef\"}", NULL},
        {__LINE__, "uuid", "{\"UUID\":\"../../etc/passwd-0123-456789abcdef00\"}", NULL},
        {__LINE__, "uuid", "{}", NULL},
        {__LINE__, "vnc", "{\"enabled\":false}", "-"},
        {__LINE__, "vnc", "{\"enabled\":true}", "-"},
        {__LINE__, "vnc", "{\"enabled\":true,\"family\":\"unix\",\"host\":\"/x\",\"service\":\"\"}", "-"},
        {__LINE__, "vnc", "{\"enabled\":true,\"family\":\"ipv4\",\"host\":\"127.0.0.1\",\"service\":\"5901\"}",
            "127.0.0.1:5901"},
        {__LINE__, "vnc", "{\"enabled\":true,\"family\":\"ipv6\",\"host\":\"::1\",\"service\":\"5901\"}",
            "[::1]:5901"},
        {__LINE__, "vnc", "{\"enabled\":true,\"family\":\"ipv4\",\"host\":\"a b\",\"service\":\"5901\"}", NULL},
        {__LINE__, "vnc", "{\"enabled\":true,\"family\":\"ipv4\",\"host\":\"a\",\"service\":\"65536\"}", NULL},
        {__LINE__, "vnc", "{\"enabled\":true,\"family\":\"ipv4\",\"host\":\"a\",\"service\":\"-1\"}", NULL},
        {__LINE__, "vnc", "{\"enabled\":true,\"family\":\"ipv4\",\"host\":\"\",\"service\":\"1\"}", NULL},
        {__LINE__, "vnc", "{\"enabled\":true,\"family\":\"ipv4\"}", NULL},
        {__LINE__, "vnc", "{}", NULL},
        /* clang-format on */
    };
    struct peer p = ready_peer();
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char words[300], got[300] = "";
        snprintf(
            words, sizeof(words), "{\"id\":%zu,\"return\":%s}\n", FIRST_ID + 1 + i, rows[i].answer);
        say(&p, words);
        struct qmp_status status = {0};
        cleanup_free char *address = NULL;
        struct vmm_error *e = NULL;
        int r;
        if (strcmp(rows[i].command, "uuid") == 0) {
            r = qmp_query_uuid(p.q, in(LONG_MS), got, &e);
        } else if (strcmp(rows[i].command, "vnc") == 0) {
            r = qmp_query_vnc(p.q, in(LONG_MS), &address, &e);
            snprintf(got, sizeof(got), "%s", address ? address : "-");
        } else {
            r = qmp_query_status(p.q, in(LONG_MS), &status, &e);
            snprintf(got, sizeof(got), "%s %d", qmp_run_state_name(status.state), status.running);
        }
        if (rows[i].want && (r != 0 || strcmp(got, rows[i].want) != 0))
            fail_msg("row of line %d: got %d, `%s`", rows[i].line, r, got);
        if (!rows[i].want && r == 0)
            fail_msg("row of line %d: got `%s`, want a refusal", rows[i].line, got);
        if (!rows[i].want)
            assert_error(&e, VMM_E_QMP_COMMAND, "protocol", " without ");
    }
    peer_done(&p);
}

static void quit_takes_the_end_for_an_answer(void **state)
{
    (void)state;
    struct peer p = ready_peer();
    struct vmm_error *e = NULL;
    shutdown(p.fd, SHUT_WR);
    assert_ok(qmp_quit(p.q, in(LONG_MS), &e), e);
    peer_done(&p);
    p = ready_peer();
    shutdown(p.fd, SHUT_WR);
    assert_true(qmp_system_powerdown(p.q, in(LONG_MS), &e) < 0);
    assert_error(&e, VMM_E_QMP_COMMAND, "closed", NULL);
    peer_done(&p);
}

/* Commands pile up in the socket until no more are begun. Read later, they must be whole, and what
 * comes after them must be understood. */
static void peer_that_does_not_read_gets_whole_commands_later(void **state)
{
    (void)state;
    struct peer p = ready_peer();
    const int small = 1; /* the kernel's minimum */
    assert_int_equal(setsockopt(qmp_fd(p.q), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    struct vmm_error *e = NULL;
    enum { COMMANDS = 20 };
    for (int i = 0; i < COMMANDS; i++) {
        /* Does not go into the socket in one piece. */
        cleanup_free char *filler = long_line(10000);
        filler[strlen(filler) - 1] = '\0';
        json_t *args = json_pack("{s:s}", "x", filler);
        assert_true(qmp_command(p.q, "stop", args, in(1), NULL, &e) < 0);
        assert_error(&e, VMM_E_QMP_COMMAND, "timeout", NULL);
    }
    cleanup_buf struct buf all = {0};
    for (int quiet = 0; quiet < 2;) {
        cleanup_free char *some = heard(&p);
        buf_adds(&all, some);
        quiet = some[0] ? 0 : quiet + 1;
        assert_ok(qmp_pump(p.q, &e), e); /* sends what was left over */
    }
    int64_t next_id = FIRST_ID + 1;
    for (char *line = all.p, *end; (end = strchr(line, '\n')); line = end + 1) {
        json_error_t error;
        json_t *command = json_loadb(line, (size_t)(end - line), 0, &error);
        assert_non_null(command);
        assert_int_equal(json_get_integer(command, "id", 0, INT64_MAX, 0), next_id++);
        json_decref(command);
    }
    assert_true(next_id > FIRST_ID + 1 && next_id < FIRST_ID + COMMANDS);
    say(&p, "{\"return\": {}, \"id\": 121}\n");
    assert_ok(qmp_stop(p.q, in(LONG_MS), &e), e);
    cleanup_free char *last = heard(&p);
    assert_string_equal(last, "{\"execute\":\"stop\",\"id\":121}\n");
    peer_done(&p);
}

/* ---- client, against QEMU itself ---- */

static void each_listed_command_is_known_to_qemu(void **state)
{
    (void)state;
    struct vm vm = vm_start("qemu-system-x86_64", "");
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", vm.socket_path);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    /* Said here by hand: the client would refuse a question that is not on its list. */
    static const char words[] =
        "{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"query-commands\",\"id\":1}\n";
    assert_int_equal(fs_write_all(fd, words, strlen(words)), 0);
    struct qmp_decoder d = {0};
    struct qmp_message m = {0};
    const struct deadline deadline = in(LONG_MS);
    while (!m.has_id) {
        const enum qmp_decode got = qmp_decoder_next(&d, &m);
        assert_int_not_equal(got, QMP_DECODE_BROKEN);
        if (got == QMP_DECODE_MESSAGE) {
            if (!m.has_id)
                qmp_message_done(&m);
            continue;
        }
        char chunk[4096];
        assert_int_equal(
            poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, deadline_left_ms(deadline)), 1);
        const ssize_t n = recv(fd, chunk, sizeof(chunk), 0);
        assert_true(n > 0);
        qmp_decoder_feed(&d, chunk, (size_t)n);
    }
    assert_int_equal(m.kind, QMP_MESSAGE_RETURN);
    static const char *const listed[] = {
#define X(command) command,
        QMP_COMMANDS(X)
#undef X
    };
    for (size_t i = 0; i < sizeof(listed) / sizeof(*listed); i++) {
        bool is_known = false;
        for (size_t at = 0; at < json_array_size(m.as.result); at++) {
            const char *name = json_get_string(json_array_get(m.as.result, at), "name");
            is_known = is_known || (name && strcmp(name, listed[i]) == 0);
        }
        if (!is_known)
            fail_msg("QEMU does not know \"%s\"", listed[i]);
    }
    qmp_message_done(&m);
    qmp_decoder_done(&d);
    vm_done(&vm);
}

static void assert_status(struct qmp *q, enum qmp_run_state want, bool is_running)
{
    struct qmp_status status;
    struct vmm_error *e = NULL;
    assert_ok(qmp_query_status(q, in(LONG_MS), &status, &e), e);
    assert_string_equal(qmp_run_state_name(status.state), qmp_run_state_name(want));
    assert_int_equal(status.running, is_running);
}

static void each_command_works_on_qemu(void **state)
{
    (void)state;
    struct vm vm = vm_start("qemu-system-x86_64", "");
    vm_connect(&vm);
    struct vmm_error *e = NULL;
    assert_status(vm.q, QMP_RUN_STATE_PRELAUNCH, false);
    char uuid[QMP_UUID_SIZE];
    assert_ok(qmp_query_uuid(vm.q, in(LONG_MS), uuid, &e), e);
    assert_string_equal(uuid, VM_UUID);
    cleanup_free char *address = NULL;
    assert_ok(qmp_query_vnc(vm.q, in(LONG_MS), &address, &e), e);
    assert_null(address);
    assert_ok(qmp_cont(vm.q, in(LONG_MS), &e), e);
    assert_status(vm.q, QMP_RUN_STATE_RUNNING, true);
    assert_ok(qmp_stop(vm.q, in(LONG_MS), &e), e);
    assert_status(vm.q, QMP_RUN_STATE_PAUSED, false);
    assert_ok(qmp_system_powerdown(vm.q, in(LONG_MS), &e), e);
    assert_ok(qmp_quit(vm.q, in(LONG_MS), &e), e);
    static const char *const events[] = {"RESUME", "STOP", "POWERDOWN", "SHUTDOWN"};
    for (size_t i = 0; i < sizeof(events) / sizeof(*events); i++)
        vm_await_event(&vm, events[i]);
    const int status = vm_wait(&vm);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    vm_done(&vm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoder_makes_messages_of_lines),
        cmocka_unit_test(nul_byte_in_a_line_is_refused),
        cmocka_unit_test(decoder_keeps_its_limits),
        cmocka_unit_test(long_line_in_small_pieces_takes_linear_time),
        cmocka_unit_test(unended_line_is_refused_at_the_limit),
        cmocka_unit_test(event_queue_drops_the_oldest),
        cmocka_unit_test(handshake_failures_are_told_apart),
        cmocka_unit_test(only_the_own_answer_is_taken),
        cmocka_unit_test(late_answer_meets_no_later_command),
        cmocka_unit_test(one_look_at_a_flood_is_bounded),
        cmocka_unit_test(flood_hides_no_deadline),
        cmocka_unit_test(refusal_is_shown_sanitized),
        cmocka_unit_test(unlisted_or_late_command_is_not_sent),
        cmocka_unit_test(events_are_kept_past_the_end),
        cmocka_unit_test(typed_answers_are_checked),
        cmocka_unit_test(quit_takes_the_end_for_an_answer),
        cmocka_unit_test(peer_that_does_not_read_gets_whole_commands_later),
        cmocka_unit_test(each_listed_command_is_known_to_qemu),
        cmocka_unit_test(each_command_works_on_qemu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
