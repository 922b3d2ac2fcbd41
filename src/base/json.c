#include "base/json.h"
#include "base/buf.h"
#include "base/utf8.h"

#include <stdlib.h>

enum { DEPTH_MAX = 64 };

/* jansson's own limit is 2048 levels, each a C frame; strangers get fewer (security.md C-6). */
static bool is_too_deep(struct str text)
{
    unsigned depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.n; i++) {
        const char c = text.p[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > DEPTH_MAX)
                return true;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return false;
}

json_t *json_parse(struct str text, json_error_t *reterr)
{
    if (is_too_deep(text)) {
        *reterr = (json_error_t){.line = 1, .text = "nested too deeply"};
        return NULL;
    }
    return json_loadb(text.p ? text.p : "", text.n, JSON_REJECT_DUPLICATES, reterr);
}

const char *json_get_string(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

int64_t json_get_integer(
    const json_t *object, const char *key, int64_t min, int64_t max, int64_t fallback)
{
    const json_t *j = json_object_get(object, key);
    if (!json_is_integer(j))
        return fallback;
    const int64_t value = json_integer_value(j);
    return value < min || value > max ? fallback : value;
}

bool json_get_bool(const json_t *object, const char *key, bool fallback)
{
    const json_t *j = json_object_get(object, key);
    return json_is_boolean(j) ? json_is_true(j) : fallback;
}

void json_put(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) < 0)
        abort(); /* out of memory, or a value that is no UTF-8: json_text makes those */
}

void json_put_string(json_t *object, const char *key, const char *value)
{
    if (value)
        json_put(object, key, json_text(value, strlen(value)));
}

void json_put_integer(json_t *object, const char *key, int64_t value)
{
    json_put(object, key, json_integer(value));
}

void json_put_bool(json_t *object, const char *key, bool value)
{
    json_put(object, key, json_boolean(value));
}

json_t *json_text(const char *bytes, size_t n)
{
    json_t *j = json_stringn(bytes, n);
    if (j)
        return j;
    cleanup_buf struct buf clean = {0};
    for (size_t at = 0; at < n;) {
        uint32_t ignored;
        const size_t len = utf8_decode(bytes + at, n - at, &ignored);
        if (len)
            buf_add(&clean, bytes + at, len);
        else
            buf_adds(&clean, "\xef\xbf\xbd");
        at += len ? len : 1;
    }
    return json_stringn(buf_cstr(&clean), clean.n);
}
