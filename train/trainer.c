#include "rl/train/trainer.h"

#include <math.h>
#include <string.h>

#include "rl/core/alloc.h"
#include "rl/core/clock.h"
#include "rl/core/log.h"
#include "rl/train/metrics.h"
#include "rl/train/run_dir.h"
#include "train/eval.h"
#include "train/record.h"
#include "train/report.h"
#include "train/setup.h"
#include "train/step.h"

struct rl_trainer {
    const rl_recipe *recipe;
    const volatile sig_atomic_t *stop;
    setup setup;
    rl_run_dir *dir;
    rl_algo_run algo_run;
    bool algo_ready;
    rl_arena *step_arena;
    const rl_problem **problem; // [rollout.prompts]
    report report;
};

static rl_status open_algo(rl_trainer *t, rl_err *err) {
    const rl_algo *algo = t->recipe->algo;
    rl_tag_counts tags = rl_dataset_tags(t->setup.train);
    rl_status status;
    t->algo_run.opts = t->recipe->algo_opts;
    t->algo_run.scratch = rl_arena_new(0);
    t->algo_run.state = algo->state_size > 0 ? rl_alloc(1, algo->state_size) : NULL;
    status = algo->init(&t->algo_run, &tags, err);
    t->algo_ready = status == RL_OK;
    return status;
}

rl_status rl_trainer_open(const rl_recipe *recipe, bool overwrite,
                          const volatile sig_atomic_t *stop, rl_trainer **out, rl_err *err) {
    rl_trainer *t = rl_alloc(1, sizeof *t);
    rl_str effective = {0};
    rl_status status = setup_check_folder(recipe, overwrite, err);
    *out = NULL;
    t->recipe = recipe;
    t->stop = stop;
    t->step_arena = rl_arena_new(1 << 20);
    t->problem = rl_alloc((size_t)recipe->rollout.prompts, sizeof t->problem[0]);
    if (status == RL_OK) {
        status = setup_open_light(&t->setup, recipe, err);
    }
    if (status == RL_OK) {
        status = open_algo(t, err);
    }
    if (status == RL_OK) {
        status = setup_open_heavy(&t->setup, err);
    }
    if (status == RL_OK) {
        rl_recipe_print(recipe, &effective);
        status = rl_run_dir_open(recipe->run.dir, overwrite, &effective, &t->dir, err);
        rl_str_release(&effective);
    }
    if (status != RL_OK) {
        rl_trainer_close(t);
        return status;
    }
    *out = t;
    return RL_OK;
}

void rl_trainer_close(rl_trainer *t) {
    if (t == NULL) {
        return;
    }
    if (t->algo_ready) {
        t->recipe->algo->release(&t->algo_run);
    }
    rl_free(t->algo_run.state);
    rl_arena_free(t->algo_run.scratch);
    rl_run_dir_close(t->dir);
    setup_close(&t->setup);
    rl_free(t->problem);
    rl_arena_free(t->step_arena);
    rl_free(t);
}

// Everything one step measures on its way to the metrics.
typedef struct step_state {
    int64_t step; // counts from 1
    rl_rollout_result result;
    step_result train;
    double lr, grad_norm;
    double began, rolled_out, trained;
    rl_decode_stats before, after;
} step_state;

