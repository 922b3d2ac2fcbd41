#include "kdl/internal.h"

#include "base/utf8.h"

#include <stdio.h>

/* How much of a word a message repeats. */
enum { EXCERPT_MAX_BYTES = 40 };

static int excerpt(const char *from, const char *to)
{
    const size_t n = (size_t)(to - from);
    if (n <= EXCERPT_MAX_BYTES)
        return (int)n;
    int cut = EXCERPT_MAX_BYTES;
    while (cut && ((unsigned char)from[cut] & 0xc0) == 0x80)
        cut--;
    return cut;
}

/* Where the '"' and as many '#' as there were before come again; NULL if they do not. */
static const char *closing_end(const char *p, size_t hashes)
{
    for (; *p; p++) {
        if (*p == '"' && kdl_count_hashes(p + 1) >= hashes)
            return p + 1 + hashes;
    }
    return NULL;
}

bool kdl_check_string_size(struct kdl_parser *k, const char *from, size_t n)
{
    if (n <= KDL_STRING_MAX_BYTES)
        return true;
    kdl_report(k, from, from + 1, "this string", NULL, "string of %zu bytes is longer than %d MiB",
        n, KDL_STRING_MAX_BYTES >> 20);
    return false;
}

/* --- identifiers --- */

/* r"..." and r#"..."# were KDL 1's raw strings. True when there was one, which is then skipped. */
static bool skip_old_raw(struct kdl_parser *k, const char *word)
{
    if (*word != 'r' || k->p != word + 1)
        return false;
    const size_t hashes = kdl_count_hashes(k->p);
    if (k->p[hashes] != '"')
        return false;
    const char *const line = kdl_line_end(k->p);
    const char *const end = closing_end(k->p + hashes + 1, hashes);
    k->p = end ? end : line;
    const bool is_one_line = k->p <= line;
    const char *help = "Write #\"...\"# for r\"...\".";
    if (!is_one_line)
        help = "Write #\"\"\" and \"\"\"# on lines of their own around the text.";
    else if (hashes)
        help = "Take the r away: #\"...\"#.";
    kdl_report(k, word, word + 2 + hashes, "raw strings have no r in KDL 2", help,
        "this is a raw string of KDL 1");
    return true;
}

bool kdl_read_identifier(struct kdl_parser *k, struct str *ret)
{
    const char *const from = k->p;
    const char *const to = kdl_word_end(from);
    const struct str word = {.p = from, .n = (size_t)(to - from)};
    k->p = to;
    *ret = word;
    if (skip_old_raw(k, from))
        return true;
    if (kdl_is_reserved(word)) {
        const bool is_number = word.p[word.n - 1] == 'f' || word.p[word.n - 1] == 'n';
        char help[160];
        snprintf(help, sizeof(help),
            "Write #%.*s for the %s%s, or \"%.*s\" in quotes for the text.", (int)word.n, word.p,
            is_number ? "number" : "value", is_number ? "" : " (KDL 1 had no #)", (int)word.n,
            word.p);
        char label[32];
        snprintf(label, sizeof(label), "write #%.*s", (int)word.n, word.p);
        kdl_report(
            k, from, to, label, help, "\"%.*s\" is not a value in KDL 2", (int)word.n, word.p);
    } else if (from[0] == '.' || ((from[0] == '+' || from[0] == '-') && from[1] == '.')) {
        const char *const after = from + (from[0] == '.' ? 1 : 2);
        if (kdl_char_is(*after, KDL_CHAR_DIGIT))
            kdl_report(k, from, to, "a digit is missing before the point",
                "Write 0.5 for .5, or quote it if it is text.", "\"%.*s\" is not a number",
                excerpt(from, to), from);
    } else if (word.n > KDL_IDENTIFIER_MAX_BYTES) {
        kdl_report(k, from, to, "this word", "Quote it if it is text.",
            "identifier of %zu bytes is longer than %d KiB", word.n,
            KDL_IDENTIFIER_MAX_BYTES >> 10);
    }
    return true;
}

/* --- escapes --- */

const char *kdl_space_escape_end(const char *at)
{
    const char *p = at + 1;
    for (;;) {
        size_t n = kdl_space_at(p);
        if (!n)
            n = kdl_newline_at(p);
        if (!n)
            return p == at + 1 ? NULL : p;
        p += n;
    }
}

static unsigned hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10) : 16;
}

/* \u{...} with one to six hex digits. */
static const char *read_unicode_escape(struct kdl_parser *k, const char *at)
{
    static const char *const help =
        "Write one to six hex digits in braces: \\u{e9}; at most 10FFFF, not D800 to DFFF.";
    const char *p = at + 2;
    if (*p != '{') {
        kdl_report(k, at, p, "\"{\" must follow", help, "escape \\u has no braces");
        return p;
    }
    uint32_t cp = 0;
    const char *const first = ++p;
    for (unsigned digit; p - first < 6 && (digit = hex_digit(*p)) < 16; p++)
        cp = cp << 4 | digit;
    if (p == first || *p != '}') {
        while (hex_digit(*p) < 16)
            p++;
        p += *p == '}';
        kdl_report(k, at, p, "not one to six hex digits", help, "escape \\u{...} is malformed");
        return p;
    }
    p++;
    char bytes[4];
    const size_t n = utf8_encode(cp, bytes);
    if (!n)
        kdl_report(k, at, p, "no such character", help, "U+%04X is not a Unicode scalar value", cp);
    buf_add(&k->scratch, bytes, n);
    return p;
}

