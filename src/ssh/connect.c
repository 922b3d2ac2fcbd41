/* The way in. Two parties share it: probes (TCP connections looked at until one shows a banner) and
 * a helper, started early so that it is warm, which is handed the first socket that spoke and does
 * the rest. A failed login costs the helper: what talked to one sshd does not talk to the next.
 *
 *   not busy   probes come and go; a banner makes us busy
 *   busy       the helper has a connection; no probes; its READY ends it all, its FAILED or its
 * end, or a key we do not trust, makes us not busy, with a fresh helper and a pause
 *
 * Why several probes at once: QEMU's user network takes a connection before the guest has a network
 * at all, and what was taken then may never be answered; but an sshd that is slow to fork answers
 * after seconds. So a silent connection is neither waited for nor given up: another is opened
 * beside it, and the first to speak wins. */
#include "ssh/connect.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "ssh/keys.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

enum {
    CONNECT_MS = 10000, /* K-5 */
    KEX_MS = 10000,
    AUTH_MS = 20000,      /* K-5 */
    KEEPALIVE_MS = 15000, /* K-5 */
    SLOWNESS_MAX = 100,
    /* After a refusal: a guest about to listen is found within a quarter of a second. */
    RETRY_FIRST_MS = 50,
    RETRY_LAST_MS = 250,
    /* After a key or a login that failed: each costs the guest a fork and a key exchange. */
    RETRY_LOGIN_FIRST_MS = 200,
    RETRY_LOGIN_LAST_MS = 1000,
    /* OpenSSH 9.8 and later shut out for a while whoever fails three logins within 15 s; one each
     * 5 s never comes to that. */
    RETRY_LOGIN_PENALTY_MS = 5500,
    /* A connection this long silent is overtaken by another. */
    SILENCE_FIRST_MS = 1000,
    SILENCE_LAST_MS = 2000,
    DEADLINE_DEFAULT_MS = 120000,
};

const char *ssh_stage_name(enum ssh_stage stage)
{
    static const char *const names[SSH_STAGE_COUNT_] = {
        [SSH_STAGE_CONNECT] = "port",
        [SSH_STAGE_BANNER] = "banner",
        [SSH_STAGE_KEX] = "kex",
        [SSH_STAGE_HOST_KEY] = "host-key",
        [SSH_STAGE_AUTH] = "login",
        [SSH_STAGE_READY] = "ready",
    };
    return stage < SSH_STAGE_COUNT_ ? names[stage] : "?";
}

/* ---- What went wrong last ------------------------------------------------------------------ */

void connect_note(
    struct ssh_connect *c, enum ssh_stage stage, const struct diag *d, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    cleanup_free char *message = xvasprintf(fmt, ap);
    va_end(ap);
    vmm_error_free(c->last);
    c->last = NULL;
    c->last_stage = stage;
    (void)vmm_fail(&c->last, d, "%s", message);
    log_debug("ssh", "%s port %u: %s", c->host, c->port, message);
}

/* ---- Probes -------------------------------------------------------------------------------- */

static void watch(struct ssh_connect *c, int fd, uint32_t events)
{
    (void)epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = events});
}

static void drop_probe(struct ssh_connect *c, unsigned i)
{
    probe_close(&c->probes[i]);
    c->probe_count--;
    memmove(&c->probes[i], &c->probes[i + 1], (c->probe_count - i) * sizeof(c->probes[0]));
    c->probes[c->probe_count] = (struct probe){.state = PROBE_FREE, .fd = -1};
}

static void drop_probes(struct ssh_connect *c)
{
    while (c->probe_count > 0)
        drop_probe(c, c->probe_count - 1);
}

static void retry_soon(struct ssh_connect *c, int64_t now)
{
    c->next_probe_ms = now + c->retry_ms;
    c->retry_ms += c->retry_ms / 2;
    if (c->retry_ms > RETRY_LAST_MS)
        c->retry_ms = RETRY_LAST_MS;
}

