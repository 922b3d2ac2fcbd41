/* Reading JSON objects from strangers: every accessor names a default or refuses, none trusts a
 * type. Trees are jansson's; references follow its rules. */
#pragma once

#include "base/str.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Strict: duplicate keys, trailing text, NUL in strings and nesting past 64 are errors. NULL on
 * failure, with jansson's position and words in `reterr`. The caller owns the tree. */
json_t *json_parse(struct str text, json_error_t *reterr);

/* Borrowed; NULL when the key is missing or no string. */
const char *json_get_string(const json_t *object, const char *key);
/* `fallback` when the key is missing, no integer, or outside [min, max]. */
int64_t json_get_integer(
    const json_t *object, const char *key, int64_t min, int64_t max, int64_t fallback);
bool json_get_bool(const json_t *object, const char *key, bool fallback);

/* Sets a string, or leaves the key out when the value is NULL. */
void json_put_string(json_t *object, const char *key, const char *value);
void json_put_integer(json_t *object, const char *key, int64_t value);
void json_put_bool(json_t *object, const char *key, bool value);
/* Takes `value`. */
void json_put(json_t *object, const char *key, json_t *value);
/* A JSON string of any bytes: what is no UTF-8 becomes U+FFFD. The caller owns it. */
json_t *json_text(const char *bytes, size_t n);

static inline void json_decref_handler(json_t **j)
{
    json_decref(*j);
}
#define cleanup_json __attribute__((cleanup(json_decref_handler)))
