#include "train/step.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "rl/core/assert.h"

/*
 * Packing. A micro-batch is a forest of segments: each group's context once, each trained sample
 * once, and the completions of ancestors as context. Samples are taken in batch order of their
 * problem, and a micro-batch is closed when the next sample would pass the token budget; the cut
 * falls between problems where it can.
 */
typedef struct forest {
    rl_segment *segment;
    int32_t n_segments;
    int32_t *of_group, *of_sample; // segment index in this micro-batch, or -1
    int32_t *wanted;               // samples in the order of their results
    int32_t n_wanted;
    int64_t n_tokens;
} forest;

static void forest_init(forest *f, const rl_batch *batch, rl_arena *arena) {
    size_t n = (size_t)batch->n_groups + (size_t)batch->n_samples;
    f->segment = rl_arena_alloc(arena, n, sizeof *f->segment);
    f->of_group = rl_arena_alloc(arena, (size_t)batch->n_groups, sizeof *f->of_group);
    f->of_sample = rl_arena_alloc(arena, (size_t)batch->n_samples, sizeof *f->of_sample);
    f->wanted = rl_arena_alloc(arena, (size_t)batch->n_samples, sizeof *f->wanted);
}

static void forest_clear(forest *f, const rl_batch *batch) {
    for (int32_t g = 0; g < batch->n_groups; g++) {
        f->of_group[g] = -1;
    }
    for (int32_t i = 0; i < batch->n_samples; i++) {
        f->of_sample[i] = -1;
    }
    f->n_segments = f->n_wanted = 0;
    f->n_tokens = 0;
}

static int64_t group_tokens(const rl_group *g) {
    return (int64_t)g->ctx_end - g->ctx_begin;
}

static int64_t sample_tokens(const rl_sample *s) {
    return (int64_t)s->tok_end - s->tok_begin;
}

// Tokens that adding sample i would bring: itself and whatever of its context is not there yet.
static int64_t cost(const forest *f, const rl_batch *batch, int32_t i) {
    int64_t tokens = 0;
    while (i >= 0 && f->of_sample[i] < 0) {
        const rl_group *g = &batch->group[batch->sample[i].group];
        tokens += sample_tokens(&batch->sample[i]);
        if (f->of_group[batch->sample[i].group] >= 0) {
            break;
        }
        tokens += group_tokens(g);
        i = g->fresh ? -1 : g->parent;
    }
    return tokens;
}

static int32_t add_segment(forest *f, int32_t parent, const int32_t *token, int64_t n) {
    f->segment[f->n_segments] =
        (rl_segment){.parent = parent, .token = token, .n_tokens = (int32_t)n};
    f->n_tokens += n;
    return f->n_segments++;
}

static int32_t add_sample(forest *f, const rl_batch *batch, int32_t i);

static int32_t add_group(forest *f, const rl_batch *batch, int32_t g) {
    const rl_group *group = &batch->group[g];
    if (f->of_group[g] < 0) {
        int32_t parent =
            group->parent >= 0 && !group->fresh ? add_sample(f, batch, group->parent) : -1;
        f->of_group[g] =
            add_segment(f, parent, batch->context_token + group->ctx_begin, group_tokens(group));
    }
    return f->of_group[g];
}

// Depth of the recursion is the number of turns.
static int32_t add_sample(forest *f, const rl_batch *batch, int32_t i) {
    const rl_sample *s = &batch->sample[i];
    if (f->of_sample[i] < 0) {
        int32_t parent = add_group(f, batch, s->group);
        f->of_sample[i] = add_segment(f, parent, batch->token + s->tok_begin, sample_tokens(s));
    }
    return f->of_sample[i];
}

static void want_sample(forest *f, const rl_batch *batch, int32_t i) {
    f->segment[add_sample(f, batch, i)].wanted = true;
}

