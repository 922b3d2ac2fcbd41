/* Bytes of a QMP stream in, checked messages out. Pure: no descriptor, no clock, so that tables and
 * the fuzzer reach all of it. Each byte is scanned once, however small the pieces it comes in.
 *
 * The first thing that is no QMP breaks the decoder for good: after it there is no telling where a
 * message begins. */
#pragma once

#include "base/buf.h"
#include "qmp/qmp.h"

/* Limits of one line. QEMU 7.2's description of itself (query-qmp-schema), its longest answer, has
 * 207 kB, 6 levels and 16,000 values. */
enum {
    QMP_LINE_MAX_BYTES = 16 << 20,
    QMP_DEPTH_MAX = 64,
    /* A tree holds a hundred bytes and more for a value that took two on the line. */
    QMP_VALUES_MAX = 1 << 18,
};

enum qmp_message_kind {
    QMP_MESSAGE_GREETING,
    QMP_MESSAGE_RETURN,
    QMP_MESSAGE_ERROR,
    QMP_MESSAGE_EVENT,
    QMP_MESSAGE_COUNT_
};

struct qmp_message {
    enum qmp_message_kind kind;
    bool has_id; /* an integer one; ours always are */
    int64_t id;
    size_t cost_bytes; /* about what it holds in memory */
    union {
        json_t *result; /* of a RETURN; any type */
        struct {
            char *class;
            char *desc;
        } error;
        struct qmp_event event;
    } as;
};

/* A zeroed struct is a decoder at the start of a stream. */
struct qmp_decoder {
    size_t line_max_bytes; /* 0: QMP_LINE_MAX_BYTES */
    struct buf bytes;
    size_t at;      /* where the current line begins in `bytes` */
    size_t scanned; /* bytes of that line the scan has behind it */
    unsigned depth;
    unsigned values;
    bool in_string;
    bool is_escaped;
    char problem[200]; /* why it is broken, not sanitized; empty: it is not */
};

enum qmp_decode {
    QMP_DECODE_MORE,    /* no whole message there */
    QMP_DECODE_MESSAGE, /* *ret is set; done with qmp_message_done() */
    QMP_DECODE_BROKEN,  /* see `problem`; stays so */
};

void qmp_decoder_feed(struct qmp_decoder *d, const char *p, size_t n);
enum qmp_decode qmp_decoder_next(struct qmp_decoder *d, struct qmp_message *ret);
void qmp_decoder_done(struct qmp_decoder *d);

void qmp_message_done(struct qmp_message *m);
