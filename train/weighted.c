#include "train/weighted.h"

#include <math.h>

double weighted_total(const rl_conversation *const *item, int32_t n_items) {
    double sum = 0;
    for (int32_t i = 0; i < n_items; i++) {
        int32_t begin = 0;
        for (int32_t k = 0; k < item[i]->n_stretches; k++) {
            const rl_stretch *stretch = &item[i]->stretch[k];
            sum += (double)stretch->weight * (stretch->end - begin);
            begin = stretch->end;
        }
    }
    return sum;
}

static void add(weighted_mean *m, double x) {
    m->sum += x;
    m->n++;
}

double weighted_mean_value(const weighted_mean *m) {
    return m->n > 0 ? m->sum / (double)m->n : (double)NAN;
}

/* Some conversations on their way through the model in one pass. */
typedef struct pass {
    rl_policy *policy;
    const rl_conversation *const *item;
    int32_t n_items;
    double scale; // of the gradient: 1 / sum of w of the whole update; 0 scores without one
    rl_arena *arena;
    weighted_sums *out;
} pass;

// Results are those of all tokens but the first of each conversation.
static void fill_gradient(const pass *p, double *d_logp) {
    int64_t at = 0;
    for (int32_t i = 0; i < p->n_items; i++) {
        int32_t t = 1;
        for (int32_t k = 0; k < p->item[i]->n_stretches; k++) {
            const rl_stretch *stretch = &p->item[i]->stretch[k];
            double d = -(double)stretch->weight * p->scale;
            for (; t < stretch->end; t++) {
                d_logp[at++] = d;
            }
        }
    }
}

static void count(const pass *p, const double *logp, const double *entropy) {
    weighted_sums *out = p->out;
    int64_t at = 0;
    for (int32_t i = 0; i < p->n_items; i++) {
        double loss = 0;
        int32_t t = 1;
        for (int32_t k = 0; k < p->item[i]->n_stretches; k++) {
            const rl_stretch *stretch = &p->item[i]->stretch[k];
            for (; t < stretch->end; t++, at++) {
                double nll = -logp[at];
                if (!(stretch->weight > 0)) {
                    continue;
                }
                loss += (double)stretch->weight * nll;
                out->weight += (double)stretch->weight;
                add(&out->entropy, entropy[at]);
                add(stretch->said ? &out->said : &out->prompt, nll);
                if (stretch->said && stretch->weight >= 1) {
                    add(&out->said_full, nll);
                }
                if (stretch->weight > 1) {
                    add(&out->heavy, nll);
                }
            }
        }
        out->broken = out->broken == NULL && !isfinite(loss) ? p->item[i] : out->broken;
        out->loss += loss;
        out->n_tokens += p->item[i]->n_tokens;
    }
}

static rl_status run_pass(const pass *p, rl_err *err) {
    rl_arena_mark mark = rl_arena_mark_get(p->arena);
    rl_segment *segment = rl_arena_alloc(p->arena, (size_t)p->n_items, sizeof *segment);
    double *logp, *entropy, *d_logp;
    size_t n;
    rl_status status;
    for (int32_t i = 0; i < p->n_items; i++) {
        segment[i] = (rl_segment){.parent = -1,
                                  .token = p->item[i]->token,
                                  .n_tokens = p->item[i]->n_tokens,
                                  .wanted = true};
    }
    n = (size_t)rl_score_count(segment, p->n_items);
    logp = rl_arena_alloc(p->arena, n, sizeof *logp);
    entropy = rl_arena_alloc(p->arena, n, sizeof *entropy);
    if (p->scale > 0) {
        d_logp = rl_arena_alloc(p->arena, n, sizeof *d_logp);
        fill_gradient(p, d_logp);
        status = rl_policy_backward(p->policy, segment, p->n_items, 1.0, d_logp, NULL, logp,
                                    entropy, err);
    } else {
        status = rl_policy_score(p->policy, segment, p->n_items, 1.0, logp, entropy, err);
    }
    if (status == RL_OK) {
        p->out->n_passes++;
        count(p, logp, entropy);
    }
    rl_arena_rewind(p->arena, mark);
    return status;
}

rl_status weighted_run(rl_policy *policy, const rl_conversation *const *item, int32_t n_items,
                       double scale, int32_t micro_tokens, rl_arena *arena, weighted_sums *out,
                       rl_err *err) {
    for (int32_t begin = 0, end; begin < n_items; begin = end) {
        int64_t n_tokens = item[begin]->n_tokens;
        for (end = begin + 1; end < n_items && n_tokens + item[end]->n_tokens <= micro_tokens;
             end++) {
            n_tokens += item[end]->n_tokens;
        }
        pass p = {.policy = policy,
                  .item = item + begin,
                  .n_items = end - begin,
                  .scale = scale,
                  .arena = arena,
                  .out = out};
        rl_status status = run_pass(&p, err);
        if (status != RL_OK) {
            return status;
        }
    }
    return RL_OK;
}
