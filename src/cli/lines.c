#include "cli/lines.h"
#include "base/utf8.h"

/* No early exit: the compiler makes this loop wide, and nearly every line passes. */
static bool is_plain(struct str s)
{
    unsigned odd = 0;
    for (size_t i = 0; i < s.n; i++) {
        const unsigned char c = (unsigned char)s.p[i];
        odd |= (unsigned)(c < 0x20) | (unsigned)(c >= 0x7f);
    }
    return !odd;
}

/* Length of a colour (`ESC [ ... m`) or erase (`ESC [ ... K`) sequence at the start, or 0. */
static size_t decoration_length(struct str s)
{
    if (s.n < 3 || s.p[0] != '\x1b' || s.p[1] != '[')
        return 0;
    size_t at = 2;
    while (at < s.n && ((s.p[at] >= '0' && s.p[at] <= '9') || s.p[at] == ';' || s.p[at] == ':'))
        at++;
    return at < s.n && (s.p[at] == 'm' || s.p[at] == 'K') ? at + 1 : 0;
}

static void add_clean(struct buf *out, struct str s)
{
    while (s.n > 0) {
        const char *escape = memchr(s.p, '\x1b', s.n);
        const size_t before = escape ? (size_t)(escape - s.p) : s.n;
        utf8_sanitize(out, s.p, before);
        s = (struct str){.p = s.p + before, .n = s.n - before};
        if (s.n == 0)
            return;
        size_t skip = decoration_length(s);
        if (skip == 0) {
            utf8_sanitize(out, s.p, 1);
            skip = 1;
        }
        s = (struct str){.p = s.p + skip, .n = s.n - skip};
    }
}

/* What is left of a raw line after its carriage returns: CRs at the end belong to the line's end.
 */
static struct str visible_part(struct str s)
{
    while (s.n > 0 && s.p[s.n - 1] == '\r')
        s.n--;
    const char *cr = s.n ? memrchr(s.p, '\r', s.n) : NULL;
    if (!cr)
        return s;
    const size_t skip = (size_t)(cr + 1 - s.p);
    return (struct str){.p = s.p + skip, .n = s.n - skip};
}

static void emit(struct lines *l, struct str raw, line_sink *sink, void *arg)
{
    const struct str line = visible_part(raw);
    if (is_plain(line)) {
        sink(arg, line);
        return;
    }
    buf_clear(&l->clean);
    add_clean(&l->clean, line);
    sink(arg, (struct str){.p = buf_cstr(&l->clean), .n = l->clean.n});
}

/* Where to cut a full piece so that no UTF-8 sequence is torn. */
static size_t piece_length(const char *p, size_t n)
{
    size_t at = n;
    while (at > n - 4 && ((unsigned char)p[at - 1] & 0xc0) == 0x80)
        at--;
    if (at <= n - 4 || (unsigned char)p[at - 1] < 0xc0)
        return n; /* ends in ASCII, or is no UTF-8 anyway */
    uint32_t code;
    return utf8_decode(p + at - 1, n - at + 1, &code) == n - at + 1 ? n : at - 1;
}

/* `partial` is full and the line goes on: forget what was overwritten, else let a piece out. */
static void relieve(struct lines *l, line_sink *sink, void *arg)
{
    struct str held = {.p = l->partial.p, .n = l->partial.n};
    while (held.n > 0 && held.p[held.n - 1] == '\r')
        held.n--;
    const char *cr = held.n ? memrchr(held.p, '\r', held.n) : NULL;
    if (cr || held.n == 0) {
        buf_drop(&l->partial, cr ? (size_t)(cr + 1 - held.p) : l->partial.n - 1);
        return;
    }
    const size_t n = held.n < l->partial.n ? held.n : piece_length(held.p, held.n);
    emit(l, (struct str){.p = held.p, .n = n}, sink, arg);
    buf_drop(&l->partial, n);
}

static void hold(struct lines *l, struct str s, line_sink *sink, void *arg)
{
    while (s.n > 0) {
        if (l->partial.n >= LINE_PIECE_MAX)
            relieve(l, sink, arg);
        const size_t room = LINE_PIECE_MAX - l->partial.n;
        const size_t take = s.n < room ? s.n : room;
        buf_add(&l->partial, s.p, take);
        s = (struct str){.p = s.p + take, .n = s.n - take};
    }
}

void lines_feed(struct lines *l, const char *bytes, size_t n, line_sink *sink, void *arg)
{
    struct str s = {.p = bytes, .n = n};
    while (s.n > 0) {
        const char *newline = memchr(s.p, '\n', s.n);
        const struct str line = {.p = s.p, .n = newline ? (size_t)(newline - s.p) : s.n};
        if (newline && l->partial.n == 0 && line.n <= LINE_PIECE_MAX) {
            emit(l, line, sink, arg); /* whole in the input: no copy */
        } else {
            hold(l, line, sink, arg);
            if (newline) {
                emit(l, (struct str){.p = buf_cstr(&l->partial), .n = l->partial.n}, sink, arg);
                buf_clear(&l->partial);
            }
        }
        const size_t used = line.n + (newline != NULL);
        s = (struct str){.p = s.p + used, .n = s.n - used};
    }
}

void lines_finish(struct lines *l, line_sink *sink, void *arg)
{
    const struct str rest = {.p = buf_cstr(&l->partial), .n = l->partial.n};
    if (rest.n > 0)
        emit(l, rest, sink, arg);
    buf_clear(&l->partial);
}

void lines_done(struct lines *l)
{
    buf_done(&l->partial);
    buf_done(&l->clean);
}
