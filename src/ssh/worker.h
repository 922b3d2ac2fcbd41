/* The helper's side: libssh, driven without blocking by one poll loop. Everything here runs in
 * `vmm-ssh` and is linked into nothing else. It owns one connection and does one operation at a
 * time; whatever breaks the protocol with the library ends the process. */
#pragma once

#include "base/clock.h"
#include "ssh/proto.h"
#include "ssh/transfer.h"

#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <libssh/server.h>
#include <stdbool.h>

enum worker_state {
    WORKER_FRESH,  /* waits for START or KEYGEN */
    WORKER_KEX,    /* ssh_connect */
    WORKER_JUDGED, /* the library judges the host key */
    WORKER_AUTH,   /* ssh_userauth */
    WORKER_READY,  /* no operation */
    WORKER_EXEC,
    WORKER_TRANSFER,
    WORKER_OVER, /* the last word is queued; then the end */
};

enum channel_phase { CHANNEL_OPENING, CHANNEL_ASKING, CHANNEL_RUNNING };

struct worker_exec {
    ssh_channel channel;
    enum channel_phase phase;
    struct ssh_channel_callbacks_struct callbacks;
    struct buf command;
    struct buf stdin_bytes; /* not yet passed on */
    uint64_t stdin_passed;
    bool stdin_ended;
    bool eof_sent;
    int status;      /* -1: not said */
    char signal[65]; /* empty: none */
    int64_t exited_ms;
    int64_t last_output_ms;
};

struct worker_transfer {
    ssh_channel channel; /* kept from one transfer to the next */
    struct ssh_channel_callbacks_struct callbacks;
    bool is_greeted;
    bool has_heard; /* the guest, since the last step */
    enum channel_phase phase;
    struct buf path;
    struct transfer *transfer;
    int fd;
    uint64_t told_bytes;
    int64_t told_ms;
};

struct worker {
    struct wire wire;
    enum worker_state state;
    ssh_session session;
    ssh_event event;
    ssh_key key;
    struct msg_start start;
    struct deadline stage_deadline;
    struct ssh_counter_struct traffic; /* on the socket */
    uint64_t heard_bytes;              /* `traffic` when we last looked */
    int64_t heard_ms;
    int64_t keepalive_ms;  /* when the last was sent */
    bool is_write_refused; /* by libssh, at the last try: it exchanges new keys, or the channel is
                              gone */
    struct worker_exec exec;
    struct worker_transfer move;
};

/* The loop. Returns when the library has gone or the connection is over. `wire_fd` is taken. */
void worker_run(int wire_fd, int landlock, bool has_seccomp);

/* ---- Between the files of the worker ------------------------------------------------------- */

/* The library's queue is long: read no more from the guest for now. */
bool worker_is_full(const struct worker *w);
/* Writes to a channel as far as its window goes and without piling up in libssh; the buffer keeps
 * the rest. True when something went out. */
bool worker_send(struct worker *w, ssh_channel channel, struct buf *bytes);
/* There is more to send and it could go now: reading has cleared the way meanwhile, and no event
 * will say so. */
bool worker_could_send(const struct worker *w, ssh_channel channel, const struct buf *bytes);
/* The guest or the network ended the connection. */
bool worker_is_lost(const struct worker *w);
/* Says FAILED and ends. */
void worker_fail(struct worker *w, const char *reason, const char *message);
/* The same with libssh's words. */
void worker_fail_ssh(struct worker *w, const char *reason);
/* The operation is over, the session is not. */
void worker_refuse(struct worker *w, const char *reason, const char *message);

void exec_begin(struct worker *w);
void exec_cancel(struct worker *w);
void exec_done(struct worker *w);
/* True when more can be done at once. */
bool exec_step(struct worker *w);
/* When it wants to be woken though nothing happened: by clock_ms; 0: never. */
int64_t exec_wake_ms(const struct worker *w);

void move_begin(struct worker *w, bool is_upload, const struct msg_transfer *m);
void move_cancel(struct worker *w);
void move_done(struct worker *w);
bool move_step(struct worker *w);

void login_begin(struct worker *w, struct str body);
void login_step(struct worker *w);

/* All keys at once, then the end. */
void keygen_run(struct worker *w, struct str body);
