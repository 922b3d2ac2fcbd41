#include "ssh/proto.h"
#include "base/cleanup.h"

#include <stdlib.h>
#include <string.h>

enum {
    TEXT_MAX_BYTES = 2000, /* of a reason in words: what is longer is cut by the sender */
    MINUTE_MS = 60 * 1000,
};

/* An object, or NULL. */
static json_t *parse_object(struct str body)
{
    json_error_t ignored;
    json_t *j = json_parse(body, &ignored);
    if (json_is_object(j))
        return j;
    json_decref(j);
    return NULL;
}

/* The string of a key, if it is there and of at most `max` bytes. */
static const char *text(const json_t *j, const char *key, size_t max)
{
    const char *s = json_get_string(j, key);
    return s && strlen(s) <= max ? s : NULL;
}

/* Ends a decode: keeps the tree when all is well. */
static bool keep(json_t *j, bool is_good)
{
    if (!is_good)
        json_decref(j);
    return is_good;
}

static int put_json(struct wire *w, uint8_t type, json_t *j, int fd)
{
    cleanup_json json_t *owned = j;
    cleanup_free char *body = json_dumps(owned, JSON_COMPACT);
    if (!body || strlen(body) > WIRE_BODY_MAX_BYTES)
        abort(); /* every sender bounds what it puts in */
    if (fd >= 0)
        return wire_put_fd(w, type, body, strlen(body), fd);
    wire_put(w, type, body, strlen(body));
    return 0;
}

bool msg_start_decode(struct str body, struct msg_start *ret)
{
    json_t *j = parse_object(body);
    *ret = (struct msg_start){
        .json = j,
        .user = text(j, "user", 256),
        .host_key_types = text(j, "host_key_types", 1024),
        .kex_ms = json_get_integer(j, "kex_ms", 1, 60 * MINUTE_MS, -1),
        .auth_ms = json_get_integer(j, "auth_ms", 1, 60 * MINUTE_MS, -1),
        .keepalive_ms = json_get_integer(j, "keepalive_ms", 1, 60 * MINUTE_MS, -1),
    };
    return keep(j, ret->user && ret->host_key_types && ret->kex_ms > 0 && ret->auth_ms > 0 &&
                       ret->keepalive_ms > 0);
}

void msg_start_put(struct wire *w, const struct msg_start *m, int fd, int *ret_error)
{
    json_t *j = json_object();
    json_put_string(j, "user", m->user);
    json_put_string(j, "host_key_types", m->host_key_types);
    json_put_integer(j, "kex_ms", m->kex_ms);
    json_put_integer(j, "auth_ms", m->auth_ms);
    json_put_integer(j, "keepalive_ms", m->keepalive_ms);
    *ret_error = put_json(w, MSG_START, j, fd);
}

bool msg_transfer_decode(struct str body, struct msg_transfer *ret)
{
    json_t *j = parse_object(body);
    *ret = (struct msg_transfer){
        .json = j,
        .mode = json_get_integer(j, "mode", 0, 07777, -1),
        .limit_bytes = json_get_integer(j, "limit", 0, INT64_MAX, -1),
    };
    return keep(j, ret->mode >= 0 && ret->limit_bytes >= 0);
}

void msg_transfer_put(
    struct wire *w, uint8_t type, const struct msg_transfer *m, int fd, int *ret_error)
{
    json_t *j = json_object();
    json_put_integer(j, "mode", m->mode);
    json_put_integer(j, "limit", m->limit_bytes);
    *ret_error = put_json(w, type, j, fd);
}

bool msg_keygen_decode(struct str body, struct msg_keygen *ret)
{
    json_t *j = parse_object(body);
    const json_t *list = json_object_get(j, "comments");
    *ret = (struct msg_keygen){.json = j};
    const size_t most = sizeof(ret->comments) / sizeof(*ret->comments);
    bool is_good =
        json_is_array(list) && json_array_size(list) > 0 && json_array_size(list) <= most;
    for (size_t i = 0; is_good && i < json_array_size(list); i++) {
        ret->comments[i] = json_string_value(json_array_get(list, i));
        is_good = ret->comments[i] != NULL;
        ret->count++;
    }
    return keep(j, is_good);
}