// The results of a forest come in segment order.
static void order_wanted(forest *f, const rl_batch *batch) {
    for (int32_t s = 0; s < f->n_segments; s++) {
        if (f->segment[s].wanted) {
            for (int32_t i = 0; i < batch->n_samples; i++) {
                if (f->of_sample[i] == s) {
                    f->wanted[f->n_wanted++] = i;
                }
            }
        }
    }
}

typedef struct pass {
    const rl_batch *batch;
    rl_policy *policy;
    double temperature;
    const double *d_logp; // [batch.n_tokens]; NULL scores without a gradient
    rl_arena *arena;
    step_result *out;
    double diff_sum;
    int64_t n_diff;
} pass;

static void compare(pass *p, const forest *f, const double *logp) {
    int64_t at = 0;
    for (int32_t w = 0; w < f->n_wanted; w++) {
        const rl_sample *s = &p->batch->sample[f->wanted[w]];
        for (uint32_t t = s->tok_begin; t < s->tok_end; t++, at++) {
            double diff = fabs(logp[at] - p->batch->logp_sampled[t]);
            p->diff_sum += diff;
            p->n_diff++;
            // A NaN must show as well, and NaN compares false.
            if (!(diff <= p->out->diff_max)) {
                p->out->diff_max = diff;
            }
        }
    }
}

static rl_status run_forest(pass *p, forest *f, rl_err *err) {
    rl_arena_mark mark = rl_arena_mark_get(p->arena);
    int64_t n, at = 0;
    double *logp, *d_logp;
    rl_status status;
    order_wanted(f, p->batch);
    n = rl_score_count(f->segment, f->n_segments);
    logp = rl_arena_alloc(p->arena, (size_t)n, sizeof *logp);
    d_logp = rl_arena_alloc(p->arena, (size_t)n, sizeof *d_logp);
    if (p->d_logp != NULL) {
        for (int32_t w = 0; w < f->n_wanted; w++) {
            const rl_sample *s = &p->batch->sample[f->wanted[w]];
            memcpy(d_logp + at, p->d_logp + s->tok_begin,
                   (size_t)sample_tokens(s) * sizeof *d_logp);
            at += sample_tokens(s);
        }
        RL_ASSERT(at == n);
        status = rl_policy_backward(p->policy, f->segment, f->n_segments, p->temperature, d_logp,
                                    NULL, logp, NULL, err);
        p->out->n_tokens += f->n_tokens;
        p->out->n_passes++;
    } else {
        status =
            rl_policy_score(p->policy, f->segment, f->n_segments, p->temperature, logp, NULL, err);
    }
    if (status == RL_OK) {
        compare(p, f, logp);
    }
    rl_arena_rewind(p->arena, mark);
    return status;
}

static bool has_gradient(const rl_sample *s) {
    return s->keep && s->advantage != 0;
}

static int32_t root_group(const rl_batch *batch, int32_t i) {
    while (batch->sample[i].parent >= 0) {
        i = batch->sample[i].parent;
    }
    return batch->sample[i].group;
}

// Tokens of all trained samples of one tree with their contexts, on top of what f holds.
static int64_t tree_cost(forest *probe, const rl_batch *batch, int32_t root) {
    forest_clear(probe, batch);
    for (int32_t i = 0; i < batch->n_samples; i++) {
        if (has_gradient(&batch->sample[i]) && root_group(batch, i) == root) {
            add_sample(probe, batch, i);
        }
    }
    return probe->n_tokens;
}

static rl_status train_samples(pass *p, int32_t micro_tokens, rl_err *err) {
    const rl_batch *batch = p->batch;
    forest f = {0}, probe = {0};
    rl_status status = RL_OK;
    forest_init(&f, batch, p->arena);
    forest_init(&probe, batch, p->arena);
    forest_clear(&f, batch);
    for (int32_t g = 0; g < batch->n_groups && status == RL_OK; g++) {
        int64_t whole;
        if (batch->group[g].parent >= 0) {
            continue;
        }
        whole = tree_cost(&probe, batch, g);
        if (f.n_tokens > 0 && f.n_tokens + whole > micro_tokens) {
            status = run_forest(p, &f, err);
            forest_clear(&f, batch);
        }
        for (int32_t i = 0; i < batch->n_samples && status == RL_OK; i++) {
            if (!has_gradient(&batch->sample[i]) || root_group(batch, i) != g) {
                continue;
            }
            if (f.n_tokens > 0 && f.n_tokens + cost(&f, batch, i) > micro_tokens) {
                status = run_forest(p, &f, err);
                forest_clear(&f, batch);
            }
            want_sample(&f, batch, i);
            p->out->n_trained++;
        }
    }
    if (status == RL_OK && f.n_tokens > 0) {
        status = run_forest(p, &f, err);
    }
    return status;
}

