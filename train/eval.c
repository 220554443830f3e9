#include "rl/train/eval.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "rl/core/alloc.h"
#include "rl/core/clock.h"
#include "rl/core/fs.h"
#include "rl/core/json.h"
#include "rl/core/unicode.h"
#include "train/evaluation.h"
#include "train/outcome.h"
#include "train/record.h"
#include "train/summary.h"

void eval_set_name(const rl_recipe *recipe, char out[EVAL_SET_NAME]) {
    const char *base = rl_path_base(recipe->data.eval), *dot = strrchr(base, '.');
    size_t n = dot != NULL && dot > base ? (size_t)(dot - base) : strlen(base);
    if (n >= EVAL_SET_NAME) {
        n = rl_utf8_whole(base, EVAL_SET_NAME - 1);
    }
    snprintf(out, EVAL_SET_NAME, "%.*s", (int)n, base);
}

/* What the numbers need of every batch, kept after its tokens and texts are gone. */
typedef struct kept {
    rl_rollout_result all;
    rl_group *group; // first attempts' alone: a later one has nobody to be compared with
    int32_t n_parts;
} kept;

static void kept_release(kept *k) {
    rl_free(k->all.batch.sample);
    rl_free(k->all.batch.reward_part);
    rl_free(k->all.story);
    rl_free(k->group);
}

static void keep_groups(kept *k, const rl_batch *b) {
    rl_batch *all = &k->all.batch;
    size_t most = (size_t)all->n_groups + (size_t)b->n_groups;
    k->group = rl_realloc(k->group, most, sizeof *k->group);
    for (int32_t g = 0; g < b->n_groups && b->group[g].parent < 0; g++) {
        k->group[all->n_groups] = b->group[g];
        k->group[all->n_groups++].first += all->n_samples;
    }
    all->group = k->group;
}

// Appends a batch, its indices shifted behind what is there.
static void keep(kept *k, const rl_rollout_result *part) {
    rl_batch *all = &k->all.batch;
    const rl_batch *b = &part->batch;
    size_t n_samples = (size_t)all->n_samples + (size_t)b->n_samples;
    all->sample = rl_realloc(all->sample, n_samples, sizeof *all->sample);
    all->reward_part =
        rl_realloc(all->reward_part, n_samples * (size_t)k->n_parts, sizeof *all->reward_part);
    k->all.story = rl_realloc(k->all.story, n_samples, sizeof *k->all.story);
    keep_groups(k, b);
    for (int32_t i = 0; i < b->n_samples; i++) {
        rl_sample *s = &all->sample[all->n_samples + i];
        *s = b->sample[i];
        s->parent += s->parent >= 0 ? all->n_samples : 0;
        k->all.story[all->n_samples + i] =
            (rl_sample_story){.solved = part->story[i].solved, .verdict = part->story[i].verdict};
        for (int32_t j = 0; j < k->n_parts; j++) {
            all->reward_part[(all->n_samples + i) * k->n_parts + j] =
                b->reward_part[i * k->n_parts + j];
        }
    }
    all->n_turns = b->n_turns;
    all->n_samples += b->n_samples;
    k->all.n_ok += part->n_ok;
    k->all.n_fail += part->n_fail;
    k->all.n_timeout += part->n_timeout;
    k->all.n_unknown += part->n_unknown;
    k->all.n_no_room += part->n_no_room;
}

typedef struct evaluation {
    const setup *s;
    const eval_place *place;
    int64_t step;
    rl_arena *arena;
    const rl_problem **problem; // [n] those evaluated, in file order
    int32_t n;
    rl_rollout_opts opts, control_opts;
    kept kept;
    outcome total;
    rl_str rows; // of eval.jsonl
    record_numbers numbers;
    int32_t n_verdicts, n_unknown; // of all rollouts
    char cause[200];               // why the first unknown was not reached
    char completions[64];          // the file's name; "" where none is written
} evaluation;