void msg_keygen_put(struct wire *w, const struct msg_keygen *m)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < m->count; i++)
        json_array_append_new(list, json_text(m->comments[i], strlen(m->comments[i])));
    json_t *j = json_object();
    json_put(j, "comments", list);
    put_json(w, MSG_KEYGEN, j, -1);
}

bool msg_hello_decode(struct str body, struct msg_hello *ret)
{
    json_t *j = parse_object(body);
    *ret = (struct msg_hello){
        .json = j,
        .version = json_get_integer(j, "version", 0, INT32_MAX, -1),
        .landlock = json_get_integer(j, "landlock", 0, 1000, 0),
        .has_seccomp = json_get_bool(j, "seccomp", false),
    };
    return keep(j, ret->version >= 0);
}

void msg_hello_put(struct wire *w, const struct msg_hello *m)
{
    json_t *j = json_object();
    json_put_integer(j, "version", m->version);
    json_put_integer(j, "landlock", m->landlock);
    json_put_bool(j, "seccomp", m->has_seccomp);
    put_json(w, MSG_HELLO, j, -1);
}

bool msg_host_key_decode(struct str body, struct msg_host_key *ret)
{
    json_t *j = parse_object(body);
    *ret = (struct msg_host_key){
        .json = j,
        .type = text(j, "type", 64),
        .key = text(j, "key", 16384),
    };
    return keep(j, ret->type && ret->key);
}

void msg_host_key_put(struct wire *w, const struct msg_host_key *m)
{
    json_t *j = json_object();
    json_put_string(j, "type", m->type);
    json_put_string(j, "key", m->key);
    put_json(w, MSG_HOST_KEY, j, -1);
}

bool msg_failed_decode(struct str body, struct msg_failed *ret)
{
    json_t *j = parse_object(body);
    *ret = (struct msg_failed){
        .json = j,
        .reason = text(j, "reason", 64),
        .message = text(j, "message", 4 * TEXT_MAX_BYTES),
    };
    return keep(j, ret->reason && ret->message);
}

void msg_failed_put(struct wire *w, uint8_t type, const char *reason, const char *message)
{
    json_t *j = json_object();
    json_put_string(j, "reason", reason);
    json_put(j, "message", json_text(message, strnlen(message, TEXT_MAX_BYTES)));
    put_json(w, type, j, -1);
}

bool msg_number_decode(struct str body, struct msg_number *ret)
{
    json_t *j = parse_object(body);
    *ret = (struct msg_number){
        .json = j,
        .value = json_get_integer(j, "value", 0, INT64_MAX, -1),
        .total = json_get_integer(j, "total", 0, INT64_MAX, 0),
    };
    return keep(j, ret->value >= 0);
}

void msg_number_put(struct wire *w, uint8_t type, uint64_t value, uint64_t total)
{
    json_t *j = json_object();
    json_put_integer(j, "value", (int64_t)(value & INT64_MAX));
    json_put_integer(j, "total", (int64_t)(total & INT64_MAX));
    put_json(w, type, j, -1);
}

bool msg_exit_decode(struct str body, struct msg_exit *ret)
{
    json_t *j = parse_object(body);
    *ret = (struct msg_exit){
        .json = j,
        .status = json_get_integer(j, "status", -1, 255, -1),
        .signal = text(j, "signal", 64),
        .is_left_open = json_get_bool(j, "left_open", false),
    };
    return keep(j, ret->signal != NULL);
}

void msg_exit_put(struct wire *w, const struct msg_exit *m)
{
    json_t *j = json_object();
    json_put_integer(j, "status", m->status);
    json_put(j, "signal", json_text(m->signal, strnlen(m->signal, 64)));
    json_put_bool(j, "left_open", m->is_left_open);
    put_json(w, MSG_EXIT, j, -1);
}
