/*
 * One step's experience: prompts are drawn, groups of completions sampled and judged, and failed
 * attempts shown their feedback and tried again, turn by turn (Murphy's tree, docs/tour.md). With
 * turns = 1 it is plain GRPO sampling. The result is a batch whose memory is the step arena's.
 */
#ifndef RL_ROLLOUT_ROLLOUT_H
#define RL_ROLLOUT_ROLLOUT_H

#include "rl/core/arena.h"
#include "rl/core/batch.h"
#include "rl/core/pool.h"
#include "rl/core/schema.h"
#include "rl/policy/chat.h"
#include "rl/rewards/verifier.h"
#include "rl/rollout/dataset.h"
#include "rl/rollout/engine.h"

typedef struct rl_rollout_opts {
    int32_t prompts;    // problems a step
    int32_t group_size; // completions from one context, at every turn
    int32_t turns;
    int32_t max_new_tokens;
    double temperature;
    int32_t top_k; // these three as in rl_filter
    double top_p, min_p;
    bool accept_filter_bias;
    int32_t max_batch; // rows decoded at a time
    const char *engine;
    const char *feedback_open, *feedback_close; // words around what a verifier says of a failure
} rl_rollout_opts;
extern const rl_section rl_rollout_section;

/* A verifier in use: the row, its opened self, its name in metrics and its weight in the reward. */
typedef struct rl_judge {
    const rl_verifier *row;
    void *self;
    const char *name;
    double weight;
} rl_judge;

/*
 * What a failed attempt's next one sees. Training shows it the feedback on its own failure; the
 * others are the controls of an evaluation, which tell whether the feedback is read. First attempts
 * are the same bits in all three, and a next attempt draws from the same random stream.
 */
typedef enum rl_retry {
    RL_RETRY_FEEDBACK,       // the conversation goes on with the feedback on the attempt
    RL_RETRY_FRESH,          // the problem's prompt alone, as a first attempt does
    RL_RETRY_WRONG_FEEDBACK, // the conversation goes on with the feedback on the next attempt, in
                             // order and around the end, that failed at the same turn of another
                             // problem of the step; where none did, there is no next attempt
} rl_retry;
enum { RL_N_RETRIES = RL_RETRY_WRONG_FEEDBACK + 1 };
extern const char *const rl_retry_names[]; // "feedback", "fresh", "wrong_feedback", NULL

/* Why a completion ended. */
typedef enum rl_finish { RL_FINISH_STOP, RL_FINISH_LENGTH } rl_finish;

/*
 * What files and metrics tell of a sample beyond the batch; parallel to batch.sample. Texts may
 * hold NUL bytes, which a model can sample: only their lengths tell where they end.
 */
typedef struct rl_sample_story {
    const rl_problem *problem;
    const char *completion; // text, special tokens left out
    const char *feedback;   // what a later turn was or would be shown; NULL when none
    size_t completion_len, feedback_len;
    rl_verdict_kind verdict; // of the first judge that runs code, else of the first
    rl_finish finish;
    bool solved; // every judge gave its full score
    bool lone;   // not tried again: it wanted another problem's feedback and there was none
} rl_sample_story;

typedef struct rl_rollout_result {
    rl_batch batch;
    rl_sample_story *story;   // [batch.n_samples]
    const char **prompt_text; // [batch.n_groups] the whole context of a group as text
    size_t *prompt_text_len;
    const int32_t **prompt_token; // [batch.n_groups] its ids from position 0
    int32_t *n_prompt_tokens;
    // Outcomes of programs that ran against tests, over all judges, cached verdicts included.
    int32_t n_ok, n_fail, n_timeout;
    // Verdicts asked for (samples times judges), and those of them that could not be reached. Where
    // the two are equal nothing was judged: the sandbox, say, is gone, and there is nothing to
    // train.
    int32_t n_verdicts, n_unknown;
    const char
        *unknown_cause; // why the first of n_unknown was not reached; NULL when n_unknown is 0
    int32_t n_no_room;  // failed attempts not tried again since the context was full
    double generate_s, reward_s;
    const struct rl_tree *tree; // for rl_rollout.first
} rl_rollout_result;

/* Everything a rollout works with; all borrowed. */
typedef struct rl_rollout {
    const rl_rollout_opts *opts;
    rl_retry retry;
    int32_t retries; // completions from a later context; 0 for opts->group_size
    // First attempts to take over rather than draw: a result of the same problems, opts, seed, step
    // and arena, and the engine still has its nodes. They are counted there, not here.
    const rl_rollout_result *first;
    const rl_engine *engine;
    void *engine_self;
    const rl_tokenizer *tokenizer;
    const rl_chat *chat;
    rl_pool *waiters;      // threads that wait for verifiers
    const rl_judge *judge; // [n_judges] at least one
    int32_t n_judges;
    const int32_t *stop; // ids that end a completion
    int32_t n_stop;
    int32_t max_positions; // of the model; a later turn that leaves no room is not opened
} rl_rollout;

/*
 * problem[n_problems] are the step's problems; the same one may occur more than once. seed and step
 * address the random streams. Evaluation calls this too, with its own opts and step 0 streams.
 * logp_old of the batch is logp_sampled: the sampler's forward is the trainer's. keep is as scored.
 */
rl_status rl_rollout_step(const rl_rollout *rollout, const rl_problem *const *problem,
                          int32_t n_problems, uint64_t seed, uint32_t step, rl_arena *arena,
                          rl_rollout_result *out, rl_err *err) RL_MUST_USE;

#endif
