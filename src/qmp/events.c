#include "qmp/internal.h"

#include "base/alloc.h"

#include <stdlib.h>

struct queued_event {
    struct queued_event *next;
    size_t cost_bytes;
    struct qmp_event event;
};

void qmp_event_done(struct qmp_event *event)
{
    json_decref(event->data);
    *event = (struct qmp_event){0};
}

bool event_queue_pop(struct event_queue *queue, struct qmp_event *ret)
{
    struct queued_event *first = queue->first;
    if (!first)
        return false;
    queue->first = first->next;
    if (!queue->first)
        queue->last = NULL;
    queue->count--;
    queue->cost_bytes -= first->cost_bytes;
    *ret = first->event;
    free(first);
    return true;
}

void event_queue_push(struct event_queue *queue, struct qmp_event *event, size_t cost_bytes)
{
    struct queued_event *item = xmalloc(sizeof(*item));
    *item = (struct queued_event){.cost_bytes = cost_bytes, .event = *event};
    *event = (struct qmp_event){0};
    if (queue->last)
        queue->last->next = item;
    else
        queue->first = item;
    queue->last = item;
    queue->count++;
    queue->cost_bytes += cost_bytes;

    /* The newest always stays: it is what the VM does now. */
    while (queue->count > QMP_EVENTS_MAX ||
           (queue->cost_bytes > QMP_EVENTS_MAX_BYTES && queue->count > 1)) {
        struct qmp_event oldest = {0};
        event_queue_pop(queue, &oldest);
        qmp_event_done(&oldest);
        queue->dropped++;
    }
}

void event_queue_done(struct event_queue *queue)
{
    struct qmp_event event;
    while (event_queue_pop(queue, &event))
        qmp_event_done(&event);
    *queue = (struct event_queue){0};
}
