#include "train/eval.h"

#include <math.h>

#include "rl/core/alloc.h"
#include "train/record.h"

// Share of first attempts whose tree holds a solved sample; unscored trees are left out.
static double solved_within(const rl_rollout_result *r) {
    const rl_batch *batch = &r->batch;
    bool *solved = rl_alloc((size_t)batch->n_samples, sizeof *solved);
    int64_t n = 0, n_solved = 0;
    for (int32_t i = batch->n_samples; i-- > 0;) {
        const rl_sample *s = &batch->sample[i];
        solved[i] = solved[i] || (s->scored && r->story[i].solved);
        if (s->parent >= 0) {
            solved[s->parent] = solved[s->parent] || solved[i];
        } else if (s->scored) {
            n++;
            n_solved += solved[i];
        }
    }
    rl_free(solved);
    return n > 0 ? (double)n_solved / (double)n : (double)NAN;
}

rl_status eval_run(const setup *s, int64_t step, rl_arena *arena, rl_metrics *out, rl_err *err) {
    const rl_recipe *recipe = s->recipe;
    rl_rollout_opts opts = recipe->rollout;
    rl_rollout rollout = setup_rollout(s, &opts);
    rl_rollout_result result;
    const rl_problem **problem;
    int32_t limit = recipe->eval.problems, n = 0, size = rl_dataset_size(s->eval);
    rl_status status;
    opts.group_size = 1;
    opts.temperature = recipe->eval.temperature;
    rl_arena_reset(arena);
    problem = rl_arena_alloc(arena, (size_t)size, sizeof problem[0]);
    for (int32_t i = 0; i < size && (limit == 0 || n < limit); i++) {
        if (!rl_dataset_is_skipped(s->eval, i)) {
            problem[n++] = rl_dataset_at(s->eval, i);
        }
    }
    status = s->engine->sync_weights(s->engine_self, err);
    if (status == RL_OK) {
        // Step 0 streams: an evaluation draws the same numbers whenever it runs.
        status = rl_rollout_step(&rollout, problem, n, (uint64_t)recipe->run.seed, 0, arena,
                                 &result, err);
    }
    if (status == RL_OK) {
        rl_metrics_put(out, (double)step, "step");
        rl_metrics_put(out, n, "eval/problems");
        record_rollout(&result, s->judge, s->n_judges, "eval/", out);
        rl_metrics_put(out, solved_within(&result), "eval/solved");
    }
    return status;
}
