#include "rl/core/clock.h"

#include <time.h>

static double seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double rl_clock_now(void) {
    return seconds(CLOCK_MONOTONIC);
}

int64_t rl_clock_ms(void) {
    return (int64_t)(rl_clock_now() * 1000.0);
}

double rl_clock_wall(void) {
    return seconds(CLOCK_REALTIME);
}

void rl_clock_sleep_ms(int64_t ms) {
    struct timespec wait = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000};
    while (nanosleep(&wait, &wait) != 0) {
    }
}
