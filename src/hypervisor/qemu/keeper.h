/* The process that stays with a running VM. It holds QEMU as its child, listens to the serial port
 * and to a monitor of its own, writes console.log and events.log within bounds, serves console.sock
 * to any number of viewers and records how the VM ended. It decides nothing. Killed, it is
 * replaced: the next command starts a keeper that dials back in, and the guest notices nothing.
 *
 * A tool talks to a new keeper over a socket pair: one request, one answer, each a JSON object in a
 * frame of four bytes big-endian length. Then the pair is closed and the keeper is on its own. */
#pragma once

#include "base/clock.h"
#include "base/json.h"
#include "vmm/error.h"

enum { KEEPER_FRAME_MAX_BYTES = 1 << 20 };

/* Takes neither. 0, or an error that names what was waited for. `cancel_fd`: readable means stop
 * (VMM_E_INTERRUPTED); 0 or less is none. */
int keeper_send(int fd, json_t *message, struct vmm_error **errp);
int keeper_receive(
    int fd, int cancel_fd, struct deadline deadline, json_t **ret_message, struct vmm_error **errp);

/* Everything the helper process does; returns its exit status. */
int keeper_main(int request_fd);
