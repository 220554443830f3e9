#include "train/record.h"

#include <math.h>
#include <string.h>

const char *record_verdict_name(rl_verdict_kind kind) {
    static const char *const name[] = {"pass", "partial", "fail", "unreadable", "unknown"};
    return name[kind];
}

static void put_name(rl_json_writer *w, const char *key, const char *name) {
    rl_json_put_text(w, key, name, strlen(name));
}

static void put_ids(rl_json_writer *w, const char *key, const int32_t *id, int64_t n) {
    rl_json_open_list(w, key);
    for (int64_t i = 0; i < n; i++) {
        rl_json_put_int(w, NULL, id[i]);
    }
    rl_json_close_list(w);
}

// An unscored sample has no reward, credit or advantage.
static void put_if(rl_json_writer *w, const char *key, bool known, double value) {
    rl_json_put_number(w, key, known ? value : (double)NAN);
}

/* Numbers of samples and groups in a file: those of first attempts, and of later ones, shifted. */
typedef struct shift {
    int32_t n_first, first, later;
} shift;

static int32_t shifted(const shift *s, int32_t i) {
    return i < s->n_first ? s->first + i : s->later + i - s->n_first;
}

/* numbers is NULL in training. */
typedef struct job {
    const rl_rollout_result *r;
    const rl_judge *judge;
    int32_t n_judges;
    int64_t step;
    const record_numbers *numbers;
    shift sample, group;
} job;

static void put_training(rl_json_writer *w, const job *x, const rl_sample *s) {
    bool trains = x->numbers == NULL;
    put_if(w, "credit", trains && s->scored, s->credit);
    put_if(w, "advantage", trains && s->scored, s->advantage);
    if (trains) {
        rl_json_put_bool(w, "kept", s->keep);
    } else {
        rl_json_put_null(w, "kept");
    }
}

static void put_sample(const job *x, int32_t i, rl_json_writer *w) {
    const rl_rollout_result *r = x->r;
    const rl_batch *batch = &r->batch;
    const rl_sample *s = &batch->sample[i];
    const rl_sample_story *story = &r->story[i];
    rl_json_open_object(w, NULL);
    rl_json_put_int(w, "step", x->step);
    put_name(w, "problem", story->problem->id);
    rl_json_put_int(w, "group", shifted(&x->group, s->group));
    rl_json_put_int(w, "sample", shifted(&x->sample, i));
    if (s->parent >= 0) {
        rl_json_put_int(w, "parent", shifted(&x->sample, s->parent));
    } else {
        rl_json_put_null(w, "parent");
    }
    rl_json_put_int(w, "turn", s->turn + 1);
    if (x->numbers != NULL) {
        const char *retry = s->turn > 0 ? rl_retry_names[x->numbers->retry] : NULL;
        rl_json_put_text(w, "retry", retry, retry != NULL ? strlen(retry) : 0);
    }
    rl_json_put_text(w, "prompt", r->prompt_text[s->group], r->prompt_text_len[s->group]);
    put_ids(w, "prompt_ids", r->prompt_token[s->group], r->n_prompt_tokens[s->group]);
    rl_json_put_text(w, "completion", story->completion, story->completion_len);
    put_ids(w, "completion_ids", batch->token + s->tok_begin, (int64_t)s->tok_end - s->tok_begin);
    rl_json_open_list(w, "logprobs");
    for (uint32_t t = s->tok_begin; t < s->tok_end; t++) {
        rl_json_put_number(w, NULL, batch->logp_sampled[t]);
    }
    rl_json_close_list(w);
    put_if(w, "reward", s->scored, s->reward);
    rl_json_open_object(w, "rewards");
    for (int32_t j = 0; j < x->n_judges; j++) {
        put_if(w, x->judge[j].name, s->scored, batch->reward_part[i * x->n_judges + j]);
    }
    rl_json_close_object(w);
    put_name(w, "verdict", record_verdict_name(story->verdict));
    rl_json_put_text(w, "feedback", story->feedback, story->feedback_len);
    put_training(w, x, s);
    put_name(w, "finish", story->finish == RL_FINISH_STOP ? "stop" : "length");
    rl_json_close_object(w);
    rl_str_append_char(w->out, '\n');
}

