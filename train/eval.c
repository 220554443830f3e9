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

/* What the numbers need of every part, kept after the part's tokens and texts are gone. */
typedef struct kept {
    rl_rollout_result all;
    rl_group *group;
    int32_t n_parts;
} kept;

static void kept_release(kept *k) {
    rl_free(k->all.batch.sample);
    rl_free(k->all.batch.reward_part);
    rl_free(k->all.story);
    rl_free(k->group);
}

// Appends a part, its indices shifted behind what is there.
static void keep(kept *k, const rl_rollout_result *part) {
    rl_batch *all = &k->all.batch;
    const rl_batch *b = &part->batch;
    size_t n_samples = (size_t)all->n_samples + (size_t)b->n_samples;
    size_t n_groups = (size_t)all->n_groups + (size_t)b->n_groups;
    all->sample = rl_realloc(all->sample, n_samples, sizeof *all->sample);
    all->reward_part =
        rl_realloc(all->reward_part, n_samples * (size_t)k->n_parts, sizeof *all->reward_part);
    k->all.story = rl_realloc(k->all.story, n_samples, sizeof *k->all.story);
    k->group = rl_realloc(k->group, n_groups, sizeof *k->group);
    for (int32_t i = 0; i < b->n_samples; i++) {
        rl_sample *s = &all->sample[all->n_samples + i];
        *s = b->sample[i];
        s->group += all->n_groups;
        s->parent += s->parent >= 0 ? all->n_samples : 0;
        k->all.story[all->n_samples + i] =
            (rl_sample_story){.solved = part->story[i].solved, .verdict = part->story[i].verdict};
        for (int32_t j = 0; j < k->n_parts; j++) {
            all->reward_part[(all->n_samples + i) * k->n_parts + j] =
                b->reward_part[i * k->n_parts + j];
        }
    }
    for (int32_t g = 0; g < b->n_groups; g++) {
        k->group[all->n_groups + g] = b->group[g];
        k->group[all->n_groups + g].first += all->n_samples;
    }
    all->group = k->group;
    all->n_turns = b->n_turns;
    all->n_samples += b->n_samples;
    all->n_groups += b->n_groups;
    k->all.n_ok += part->n_ok;
    k->all.n_fail += part->n_fail;
    k->all.n_timeout += part->n_timeout;
    k->all.n_unknown += part->n_unknown;
    k->all.n_verdicts += part->n_verdicts;
    k->all.n_no_room += part->n_no_room;
}

// The problems of an evaluation, in file order.
static int32_t choose(const setup *s, const rl_problem **problem) {
    int32_t limit = s->recipe->eval.problems, n = 0, size = rl_dataset_size(s->eval);
    for (int32_t i = 0; i < size && (limit == 0 || n < limit); i++) {
        if (!rl_dataset_is_skipped(s->eval, i)) {
            problem[n++] = rl_dataset_at(s->eval, i);
        }
    }
    return n;
}

static rl_status run_parts(const setup *s, const rl_problem *const *problem, int32_t n,
                           const volatile sig_atomic_t *stop, rl_arena *arena, kept *k,
                           rl_err *err) {
    const rl_recipe *recipe = s->recipe;
    rl_rollout_opts opts = recipe->rollout;
    rl_rollout rollout = setup_rollout(s, &opts);
    int32_t part = recipe->rollout.prompts * recipe->rollout.group_size;
    rl_status status = RL_OK;
    opts.group_size = 1;
    opts.temperature = recipe->eval.temperature;
    for (int32_t at = 0; at < n && status == RL_OK; at += part) {
        rl_rollout_result result;
        if (stop != NULL && *stop != 0) {
            return rl_fail(err, RL_INTERRUPTED, "the evaluation was stopped by the user");
        }
        rl_arena_reset(arena);
        status = s->engine->sync_weights(s->engine_self, err);
        if (status == RL_OK) {
            // Step 0 streams: an evaluation draws the same numbers whenever it runs.
            status = rl_rollout_step(&rollout, problem + at, n - at < part ? n - at : part,
                                     (uint64_t)recipe->run.seed, 0, arena, &result, err);
        }
        if (status == RL_OK) {
            keep(k, &result);
        }
    }
    return status;
}

rl_status eval_run(const setup *s, int64_t step, const volatile sig_atomic_t *stop, rl_arena *arena,
                   rl_metrics *out, rl_err *err) {
    const rl_problem **problem = rl_alloc((size_t)rl_dataset_size(s->eval), sizeof problem[0]);
    int32_t n = choose(s, problem);
    kept k = {.n_parts = s->n_judges};
    rl_status status = run_parts(s, problem, n, stop, arena, &k, err);
    if (status == RL_OK) {
        rl_metrics_put(out, (double)step, "step");
        rl_metrics_put(out, n, "eval/problems");
        record_rollout(&k.all, s->judge, s->n_judges, "eval/", out);
        rl_metrics_put(out, solved_within(&k.all), "eval/solved");
    }
    kept_release(&k);
    rl_free(problem);
    return status;
}