// With nothing to train, the first group still shows whether sampler and trainer agree.
static rl_status score_first_group(pass *p, rl_err *err) {
    forest f = {0};
    forest_init(&f, p->batch, p->arena);
    forest_clear(&f, p->batch);
    for (int32_t k = 0; k < p->batch->group[0].n_samples; k++) {
        want_sample(&f, p->batch, p->batch->group[0].first + k);
    }
    p->d_logp = NULL;
    return run_forest(p, &f, err);
}

static double mean_entropy(const rl_batch *batch) {
    double sum = 0;
    for (uint32_t t = 0; t < batch->n_tokens; t++) {
        sum += batch->entropy[t];
    }
    return batch->n_tokens > 0 ? sum / batch->n_tokens : (double)NAN;
}

static void run_hooks(const rl_algo *algo, const rl_algo_run *run, rl_batch *batch,
                      rl_surrogate *spec) {
    for (int32_t i = 0; i < batch->n_samples; i++) {
        batch->sample[i].keep = batch->sample[i].scored;
    }
    algo->credit(run, batch);
    rl_arena_reset(run->scratch);
    algo->select(run, batch);
    rl_arena_reset(run->scratch);
    algo->advantage(run, batch);
    rl_arena_reset(run->scratch);
    algo->modulate(run, batch);
    rl_arena_reset(run->scratch);
    algo->surrogate(run, spec);
}

rl_status step_gradient(const rl_algo *algo, const rl_algo_run *run, rl_batch *batch,
                        rl_policy *policy, double temperature, int32_t micro_tokens,
                        rl_arena *arena, step_result *out, rl_err *err) {
    double *d_logp = rl_arena_alloc(arena, batch->n_tokens, sizeof *d_logp);
    pass p = {.batch = batch,
              .policy = policy,
              .temperature = temperature,
              .d_logp = d_logp,
              .arena = arena,
              .out = out};
    rl_surrogate spec = {0};
    rl_status status;
    *out = (step_result){.entropy = mean_entropy(batch)};
    run_hooks(algo, run, batch, &spec);
    // One update per batch: the log-probs before the step are the sampler's own, which the passes
    // below recompute and compare, so value and gradient of the loss are known before the forward.
    out->loss = rl_surrogate_eval(&spec, batch, batch->logp_sampled, d_logp, NULL, NULL);
    rl_policy_zero_grad(policy);
    status = train_samples(&p, micro_tokens, err);
    if (status == RL_OK && p.n_diff == 0 && batch->n_samples > 0) {
        status = score_first_group(&p, err);
    }
    out->diff_mean = p.n_diff > 0 ? p.diff_sum / (double)p.n_diff : (double)NAN;
    return status;
}

rl_status step_trace(const rl_batch *batch, int32_t i, rl_policy *policy, rl_arena *arena,
                     char name[96], rl_err *err) {
    rl_arena_mark mark = rl_arena_mark_get(arena);
    forest f = {0};
    rl_status status;
    forest_init(&f, batch, arena);
    forest_clear(&f, batch);
    want_sample(&f, batch, i);
    status = rl_policy_trace(policy, f.segment, f.n_segments, name, err);
    if (status == RL_OK && name[0] == '\0') {
        snprintf(name, 96, "a log-prob");
    }
    rl_arena_rewind(arena, mark);
    return status;
}
