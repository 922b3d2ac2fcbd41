/* Time for waiting, never for display: CLOCK_MONOTONIC, which no user can set and which stands
 * still while the machine sleeps, as the guests do that are waited for. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

int64_t clock_ms(void);

/* A point in time, in the milliseconds of clock_ms. */
struct deadline {
    int64_t at_ms;
};

struct deadline deadline_in_ms(int64_t ms);
/* Never negative. Fits poll(): at most INT_MAX. */
int deadline_left_ms(struct deadline d);
bool deadline_passed(struct deadline d);
struct deadline deadline_sooner(struct deadline a, struct deadline b);