static void put_step(const rl_trainer *t, const step_state *s, rl_metrics *m) {
    double rollout_s = s->result.generate_s, reward_s = s->result.reward_s;
    double train_s = s->trained - s->rolled_out;
    double decode_s = s->after.decode_s - s->before.decode_s;
    int64_t drawn = s->step * t->recipe->rollout.prompts;
    int32_t pool = rl_dataset_size(t->setup.train) - rl_dataset_skipped(t->setup.train);
    rl_metrics_put(m, (double)s->step, "step");
    rl_metrics_put(m, (double)drawn / pool, "epoch");
    record_rollout(&s->result, t->setup.judge, t->setup.n_judges, "", m);
    rl_metrics_put(m, s->train.loss.value, "loss");
    rl_metrics_put(m, s->grad_norm, "grad_norm");
    rl_metrics_put(m, s->lr, "learning_rate");
    rl_metrics_put(m, s->train.entropy, "entropy");
    rl_metrics_put(m, s->train.loss.kl, "kl");
    rl_metrics_put(m, s->train.loss.clipped_low + s->train.loss.clipped_high,
                   "clip_ratio/region_mean");
    rl_metrics_put(m, s->train.loss.clipped_low, "clip_ratio/low_mean");
    rl_metrics_put(m, s->train.loss.clipped_high, "clip_ratio/high_mean");
    rl_metrics_put(m, s->train.diff_mean, "sampling/sampling_logp_difference/mean");
    rl_metrics_put(m, s->train.diff_max, "sampling/sampling_logp_difference/max");
    rl_metrics_put(m, s->train.n_trained, "samples/trained");
    rl_metrics_put(m, rl_dataset_skipped(t->setup.train), "data/skipped_prompts");
    rl_metrics_put(m, rollout_s, "timing_s/rollout");
    rl_metrics_put(m, reward_s, "timing_s/reward");
    rl_metrics_put(m, train_s, "timing_s/train");
    rl_metrics_put(m, s->trained - s->began, "timing_s/step");
    rl_metrics_put(m,
                   decode_s > 0
                       ? (double)(s->after.decode_tokens - s->before.decode_tokens) / decode_s
                       : (double)NAN,
                   "perf/decode_tok_s");
    rl_metrics_put(
        m, s->train.n_tokens > 0 && train_s > 0 ? (double)s->train.n_tokens / train_s : (double)NAN,
        "perf/train_tok_s");
    rl_metrics_put(m, (double)rl_peak_rss() / 1048576.0, "perf/peak_rss_mb");
}

// Keeps the batch that broke the run, so that it can be looked at and replayed.
static rl_status raise_alarm(rl_trainer *t, const step_state *s, const char *what, rl_err *err) {
    rl_str lines = {0};
    char name[64];
    rl_err save = {""};
    rl_status saved;
    snprintf(name, sizeof name, "failed-batch-%lld.jsonl", (long long)s->step);
    record_completions(&s->result, t->setup.judge, t->setup.n_judges, s->step, &lines);
    saved = rl_run_dir_file(t->dir, name, &lines, &save);
    rl_str_release(&lines);
    if (saved != RL_OK) {
        return rl_fail(err, RL_ALARM, "step %lld: %s; its batch could not be kept: %.200s",
                       (long long)s->step, what, save.text);
    }
    return rl_fail(err, RL_ALARM, "step %lld: %s; its batch is kept in '%s/%s'", (long long)s->step,
                   what, rl_run_dir_path(t->dir), name);
}

// A log-prob that is not finite is followed back to the first tensor that is not.
static rl_status check_sampler(rl_trainer *t, const step_state *s, rl_err *err) {
    const rl_batch *batch = &s->result.batch;
    for (int32_t i = 0; i < batch->n_samples; i++) {
        const rl_sample *sample = &batch->sample[i];
        for (uint32_t k = sample->tok_begin; k < sample->tok_end; k++) {
            char name[96] = "a log-prob", what[256];
            if (isfinite(batch->logp_sampled[k])) {
                continue;
            }
            if (step_trace(batch, i, t->setup.policy, t->step_arena, name, err) != RL_OK) {
                snprintf(name, sizeof name, "a log-prob");
            }
            snprintf(what, sizeof what,
                     "%s is not finite, seen first in token %u of sample %d (problem %.60s)", name,
                     k - sample->tok_begin, i, s->result.story[i].problem->id);
            return raise_alarm(t, s, what, err);
        }
    }
    return RL_OK;
}

