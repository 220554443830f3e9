/*
 * Filters on what may be drawn, in the order and meaning of transformers: each judges what the one
 * before it left, and the most probable token always stays.
 *
 *   temperature  logits / temperature
 *   top_k        tokens whose logit is at least the k-th largest; ties with it stay
 *   top_p        from the most probable token on, the lowest id first among equals, until their
 *                share of what top_k left reaches top_p; the one that reaches it stays
 *   min_p        tokens at least min_p times as probable as the most probable one
 *
 * A token is then drawn in proportion to its probability among those that stay, by the same random
 * number and in the same way as without filters. Log-prob and entropy that a decoder reports stay
 * those of the temperature's distribution over all tokens: what scoring and training compute from
 * the ids. With filters they are therefore not those of the distribution drawn from, which is the
 * bias that a recipe must accept by name (rollout.accept_filter_bias).
 */
#ifndef RL_POLICY_SAMPLER_H
#define RL_POLICY_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

/* All zero: no filter. */
typedef struct rl_filter {
    int32_t top_k; // 0: off
    double top_p;  // in (0, 1]; 0 and 1: off
    double min_p;  // in [0, 1]; 0: off
} rl_filter;

bool rl_filter_is_on(const rl_filter *filter);
/*
 * Sets the logits of the tokens that are filtered out to -infinity. temperature > 0. A row without
 * a largest finite logit is left as it is. heap[n] is for the call alone.
 */
void rl_filter_row(const rl_filter *filter, double temperature, float *logit, int32_t n,
                   int32_t *heap);

#endif
