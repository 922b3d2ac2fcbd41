/* What library and helper say to each other. Streams (keys, commands, output) are raw bytes; the
 * rest are small JSON objects, decoded here into checked structs. The order:
 *
 *   helper   HELLO                                     first, once it is confined
 *   library  KEY* START(+socket)                       one connection per helper
 *   helper   HOST_KEY
 *   library  TRUST                                     or it closes
 *   helper   READY                                     or FAILED, and ends
 *   library  COMMAND* EXEC, STDIN*, STDIN_END          then, any number of times
 *   helper   (STDOUT STDERR STDIN_TAKEN)* EXIT         or REFUSED, or FAILED
 *   library  CANCEL                                    at any time during an operation
 *   library  PATH* UPLOAD|DOWNLOAD(+file)
 *   helper   PROGRESS* DONE                            or REFUSED, or FAILED
 *
 *   library  KEYGEN                                    instead of START
 *   helper   (PRIVATE PUBLIC)*
 *
 * Both are built from one tree, so the version only catches a half-done installation. */
#pragma once

#include "base/json.h"
#include "ssh/wire.h"

#include <stdbool.h>
#include <stdint.h>

enum { PROTO_VERSION = 1 };

enum proto_msg {
    /* library to helper */
    MSG_KEY = 'K', /* raw: part of the private key's text */
    MSG_START = 'S',
    MSG_TRUST = 'T',
    MSG_COMMAND = 'C', /* raw: part of the command */
    MSG_EXEC = 'X',
    MSG_STDIN = 'I', /* raw */
    MSG_STDIN_END = 'E',
    MSG_CANCEL = 'Z',
    MSG_PATH = 'P', /* raw: part of the path in the guest */
    MSG_UPLOAD = 'U',
    MSG_DOWNLOAD = 'D',
    MSG_KEYGEN = 'G',
    /* helper to library */
    MSG_HELLO = 'h',
    MSG_HOST_KEY = 'k',
    MSG_READY = 'r',
    MSG_FAILED = 'f',  /* the connection is over */
    MSG_REFUSED = 'n', /* only this operation is */
    MSG_STDOUT = 'o',  /* raw */
    MSG_STDERR = 'e',  /* raw */
    MSG_STDIN_TAKEN = 'i',
    MSG_EXIT = 'x',
    MSG_PROGRESS = 'p',
    MSG_DONE = 'd',
    MSG_PRIVATE = 'v', /* raw */
    MSG_PUBLIC = 'u',  /* raw */
};

enum {
    PROTO_KEY_MAX_BYTES = 65536,
    PROTO_PATH_MAX_BYTES = 4096,
    /* The library sends this much of a command's input ahead of what the helper has passed on, so
     * that a CANCEL never waits behind it. */
    PROTO_STDIN_WINDOW_BYTES = 256 * 1024,
};

/* Strings in these structs are views into `json`, which the struct owns. */

struct msg_start {
    json_t *json;
    const char *user;
    const char *host_key_types; /* the pinned ones, comma-joined; "": no wish */
    int64_t kex_ms;
    int64_t auth_ms;
    int64_t keepalive_ms;
};

struct msg_transfer { /* UPLOAD and DOWNLOAD */
    json_t *json;
    int64_t mode;
    int64_t limit_bytes;
};

struct msg_keygen {
    json_t *json;
    const char *comments[64];
    unsigned count;
};

struct msg_hello {
    json_t *json;
    int64_t version;
    int64_t landlock; /* its ABI; 0: not there */
    bool has_seccomp;
};

struct msg_host_key {
    json_t *json;
    const char *type;
    const char *key; /* base64 */
};

struct msg_failed { /* FAILED and REFUSED */
    json_t *json;
    const char *reason;
    const char *message;
};

struct msg_number { /* STDIN_TAKEN, DONE: bytes; PROGRESS: bytes of total */
    json_t *json;
    int64_t value;
    int64_t total;
};

struct msg_exit {
    json_t *json;
    int64_t status;     /* -1: not said */
    const char *signal; /* "": none */
    bool is_left_open;
};

/* False when it is no such message; then there is nothing to free. Otherwise json_decref(m->json).
 */
bool msg_start_decode(struct str body, struct msg_start *ret);
bool msg_transfer_decode(struct str body, struct msg_transfer *ret);
bool msg_keygen_decode(struct str body, struct msg_keygen *ret);
bool msg_hello_decode(struct str body, struct msg_hello *ret);
bool msg_host_key_decode(struct str body, struct msg_host_key *ret);
bool msg_failed_decode(struct str body, struct msg_failed *ret);
bool msg_number_decode(struct str body, struct msg_number *ret);
bool msg_exit_decode(struct str body, struct msg_exit *ret);

void msg_start_put(struct wire *w, const struct msg_start *m, int fd, int *ret_error);
void msg_transfer_put(
    struct wire *w, uint8_t type, const struct msg_transfer *m, int fd, int *ret_error);
void msg_keygen_put(struct wire *w, const struct msg_keygen *m);
void msg_hello_put(struct wire *w, const struct msg_hello *m);
void msg_host_key_put(struct wire *w, const struct msg_host_key *m);
void msg_failed_put(struct wire *w, uint8_t type, const char *reason, const char *message);
void msg_number_put(struct wire *w, uint8_t type, uint64_t value, uint64_t total);
void msg_exit_put(struct wire *w, const struct msg_exit *m);
