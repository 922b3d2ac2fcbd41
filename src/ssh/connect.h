/* For connect.c and connect_login.c only: the way in, while it lasts. */
#pragma once

#include "base/error.h"
#include "ssh/internal.h"
#include "ssh/probe.h"

enum {
    PROBES_MAX = 6, /* well below sshd's MaxStartups of 10 */
    ADDRESSES_MAX = 4,
};

struct address {
    struct sockaddr_storage sa;
    socklen_t n;
};

struct ssh_connect {
    char *host;
    unsigned port;
    char *user;
    char *known_hosts_path;
    char *known_hosts_name;
    struct buf private_key; /* wiped in the end */
    bool has_key;
    enum ssh_host_key_policy policy;
    struct ssh_connect_opts opts;
    struct address addresses[ADDRESSES_MAX];
    unsigned address_count;

    int epoll_fd; /* what the caller polls: everything is in it, the timer too */
    int timer_fd;
    int64_t started_ms;

    enum ssh_stage stage;
    enum ssh_stage told_stage; /* on_stage knows this one */
    unsigned attempts;
    struct probe probes[PROBES_MAX]; /* oldest first, free ones last */
    unsigned probe_count;
    int64_t next_probe_ms;
    int retry_ms;
    int silence_ms;
    int login_retry_ms;
    unsigned login_failures;
    bool has_penalties; /* the sshd that spoke last is one that shuts out */

    struct helper *helper;
    unsigned early_deaths;
    bool is_busy;
    int64_t busy_until_ms;
    struct buf host_key_line; /* "type base64" of the attempt under way */
    char *fingerprint;
    bool must_pin;

    struct vmm_error *last; /* what stood in the way last */
    enum ssh_stage last_stage;
    bool is_final; /* `last` is not worth another attempt */
};

/* Remembers what stands in the way; the deadline makes it the error. */
void connect_note(
    struct ssh_connect *c, enum ssh_stage stage, const struct diag *d, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* The text of the known_hosts file; none when there is no file. */
int connect_read_known_hosts(const struct ssh_connect *c, struct buf *out, struct vmm_error **errp);
/* Adds the line under a lock, unless somebody else has pinned a key meanwhile. */
int connect_pin_host_key(struct ssh_connect *c, struct vmm_error **errp);
/* All that the helper has said. 1: logged in; 0: go on; -EACCES, -ECONNABORTED: the attempt is over
 * and noted; else the helper is lost, and connect_helper_lost is to be called. */
int connect_pump_helper(struct ssh_connect *c);
/* The helper broke its word or died: notes it. */
void connect_helper_lost(struct ssh_connect *c, int why);
