#include "rl/core/rng.h"

#include <math.h>

#include "core/threefry.h"
#include "rl/core/assert.h"
#include "rl/core/fmath.h"

/* Rotations and key constant of Threefry-4x64 (Random123, threefry.h). */
static const uint8_t rotation[8][2] = {{14, 16}, {52, 57}, {23, 40}, {5, 37},
                                       {25, 33}, {46, 12}, {58, 22}, {32, 32}};
static const uint64_t parity = 0x1BD11BDAA9FC1A22u;

static uint64_t rotl(uint64_t x, unsigned n) {
    return (x << n) | (x >> (64 - n));
}

void rl_threefry(const uint64_t key[4], const uint64_t counter[4], uint64_t out[4]) {
    uint64_t ks[5] = {key[0], key[1], key[2], key[3], parity ^ key[0] ^ key[1] ^ key[2] ^ key[3]};
    uint64_t x0 = counter[0] + ks[0], x1 = counter[1] + ks[1];
    uint64_t x2 = counter[2] + ks[2], x3 = counter[3] + ks[3];
    for (unsigned r = 0; r < 20; r += 2) {
        const uint8_t *even = rotation[r % 8], *odd = rotation[(r + 1) % 8];
        x0 += x1;
        x1 = rotl(x1, even[0]) ^ x0;
        x2 += x3;
        x3 = rotl(x3, even[1]) ^ x2;
        x0 += x3;
        x3 = rotl(x3, odd[0]) ^ x0;
        x2 += x1;
        x1 = rotl(x1, odd[1]) ^ x2;
        if (r % 4 == 2) {
            unsigned s = r / 4 + 1;
            x0 += ks[s % 5];
            x1 += ks[(s + 1) % 5];
            x2 += ks[(s + 2) % 5];
            x3 += ks[(s + 3) % 5] + s;
        }
    }
    out[0] = x0;
    out[1] = x1;
    out[2] = x2;
    out[3] = x3;
}

/* The address is the key, so streams cannot overlap; block numbers further draws at one index. */
static void block_at(const rl_rng *rng, uint64_t index, uint64_t block, uint64_t out[4]) {
    uint64_t key[4] = {rng->seed, (uint64_t)rng->step << 32 | rng->problem,
                       (uint64_t)rng->sample << 32 | rng->turn, (uint64_t)rng->purpose};
    uint64_t counter[4] = {index, block, 0, 0};
    rl_threefry(key, counter, out);
}

uint64_t rl_rng_bits(const rl_rng *rng, uint64_t index) {
    uint64_t word[4];
    block_at(rng, index, 0, word);
    return word[0];
}

double rl_rng_uniform(const rl_rng *rng, uint64_t index) {
    return (double)(rl_rng_bits(rng, index) >> 11) * 0x1p-53;
}

uint64_t rl_rng_below(const rl_rng *rng, uint64_t index, uint64_t n) {
    uint64_t word[4], reject;
    RL_ASSERT(n > 0);
    reject = (0 - n) % n; // 2^64 mod n: that many smallest words would favour small results
    for (uint64_t block = 0;; block++) {
        block_at(rng, index, block, word);
        for (int i = 0; i < 4; i++) {
            if (word[i] >= reject) {
                return word[i] % n;
            }
        }
    }
}

double rl_rng_normal(const rl_rng *rng, uint64_t index) {
    uint64_t word[4];
    double u, v;
    block_at(rng, index, 0, word);
    u = (double)((word[0] >> 11) + 1) * 0x1p-53; // in (0, 1], so that the logarithm is finite
    v = (double)(word[1] >> 11) * 0x1p-53;
    return sqrt(-2.0 * rl_ln(u)) * rl_cos(6.28318530717958647692 * v);
}

void rl_rng_permutation(const rl_rng *rng, int32_t *order, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        order[i] = i;
    }
    for (int32_t i = n - 1; i > 0; i--) {
        int32_t j = (int32_t)rl_rng_below(rng, (uint64_t)i, (uint64_t)i + 1);
        int32_t kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
}