static void choose(evaluation *e) {
    int32_t limit = e->s->recipe->eval.problems, size = rl_dataset_size(e->s->eval);
    e->problem = rl_alloc((size_t)size, sizeof *e->problem);
    for (int32_t i = 0; i < size && (limit == 0 || e->n < limit); i++) {
        if (!rl_dataset_is_skipped(e->s->eval, i)) {
            e->problem[e->n++] = rl_dataset_at(e->s->eval, i);
        }
    }
}

// Greedy answers of one problem are all alike, so one is enough.
static void choose_opts(evaluation *e) {
    const rl_recipe *recipe = e->s->recipe;
    const rl_eval_opts *eval = &recipe->eval;
    int32_t turns = recipe->rollout.turns > 2 ? recipe->rollout.turns : 2;
    e->opts = recipe->rollout;
    e->opts.temperature = eval->temperature < 0 ? recipe->rollout.temperature : eval->temperature;
    e->opts.group_size = eval->temperature == 0 ? 1 : eval->samples;
    e->opts.turns = eval->turns > 0 ? eval->turns : turns;
    e->control_opts = e->opts;
    e->control_opts.turns = 2;
}

static rl_status save_completions(evaluation *e, const rl_rollout_result *r, rl_retry retry,
                                  rl_err *err) {
    rl_str lines = {0};
    rl_status status;
    if (e->completions[0] == '\0') {
        return RL_OK;
    }
    e->numbers.retry = retry;
    record_evaluation(r, e->s->judge, e->s->n_judges, e->step, &e->numbers, &lines);
    status = rl_run_dir_append_part(e->place->dir, e->completions, &lines, err);
    rl_str_release(&lines);
    return status;
}

static rl_status roll(evaluation *e, rl_retry retry, int32_t at, int32_t n,
                      const rl_rollout_result *first, rl_rollout_result *out, rl_err *err) {
    rl_rollout rollout =
        setup_rollout(e->s, retry == RL_RETRY_FEEDBACK ? &e->opts : &e->control_opts);
    rl_status status;
    rollout.retry = retry;
    rollout.retries = 1;
    rollout.first = first;
    // Step 0 streams: an evaluation draws the same numbers whenever it runs.
    status = rl_rollout_step(&rollout, e->problem + at, n, (uint64_t)e->s->recipe->run.seed, 0,
                             e->arena, out, err);
    if (status != RL_OK) {
        return status;
    }
    e->n_verdicts += out->n_verdicts;
    e->n_unknown += out->n_unknown;
    if (out->unknown_cause != NULL && e->cause[0] == '\0') {
        snprintf(e->cause, sizeof e->cause, "%.199s", out->unknown_cause);
    }
    return save_completions(e, out, retry, err);
}

static void put_problem(evaluation *e, const rl_problem *problem, const outcome *o) {
    bool controls = e->s->recipe->eval.controls;
    rl_json_writer w = {.out = &e->rows};
    char name[32];
    rl_json_open_object(&w, NULL);
    rl_json_put_int(&w, "step", e->step);
    rl_json_put_text(&w, "problem", problem->id, strlen(problem->id));
    rl_json_put_int(&w, "samples", o->samples);
    for (int32_t k = 0; k < e->opts.turns; k++) {
        snprintf(name, sizeof name, "iter%d", (int)k + 1);
        rl_json_put_int(&w, name, o->iter[k].n);
    }
    for (int retry = RL_RETRY_FRESH; controls && retry < RL_N_RETRIES; retry++) {
        snprintf(name, sizeof name, "iter2_%s", rl_retry_names[retry]);
        rl_json_put_int(&w, name, o->control[retry].n);
    }
    rl_json_put_int(&w, "left_out", o->left_out);
    rl_json_close_object(&w);
    rl_str_append_char(&e->rows, '\n');
}