// Too many verdicts that could not be reached: the sandbox or a verifier is broken, not the policy.
static rl_status check_verdicts(const rl_trainer *t, const step_state *s, rl_err *err) {
    const rl_rollout_result *r = &s->result;
    double limit = t->recipe->run.max_unknown;
    if (r->n_unknown > 0 && r->n_unknown >= limit * r->n_verdicts) {
        return rl_fail(
            err, RL_IO,
            "step %lld: %d of %d verdicts could not be reached ('run.max_unknown' is %g): %.250s",
            (long long)s->step, r->n_unknown, r->n_verdicts, limit,
            r->unknown_cause != NULL ? r->unknown_cause : "no cause is known");
    }
    return RL_OK;
}

static rl_status check_step(rl_trainer *t, const step_state *s, rl_err *err) {
    char what[256];
    if (!isfinite(s->train.loss.value)) {
        return raise_alarm(t, s, "the loss is not finite", err);
    }
    if (!(s->train.diff_max == 0)) {
        snprintf(what, sizeof what, "sampler and trainer log-probs differ by up to %g",
                 s->train.diff_max);
        return raise_alarm(t, s, what, err);
    }
    if (!isfinite(s->grad_norm)) {
        const char *name = rl_policy_not_finite(t->setup.policy, true);
        snprintf(what, sizeof what, "the gradient of '%s' is not finite",
                 name != NULL ? name : "a parameter (by its norm)");
        return raise_alarm(t, s, what, err);
    }
    return RL_OK;
}

static rl_status gather_experience(rl_trainer *t, step_state *s, rl_err *err) {
    const rl_recipe *recipe = t->recipe;
    rl_rollout rollout = setup_rollout(&t->setup, &recipe->rollout);
    rl_status status = t->setup.engine->sync_weights(t->setup.engine_self, err);
    if (status != RL_OK) {
        return status;
    }
    for (int32_t i = 0; i < recipe->rollout.prompts; i++) {
        int64_t n = (s->step - 1) * recipe->rollout.prompts + i;
        int32_t at =
            rl_dataset_pick(t->setup.train, (uint64_t)recipe->run.seed, recipe->data.shuffle, n);
        t->problem[i] = rl_dataset_at(t->setup.train, at);
    }
    s->before = t->setup.engine->stats(t->setup.engine_self);
    status =
        rl_rollout_step(&rollout, t->problem, recipe->rollout.prompts, (uint64_t)recipe->run.seed,
                        (uint32_t)s->step, t->step_arena, &s->result, err);
    s->after = t->setup.engine->stats(t->setup.engine_self);
    s->rolled_out = rl_clock_now();
    return status;
}

static rl_status update(rl_trainer *t, step_state *s, rl_err *err) {
    const rl_recipe *recipe = t->recipe;
    rl_status status = check_sampler(t, s, err);
    if (status == RL_OK) {
        status = check_verdicts(t, s, err);
    }
    if (status != RL_OK) {
        return status;
    }
    status = step_gradient(recipe->algo, &t->algo_run, &s->result.batch, t->setup.policy,
                           recipe->rollout.temperature, recipe->compute.micro_tokens, t->step_arena,
                           &s->train, err);
    if (status != RL_OK) {
        return status;
    }
    s->lr = rl_lr_at(&recipe->optim, s->step - 1, recipe->run.steps);
    s->grad_norm = rl_optim_grad_norm(t->setup.optim);
    status = check_step(t, s, err);
    if (status == RL_OK) {
        const char *name;
        rl_optim_step(t->setup.optim, s->lr, s->grad_norm);
        name = rl_policy_not_finite(t->setup.policy, false);
        if (name != NULL) {
            char what[256];
            snprintf(what, sizeof what, "weight '%s' is not finite after the update", name);
            status = raise_alarm(t, s, what, err);
        }
    }
    s->trained = rl_clock_now();
    return status;
}

