#include "seed/emit.h"
#include "base/utf8.h"

#include <stdlib.h>

static bool must_escape(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7f && cp <= 0x9f) || cp == 0x2028 || cp == 0x2029 ||
           cp == 0xfeff || cp == 0xfffe ||
           cp == 0xffff; /* the last two: no character, and PyYAML says so */
}

static void emit_character(struct buf *out, uint32_t cp, struct str bytes)
{
    if (cp == '"' || cp == '\\')
        buf_addf(out, "\\%c", (int)cp);
    else if (cp == '\n')
        buf_adds(out, "\\n");
    else if (must_escape(cp))
        buf_addf(out, "\\u%04x", (unsigned)cp);
    else
        buf_addstr(out, bytes);
}

void emit_string(struct buf *out, struct str text)
{
    buf_addc(out, '"');
    for (size_t at = 0; at < text.n;) {
        uint32_t cp;
        const size_t n = utf8_decode(text.p + at, text.n - at, &cp);
        if (n)
            emit_character(out, cp, (struct str){.p = text.p + at, .n = n});
        else
            buf_adds(out, "\xef\xbf\xbd");
        at += n ? n : 1;
    }
    buf_addc(out, '"');
}

static void emit_line(struct buf *out, unsigned depth)
{
    buf_addc(out, '\n');
    for (unsigned i = 0; i < depth; i++)
        buf_adds(out, "  ");
}

static void emit_value(struct buf *out, const json_t *value, unsigned depth);

static void emit_object(struct buf *out, const json_t *object, unsigned depth)
{
    const char *key;
    json_t *value;
    const char *separator = "";
    buf_addc(out, '{');
    json_object_foreach((json_t *)object, key, value)
    {
        buf_adds(out, separator);
        separator = ",";
        emit_line(out, depth + 1);
        emit_string(out, str_view(key));
        buf_adds(out, ": ");
        emit_value(out, value, depth + 1);
    }
    if (json_object_size(object))
        emit_line(out, depth);
    buf_addc(out, '}');
}

static void emit_array(struct buf *out, const json_t *array, unsigned depth)
{
    buf_addc(out, '[');
    for (size_t i = 0; i < json_array_size(array); i++) {
        buf_adds(out, i ? "," : "");
        emit_line(out, depth + 1);
        emit_value(out, json_array_get(array, i), depth + 1);
    }
    if (json_array_size(array))
        emit_line(out, depth);
    buf_addc(out, ']');
}

static void emit_value(struct buf *out, const json_t *value, unsigned depth)
{
    if (json_is_object(value))
        emit_object(out, value, depth);
    else if (json_is_array(value))
        emit_array(out, value, depth);
    else if (json_is_string(value))
        emit_string(out, (struct str){json_string_value(value), json_string_length(value)});
    else if (json_is_boolean(value))
        buf_adds(out, json_is_true(value) ? "true" : "false");
    else
        abort();
}

void emit_json(struct buf *out, const json_t *value)
{
    emit_value(out, value, 0);
}
