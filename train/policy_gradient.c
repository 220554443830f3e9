/*
 * The policy objective: a step samples completions of its problems, has them judged, and takes the
 * gradient of the algorithm's loss over them.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "rl/core/alloc.h"
#include "rl/core/clock.h"
#include "train/dry_run.h"
#include "train/record.h"
#include "train/setup.h"
#include "train/step.h"

typedef struct policy_gradient {
    setup *setup;
    rl_dataset *problems;
    const rl_problem **problem; // [rollout.prompts] of the step
    rl_algo_run algo_run;
    bool algo_ready, told_unreadable;
    // The step at hand.
    rl_rollout_result result;
    step_result train;
    double rolled_out; // clock
    rl_decode_stats before, after;
} policy_gradient;

static void check_rewards(const rl_recipe *recipe, rl_errors *errors) {
    bool counts = recipe->n_rewards == 0;
    if (recipe->n_rewards == 0 && !rl_errors_refused(errors, "rewards")) {
        rl_errors_add(
            errors, "'rewards' is missing or empty; try \"rewards\": [{\"name\": \"code_tests\"}]");
    }
    for (int32_t i = 0; i < recipe->n_rewards; i++) {
        char path[48];
        snprintf(path, sizeof path, "rewards[%d].weight", i);
        counts = counts || recipe->reward[i].weight != 0 || rl_errors_refused(errors, path);
    }
    if (!counts) {
        rl_errors_add(errors, "every weight in 'rewards' is 0, so that nothing can be learnt; give "
                              "one verifier a weight such as 1");
    }
}

// What cannot learn, and what this objective does not read.
static void check(const rl_recipe *recipe, rl_errors *errors) {
    const rl_algo *algo = recipe->algo;
    if (recipe->rollout.turns < algo->min_turns && !rl_errors_refused(errors, "rollout.turns")) {
        rl_errors_add(errors,
                      "algo '%s' pays later turns back, but 'rollout.turns' is %d; set it to %d or "
                      "more, or use 'grpo'",
                      algo->name, recipe->rollout.turns, algo->min_turns);
    }
    if (recipe->rollout.group_size < 2 && !rl_errors_refused(errors, "rollout.group_size")) {
        rl_errors_add(errors,
                      "'rollout.group_size' is %d: completions learn from being compared within "
                      "their group, and one alone teaches nothing; set it to 2 or more",
                      recipe->rollout.group_size);
    }
    if (recipe->data.eval_loss[0] != '\0') {
        rl_errors_add(errors, "'data.eval_loss' is measured by algo 'sft' alone; leave it out");
    }
    check_rewards(recipe, errors);
}

static rl_status open_algo(policy_gradient *p, rl_err *err) {
    const rl_recipe *recipe = p->setup->recipe;
    const rl_algo *algo = recipe->algo;
    rl_tag_counts tags = rl_dataset_tags(p->problems);
    rl_status status;
    p->algo_run.opts = recipe->algo_opts;
    p->algo_run.scratch = rl_arena_new(0);
    p->algo_run.state = algo->state_size > 0 ? rl_alloc(1, algo->state_size) : NULL;
    status = algo->init(&p->algo_run, &tags, err);
    p->algo_ready = status == RL_OK;
    return status;
}

static rl_status open_objective(setup *s, void **self, rl_err *err) {
    policy_gradient *p = rl_alloc(1, sizeof *p);
    rl_status status = setup_problems(s, s->recipe->data.train, "data.train", &p->problems, err);
    *self = p;
    p->setup = s;
    p->problem = rl_alloc((size_t)s->recipe->rollout.prompts, sizeof p->problem[0]);
    return status == RL_OK ? open_algo(p, err) : status;
}

static void close_objective(void *self) {
    policy_gradient *p = self;
    if (p == NULL) {
        return;
    }
    if (p->algo_ready) {
        p->setup->recipe->algo->release(&p->algo_run);
    }
    rl_free(p->algo_run.state);
    rl_arena_free(p->algo_run.scratch);
    rl_dataset_free(p->problems);
    rl_free(p->problem);
    rl_free(p);
}

// Every later turn restates nothing: it appends, so a sequence holds all turns before it. What
// feedback adds is known only when it is given.
static int64_t longest_sequence(const rl_recipe *r) {
    return r->data.max_prompt_tokens + (int64_t)r->rollout.turns * r->rollout.max_new_tokens;
}

// Samples of one problem when this share of the attempts fails: G + f G^2 + ... + f^(turns-1)
// G^turns.
static double samples_when(const rl_recipe *r, double failing) {
    double level = r->rollout.group_size, sum = 0;
    for (int32_t t = 0; t < r->rollout.turns; t++) {
        sum += level;
        level *= failing * r->rollout.group_size;
    }
    return sum;
}

// Tokens of prompts: the mean of some, and never more than are allowed.
static double mean_prompt_tokens(const policy_gradient *p) {
    enum { SOME = 64 };
    int32_t n = rl_dataset_size(p->problems), seen = 0;
    double sum = 0;
    for (int32_t i = 0; i < n && seen < SOME; i++) {
        int32_t *ids, n_ids;
        rl_err err;
        if (!rl_dataset_is_skipped(p->problems, i) &&
            setup_prompt(p->setup, rl_dataset_at(p->problems, i), p->setup->arena, &ids, &n_ids,
                         &err) == RL_OK) {
            sum += n_ids;
            seen++;
        }
    }
    return seen > 0 ? sum / seen : p->setup->recipe->data.max_prompt_tokens;
}

// A step in which prompts are so long, this share of the attempts fails, and all are as long as
// allowed.
static dry_run_load load_when(const rl_recipe *r, double prompt_tokens, double failing) {
    double samples = samples_when(r, failing) * r->rollout.prompts;
    double tokens = r->rollout.prompts * prompt_tokens + samples * r->rollout.max_new_tokens;
    // One sequence goes through in one pass, however long.
    double longest = prompt_tokens + (double)r->rollout.turns * r->rollout.max_new_tokens;
    return (dry_run_load){.pass_tokens = fmin(tokens, fmax(r->compute.micro_tokens, longest)),
                          .kv_tokens = tokens,
                          .kv_sequences = samples + r->rollout.prompts};
}

static void print_budget(const policy_gradient *p, FILE *to) {
    const rl_recipe *r = p->setup->recipe;
    bool turns = r->rollout.turns > 1;
    double samples = samples_when(r, 1) * r->rollout.prompts;
    int32_t pool = rl_dataset_size(p->problems) - rl_dataset_skipped(p->problems);
    dry_run_load expected = load_when(r, mean_prompt_tokens(p), 0.5);
    dry_run_load most = load_when(r, r->data.max_prompt_tokens, 1);
    fprintf(to, "\nsteps: %d of %d prompts, %.2f epochs of %d problems\n", r->run.steps,
            r->rollout.prompts, (double)r->run.steps * r->rollout.prompts / pool, pool);
    fprintf(to,
            "token budget: at most %.0f completions and %.0f sampled tokens a step, sequences of "
            "at most %lld tokens%s\n",
            samples, samples * r->rollout.max_new_tokens, (long long)longest_sequence(r),
            turns ? " without the feedback between turns" : "");
    dry_run_memory(p->setup, &expected, &most,
                   turns ? " where half of the attempts fail and all are as long as allowed"
                         : " where all attempts are as long as allowed",
                   "rollout.prompts, rollout.group_size, rollout.max_new_tokens or ", to);
}

static rl_status print_first_prompt(const policy_gradient *p, FILE *to, rl_err *err) {
    const setup *s = p->setup;
    const rl_recipe *r = s->recipe;
    int32_t at = rl_dataset_pick(p->problems, (uint64_t)r->run.seed, r->data.shuffle, 0);
    const char *id = rl_dataset_at(p->problems, at)->id;
    int32_t *ids, n_ids;
    rl_str text = {0}, visible = {0};
    rl_status status = setup_prompt(s, rl_dataset_at(p->problems, at), s->arena, &ids, &n_ids, err);
    if (status != RL_OK) {
        return status;
    }
    rl_tokenizer_decode(s->tokenizer, ids, n_ids, false, &text);
    report_visible(&visible, id, strlen(id));
    fprintf(to, "\nfirst prompt (problem %s, %d tokens):\n", rl_str_text(&visible), n_ids);
    rl_str_clear(&visible);
    report_visible(&visible, rl_str_text(&text), text.len);
    fprintf(to, "%s\nids:", rl_str_text(&visible));
    for (int32_t i = 0; i < n_ids; i++) {
        fprintf(to, " %d", ids[i]);
    }
    fputc('\n', to);
    rl_str_release(&text);
    rl_str_release(&visible);
    return RL_OK;
}

static rl_status preview(void *self, FILE *to, rl_err *err) {
    rl_status status = print_first_prompt(self, to, err);
    if (status == RL_OK) {
        print_budget(self, to);
    }
    return status;
}

static rl_status gather_experience(policy_gradient *p, const step_frame *frame, rl_err *err) {
    setup *s = p->setup;
    const rl_recipe *recipe = s->recipe;
    rl_rollout rollout = setup_rollout(s, &recipe->rollout);
    uint64_t seed = (uint64_t)recipe->run.seed;
    rl_status status = s->engine->sync_weights(s->engine_self, err);
    if (status != RL_OK) {
        return status;
    }
    for (int32_t i = 0; i < recipe->rollout.prompts; i++) {
        int64_t n = (frame->step - 1) * recipe->rollout.prompts + i;
        int32_t at = rl_dataset_pick(p->problems, seed, recipe->data.shuffle, n);
        p->problem[i] = rl_dataset_at(p->problems, at);
    }
    p->before = s->engine->stats(s->engine_self);
    status = rl_rollout_step(&rollout, p->problem, recipe->rollout.prompts, seed,
                             (uint32_t)frame->step, frame->arena, &p->result, err);
    p->after = s->engine->stats(s->engine_self);
    p->rolled_out = rl_clock_now();
    return status;
}

// A log-prob that is not finite is followed back to the first tensor that is not.
static rl_status check_sampler(const policy_gradient *p, rl_arena *arena, rl_err *err) {
    const rl_batch *batch = &p->result.batch;
    for (int32_t i = 0; i < batch->n_samples; i++) {
        const rl_sample *sample = &batch->sample[i];
        for (uint32_t k = sample->tok_begin; k < sample->tok_end; k++) {
            char name[96] = "a log-prob";
            if (isfinite(batch->logp_sampled[k])) {
                continue;
            }
            if (step_trace(batch, i, p->setup->policy, arena, name, err) != RL_OK) {
                snprintf(name, sizeof name, "a log-prob");
            }
            return rl_fail(err, RL_ALARM,
                           "%s is not finite, seen first in token %u of sample %d (problem %.60s)",
                           name, k - sample->tok_begin, i, p->result.story[i].problem->id);
        }
    }
    return RL_OK;
}

// Too many verdicts that could not be reached: the sandbox or a verifier is broken, not the policy.
static rl_status check_verdicts(const policy_gradient *p, int64_t step, rl_err *err) {
    const rl_rollout_result *r = &p->result;
    double limit = p->setup->recipe->run.max_unknown;
    if (r->n_unknown > 0 && r->n_unknown >= limit * r->n_verdicts) {
        return rl_fail(
            err, RL_IO,
            "step %lld: %d of %d verdicts could not be reached ('run.max_unknown' is %g): %.250s",
            (long long)step, r->n_unknown, r->n_verdicts, limit,
            r->unknown_cause != NULL ? r->unknown_cause : "no cause is known");
    }
    return RL_OK;
}

static rl_status check_loss(const policy_gradient *p, rl_err *err) {
    if (!isfinite(p->train.loss.value)) {
        return rl_fail(err, RL_ALARM, "the loss is not finite");
    }
    if (!(p->train.diff_max == 0)) {
        return rl_fail(err, RL_ALARM, "sampler and trainer log-probs differ by up to %g",
                       p->train.diff_max);
    }
    return RL_OK;
}

static rl_status gradient(void *self, step_frame *frame, rl_err *err) {
    policy_gradient *p = self;
    const rl_recipe *recipe = p->setup->recipe;
    rl_status status;
    report_phase(frame->report, "sampling");
    status = gather_experience(p, frame, err);
    if (status == RL_OK) {
        report_phase(frame->report, "training");
        status = check_sampler(p, frame->arena, err);
    }
    if (status == RL_OK) {
        status = check_verdicts(p, frame->step, err);
    }
    if (status == RL_OK) {
        p->told_unreadable =
            p->told_unreadable || report_unreadable(frame->report, frame->step, &p->result);
        status = step_gradient(recipe->algo, &p->algo_run, &p->result.batch, p->setup->policy,
                               recipe->rollout.temperature, recipe->compute.micro_tokens,
                               frame->arena, &p->train, err);
    }
    return status == RL_OK ? check_loss(p, err) : status;
}

static void batch(void *self, const step_frame *frame, rl_str *lines) {
    const policy_gradient *p = self;
    record_completions(&p->result, p->setup->judge, p->setup->n_judges, frame->step, lines);
}

// Row i is sample i: its whole context, then what it says.
static rl_status dump_batch(void *self, const step_frame *frame, dump *out, rl_err *err) {
    const policy_gradient *p = self;
    const rl_rollout_result *r = &p->result;
    const rl_batch *b = &r->batch;
    int64_t longest = 0;
    (void)err;
    for (int32_t i = 0; i < b->n_samples; i++) {
        const rl_sample *s = &b->sample[i];
        int64_t n = (int64_t)r->n_prompt_tokens[s->group] + s->tok_end - s->tok_begin;
        longest = n > longest ? n : longest;
    }
    *out = dump_begin(frame->arena, b->n_samples, longest);
    int32_t *ids = dump_ints(out, "ids", true), *length = dump_ints(out, "lengths", false);
    uint8_t *mask = dump_flags(out, "mask", true);
    double *logp = dump_reals(out, "logprobs", true);
    double *advantage = dump_reals(out, "advantages", false);
    double *reward = dump_reals(out, "rewards", false);
    for (int32_t i = 0; i < b->n_samples; i++) {
        const rl_sample *s = &b->sample[i];
        int64_t begin = i * longest, t = begin + r->n_prompt_tokens[s->group];
        memcpy(ids + begin, r->prompt_token[s->group],
               (size_t)r->n_prompt_tokens[s->group] * sizeof *ids);
        for (uint32_t k = s->tok_begin; k < s->tok_end; k++, t++) {
            ids[t] = b->token[k];
            mask[t] = b->trainable[k];
            logp[t] = b->logp_sampled[k]; // those of the pass that gave the gradient, bit for bit
        }
        length[i] = (int32_t)(t - begin);
        advantage[i] = s->advantage;
        reward[i] = s->reward;
    }
    return RL_OK;
}

static rl_status record(void *self, const step_frame *frame, rl_run_dir *dir, rl_err *err) {
    const policy_gradient *p = self;
    rl_str lines = {0};
    rl_status status;
    batch(self, frame, &lines);
    status = rl_run_dir_completions(dir, &lines, err);
    rl_str_release(&lines);
    if (status == RL_OK) {
        report_samples(frame->report, &p->result, p->setup->recipe->log.print_samples);
    }
    return status;
}

static void put(void *self, const step_frame *frame, rl_metrics *m) {
    const policy_gradient *p = self;
    const setup *s = p->setup;
    double rollout_s = p->result.generate_s, reward_s = p->result.reward_s;
    double train_s = frame->trained - p->rolled_out;
    double decode_s = p->after.decode_s - p->before.decode_s;
    int64_t drawn = frame->step * s->recipe->rollout.prompts;
    int32_t pool = rl_dataset_size(p->problems) - rl_dataset_skipped(p->problems);
    rl_metrics_put(m, (double)frame->step, "step");
    rl_metrics_put(m, (double)drawn / pool, "epoch");
    record_rollout(&p->result, s->judge, s->n_judges, "", m);
    rl_metrics_put(m, p->train.loss.value, "loss");
    rl_metrics_put(m, frame->grad_norm, "grad_norm");
    rl_metrics_put(m, frame->lr, "learning_rate");
    rl_metrics_put(m, p->train.entropy, "entropy");
    rl_metrics_put(m, p->train.loss.kl, "kl");
    rl_metrics_put(m, p->train.loss.clipped_low + p->train.loss.clipped_high,
                   "clip_ratio/region_mean");
    rl_metrics_put(m, p->train.loss.clipped_low, "clip_ratio/low_mean");
    rl_metrics_put(m, p->train.loss.clipped_high, "clip_ratio/high_mean");
    rl_metrics_put(m, p->train.diff_mean, "sampling/sampling_logp_difference/mean");
    rl_metrics_put(m, p->train.diff_max, "sampling/sampling_logp_difference/max");
    rl_metrics_put(m, p->train.n_trained, "samples/trained");
    rl_metrics_put(m, rl_dataset_skipped(p->problems), "data/skipped_prompts");
    rl_metrics_put(m, rollout_s, "timing_s/rollout");
    rl_metrics_put(m, reward_s, "timing_s/reward");
    rl_metrics_put(m, train_s, "timing_s/train");
    rl_metrics_put(m, frame->trained - frame->began, "timing_s/step");
    rl_metrics_put(m,
                   decode_s > 0
                       ? (double)(p->after.decode_tokens - p->before.decode_tokens) / decode_s
                       : (double)NAN,
                   "perf/decode_tok_s");
    rl_metrics_put(
        m, p->train.n_tokens > 0 && train_s > 0 ? (double)p->train.n_tokens / train_s : (double)NAN,
        "perf/train_tok_s");
    rl_metrics_put(m, (double)rl_peak_rss() / 1048576.0, "perf/peak_rss_mb");
}

const objective objective_policy = {
    .check = check,
    .open = open_objective,
    .close = close_objective,
    .preview = preview,
    .gradient = gradient,
    .batch = batch,
    .dump = dump_batch,
    .record = record,
    .put = put,
};
