#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/process.h"
#include "base/utf8.h"
#include "ssh/internal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* The helper talks to a stranger; what it could write to a terminal would be the stranger's. Only
 * a sanitizer's report is worth that. */
#if defined(__SANITIZE_ADDRESS__)
#define HELPER_STDERR STDERR_FILENO
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HELPER_STDERR STDERR_FILENO
#endif
#endif
#ifndef HELPER_STDERR
#define HELPER_STDERR (-1)
#endif

enum { WORDS_MAX_BYTES = 200 };

int helper_open(struct helper **ret, struct vmm_error **errp)
{
    cleanup_free char *program = process_find_helper("vmm-ssh");
    if (!program)
        return vmm_fail(errp, &(struct diag){.code = VMM_E_HELPER, .sys = ENOENT},
            "could not find the helper program \"vmm-ssh\"");
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return vmm_fail(errp, &(struct diag){.code = VMM_E_HELPER, .sys = errno},
            "could not make a socket for the SSH helper: %s", strerror(errno));
    cleanup_close int ours = ends[0];
    cleanup_close int theirs = ends[1];

    pid_t pid;
    /* Not die_with_parent: that follows the thread, and a session may outlive the thread that made
     * it. The socket's end is what ends the helper. A session of its own keeps the terminal's ^C
     * away. */
    const int r = process_spawn((const char *const[]){program, NULL},
        &(struct process_opts){.stdin_fd = -1,
            .stdout_fd = -1,
            .stderr_fd = HELPER_STDERR,
            .extra_fd = theirs,
            .cwd = "/",
            .new_session = true},
        &pid);
    if (r < 0)
        return vmm_fail(errp, &(struct diag){.code = VMM_E_HELPER, .sys = -r},
            "could not start \"%s\": %s", program, strerror(-r));
    struct helper *h = xcalloc(1, sizeof(*h));
    h->pid = pid;
    wire_init(&h->wire, TAKE_FD(ours), /* takes_fds */ false);
    *ret = h;
    return 0;
}

int helper_close(struct helper *h, int patience_ms)
{
    if (!h)
        return -1;
    if (h->wire.fd >= 0)
        close(TAKE_FD(h->wire.fd));
    int status = -1;
    if (patience_ms == 0 ||
        process_wait(h->pid, deadline_in_ms(patience_ms), &status) == -ETIMEDOUT) {
        kill(h->pid, SIGKILL);
        if (process_wait(h->pid, deadline_in_ms(10000), &status) < 0)
            status = -1;
    }
    wire_done(&h->wire);
    free(h);
    return status;
}

bool helper_hello(struct helper *h, struct str body)
{
    struct msg_hello hello;
    if (!msg_hello_decode(body, &hello))
        return false;
    const bool fits = hello.version == PROTO_VERSION;
    h->said_hello = true;
    if (hello.landlock > 0)
        snprintf(h->confinement, sizeof(h->confinement), "landlock %d, %s", (int)hello.landlock,
            hello.has_seccomp ? "seccomp" : "no seccomp");
    else
        snprintf(h->confinement, sizeof(h->confinement), "no landlock, %s",
            hello.has_seccomp ? "seccomp" : "no seccomp");
    json_decref(hello.json);
    log_debug("ssh", "helper %ld is confined by %s", (long)h->pid, h->confinement);
    return fits;
}

int helper_receive(
    struct helper *h, struct deadline deadline, int cancel_fd, struct wire_frame *ret_frame)
{
    for (;;) {
        int r = wire_next(&h->wire, ret_frame);
        if (r != 0)
            return r < 0 ? r : 0;
        if ((r = wire_flush(&h->wire)) < 0 && r != -EPIPE)
            return r; /* after EPIPE there may still be a last word to read */
        struct pollfd fds[2] = {
            {.fd = h->wire.fd,
                .events = (short)(POLLIN | (r == 0 && wire_queued(&h->wire) ? POLLOUT : 0))},
            {.fd = cancel_fd > 0 ? cancel_fd : -1, .events = POLLIN},
        };
        const int left_ms = deadline_left_ms(deadline);
        const int n = poll(fds, 2, left_ms);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0 && fds[1].revents)
            return -ECANCELED;
        if (n > 0 && (fds[0].revents & (POLLIN | POLLHUP | POLLERR)) &&
            (r = wire_fill(&h->wire)) < 0)
            return r;
        if (n == 0 && left_ms == 0)
            return -ETIMEDOUT;
    }
}

void guest_words(struct buf *out, struct str text)
{
    while (text.n > 0 && strchr("\r\n\t ", text.p[text.n - 1]))
        text.n--;
    const bool is_cut = text.n > WORDS_MAX_BYTES;
    cleanup_buf struct buf clean = {0};
    utf8_sanitize(&clean, text.p, is_cut ? WORDS_MAX_BYTES : text.n);
    for (size_t i = 0; i < clean.n; i++) {
        const bool is_space = clean.p[i] == '\n' || clean.p[i] == '\t';
        if (is_space)
            buf_addc(out, ' ');
        else
            buf_addc(out, clean.p[i]);
    }
    if (is_cut)
        buf_adds(out, "...");
}

/* How the helper ended, for a message. */
static void describe_end(struct buf *out, int status, int why)
{
    if (why == -EPROTO)
        buf_adds(out, "the SSH helper sent what makes no sense");
    else if (why == -ETIMEDOUT)
        buf_adds(out, "the SSH helper did not answer");
    else if (status >= 0 && WIFSIGNALED(status))
        buf_addf(out, "the SSH helper was killed by signal %d", WTERMSIG(status));
    else
        buf_adds(out, "the SSH helper ended");
}

int session_lost(struct ssh_session *s, const char *doing, int why, struct vmm_error **errp)
{
    /* One that closed its socket is on its way out: a moment for its exit status. */
    const int status = helper_close(TAKE_PTR(s->helper), why == -EPIPE ? 200 : 0);
    cleanup_buf struct buf words = {0};
    describe_end(&words, status, why);
    return vmm_fail(errp,
        &(struct diag){.code = VMM_E_SSH,
            .reason = "connection",
            .help =
                "The connection to the guest is lost; see whether it still runs and try again."},
        "could not %s: %s", doing, buf_cstr(&words));
}
