/*
 * Random numbers by address: the same address always gives the same number, whoever asks, in
 * whatever order and on whatever thread. Threefry-4x64 with 20 rounds (Salmon et al., "Parallel
 * random numbers: as easy as 1, 2, 3", SC 2011). Pure functions, thread-safe.
 */
#ifndef RL_CORE_RNG_H
#define RL_CORE_RNG_H

#include <stdint.h>

/* What a stream is for; streams of different purpose never meet. Append only: numbers are in
 * checkpoints. */
typedef enum rl_rng_purpose {
    RL_RNG_SAMPLE,  // tokens of a completion; index = position in the completion
    RL_RNG_SHUFFLE, // order of the data set; step = epoch, index = place
    RL_RNG_INIT,    // initial weights; problem = number of the tensor, index = element
    RL_RNG_TEST,    // property tests and generated inputs
    RL_RNG_ADAPTER, // initial adapters; problem = number of the tensor they adapt, index = element
} rl_rng_purpose;

typedef struct rl_rng {
    uint64_t seed;
    uint32_t step, problem, sample, turn;
    rl_rng_purpose purpose;
} rl_rng;

/* 64 random bits at (rng, index). */
uint64_t rl_rng_bits(const rl_rng *rng, uint64_t index);
/* Uniform in [0, 1) with 53 bits. */
double rl_rng_uniform(const rl_rng *rng, uint64_t index);
/* Uniform in [0, n), without bias; n > 0. */
uint64_t rl_rng_below(const rl_rng *rng, uint64_t index, uint64_t n);
/* Standard normal (Box-Muller on two uniforms of the same block). */
double rl_rng_normal(const rl_rng *rng, uint64_t index);
/* Fisher-Yates shuffle of order[0..n), which is overwritten with a permutation of 0..n-1. */
void rl_rng_permutation(const rl_rng *rng, int32_t *order, int32_t n);

#endif
