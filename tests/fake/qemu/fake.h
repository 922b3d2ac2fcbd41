/* A qemu-system-x86_64 that has no machine. It takes QEMU's command line, opens QEMU's sockets,
 * forwards' ports and pid file, speaks QMP, has a serial port, and ends as QEMU ends; words, order
 * and leftovers are those of QEMU 7.2. It shares no code with the product, and it misbehaves when
 * told to: see script.c.
 *
 * One process, one poll() loop, nothing blocks. Started in about a millisecond.
 *
 *   main.c     start-up, loop, timers, the machine's state, the end
 *   args.c     the command line
 *   sockets.c  listeners and their clients
 *   monitor.c  QMP
 *   script.c   what to do wrong */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct bytes {
    char *p;
    size_t n;
    size_t cap;
};

void bytes_add(struct bytes *b, const void *p, size_t n);
void bytes_drop(struct bytes *b, size_t n);

enum role {
    ROLE_IDLE, /* nothing in the machine is tied to it: takes a client and listens to nothing */
    ROLE_MONITOR,
    ROLE_SERIAL,
    ROLE_FIRMWARE, /* SeaBIOS's debug port: speaks, hears nothing */
};

/* A character device on a listening Unix socket; one client at a time. */
struct chardev {
    char *id;
    char *path;   /* NULL: the listener was handed over as `fd` */
    char *origin; /* the option that made it, for messages */
    enum role role;
    int listen_fd;
    int client_fd;
    struct bytes in;
    struct bytes out;
    bool is_negotiated;
    bool is_busy;       /* a command is still being worked on: the next waits */
    bool is_flooding;   /* events for ever */
    size_t huge_left;   /* bytes of a huge line still to come, after `out` */
    char huge_tail[64]; /* what ends that line */
};

enum { CHARDEVS_MAX = 32 };

struct fake {
    struct chardev chardevs[CHARDEVS_MAX];
    size_t chardev_count;
    const char *uuid;
    const char *pidfile;
    bool made_pidfile;
    char *vnc_host; /* NULL: no VNC */
    int vnc_port;
    bool wants_pause; /* -S */
    const char *status;
    bool was_started;
};

extern struct fake fake;

/* Says it the way QEMU does and exits with 1. Sockets stay where they are, as QEMU's do. */
__attribute__((noreturn, format(printf, 1, 2))) void die(const char *fmt, ...);
__attribute__((malloc)) char *format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* args.c: first what is asked for, then opening it: pid file, sockets, ports. */
void args_read(int argc, char **argv);
void args_open(void);
/* The folder of the first monitor's socket; NULL: it has none. The caller owns it. */
char *args_monitor_folder(void);

/* script.c */
struct rule {
    char *verb;
    char *command; /* the word after it; NULL: none */
    char *rest;    /* all after that */
    char *all;     /* `command` and `rest` as they were written */
};
void script_read(void);
/* The rule VERB, or VERB:COMMAND when a command is given. NULL: there is none. */
const struct rule *script_rule(const char *verb, const char *command);

/* sockets.c */
struct chardev *chardev_new(const char *id, const char *path, int fd, const char *origin);
struct chardev *chardev_find(const char *id);
void chardev_listen(struct chardev *c);
/* Says nothing when nobody is connected. */
void chardev_say(struct chardev *c, const void *p, size_t n);
void chardev_accept(struct chardev *c);
/* Takes those who have connected to a port of the guest's since poll() looked. */
void chardevs_accept_waiting(void);
void chardev_hear(struct chardev *c);
void chardev_flush(struct chardev *c);

/* monitor.c */
void monitor_greet(struct chardev *c);
void monitor_hear(struct chardev *c);
void monitor_unhurry(struct chardev *c, json_t *request);
/* To every monitor that negotiated. Takes `data`, which may be NULL. */
void emit_event(const char *name, json_t *data);
/* To this one only. */
void say_event(struct chardev *c, const char *name, json_t *data);

/* main.c */
enum timer_kind { TIMER_COMMAND, TIMER_GUEST_OFF };
/* TIMER_COMMAND runs `request` (taken) on `c`, unless its client has left meanwhile. */
void timer_add(int64_t in_ms, enum timer_kind kind, struct chardev *c, json_t *request);
void timers_forget(const struct chardev *c);
void guest_start(void);
void guest_console(void);
/* Emits SHUTDOWN, lets clients read it, cleans up and exits with 0. */
__attribute__((noreturn)) void shut_down(bool by_guest, const char *reason);
