/*
 * What the user message of a later turn says about the attempt before it. The attempt itself stands
 * above it in the conversation and is not repeated. Private to rollout/.
 *
 *     <feedback_open>
 *     1/3 tests passed.
 *     <what the verifier says: failing assertions, values got, the last line of a trace>
 *
 *     <feedback_close>
 *
 * Without tests (an answer that could not be read, a verifier that runs no code) the first two
 * lines are left out and a plain sentence stands in for a silent verifier.
 */
#ifndef RL_ROLLOUT_FEEDBACK_H
#define RL_ROLLOUT_FEEDBACK_H

#include "rl/rollout/rollout.h"

/* verdict is not UNKNOWN. The text is the arena's; it may hold NUL bytes. */
const char *rl_feedback_text(const rl_rollout_opts *opts, const rl_verdict *verdict,
                             rl_arena *arena, size_t *len);

#endif
