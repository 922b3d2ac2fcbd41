/* Frames between the library and its helper, over a stream socket: a length (4 bytes, big-endian,
 * of what follows), a type byte, a body. Either end takes the other for a stranger: a length is
 * checked before a byte is kept for it. A file descriptor may travel with a frame. */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    WIRE_HEADER_BYTES = 4,
    WIRE_FRAME_MAX_BYTES = 65536, /* type and body */
    WIRE_BODY_MAX_BYTES = WIRE_FRAME_MAX_BYTES - 1,
};

struct wire_frame {
    uint8_t type;
    struct str body; /* a view: good until the wire is filled again */
};

/* Zeroed is not valid: begin with wire_init. The socket is owned and non-blocking. */
struct wire {
    int fd;
    bool takes_fds; /* the helper's end only: the library never takes a descriptor from it */
    bool is_secret; /* what is queued holds a key: wipe it when it is sent */
    struct buf in;
    size_t in_at; /* bytes of `in` already given out as frames */
    struct buf out;
    size_t out_at; /* bytes of `out` already sent */
    int out_fd;    /* owned; travels with the byte at out_fd_at */
    size_t out_fd_at;
    int in_fd; /* owned; the last one received and not taken */
};

/* The pure half. 1: a frame, and how many bytes it took; 0: more bytes are needed; -EPROTO. */
int wire_parse(struct str bytes, struct wire_frame *ret_frame, size_t *ret_used);

/* Takes `fd`. */
void wire_init(struct wire *w, int fd, bool takes_fds);
/* Wipes, closes. Zeroed memory from wire_init's caller that was never initialised must not come
 * here. */
void wire_done(struct wire *w);

/* Queues a frame of at most WIRE_BODY_MAX_BYTES. */
void wire_put(struct wire *w, uint8_t type, const void *body, size_t n);
/* The same, wiped from memory once sent. */
void wire_put_secret(struct wire *w, uint8_t type, const void *body, size_t n);
/* The same with a descriptor (duplicated; -errno). One at a time: -EBUSY while another is queued.
 */
int wire_put_fd(struct wire *w, uint8_t type, const void *body, size_t n, int fd);
/* Any number of bytes as frames of one type; none for no bytes. */
void wire_put_all(struct wire *w, uint8_t type, const void *body, size_t n);

size_t wire_queued(const struct wire *w);
/* Sends what can be sent now. 0 or -errno (-EPIPE: the other end is gone). */
int wire_flush(struct wire *w);
/* Reads what can be read now, at most a few frames' worth. 1: something came; 0: nothing now;
 * -EPIPE: the other end is gone; -errno. */
int wire_fill(struct wire *w);
/* As wire_parse, from what was read. */
int wire_next(struct wire *w, struct wire_frame *ret_frame);
/* Wipes a frame's body where it lies. */
void wire_wipe(struct wire_frame *frame);
/* The descriptor that came, or -1. The caller owns it. */
int wire_take_fd(struct wire *w);