static rl_status run_batch(evaluation *e, int32_t at, int32_t n, rl_err *err) {
    rl_rollout_result first = {0}, control[RL_N_RETRIES];
    const rl_rollout_result *controls[RL_N_RETRIES] = {NULL};
    outcome *found;
    rl_status status = e->s->engine->sync_weights(e->s->engine_self, err);
    rl_arena_reset(e->arena);
    found = rl_arena_alloc(e->arena, (size_t)n, sizeof *found);
    if (status == RL_OK) {
        status = roll(e, RL_RETRY_FEEDBACK, at, n, NULL, &first, err);
    }
    if (status != RL_OK) {
        return status;
    }
    keep(&e->kept, &first);
    for (int retry = RL_RETRY_FRESH; e->s->recipe->eval.controls && retry < RL_N_RETRIES; retry++) {
        status = roll(e, (rl_retry)retry, at, n, &first, &control[retry], err);
        if (status != RL_OK) {
            return status;
        }
        controls[retry] = &control[retry];
    }
    outcome_count(&first, controls, n, found);
    for (int32_t p = 0; p < n; p++) {
        outcome_add(&e->total, &found[p]);
        put_problem(e, e->problem[at + p], &found[p]);
    }
    return RL_OK;
}

// Batches of even size. A control looks for another problem's feedback in its batch, so that none
// is left with a single problem then, even if others get one more than asked for.
static int32_t count_batches(const evaluation *e) {
    const rl_eval_opts *eval = &e->s->recipe->eval;
    int32_t n = (int32_t)(((int64_t)e->n + eval->batch - 1) / eval->batch);
    return eval->controls && e->n >= 2 && n > e->n / 2 ? e->n / 2 : n;
}

static rl_status run_batches(evaluation *e, rl_err *err) {
    const volatile sig_atomic_t *stop = e->place->stop;
    int32_t n_batches = count_batches(e);
    rl_status status = RL_OK;
    for (int32_t b = 0; b < n_batches && status == RL_OK; b++) {
        int32_t at = (int32_t)((int64_t)e->n * b / n_batches);
        int32_t end = (int32_t)((int64_t)e->n * (b + 1) / n_batches);
        if (stop != NULL && *stop != 0) {
            return rl_fail(err, RL_INTERRUPTED, "the evaluation was stopped by the user");
        }
        if (e->place->report != NULL) {
            report_progress(e->place->report, "evaluating", at, e->n);
        }
        status = run_batch(e, at, end - at, err);
    }
    return status;
}

// Too many verdicts that could not be reached: what is left says nothing of the policy.
static rl_status check_verdicts(const evaluation *e, rl_err *err) {
    double limit = e->s->recipe->run.max_unknown;
    if (e->n_unknown > 0 && e->n_unknown >= limit * e->n_verdicts) {
        return rl_fail(err, RL_IO,
                       "evaluation: %d of %d verdicts could not be reached ('run.max_unknown' is "
                       "%g): %s",
                       e->n_unknown, e->n_verdicts, limit, e->cause);
    }
    return RL_OK;
}

static rl_status publish(evaluation *e, rl_err *err) {
    rl_run_dir *dir = e->place->dir;
    rl_status status = RL_OK;
    if (e->completions[0] != '\0') {
        status = rl_run_dir_publish(dir, e->completions, err);
    }
    return status == RL_OK && dir != NULL ? rl_run_dir_append(dir, "eval.jsonl", &e->rows, err)
                                          : status;
}

static void put_metrics(const evaluation *e, double began, rl_metrics *out) {
    const outcome *o = &e->total;
    char set[EVAL_SET_NAME], prefix[EVAL_SET_NAME + 8];
    eval_set_name(e->s->recipe, set);
    snprintf(prefix, sizeof prefix, "eval/%s/", set);
    rl_metrics_put(out, e->n, "%sproblems", prefix);
    rl_metrics_put(out, (double)o->samples, "%ssamples", prefix);
    for (int32_t k = 0; k < e->opts.turns; k++) {
        rl_metrics_put(out, share_value(o->iter[k]), "%siter%d", prefix, (int)k + 1);
    }
    for (int retry = RL_RETRY_FRESH; e->s->recipe->eval.controls && retry < RL_N_RETRIES; retry++) {
        rl_metrics_put(out, share_value(o->control[retry]), "%siter2_%s", prefix,
                       rl_retry_names[retry]);
    }
    rl_metrics_put(out, (double)o->left_out, "%sleft_out", prefix);
    rl_metrics_put(out, share_value(o->fix), "%sfix", prefix);
    rl_metrics_put(out, share_value(o->repeat), "%srepeat", prefix);
    rl_metrics_put(out, e->n_unknown, "%sunknown", prefix);
    record_rollout(&e->kept.all, e->s->judge, e->s->n_judges, prefix, out);
    rl_metrics_put(out, rl_clock_now() - began, "timing_s/eval");
}