void record_completions(const rl_rollout_result *result, const rl_judge *judge, int32_t n_judges,
                        int64_t step, rl_str *out) {
    job x = {.r = result, .judge = judge, .n_judges = n_judges, .step = step};
    for (int32_t i = 0; i < result->batch.n_samples; i++) {
        rl_json_writer w = {.out = out};
        put_sample(&x, i, &w);
    }
}

void record_evaluation(const rl_rollout_result *result, const rl_judge *judge, int32_t n_judges,
                       int64_t step, record_numbers *numbers, rl_str *out) {
    const rl_batch *batch = &result->batch;
    job x = {.r = result, .judge = judge, .n_judges = n_judges, .step = step, .numbers = numbers};
    while (x.group.n_first < batch->n_groups && batch->group[x.group.n_first].parent < 0) {
        x.sample.n_first += batch->group[x.group.n_first++].n_samples;
    }
    if (numbers->retry == RL_RETRY_FEEDBACK) {
        numbers->first_sample = numbers->next_sample;
        numbers->first_group = numbers->next_group;
        numbers->next_sample += x.sample.n_first;
        numbers->next_group += x.group.n_first;
    }
    x.sample.first = numbers->first_sample;
    x.group.first = numbers->first_group;
    x.sample.later = numbers->next_sample;
    x.group.later = numbers->next_group;
    numbers->next_sample += batch->n_samples - x.sample.n_first;
    numbers->next_group += batch->n_groups - x.group.n_first;
    for (int32_t i = 0; i < batch->n_samples; i++) {
        rl_json_writer w = {.out = out};
        if (numbers->retry == RL_RETRY_FEEDBACK || batch->sample[i].turn > 0) {
            put_sample(&x, i, &w);
        }
    }
}

// Mean and extent of a running set of numbers; the mean of none is NaN.
typedef struct tally {
    double sum, min, max;
    int64_t n;
} tally;

static void tally_add(tally *t, double x) {
    t->min = t->n == 0 || x < t->min ? x : t->min;
    t->max = t->n == 0 || x > t->max ? x : t->max;
    t->sum += x;
    t->n++;
}

static double tally_mean(const tally *t) {
    return t->n > 0 ? t->sum / (double)t->n : (double)NAN;
}

/*
 * Spread inside groups: TRL's reward_std is the mean over groups of the sample standard deviation.
 * A group with fewer than two scored samples has no spread and is flat.
 */
static void put_spread(const rl_batch *batch, const char *prefix, rl_metrics *out) {
    tally spread = {0}, flat = {0}, none = {0}, all = {0};
    for (int32_t g = 0; g < batch->n_groups; g++) {
        const rl_group *group = &batch->group[g];
        tally reward = {0};
        double var = 0;
        for (int32_t i = group->first; i < group->first + group->n_samples; i++) {
            if (batch->sample[i].scored) {
                tally_add(&reward, batch->sample[i].reward);
            }
        }
        if (reward.n == 0) {
            continue;
        }
        for (int32_t i = group->first; i < group->first + group->n_samples; i++) {
            if (batch->sample[i].scored) {
                double d = batch->sample[i].reward - tally_mean(&reward);
                var += d * d;
            }
        }
        tally_add(&spread, reward.n > 1 ? sqrt(var / (double)(reward.n - 1)) : 0);
        tally_add(&flat, reward.min == reward.max);
        tally_add(&none, reward.max <= 0);
        tally_add(&all, reward.min >= 1 - 1e-9);
    }
    rl_metrics_put(out, tally_mean(&spread), "%sreward_std", prefix);
    rl_metrics_put(out, tally_mean(&flat), "%sfrac_reward_zero_std", prefix);
    rl_metrics_put(out, tally_mean(&none), "%sgroups/solved_none", prefix);
    rl_metrics_put(out, tally_mean(&all), "%sgroups/solved_all", prefix);
}

