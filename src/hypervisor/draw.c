#include "hypervisor/draw.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PORT_FIRST = 10022,
    PORT_COUNT = 101,
    PORT_MORE_LAST = 18191, /* for those with more VMs than the documented range has ports */
};

void draw_uuid(char ret_uuid[37])
{
    unsigned char b[16];
    if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
        abort();
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    char *to = ret_uuid;
    for (size_t i = 0; i < sizeof(b); i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *to++ = '-';
        snprintf(to, 3, "%02x", b[i]);
        to += 2;
    }
}

void mac_from_uuid(const char *uuid, char ret_mac[18])
{
    /* The last six digits of a version 4 UUID are random. */
    const char *tail = uuid + strlen(uuid) - 6;
    snprintf(ret_mac, 18, "52:54:00:%.2s:%.2s:%.2s", tail, tail + 2, tail + 4);
}

struct port_walk port_walk_start(const char *name)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    return (struct port_walk){.start = hash % PORT_COUNT};
}

uint16_t port_walk_next(struct port_walk *walk)
{
    const uint32_t step = walk->step++;
    if (step < PORT_COUNT)
        return (uint16_t)(PORT_FIRST + (walk->start + step) % PORT_COUNT);
    return PORT_FIRST + step <= PORT_MORE_LAST ? (uint16_t)(PORT_FIRST + step) : 0;
}

bool port_is_free(uint16_t port)
{
    const int fd = port_reserve(port);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static int bind_loopback(int type, uint16_t port, bool reuse)
{
    const int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    const struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    const int on = 1;
    if ((reuse && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0) ||
        bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        const int r = -errno;
        close(fd);
        return r;
    }
    return fd;
}

/* The token is the UDP port of the same number: it takes one holder only, of whatever user, and it
 * is free again the instant it is closed. (The TCP port itself cannot be held: QEMU must be able to
 * listen on it meanwhile, and connections of the VM's last run may keep it in TIME_WAIT.) While we
 * hold the token, a listening socket tells whether the TCP port can be had. */
int port_reserve(uint16_t port)
{
    const int token = bind_loopback(SOCK_DGRAM, port, /* reuse */ false);
    if (token < 0)
        return token;
    int probe = bind_loopback(SOCK_STREAM, port, /* reuse */ true);
    if (probe >= 0 && listen(probe, 1) < 0) {
        const int r = -errno;
        close(probe);
        probe = r;
    }
    if (probe < 0) {
        close(token);
        return probe;
    }
    close(probe);
    return token;
}