rl_status eval_run(const setup *s, int64_t step, const eval_place *place, rl_arena *arena,
                   rl_metrics *out, rl_err *err) {
    evaluation e = {
        .s = s, .place = place, .step = step, .arena = arena, .kept.n_parts = s->n_judges};
    double began = rl_clock_now();
    rl_status status;
    choose(&e);
    choose_opts(&e);
    if (place->dir != NULL && s->recipe->eval.save_completions) {
        snprintf(e.completions, sizeof e.completions, "eval_completions-%lld.jsonl",
                 (long long)step);
    }
    status = run_batches(&e, err);
    if (status == RL_OK) {
        status = check_verdicts(&e, err);
    }
    if (status == RL_OK) {
        status = publish(&e, err);
    }
    if (status == RL_OK) {
        put_metrics(&e, began, out);
    } else if (e.completions[0] != '\0') {
        rl_err ignored;
        (void)!rl_run_dir_drop_part(place->dir, e.completions, &ignored);
    }
    kept_release(&e.kept);
    rl_str_release(&e.rows);
    rl_free(e.problem);
    return status;
}

rl_status eval_check_size(const setup *s, rl_err *err) {
    const rl_recipe *recipe = s->recipe;
    evaluation e = {.s = s};
    int64_t parts = recipe->n_rewards > 0 ? recipe->n_rewards : 1;
    double all;
    choose(&e);
    choose_opts(&e);
    all = (double)e.n * e.opts.group_size * e.opts.turns * (double)parts;
    rl_free(e.problem);
    if (all > INT32_MAX) {
        return rl_fail(err, RL_BAD_RECIPE,
                       "'eval.samples' %d of %d problems, %d turns and %d rewards are more than "
                       "2^31 verdicts of an evaluation; lower 'eval.samples' or 'eval.problems'",
                       e.opts.group_size, e.n, e.opts.turns, (int)parts);
    }
    return RL_OK;
}

rl_status rl_eval_recipe(const rl_recipe *recipe, const volatile sig_atomic_t *stop, bool *begun,
                         rl_metrics *out, rl_err *err) {
    setup s = {.measures_only = true};
    report r = report_begin(0);
    eval_place place = {.stop = stop, .report = &r};
    rl_arena *arena;
    rl_status status;
    *begun = false;
    if (recipe->data.eval[0] == '\0' || recipe->n_rewards == 0) {
        return rl_fail(err, RL_BAD_RECIPE,
                       "an evaluation wants problems and a judge, but '%s' is empty; the loss over "
                       "'data.eval_loss' is measured in a run of algo 'sft' alone",
                       recipe->n_rewards == 0 ? "rewards" : "data.eval");
    }
    if (recipe->model.init == RL_MODEL_INIT_RANDOM) {
        return rl_fail(err, RL_BAD_RECIPE,
                       "'model.init' is random, so that an evaluation would measure weights drawn "
                       "by chance and not those of 'model.path'; say --set model.init=weights");
    }
    arena = rl_arena_new(1 << 20);
    status = setup_open_light(&s, recipe, err);
    if (status == RL_OK) {
        status = setup_open_heavy(&s, err);
    }
    if (status == RL_OK) {
        *begun = true;
        rl_metrics_put(out, 0, "step");
        status = eval_run(&s, 0, &place, arena, out, err);
    }
    report_end(&r);
    setup_close(&s);
    rl_arena_free(arena);
    return status;
}

void rl_eval_table(const rl_recipe *recipe, const rl_metrics *measured, rl_str *out) {
    char set[EVAL_SET_NAME];
    eval_set_name(recipe, set);
    summary_eval(measured, set, out);
}