static void put_lengths(const rl_batch *batch, const char *prefix, rl_metrics *out) {
    tally all = {0}, ended = {0}, clipped = {0};
    for (int32_t i = 0; i < batch->n_samples; i++) {
        const rl_sample *s = &batch->sample[i];
        double n = (double)(s->tok_end - s->tok_begin);
        tally_add(&all, n);
        tally_add(&clipped, s->truncated);
        if (!s->truncated) {
            tally_add(&ended, n);
        }
    }
    rl_metrics_put(out, tally_mean(&all), "%scompletions/mean_length", prefix);
    rl_metrics_put(out, all.n > 0 ? all.min : (double)NAN, "%scompletions/min_length", prefix);
    rl_metrics_put(out, all.n > 0 ? all.max : (double)NAN, "%scompletions/max_length", prefix);
    rl_metrics_put(out, tally_mean(&ended), "%scompletions/mean_terminated_length", prefix);
    rl_metrics_put(out, tally_mean(&clipped), "%scompletions/clipped_ratio", prefix);
}

// Every row has the keys of two turns, whatever the recipe allows, so that readers find them.
static void put_turns(const rl_rollout_result *r, const char *prefix, rl_metrics *out) {
    const rl_batch *batch = &r->batch;
    for (int32_t turn = 0; turn < batch->n_turns || turn < 2; turn++) {
        tally reward = {0}, solved = {0};
        int32_t n = 0;
        for (int32_t i = 0; i < batch->n_samples; i++) {
            const rl_sample *s = &batch->sample[i];
            if (s->turn == turn) {
                n++;
                if (s->scored) {
                    tally_add(&reward, s->reward);
                    tally_add(&solved, r->story[i].solved);
                }
            }
        }
        rl_metrics_put(out, n, "%sturn%d/samples", prefix, turn + 1);
        rl_metrics_put(out, tally_mean(&reward), "%sturn%d/reward", prefix, turn + 1);
        rl_metrics_put(out, tally_mean(&solved), "%sturn%d/solved", prefix, turn + 1);
    }
    rl_metrics_put(out, r->n_no_room, "%sturns/no_room", prefix);
}

void record_rollout(const rl_rollout_result *result, const rl_judge *judge, int32_t n_judges,
                    const char *prefix, rl_metrics *out) {
    const rl_batch *batch = &result->batch;
    tally reward = {0};
    int32_t unreadable = 0;
    for (int32_t i = 0; i < batch->n_samples; i++) {
        unreadable += result->story[i].verdict == RL_VERDICT_UNREADABLE;
        if (batch->sample[i].scored) {
            tally_add(&reward, batch->sample[i].reward);
        }
    }
    rl_metrics_put(out, tally_mean(&reward), "%sreward", prefix);
    put_spread(batch, prefix, out);
    for (int32_t j = 0; j < n_judges; j++) {
        tally part = {0};
        for (int32_t i = 0; i < batch->n_samples; i++) {
            if (batch->sample[i].scored) {
                tally_add(&part, batch->reward_part[i * n_judges + j]);
            }
        }
        rl_metrics_put(out, tally_mean(&part), "%srewards/%s/mean", prefix, judge[j].name);
    }
    put_turns(result, prefix, out);
    put_lengths(batch, prefix, out);
    rl_metrics_put(out, unreadable, "%sverdicts/unreadable", prefix);
    rl_metrics_put(out, result->n_ok, "%ssandbox/ok", prefix);
    rl_metrics_put(out, result->n_fail, "%ssandbox/fail", prefix);
    rl_metrics_put(out, result->n_timeout, "%ssandbox/timeout", prefix);
    rl_metrics_put(out, result->n_unknown, "%ssandbox/unknown", prefix);
}
