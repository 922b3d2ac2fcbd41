/* The decoder of the QMP stream: src/qmp/decode.c and, below it, src/base/json.c and jansson.
 *
 * What must hold for any bytes: however they are cut into pieces, the same messages come out and
 * the same complaint; every line that is not blank gives exactly one message, until the first that
 * is no QMP; nothing comes after that one. The first byte chooses the cuts and a small limit of
 * line length; the rest is the stream. */
#include "base/buf.h"
#include "qmp/decode.h"

#include <ctype.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SMALL_LINE_BYTES = 48 };

static void render(struct buf *out, const struct qmp_message *m)
{
    buf_addf(out, "%d %d %lld %zu ", m->kind, m->has_id, (long long)m->id, m->cost_bytes);
    const json_t *tree = NULL;
    if (m->kind == QMP_MESSAGE_RETURN) {
        tree = m->as.result;
    } else if (m->kind == QMP_MESSAGE_ERROR) {
        buf_addf(out, "%s/%s", m->as.error.class, m->as.error.desc);
    } else if (m->kind == QMP_MESSAGE_EVENT) {
        tree = m->as.event.data;
        buf_addf(out, "%s@%lld ", m->as.event.name, (long long)m->as.event.time_us);
        for (const char *c = m->as.event.name; *c; c++) {
            if (!isalnum((unsigned char)*c) && *c != '_' && *c != '-' && *c != '.')
                abort();
        }
    }
    char *text = tree ? json_dumps(tree, JSON_ENCODE_ANY) : NULL;
    buf_adds(out, text ? text : "-");
    buf_addc(out, '\n');
    free(text);
}

struct run {
    struct buf words;
    size_t messages;
    bool is_broken;
};

static void take_all(struct qmp_decoder *d, struct run *run)
{
    for (;;) {
        struct qmp_message m;
        switch (qmp_decoder_next(d, &m)) {
        case QMP_DECODE_MESSAGE:
            if (run->is_broken)
                abort();
            run->messages++;
            render(&run->words, &m);
            qmp_message_done(&m);
            break;
        case QMP_DECODE_BROKEN:
            if (!run->is_broken)
                buf_adds(&run->words, d->problem);
            run->is_broken = true;
            return;
        case QMP_DECODE_MORE:
            if (run->is_broken)
                abort();
            return;
        }
    }
}

/* In pieces of `step` bytes; 0: of changing size. */
static struct run decode(const char *p, size_t n, size_t step, size_t line_max_bytes)
{
    struct run run = {0};
    struct qmp_decoder d = {.line_max_bytes = line_max_bytes};
    uint32_t random = (uint32_t)n;
    while (n) {
        random = random * 1664525 + 1013904223;
        size_t piece = step ? step : 1 + (random >> 16) % 40;
        piece = piece < n ? piece : n;
        /* A copy of its own, so that reading past it is seen. */
        char *copy = malloc(piece);
        memcpy(copy, p, piece);
        qmp_decoder_feed(&d, copy, piece);
        free(copy);
        take_all(&d, &run);
        p += piece;
        n -= piece;
    }
    qmp_decoder_done(&d);
    return run;
}

static size_t count_lines(const char *p, size_t n)
{
    size_t lines = 0;
    bool is_blank = true;
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\n') {
            lines += !is_blank;
            is_blank = true;
        } else if (p[i] != ' ' && p[i] != '\t' && p[i] != '\r') {
            is_blank = false;
        }
    }
    return lines;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const char *p = (const char *)data + 1;
    const size_t n = size - 1;
    const size_t line_max_bytes = data[0] & 1 ? SMALL_LINE_BYTES : 0;
    const size_t step = data[0] >> 1;

    struct run whole = decode(p, n, n ? n : 1, line_max_bytes);
    struct run bytes = decode(p, n, 1, line_max_bytes);
    struct run pieces = decode(p, n, step, line_max_bytes);
    if (strcmp(buf_cstr(&whole.words), buf_cstr(&bytes.words)) != 0 ||
        strcmp(buf_cstr(&whole.words), buf_cstr(&pieces.words)) != 0)
        abort();
    const size_t lines = count_lines(p, n);
    if (whole.is_broken ? whole.messages > lines : whole.messages != lines)
        abort();
    buf_done(&whole.words);
    buf_done(&bytes.words);
    buf_done(&pieces.words);
    return 0;
}
