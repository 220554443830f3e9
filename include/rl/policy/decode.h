/*
 * Generation with a cache of keys and values kept as a tree: a context is computed once and shared
 * by all that continue it, across turns too. Log-probs are those of score.h, bit for bit.
 *
 * Life cycle: rl_decoder_new; per step rl_decoder_reset, then rounds of rl_decoder_run;
 * rl_decoder_free. Nodes are numbered from 0 and live until the reset. One thread calls.
 */
#ifndef RL_POLICY_DECODE_H
#define RL_POLICY_DECODE_H

#include <stdbool.h>
#include <stdint.h>

#include "rl/core/arena.h"
#include "rl/core/rng.h"
#include "rl/policy/policy.h"
#include "rl/policy/sampler.h"

typedef struct rl_decoder rl_decoder;

/* max_batch rows are decoded at a time; cache memory grows in pages as it is used. */
rl_status rl_decoder_new(rl_policy *policy, int32_t max_batch, rl_decoder **out,
                         rl_err *err) RL_MUST_USE;
void rl_decoder_free(rl_decoder *decoder);  // accepts NULL
void rl_decoder_reset(rl_decoder *decoder); // forgets all nodes; keeps memory

/* One context and how many completions to draw from it. */
typedef struct rl_prompt {
    int32_t parent;       // node it continues (a completion of an earlier run), or -1
    const int32_t *token; // [n_tokens] ids to append; at least one
    int32_t n_tokens;
    int32_t n_samples;
    const rl_rng
        *rng; // [n_samples] where each completion's random numbers come from; index = position
} rl_prompt;

typedef struct rl_decode_opts {
    int32_t max_new_tokens;
    double temperature;  // 0 is greedy
    const int32_t *stop; // [n_stop] ids that end a completion; the stop token is part of it
    int32_t n_stop;
    rl_filter filter; // on what is drawn; not where temperature is 0
    // Told of every token as it is drawn, with the number of its completion in out; true ends that
    // completion, as a stop id does. NULL: nobody watches.
    bool (*watch)(void *self, int32_t completion, int32_t token);
    void *watch_self;
} rl_decode_opts;

typedef struct rl_completion {
    int32_t node;
    int32_t n_tokens;
    const int32_t *token; // [n_tokens] in the arena given
    // [n_tokens] under the sampling temperature (1 when greedy), before filters
    const double *logp;
    const double *entropy; // [n_tokens]
    bool truncated;        // reached max_new_tokens without a stop token
} rl_completion;

/* Tokens and seconds spent, added up since the decoder was made. */
typedef struct rl_decode_stats {
    int64_t prefill_tokens, decode_tokens;
    double prefill_s, decode_s;
} rl_decode_stats;

/*
 * out holds the completions of prompt 0, then of prompt 1, ... A sequence that would pass the
 * model's max_positions is cut there and marked truncated; a context that leaves no room is
 * RL_UNSUPPORTED. After RL_MEMORY the decoder must be reset.
 */
rl_status rl_decoder_run(rl_decoder *decoder, const rl_prompt *prompt, int32_t n_prompts,
                         const rl_decode_opts *opts, rl_arena *arena, rl_completion *out,
                         rl_err *err) RL_MUST_USE;
rl_decode_stats rl_decoder_stats(const rl_decoder *decoder);

#endif
