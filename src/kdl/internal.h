/* The room's own. One pass checks the text (text.c: UTF-8, forbidden characters), then a parser
 * without a separate token stage walks over it (parse.c): what a character means in KDL depends on
 * whether space came before it, so tokens would carry as much state as they save.
 *
 * Invariants after text.c has passed:
 *  - the text ends in a NUL and holds no other, so p[0] may always be read, and p[1] if p[0] is not
 *    NUL; NUL means "end" everywhere;
 *  - the text is valid UTF-8, so a character's later bytes may be read once its first was.
 *
 * Time is linear although some scans look far ahead (an unclosed string is looked for up to the
 * end): such a scan either moves the cursor past what it saw or reports a finding, and the parse
 * ends at FINDINGS_MAX of those.
 *
 * Mistakes come in two kinds. Where the end of the mistaken thing is known (a bad escape, a bare
 * `true`) it is reported and the parse goes on as if it had been right. Where it is not, the
 * function returns false and parse.c skips to the next node or brace. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/vec.h"
#include "kdl/kdl.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- chars.c: what a character is --- */

enum {
    KDL_CHAR_WORD = 1 << 0, /* may stand in an identifier; forbidden ones too: already told */
    KDL_CHAR_DIGIT = 1 << 1,
    KDL_CHAR_FORBIDDEN = 1 << 2, /* may not stand anywhere */
    KDL_CHAR_STOP = 1 << 3,      /* ends a run of plain text in a string, or may: look closer */
    KDL_CHAR_WIDE = 1 << 4,      /* first byte of a character that may be space or forbidden */
};

extern const uint8_t kdl_chars[256];

static inline bool kdl_char_is(char c, unsigned what)
{
    return kdl_chars[(unsigned char)c] & what;
}

/* Bytes of the newline (CR LF is one) or space at p, 0 when there is none. */
size_t kdl_newline_at(const char *p);
size_t kdl_space_at(const char *p);
bool kdl_is_forbidden(uint32_t cp);
/* The newline that ends p's line, or the end. */
const char *kdl_line_end(const char *p);
/* The first byte from p on that may not stand in an identifier. */
const char *kdl_word_end(const char *p);
/* May be written as an identifier, without quotes. */
bool kdl_is_bare(struct str s);
/* true, false, null, inf, -inf, nan: neither identifiers nor, without their #, values. */
bool kdl_is_reserved(struct str s);

/* --- the parser's state --- */

struct kdl_forbidden {
    const char *at;
    size_t n;
    uint32_t cp;
};

struct kdl_parser {
    struct source *source;
    const char *text;
    const char *end;
    const char *p; /* the cursor */
    struct kdl_doc *doc;
    struct findings found;
    bool is_over;  /* enough was said: no more is reported and the loops end. The cursor stays. */
    bool is_quiet; /* skipping: what is passed is not to be judged */
    bool is_cut;   /* something unclosed ran to the end, so of course braces are missing too */
    unsigned depth;
    unsigned items;
    struct buf scratch;         /* a string on its way to the arena */
    struct buf prefix;          /* what a multi-line string's lines begin with */
    VEC(struct kdl_value) args; /* of the node being read; copied to the arena in one piece */
    VEC(struct kdl_prop) props;
    struct kdl_forbidden forbidden[FINDINGS_MAX]; /* found ahead, reported in their turn */
    unsigned n_forbidden;
    unsigned forbidden_told;
};

/* --- text.c: the text as a whole, and telling about it --- */

/* False when the text cannot be read at all; that has been reported. */
bool kdl_check_text(struct kdl_parser *k);
/* A mistake at [from, to). label and help may be NULL. */
void kdl_report(struct kdl_parser *k,
    const char *from,
    const char *to,
    const char *label,
    const char *help,
    const char *fmt,
    ...) __attribute__((format(printf, 6, 7)));
/* Reports the forbidden characters that no finding has come past yet. */
void kdl_report_rest(struct kdl_parser *k);
/* A copy in the document's arena. */
struct str kdl_keep(struct kdl_parser *k, const char *p, size_t n);

/* --- space.c. Grammar names in the comments. --- */

/* node-space*: true when there was some. */
bool kdl_skip_node_space(struct kdl_parser *k);
/* line-space* */
void kdl_skip_line_space(struct kdl_parser *k);
/* To the newline, not over it. */
void kdl_skip_line_comment(struct kdl_parser *k);
/* At "/ *". */
void kdl_skip_block_comment(struct kdl_parser *k);

static inline bool kdl_at_slashdash(const struct kdl_parser *k)
{
    return k->p[0] == '/' && k->p[1] == '-';
}

/* --- string.c, multiline.c: the cursor at the first character, then after the last --- */

/* At a character that may begin an identifier. */
bool kdl_read_identifier(struct kdl_parser *k, struct str *ret);
/* At '"'. False: not closed where it should be, cursor at that line's end. */
bool kdl_read_quoted(struct kdl_parser *k, struct str *ret);
/* At '#', when a '"' follows the run of '#'. False as above. */
bool kdl_read_raw(struct kdl_parser *k, struct str *ret);
/* At the first of three quotes (cursor) after `hashes` times '#', which began at `open`. */
bool kdl_read_multiline(struct kdl_parser *k, const char *open, size_t hashes, struct str *ret);
/* At the backslash; appends what it stands for to scratch and returns where it ends. */
const char *kdl_read_escape(struct kdl_parser *k, const char *at);
/* Where the whitespace escape at the backslash `at` ends; NULL when it is none. */
const char *kdl_space_escape_end(const char *at);
/* Whether the string made in scratch, or [from, from + n), is within its limit; reports. */
bool kdl_check_string_size(struct kdl_parser *k, const char *from, size_t n);
static inline size_t kdl_count_hashes(const char *p)
{
    size_t n = 0;
    while (p[n] == '#')
        n++;
    return n;
}

/* --- number.c --- */

/* A number begins here: a digit, perhaps after a sign. */
static inline bool kdl_at_number(const char *p)
{
    if (*p == '+' || *p == '-')
        p++;
    return kdl_char_is(*p, KDL_CHAR_DIGIT);
}

/* Reads the whole word at the cursor as a number; a mistake in it is reported. */
void kdl_read_number(struct kdl_parser *k, struct kdl_value *ret);
