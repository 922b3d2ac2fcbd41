/* A misbehaving SSH server for test_ssh.c: libssh's server side (and plain sockets, for what no SSH
 * server does) in a child process, on a loopback port that the kernel chose. */
#pragma once

#include <sys/types.h>

enum server_manner {
    SERVER_FINE,
    SERVER_SILENT,       /* takes connections and says nothing, ever */
    SERVER_GARBAGE,      /* a greeting that is no SSH, with terminal escapes, then closes */
    SERVER_ENDLESS,      /* a banner line that does not end */
    SERVER_DRIP,         /* a proper banner, a byte each 30 ms */
    SERVER_DRIP_FOREVER, /* a byte each 200 ms that never become a line */
    SERVER_NO_KEX,       /* a banner, then silence */
    SERVER_CLOSE_IN_KEX, /* a banner, half a packet, then closes */
    SERVER_REFUSE,       /* every login */
};

struct server_opts {
    enum server_manner manner;
    unsigned shy;             /* the first so many connections: taken, never answered */
    unsigned early_key;       /* the first so many show another host key */
    unsigned refuse_first;    /* the first so many logins are refused */
    unsigned listen_after_ms; /* the port is known, but refuses until then */
    const char *folder;       /* where SFTP's files are */
};

struct server {
    pid_t pid;
    unsigned port;
    char host_key[512];  /* public line of the key it shows in the end */
    char other_key[512]; /* of the early one */
};

/* What its commands (exec) do:
 *   exit N       signal NAME     both N: N bytes on each stream     hang     flood: endless output
 *   cat: its input back          die: half an output, then the connection is cut
 *   nothing: the channel closes without a status                    linger: status, but no end
 * Its SFTP serves `folder`, but /denied, /nodir, /full, /folder, and to read: /liar (says 10 bytes,
 * sends for ever), /toomuch (more than asked), /garbage, /stall. */
void server_start(struct server *s, const struct server_opts *opts);
/* Kills it and the children it serves with. */
void server_stop(struct server *s);