static void note_banner(struct ssh_connect *c, const struct buf *said)
{
    cleanup_buf struct buf words = {0};
    guest_words(&words, (struct str){said->p, said->n});
    connect_note(c, SSH_STAGE_BANNER,
        &(struct diag){.code = VMM_E_SSH,
            .reason = "banner",
            .help =
                "Something takes connections there, but no sshd answers. See the console: is sshd "
                "installed, enabled and started in the guest?"},
        words.n ? "port %u of %s does not speak SSH (it said \"%s\")"
                : "port %u of %s takes a connection but no SSH server answers%s",
        c->port, c->host, buf_cstr(&words));
}

static void probe_failed(
    struct ssh_connect *c, const struct probe *p, const struct buf *said, int64_t now)
{
    if (p->was_taken) {
        /* Somebody closed it: the guest's kernel is up, or sshd is just coming. Be quick again. */
        if (now - p->started_ms > c->retry_ms) {
            c->retry_ms = RETRY_FIRST_MS;
            c->silence_ms = SILENCE_FIRST_MS;
        }
        note_banner(c, said);
    } else {
        c->stage = SSH_STAGE_CONNECT;
        connect_note(c, SSH_STAGE_CONNECT,
            &(struct diag){.code = VMM_E_SSH,
                .sys = p->sys,
                .reason = "port",
                .help = "Nothing listens there. Does the VM run, and is its port forwarded?"},
            "could not connect to %s port %u: %s", c->host, c->port, strerror(p->sys));
    }
    retry_soon(c, now);
}

