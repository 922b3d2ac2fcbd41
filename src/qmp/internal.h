/* Shared by the files of this folder and its tests. */
#pragma once

#include "qmp/decode.h"

/* Events nobody has fetched yet, oldest first. Bounded in number and, because one event may be a
 * whole line, in memory. Zeroed is empty. */
enum { QMP_EVENTS_MAX_BYTES = 32 << 20 };

struct queued_event;

struct event_queue {
    struct queued_event *first;
    struct queued_event *last;
    unsigned count;
    size_t cost_bytes;
    uint64_t dropped;
};

/* Takes what the event owns. */
void event_queue_push(struct event_queue *queue, struct qmp_event *event, size_t cost_bytes);
bool event_queue_pop(struct event_queue *queue, struct qmp_event *ret);
void event_queue_done(struct event_queue *queue);

/* qmp_open_fd with the id its first command will have; tests know what to answer then. */
int qmp_open_fd_with(
    int fd, int64_t first_id, struct deadline deadline, struct qmp **ret, struct vmm_error **errp);
