/*
 * A batch of sampled completions: the contract between rollout, rewards, algos and train.
 *
 * Invariants:
 *  1. Parents are stored before their children.
 *  2. Samples that saw the same context, and only those, share a group; a group is contiguous.
 *  3. Hence the children of one attempt are exactly one group, and a backward walk over groups
 *     visits every later turn before the attempt it pays back.
 *
 * All memory belongs to the step arena; nothing here outlives the step. Turns count from 0 here and
 * from 1 in files and metrics.
 */
#ifndef RL_CORE_BATCH_H
#define RL_CORE_BATCH_H

#include <stdbool.h>
#include <stdint.h>

typedef struct rl_sample {
    int32_t group;   // siblings: same context, compared with each other
    int32_t parent;  // index of the earlier attempt whose feedback this one saw, or -1
    int32_t turn;    // 0 for first attempts
    int32_t problem; // data-set item this grew from; the root of its tree
    int32_t task, domain, dataset, label; // kinds of problem, from the data set; -1 when absent

    uint32_t tok_begin, tok_end; // half-open range in the token arrays below

    double reward;    // set by rewards: what this attempt earned by itself
    double credit;    // set by algo.credit: reward after later turns paid back
    double advantage; // set by algo.advantage, rescaled by algo.modulate
    bool truncated;   // hit the length limit
    bool scored;      // false when no verdict could be reached; such samples never train
    bool keep;        // cleared by algo.select
} rl_sample;

/*
 * What a group saw beyond its parent attempt. The context of a sample is the chain: context of the
 * root group, that attempt's completion tokens, context of the next group, ... down to its own
 * group. Token ids are appended along the chain, never re-tokenised.
 */
typedef struct rl_group {
    int32_t parent;              // sample the group continues, or -1 for first attempts
    int32_t first, n_samples;    // its samples are sample[first .. first + n_samples)
    uint32_t ctx_begin, ctx_end; // ids it adds, in context_token: the prompt, or the feedback turn
    bool fresh; // the context restarts here: the chain ends although there is a parent
} rl_group;

/* How many distinct values each tag takes in the data set; known before the first step. */
typedef struct rl_tag_counts {
    int32_t tasks, domains, datasets, labels;
} rl_tag_counts;

typedef struct rl_batch {
    rl_sample *sample; // [n_samples]
    int32_t n_samples;
    const rl_group *group; // [n_groups]
    int32_t n_groups;
    const int32_t *context_token; // [n_context_tokens] ids not written by the policy
    uint32_t n_context_tokens;
    int32_t n_turns;            // turns the recipe allows, whether or not this batch needed them
    int32_t max_new_tokens;     // tokens a completion may have, by the recipe
    const int32_t *token;       // [n_tokens] completion tokens, feedback written by others included
    const uint8_t *trainable;   // [n_tokens] 1 where the policy sampled the token and it counts
    const double *logp_sampled; // [n_tokens] as the sampler reported them
    const double *logp_old;     // [n_tokens] under the trainer's weights at the start of the step
    const double *logp_ref;     // [n_tokens] under the frozen reference, or NULL
    const double *entropy;      // [n_tokens] of the next-token distribution, or NULL
    uint32_t n_tokens;
    double *reward_part; // [n_samples][n_parts] rewards by name, before weighting
    int32_t n_parts;
    double *log_z; // [n_samples] learned log-partition where the loss has one, else NULL
} rl_batch;

/* NULL, or the first broken rule about groups, parents, turns and token ranges: for asserts and
 * tests. */
const char *rl_batch_check(const rl_batch *batch);

#endif