static void start_probe(struct ssh_connect *c, int64_t now)
{
    if (c->probe_count == PROBES_MAX)
        drop_probe(c, 0);
    const struct address *a = &c->addresses[c->attempts++ % c->address_count];
    struct probe *p = &c->probes[c->probe_count++];
    probe_start(p, (const struct sockaddr *)&a->sa, a->n, now);
    if (p->fd >= 0) /* edges: what is peeked at stays readable for ever */
        watch(c, p->fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    c->next_probe_ms = now + c->silence_ms;
    c->silence_ms += c->silence_ms / 8;
    if (c->silence_ms > SILENCE_LAST_MS)
        c->silence_ms = SILENCE_LAST_MS;
}

/* Looks at all of them. The index of one with a banner, or -1. */
static int check_probes(struct ssh_connect *c, int64_t now, struct buf *banner)
{
    for (unsigned i = 0; i < c->probe_count;) {
        struct probe *p = &c->probes[i];
        cleanup_buf struct buf said = {0};
        probe_check(p, &said);
        if (p->state == PROBE_SILENT && c->stage < SSH_STAGE_BANNER)
            c->stage = SSH_STAGE_BANNER;
        if (p->state == PROBE_CONNECTING &&
            now - p->started_ms > (int64_t)CONNECT_MS * c->opts.slowness) {
            *p = (struct probe){.state = PROBE_FAILED, .fd = p->fd, .sys = ETIMEDOUT};
            close(TAKE_FD(p->fd));
        }
        if (p->state == PROBE_BANNER) {
            buf_clear(banner);
            buf_add(banner, said.p, said.n);
            return (int)i;
        }
        if (p->state == PROBE_FAILED) {
            probe_failed(c, p, &said, now);
            drop_probe(c, i);
            continue;
        }
        i++;
    }
    return -1;
}

/* ---- The helper ---------------------------------------------------------------------------- */

static int open_helper(struct ssh_connect *c, struct vmm_error **errp)
{
    const int r = helper_open(&c->helper, errp);
    if (r == 0)
        watch(c, c->helper->wire.fd, EPOLLIN);
    return r;
}

/* Not busy any more. Whatever the helper has seen goes with it. */
static void end_attempt(struct ssh_connect *c, int64_t now)
{
    const bool is_login = c->last_stage >= SSH_STAGE_HOST_KEY;
    helper_close(TAKE_PTR(c->helper), 0);
    c->is_busy = false;
    c->must_pin = false;
    c->stage = SSH_STAGE_BANNER;
    c->retry_ms = RETRY_FIRST_MS;
    c->silence_ms = SILENCE_FIRST_MS;
    if (is_login) {
        c->login_failures++;
        const bool must_space = c->has_penalties && c->login_failures >= 2;
        c->next_probe_ms = now + (must_space ? RETRY_LOGIN_PENALTY_MS : c->login_retry_ms);
        c->login_retry_ms += c->login_retry_ms / 2;
        if (c->login_retry_ms > RETRY_LOGIN_LAST_MS)
            c->login_retry_ms = RETRY_LOGIN_LAST_MS;
    } else {
        c->next_probe_ms = now + RETRY_LOGIN_FIRST_MS;
    }
}

/* "SSH-2.0-OpenSSH_9.8p1 ..." and later. Only a matter of pace, so the guest may lie. */
static bool banner_has_penalties(const char *banner)
{
    const char *at = strstr(banner, "OpenSSH_");
    unsigned major = 0, minor = 0;
    if (!at || sscanf(at, "OpenSSH_%3u.%3u", &major, &minor) != 2)
        return false;
    return major > 9 || (major == 9 && minor >= 8);
}

/* Gives the socket of probe `i` to the helper, with all it needs to log in. */
static int hand_over(
    struct ssh_connect *c, unsigned i, const char *banner, int64_t now, struct vmm_error **errp)
{
    cleanup_buf struct buf known = {0};
    cleanup_buf struct buf types = {0};
    int r = c->helper ? 0 : open_helper(c, errp);
    if (r == 0)
        r = connect_read_known_hosts(c, &known, errp);
    if (r < 0)
        return r;
    known_hosts_types((struct str){known.p, known.n}, c->known_hosts_name, &types);
    c->has_penalties = banner_has_penalties(banner);

    struct wire *w = &c->helper->wire;
    if (c->has_key)
        wire_put_secret(w, MSG_KEY, c->private_key.p, c->private_key.n);
    const int64_t kex_ms = (int64_t)KEX_MS * c->opts.slowness;
    const int64_t auth_ms = (int64_t)AUTH_MS * c->opts.slowness;
    msg_start_put(w,
        &(struct msg_start){.user = c->user,
            .host_key_types = buf_cstr(&types),
            .kex_ms = kex_ms,
            .auth_ms = auth_ms,
            .keepalive_ms = KEEPALIVE_MS},
        c->probes[i].fd, &r);
    if (r < 0)
        return vmm_fail_io(errp, -r, "pass on a connection to", c->host);
    (void)wire_flush(w); /* a helper that is gone shows when it is read from */
    drop_probes(c);
    c->is_busy = true;
    c->stage = SSH_STAGE_KEX;
    /* The helper keeps to its limits; this is for one that does not. */
    c->busy_until_ms = now + kex_ms + auth_ms + 2000;
    return 0;
}

/* ---- The machine --------------------------------------------------------------------------- */

static void tell_stage(struct ssh_connect *c)
{
    if (c->stage == c->told_stage)
        return;
    c->told_stage = c->stage;
    if (c->opts.on_stage)
        c->opts.on_stage(c->opts.arg, c->stage, c->attempts);
}

static void arm_timer(struct ssh_connect *c)
{
    int64_t at = c->is_busy ? c->busy_until_ms : c->next_probe_ms;
    if (c->opts.deadline.at_ms < at)
        at = c->opts.deadline.at_ms;
    for (unsigned i = 0; i < c->probe_count; i++) {
        const int64_t end = c->probes[i].started_ms + (int64_t)CONNECT_MS * c->opts.slowness + 1;
        if (c->probes[i].state == PROBE_CONNECTING && end < at)
            at = end;
    }
    if (at < 1)
        at = 1; /* zero would disarm it */
    const struct itimerspec when = {
        .it_value = {.tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000}};
    (void)timerfd_settime(c->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void quiet_timer(const struct ssh_connect *c)
{
    uint64_t count;
    (void)!read(c->timer_fd, &count, sizeof(count)); /* fails when it had not fired */
    /* Takes the edges: until then the epoll fd looks readable for what was already peeked at. */
    struct epoll_event events[PROBES_MAX + 2];
    (void)epoll_wait(c->epoll_fd, events, PROBES_MAX + 2, 0);
}

static int give_up(struct ssh_connect *c, struct vmm_error **errp)
{
    const double seconds = (double)(clock_ms() - c->started_ms) / 1000;
    /* An earlier failure tells more than the step that was under way, unless the step got further.
     */
    const bool is_cut = c->is_busy && (!c->last || c->last_stage < c->stage);
    bool is_silent = false;
    for (unsigned i = 0; i < c->probe_count; i++)
        is_silent = is_silent || c->probes[i].state == PROBE_SILENT;
    if (is_cut) {
        connect_note(c, c->stage,
            &(struct diag){.code = VMM_E_WAIT_TIMEOUT,
                .reason = ssh_stage_name(c->stage),
                .help = "The guest was slow or hangs; see its console, and try a longer timeout."},
            "%s with %s port %u was not finished in time",
            c->stage == SSH_STAGE_AUTH ? "the login" : "the key exchange", c->host, c->port);
    } else if (!c->is_final && is_silent && (!c->last || c->last_stage < SSH_STAGE_BANNER)) {
        note_banner(c, &(struct buf){0});
    } else if (!c->last) {
        connect_note(c, SSH_STAGE_CONNECT,
            &(struct diag){.code = VMM_E_SSH, .sys = ETIMEDOUT, .reason = "port"},
            "could not connect to %s port %u: no answer", c->host, c->port);
    }
    const int r = -(int)vmm_error_code(c->last);
    if (!errp)
        return r;
    *errp = TAKE_PTR(c->last);
    return vmm_wrap(errp, &(struct diag){.code = VMM_E_NONE},
        "could not log in to the guest as \"%s\" (%s port %u, %u attempt%s in %.1f s)", c->user,
        c->host, c->port, c->attempts, c->attempts == 1 ? "" : "s", seconds);
}

static int finish(struct ssh_connect *c, struct ssh_session **ret, struct vmm_error **errp)
{
    const int r = c->must_pin ? connect_pin_host_key(c, errp) : 0;
    if (r < 0)
        return r;
    c->stage = SSH_STAGE_READY;
    tell_stage(c);
    if (c->opts.on_host_key)
        c->opts.on_host_key(c->opts.arg, c->fingerprint, c->must_pin);
    (void)epoll_ctl(c->epoll_fd, EPOLL_CTL_DEL, c->helper->wire.fd, NULL);
    struct ssh_session *s = xcalloc(1, sizeof(*s));
    s->helper = TAKE_PTR(c->helper);
    s->host_key = TAKE_PTR(c->fingerprint);
    s->name = xasprintf("%s@%s port %u", c->user, c->host, c->port);
    log_debug(
        "ssh", "%s: logged in after %.1f s", s->name, (double)(clock_ms() - c->started_ms) / 1000);
    *ret = s;
    return 0;
}

/* Everything that can be done now. 1: ready; 0: wait; negative: failed, with *errp. */
static int advance(struct ssh_connect *c, struct vmm_error **errp)
{
    const int64_t now = clock_ms();
    int r = c->helper ? connect_pump_helper(c) : 0;
    if (r > 0)
        return 1;
    if (r == -EACCES || r == -ECONNABORTED) {
        end_attempt(c, now);
    } else if (r < 0) {
        connect_helper_lost(c, r);
        end_attempt(c, now);
    } else if (c->is_busy && now >= c->busy_until_ms) {
        connect_helper_lost(c, -ETIMEDOUT);
        end_attempt(c, now);
    }
    if (c->is_final)
        return give_up(c, errp);
    if (!c->helper && (r = open_helper(c, errp)) < 0)
        return r;
    if (c->is_busy)
        return 0;

    cleanup_buf struct buf banner = {0};
    const int speaker = check_probes(c, now, &banner);
    if (speaker >= 0)
        return hand_over(c, (unsigned)speaker, buf_cstr(&banner), now, errp);
    if (now >= c->next_probe_ms) {
        start_probe(c, now);
        /* On loopback it is often decided at once. */
        (void)check_probes(c, now, &banner);
    }
    return 0;
}

int ssh_connect_step(struct ssh_connect *c,
    enum ssh_stage *ret_stage,
    struct ssh_session **ret,
    struct vmm_error **errp)
{
    quiet_timer(c);
    int r = advance(c, errp);
    if (r > 0)
        r = finish(c, ret, errp);
    else if (r == 0 && deadline_passed(c->opts.deadline))
        r = give_up(c, errp);
    else if (r == 0)
        r = 1;
    if (r == 1) {
        tell_stage(c);
        arm_timer(c);
    }
    if (ret_stage)
        *ret_stage = c->stage;
    return r;
}

int ssh_connect_fd(const struct ssh_connect *c)
{
    return c->epoll_fd;
}

void ssh_connect_set_deadline(struct ssh_connect *c, struct deadline deadline)
{
    c->opts.deadline = deadline;
    arm_timer(c);
}

void ssh_connect_nudge(struct ssh_connect *c)
{
    /* Only beside the others: a slow guest may be about to answer one of them. */
    if (c->probe_count < PROBES_MAX) {
        c->next_probe_ms = clock_ms();
        arm_timer(c);
    }
}

void ssh_connect_cancel(struct ssh_connect *c)
{
    if (!c)
        return;
    drop_probes(c);
    helper_close(c->helper, 0);
    if (c->epoll_fd >= 0)
        close(c->epoll_fd);
    if (c->timer_fd >= 0)
        close(c->timer_fd);
    if (c->private_key.p)
        explicit_bzero(c->private_key.p, c->private_key.cap);
    buf_done(&c->private_key);
    buf_done(&c->host_key_line);
    vmm_error_free(c->last);
    free(c->fingerprint);
    free(c->host);
    free(c->user);
    free(c->known_hosts_path);
    free(c->known_hosts_name);
    free(c);
}

static void cancel_handler(struct ssh_connect **c)
{
    ssh_connect_cancel(*c);
}

/* ---- The beginning ------------------------------------------------------------------------- */

static int look_up(struct ssh_connect *c, struct vmm_error **errp)
{
    char port[16];
    snprintf(port, sizeof(port), "%u", c->port);
    struct addrinfo *list = NULL;
    struct addrinfo hints = {
        .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    int r = getaddrinfo(c->host, port, &hints, &list);
    if (r == EAI_NONAME) {
        hints.ai_flags = AI_NUMERICSERV;
        r = getaddrinfo(c->host, port, &hints, &list);
    }
    if (r != 0)
        return vmm_fail(errp, &(struct diag){.code = VMM_E_SSH, .reason = "address"},
            "could not find the address of \"%s\": %s", c->host, gai_strerror(r));
    for (struct addrinfo *a = list; a && c->address_count < ADDRESSES_MAX; a = a->ai_next) {
        struct address *to = &c->addresses[c->address_count++];
        to->n = a->ai_addrlen;
        memcpy(&to->sa, a->ai_addr, a->ai_addrlen);
    }
    freeaddrinfo(list);
    return 0;
}

static int check_target(const struct ssh_target *t, struct vmm_error **errp)
{
    const char *wrong = NULL;
    if (!t->host || !*t->host)
        wrong = "no host is given";
    else if (t->port > 65535)
        wrong = "there is no such port";
    else if (!t->user || !*t->user || strlen(t->user) > 255)
        wrong = "no user is given";
    else if (t->private_key && strlen(t->private_key) > PROTO_KEY_MAX_BYTES - 1)
        wrong = "the private key is too long to be one";
    else if (t->host_key_policy == SSH_HOST_KEY_PINNED && !t->known_hosts_path)
        wrong = "a pinned host key needs a known_hosts file";
    return wrong ? vmm_fail(
                       errp, &(struct diag){.code = VMM_E_USAGE}, "cannot log in by SSH: %s", wrong)
                 : 0;
}

int ssh_connect_start(const struct ssh_target *target,
    const struct ssh_connect_opts *opts,
    struct ssh_connect **ret,
    struct vmm_error **errp)
{
    int r = check_target(target, errp);
    if (r < 0)
        return r;
    __attribute__((cleanup(cancel_handler))) struct ssh_connect *c = xcalloc(1, sizeof(*c));
    c->epoll_fd = c->timer_fd = -1;
    for (unsigned i = 0; i < PROBES_MAX; i++)
        c->probes[i].fd = -1;
    c->opts = opts ? *opts : (struct ssh_connect_opts){0};
    c->started_ms = clock_ms();
    if (c->opts.deadline.at_ms == 0)
        c->opts.deadline = deadline_in_ms(DEADLINE_DEFAULT_MS);
    if (c->opts.slowness == 0)
        c->opts.slowness = 1;
    if (c->opts.slowness > SLOWNESS_MAX)
        c->opts.slowness = SLOWNESS_MAX;
    c->host = xstrdup(target->host);
    c->port = target->port ? target->port : 22;
    c->user = xstrdup(target->user);
    c->known_hosts_path = xstrdup_or_null(target->known_hosts_path);
    c->known_hosts_name = target->host_key_alias ? xstrdup(target->host_key_alias)
                                                 : known_hosts_name(c->host, c->port);
    c->policy = target->host_key_policy;
    c->has_key = target->private_key != NULL;
    if (c->has_key)
        buf_adds(&c->private_key, target->private_key);
    c->retry_ms = RETRY_FIRST_MS;
    c->silence_ms = SILENCE_FIRST_MS;
    c->login_retry_ms = RETRY_LOGIN_FIRST_MS;
    c->told_stage = SSH_STAGE_COUNT_;
    if ((r = look_up(c, errp)) < 0)
        return r;
    c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    c->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (c->epoll_fd < 0 || c->timer_fd < 0)
        return vmm_fail_io(errp, errno, "wait for", c->host);
    watch(c, c->timer_fd, EPOLLIN);
    if ((r = open_helper(c, errp)) < 0)
        return r;
    arm_timer(c); /* next_probe_ms is 0: the fd is readable at once */
    *ret = TAKE_PTR(c);
    return 0;
}

int ssh_connect_with_retry(const struct ssh_target *target,
    const struct ssh_connect_opts *opts,
    struct ssh_session **ret,
    struct vmm_error **errp)
{
    __attribute__((cleanup(cancel_handler))) struct ssh_connect *c = NULL;
    int r = ssh_connect_start(target, opts, &c, errp);
    if (r < 0)
        return r;
    while ((r = ssh_connect_step(c, NULL, ret, errp)) == 1) {
        const int cancel_fd = c->opts.cancel_fd > 0 ? c->opts.cancel_fd : -1;
        struct pollfd fds[2] = {
            {.fd = c->epoll_fd, .events = POLLIN}, {.fd = cancel_fd, .events = POLLIN}};
        if (poll(fds, 2, -1) > 0 && fds[1].revents)
            return vmm_fail(errp,
                &(struct diag){.code = VMM_E_INTERRUPTED, .reason = ssh_stage_name(c->stage)},
                "interrupted while logging in to the guest as \"%s\"", c->user);
    }
    return r;
}
