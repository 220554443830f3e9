/*
 * Records of the data sets people have, turned into problems. Private to rollout/.
 *
 * The shape is told by the keys:
 *   MBPP       'text', 'test_list', 'test_imports' or 'test_setup_code' is there. The full set asks
 *              in 'text', the sanitized one in 'prompt'; 'test_list' holds assert statements and
 *              must not be empty; imports and set-up code run before them. 'challenge_test_list' is
 *              not used, as nobody scores by it. The prompt shows the tests, as MBPP intends.
 *   HumanEval  'entry_point', 'test' or 'canonical_solution' is there; needs 'prompt' (code to
 *              complete), 'entry_point' and 'test' (source that defines check).
 *   prompt     'prompt' alone (TRL prompt-only): text, or messages ending with the user's. Other
 *              columns are for verifiers: the gold answer is 'answer', 'ground_truth' or
 * 'solution'. A list of messages as the prompt is taken as it is in every shape. 'id' or 'task_id'
 * names the problem, else its line does.
 */
#ifndef RL_ROLLOUT_DIALECTS_H
#define RL_ROLLOUT_DIALECTS_H

#include "rl/core/arena.h"
#include "rl/core/json.h"
#include "rl/rollout/dataset.h"

/* Fills all of out but index and tags; texts go to the arena. err gets the reason without file and
 * line. */
rl_status rl_dialect_read(const rl_json *record, int64_t line, const char *system, rl_arena *arena,
                          rl_problem *out, rl_err *err) RL_MUST_USE;

/* A scalar as text in the arena (text as it is, numbers and booleans as JSON); NULL for null and
 * absent. Lists and objects come as compact JSON. */
const char *rl_dialect_text(const rl_json *value, rl_arena *arena);

/* rl_dataset_load from memory; name stands in errors. */
rl_status rl_dataset_parse(const char *name, const char *text, size_t text_len, const char *system,
                           rl_dataset **out, rl_err *err) RL_MUST_USE;

#endif