const char *kdl_read_escape(struct kdl_parser *k, const char *at)
{
    static const char from[] = "nrt\\\"bfs";
    static const char to[] = "\n\r\t\\\"\b\f ";
    const char *const space_end = kdl_space_escape_end(at);
    if (space_end)
        return space_end;
    if (at[1] == 'u')
        return read_unicode_escape(k, at);
    const char *const known = at[1] ? strchr(from, at[1]) : NULL;
    if (known) {
        buf_addc(&k->scratch, to[known - from]);
        return at + 2;
    }
    const char *end = at + 1;
    if (*end == '\0') /* the missing quote is told instead */
        return end;
    end++;
    while (((unsigned char)*end & 0xc0) == 0x80)
        end++;
    kdl_report(k, at, end, "not an escape",
        at[1] == '/'
            ? "KDL 2 has no \\/: write / alone."
            : "Escapes are \\n \\r \\t \\\\ \\\" \\b \\f \\s \\u{...}; for a plain backslash "
              "write \\\\ or use a raw string: #\"...\"#.",
        "unknown escape \"%.*s\" in a string", (int)(end - at), at);
    return end;
}

/* --- strings on one line --- */

static const char *plain_end(const char *p)
{
    for (;;) {
        while (!kdl_char_is(*p, KDL_CHAR_STOP))
            p++;
        if (!kdl_char_is(*p, KDL_CHAR_WORD) || kdl_newline_at(p))
            return p;
        p++; /* a wide character that merely begins like a newline */
    }
}

/* The string that began at `open` has no end before the newline (or end) `at`. Mostly that is a
 * quote somebody forgot, and the parse goes on with the next line; but when nothing stands behind
 * the opening quote, several lines were meant, and all of them are skipped. */
static bool report_unclosed(struct kdl_parser *k, const char *open, size_t hashes, const char *at)
{
    const char *p = open + hashes + 1;
    while (p < at && kdl_space_at(p))
        p += kdl_space_at(p);
    const char *const end = p == at ? closing_end(p, hashes) : NULL;
    k->p = end ? end : at;
    kdl_report(k, open, at, end ? "runs over several lines" : "not closed on its line",
        hashes
            ? "Close it with a quote and as many # as it began with, or put text of several "
              "lines between #\"\"\" and \"\"\"#, each on a line of its own."
            : "Add the closing quote, or put text of several lines between \"\"\" and \"\"\", each "
              "on a line of its own.",
        end ? "a string of several lines needs three quotes" : "missing closing quote");
    return end != NULL;
}

bool kdl_read_quoted(struct kdl_parser *k, struct str *ret)
{
    const char *const open = k->p;
    const char *p = open + 1;
    if (p[0] == '"' && p[1] == '"')
        return kdl_read_multiline(k, open, /* hashes */ 0, ret);
    const char *run = p;
    p = plain_end(p);
    if (*p == '"') { /* no escapes: the source itself is the value */
        *ret = (struct str){.p = run, .n = (size_t)(p - run)};
        k->p = p + 1;
        kdl_check_string_size(k, open, ret->n);
        return true;
    }
    buf_clear(&k->scratch);
    while (*p == '\\') {
        buf_add(&k->scratch, run, (size_t)(p - run));
        run = kdl_read_escape(k, p);
        p = plain_end(run);
    }
    if (*p != '"')
        return report_unclosed(k, open, /* hashes */ 0, p);
    buf_add(&k->scratch, run, (size_t)(p - run));
    k->p = p + 1;
    if (kdl_check_string_size(k, open, k->scratch.n))
        *ret = kdl_keep(k, buf_cstr(&k->scratch), k->scratch.n);
    return true;
}

bool kdl_read_raw(struct kdl_parser *k, struct str *ret)
{
    const char *const open = k->p;
    const size_t hashes = kdl_count_hashes(open);
    const char *const from = open + hashes + 1;
    if (from[0] == '"' && from[1] == '"') {
        k->p = open + hashes;
        return kdl_read_multiline(k, open, hashes, ret);
    }
    const char *p = from;
    for (;;) {
        p = plain_end(p);
        if (*p == '\\') {
            p++;
        } else if (*p == '"') {
            const size_t n = kdl_count_hashes(p + 1);
            if (n >= hashes)
                break;
            p += 1 + n;
        } else {
            return report_unclosed(k, open, hashes, p);
        }
    }
    *ret = (struct str){.p = from, .n = (size_t)(p - from)};
    k->p = p + 1 + hashes;
    kdl_check_string_size(k, open, ret->n);
    return true;
}
