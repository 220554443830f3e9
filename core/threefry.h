/* The block function under rng.c, apart so that its known answers can be tested. */
#ifndef RL_CORE_THREEFRY_H
#define RL_CORE_THREEFRY_H

#include <stdint.h>

void rl_threefry(const uint64_t key[4], const uint64_t counter[4], uint64_t out[4]);

#endif
