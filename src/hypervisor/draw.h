/* Numbers a VM gets for life: its id, its MAC address, its ssh port. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* A version 4 UUID. */
void draw_uuid(char ret_uuid[37]);
/* A locally administered address of QEMU's range, made from the id. */
void mac_from_uuid(const char *uuid, char ret_mac[18]);

/* Ports for the forward to a guest's sshd, in the order a VM of that name should try them: 10022 to
 * 10122 from a place its name decides, then onwards. 0 ends the walk. */
struct port_walk {
    uint32_t start;
    uint32_t step;
};
struct port_walk port_walk_start(const char *name);
uint16_t port_walk_next(struct port_walk *walk);
/* Nobody on 127.0.0.1 listens there or has it reserved at this moment. */
bool port_is_free(uint16_t port);
/* Keeps a TCP port of 127.0.0.1 until the fd is closed: nobody else can reserve it, QEMU can listen
 * on it. An fd or -errno (-EADDRINUSE: reserved or listened on). */
int port_reserve(uint16_t port);
