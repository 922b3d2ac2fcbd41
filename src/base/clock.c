#include "base/clock.h"

#include <limits.h>
#include <time.h>

int64_t clock_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

struct deadline deadline_in_ms(int64_t ms)
{
    return (struct deadline){.at_ms = clock_ms() + ms};
}

int deadline_left_ms(struct deadline d)
{
    const int64_t left = d.at_ms - clock_ms();
    if (left <= 0)
        return 0;
    return left > INT_MAX ? INT_MAX : (int)left;
}

bool deadline_passed(struct deadline d)
{
    return deadline_left_ms(d) == 0;
}

struct deadline deadline_sooner(struct deadline a, struct deadline b)
{
    return a.at_ms < b.at_ms ? a : b;
}