static rl_status write_step(rl_trainer *t, const step_state *s, rl_err *err) {
    rl_metrics metrics = {0};
    rl_str lines = {0};
    rl_status status;
    record_completions(&s->result, t->setup.judge, t->setup.n_judges, s->step, &lines);
    status = rl_run_dir_completions(t->dir, &lines, err);
    rl_str_clear(&lines);
    put_step(t, s, &metrics);
    rl_metrics_print(&metrics, &lines);
    if (status == RL_OK) {
        status = rl_run_dir_metrics(t->dir, &lines, err);
    }
    rl_str_release(&lines);
    if (status == RL_OK) {
        report_samples(&t->report, &s->result, t->recipe->log.print_samples);
        report_step(&t->report, &metrics);
    }
    return status;
}

static rl_status run_step(rl_trainer *t, int64_t step, rl_err *err) {
    step_state s = {.step = step, .began = rl_clock_now()};
    rl_status status;
    rl_arena_reset(t->step_arena);
    report_phase(&t->report, "sampling");
    status = gather_experience(t, &s, err);
    if (status == RL_OK) {
        report_phase(&t->report, "training");
        status = update(t, &s, err);
    }
    if (status == RL_OK) {
        status = write_step(t, &s, err);
    }
    return status;
}

static rl_status evaluate(rl_trainer *t, int64_t step, rl_err *err) {
    rl_metrics metrics = {0};
    rl_str line = {0};
    rl_status status;
    double began = rl_clock_now();
    report_phase(&t->report, "evaluating");
    status = eval_run(&t->setup, step, t->stop, t->step_arena, &metrics, err);
    if (status == RL_OK) {
        rl_metrics_print(&metrics, &line);
        status = rl_run_dir_metrics(t->dir, &line, err);
        report_eval(&t->report, &metrics);
    }
    rl_str_release(&line);
    // The time left is told by training steps alone.
    t->report.started += rl_clock_now() - began;
    return status;
}

static rl_status save(rl_trainer *t, int64_t step, rl_err *err) {
    report_phase(&t->report, "saving");
    return rl_run_dir_checkpoint(t->dir, step, t->setup.checkpoint,
                                 rl_policy_params(t->setup.policy), t->setup.backend, err);
}

static bool every(int64_t step, int32_t n) {
    return n > 0 && step % n == 0;
}

static bool stop_asked(const rl_trainer *t) {
    return t->stop != NULL && *t->stop != 0;
}

// Step `step` and what is due after it. An evaluation that the user stops is left out.
static rl_status advance(rl_trainer *t, int64_t step, int64_t *saved, rl_err *err) {
    const rl_recipe *recipe = t->recipe;
    bool last = step == recipe->run.steps;
    rl_status status = run_step(t, step, err);
    if (status == RL_OK && t->setup.eval != NULL && every(step, recipe->eval.every)) {
        status = evaluate(t, step, err);
        status = status == RL_INTERRUPTED ? RL_OK : status;
    }
    if (status == RL_OK && (every(step, recipe->run.save_every) || last || stop_asked(t))) {
        status = save(t, step, err);
        *saved = step;
    }
    return status;
}

rl_status rl_trainer_run(rl_trainer *t, int64_t *steps_begun, rl_err *err) {
    const rl_recipe *recipe = t->recipe;
    int64_t n_steps = recipe->run.steps, step = 0, saved = 0;
    rl_status status = RL_OK;
    *steps_begun = 0;
    t->report = report_begin(n_steps);
    if (t->setup.eval != NULL && recipe->eval.at_start) {
        status = evaluate(t, 0, err);
    }
    while (status == RL_OK && step < n_steps && !stop_asked(t)) {
        *steps_begun = step + 1;
        status = advance(t, step + 1, &saved, err);
        step += status == RL_OK;
    }
    report_end(&t->report);
    if (status == RL_OK && saved > 0) {
        rl_log(RL_LOG_INFO, "checkpoint: %s/checkpoint-%lld", rl_run_dir_path(t->dir),
               (long long)saved);
    }
    if ((status == RL_OK || status == RL_INTERRUPTED) && step < n_steps) {
        return rl_fail(err, RL_INTERRUPTED, "stopped by the user after step %lld of %lld",
                       (long long)step, (long long)n_steps);
    }
    return status;
}
