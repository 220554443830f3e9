#include "rollout/order.h"

#include "rl/core/alloc.h"
#include "rl/core/assert.h"
#include "rl/core/rng.h"

static void make(rl_order *order, int32_t size, uint64_t seed, bool shuffle, int64_t epoch) {
    order->place = rl_realloc(order->place, (size_t)size, sizeof *order->place);
    if (shuffle) {
        rl_rng rng = {.seed = seed, .step = (uint32_t)epoch, .purpose = RL_RNG_SHUFFLE};
        rl_rng_permutation(&rng, order->place, size);
    } else {
        for (int32_t i = 0; i < size; i++) {
            order->place[i] = i;
        }
    }
    order->size = size;
    order->seed = seed;
    order->epoch = epoch;
    order->shuffled = shuffle;
}

int32_t rl_order_pick(rl_order *order, int32_t size, uint64_t seed, bool shuffle, int64_t n) {
    RL_ASSERT(size > 0 && n >= 0);
    int64_t epoch = n / size;
    if (order->size != size || order->seed != seed || order->epoch != epoch ||
        order->shuffled != shuffle) {
        make(order, size, seed, shuffle, epoch);
    }
    return order->place[n % size];
}

void rl_order_release(rl_order *order) {
    rl_free(order->place);
    *order = (rl_order){0};
}
