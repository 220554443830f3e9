/* The order of an endless reading in epochs. Private to rollout/. */
#ifndef RL_ROLLOUT_ORDER_H
#define RL_ROLLOUT_ORDER_H

#include <stdbool.h>
#include <stdint.h>

/* Keeps the order of the epoch asked for last. The zero value is ready; release frees. */
typedef struct rl_order {
    int32_t *place; // [size] a permutation
    int32_t size;
    uint64_t seed;
    int64_t epoch;
    bool shuffled;
} rl_order;

/* Which of `size` items is read n-th: each epoch holds each item once, in an order of its own drawn
 * from seed, or in their own order when shuffle is false. */
int32_t rl_order_pick(rl_order *order, int32_t size, uint64_t seed, bool shuffle, int64_t n);
void rl_order_release(rl_order *order);

#endif
