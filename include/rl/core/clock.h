/* Time: monotonic for durations, wall for stamps. Thread-safe. */
#ifndef RL_CORE_CLOCK_H
#define RL_CORE_CLOCK_H

#include <stdint.h>

/* Seconds since an arbitrary start; never goes back. */
double rl_clock_now(void);
/* Milliseconds of the same clock. */
int64_t rl_clock_ms(void);
/* Seconds since 1970, UTC. */
double rl_clock_wall(void);
void rl_clock_sleep_ms(int64_t ms);

#endif
