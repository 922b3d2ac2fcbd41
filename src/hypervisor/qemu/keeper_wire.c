#include "hypervisor/qemu/keeper.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fs.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int broken(struct vmm_error **errp)
{
    return vmm_fail(errp,
        &(struct diag){.code = VMM_E_HELPER,
            .help = "Run the command again; events.log in the VM's folder may tell why."},
        "the keeper of the VM ended before it could answer");
}

int keeper_send(int fd, json_t *message, struct vmm_error **errp)
{
    cleanup_free char *text = json_dumps(message, JSON_COMPACT);
    const size_t n = strlen(text);
    const unsigned char head[4] = {(unsigned char)(n >> 24), (unsigned char)(n >> 16),
        (unsigned char)(n >> 8), (unsigned char)n};
    if (n > KEEPER_FRAME_MAX_BYTES || fs_write_all(fd, head, 4) < 0 ||
        fs_write_all(fd, text, n) < 0)
        return broken(errp);
    return 0;
}

/* 0, -ETIMEDOUT, -ECANCELED, or -EPIPE at the end. */
static int read_exactly(int fd, int cancel_fd, void *p, size_t n, struct deadline deadline)
{
    for (char *at = p; n > 0;) {
        struct pollfd fds[2] = {
            {.fd = fd, .events = POLLIN}, {.fd = cancel_fd > 0 ? cancel_fd : -1, .events = POLLIN}};
        const int ready = poll(fds, 2, deadline_left_ms(deadline));
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return -ETIMEDOUT;
        if (fds[1].revents)
            return -ECANCELED;
        const ssize_t got = read(fd, at, n);
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (got <= 0)
            return -EPIPE;
        at += got;
        n -= (size_t)got;
    }
    return 0;
}

int keeper_receive(
    int fd, int cancel_fd, struct deadline deadline, json_t **ret_message, struct vmm_error **errp)
{
    unsigned char head[4];
    cleanup_buf struct buf text = {0};
    int r = read_exactly(fd, cancel_fd, head, 4, deadline);
    const size_t n = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
    if (r == 0 && n > KEEPER_FRAME_MAX_BYTES)
        r = -EPIPE;
    if (r == 0)
        r = read_exactly(fd, cancel_fd, buf_reserve(&text, n), n, deadline);
    if (r == -ECANCELED)
        return vmm_fail(
            errp, &(struct diag){.code = VMM_E_INTERRUPTED}, "the start was interrupted");
    if (r == -ETIMEDOUT)
        return vmm_fail(errp, &(struct diag){.code = VMM_E_QMP_CONNECT, .reason = "timeout"},
            "QEMU did not answer on its monitor in time");
    if (r < 0)
        return broken(errp);
    json_error_t ignored;
    json_t *message = json_parse((struct str){text.p, n}, &ignored);
    if (!json_is_object(message)) {
        json_decref(message);
        return broken(errp);
    }
    *ret_message = message;
    return 0;
}
