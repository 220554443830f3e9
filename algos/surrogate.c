#include "rl/algos/surrogate.h"

#include <math.h>
#include <string.h>

#include "rl/core/assert.h"
#include "rl/core/fmath.h"

// Trainable tokens and samples of what is kept: the denominators.
typedef struct totals {
    int64_t tokens;
    int32_t samples;
} totals;

static int32_t count_tokens(const rl_batch *batch, const rl_sample *s) {
    int32_t n = 0;
    for (uint32_t t = s->tok_begin; t < s->tok_end; t++) {
        n += batch->trainable[t] != 0;
    }
    return n;
}

static totals count(const rl_batch *batch) {
    totals out = {0};
    for (int32_t i = 0; i < batch->n_samples; i++) {
        if (batch->sample[i].keep) {
            out.samples++;
            out.tokens += count_tokens(batch, &batch->sample[i]);
        }
    }
    return out;
}

// What one token's loss of a sample with n_tokens weighs in the value.
static double token_weight(const rl_surrogate *spec, const rl_batch *batch, totals all,
                           int32_t n_tokens) {
    double divisor = spec->divisor > 0 ? spec->divisor : batch->max_new_tokens;
    switch (spec->loss_type) {
    case RL_LOSS_DAPO:
    case RL_LOSS_BNPO:
        return 1.0 / (double)all.tokens;
    case RL_LOSS_GRPO:
        return 1.0 / ((double)all.samples * n_tokens);
    case RL_LOSS_DR_GRPO:
        RL_ASSERT(divisor > 0);
        return 1.0 / ((double)all.samples * divisor);
    }
    return 0;
}

// The policy term at one ratio, and its derivative by the log-ratio.
typedef struct term {
    double loss, slope;
    bool low, high;
} term;

static term policy_term(const rl_surrogate *spec, double advantage, double ratio) {
    double least = 1 - spec->clip_low, most = 1 + spec->clip_high;
    term out = {0};
    if (advantage == 0) {
        return out; // exact, whatever the ratio
    }
    out.low = advantage < 0 && ratio < least;
    out.high = advantage > 0 && ratio > most;
    if (out.low || out.high) {
        out.loss = -advantage * (out.low ? least : most); // the minimum; flat in the ratio
    } else {
        out.loss = out.slope = -advantage * ratio;
    }
    return out;
}

static double log_ratio(const rl_batch *batch, const double *logp, uint32_t t) {
    return logp[t] - batch->logp_old[t];
}

static double mean_log_ratio(const rl_batch *batch, const rl_sample *s, const double *logp,
                             int32_t n_tokens) {
    double sum = 0;
    for (uint32_t t = s->tok_begin; t < s->tok_end; t++) {
        sum += batch->trainable[t] ? log_ratio(batch, logp, t) : 0;
    }
    return sum / n_tokens;
}

// Sums over a batch that the metrics are made of.
typedef struct sums {
    double kl, entropy;
    int64_t low, high;
} sums;

static void add_sample(const rl_surrogate *spec, const rl_batch *batch, const rl_sample *s,
                       const double *logp, double weight, int32_t n_tokens, double *d_logp,
                       rl_loss *out, sums *sum) {
    bool by_token = spec->ratio == RL_RATIO_TOKEN;
    double ratio = by_token ? 0 : rl_exp(mean_log_ratio(batch, s, logp, n_tokens));
    term p = by_token ? (term){0} : policy_term(spec, s->advantage, ratio);
    double value = 0;
    for (uint32_t t = s->tok_begin; t < s->tok_end; t++) {
        if (!batch->trainable[t]) {
            continue;
        }
        if (by_token) {
            ratio = rl_exp(log_ratio(batch, logp, t));
            p = policy_term(spec, s->advantage, ratio);
            sum->low += p.low;
            sum->high += p.high;
        }
        out->ratio_max = fmax(out->ratio_max, ratio);
        value += p.loss;
        // A sequence's mean log-ratio moves by 1 / n_tokens with each token, and the term is
        // counted n_tokens times: the same slope per token as for token ratios.
        d_logp[t] = weight * p.slope;
        if (spec->kl_coef != 0) {
            double d = batch->logp_ref[t] - logp[t], e = rl_exp(d);
            sum->kl += e - d - 1;
            value += spec->kl_coef * (e - d - 1);
            d_logp[t] += weight * spec->kl_coef * (1 - e);
        }
        if (spec->entropy_coef != 0) {
            sum->entropy += batch->entropy[t];
        }
    }
    if (!by_token) {
        sum->low += p.low;
        sum->high += p.high;
    }
    out->value += weight * value;
}

static void fill_d_entropy(const rl_surrogate *spec, const rl_batch *batch, totals all,
                           double *d_entropy) {
    memset(d_entropy, 0, batch->n_tokens * sizeof *d_entropy);
    if (spec->entropy_coef == 0 || all.tokens == 0) {
        return;
    }
    for (int32_t i = 0; i < batch->n_samples; i++) {
        const rl_sample *s = &batch->sample[i];
        for (uint32_t t = s->tok_begin; t < s->tok_end; t++) {
            if (s->keep && batch->trainable[t]) {
                d_entropy[t] = -spec->entropy_coef / (double)all.tokens;
            }
        }
    }
}

rl_loss rl_surrogate_eval(const rl_surrogate *spec, const rl_batch *batch, const double *logp,
                          double *d_logp, double *d_entropy, double *d_log_z) {
    rl_loss out = {0};
    sums sum = {0};
    totals all = count(batch);
    RL_ASSERT(spec->kl_coef == 0 || batch->logp_ref != NULL);
    RL_ASSERT(spec->entropy_coef == 0 || batch->entropy != NULL);
    memset(d_logp, 0, batch->n_tokens * sizeof *d_logp);
    if (d_entropy != NULL) {
        fill_d_entropy(spec, batch, all, d_entropy);
    }
    if (d_log_z != NULL) { // no loss of this family has a partition function
        memset(d_log_z, 0, (size_t)batch->n_samples * sizeof *d_log_z);
    }
    for (int32_t i = 0; i < batch->n_samples; i++) {
        const rl_sample *s = &batch->sample[i];
        int32_t n_tokens = s->keep ? count_tokens(batch, s) : 0;
        if (n_tokens > 0) {
            double weight = token_weight(spec, batch, all, n_tokens);
            add_sample(spec, batch, s, logp, weight, n_tokens, d_logp, &out, &sum);
        }
    }
    if (all.tokens > 0) {
        double units = spec->ratio == RL_RATIO_TOKEN ? (double)all.tokens : all.samples;
        out.value -= spec->entropy_coef * sum.entropy / (double)all.tokens;
        out.kl = sum.kl / (double)all.tokens;
        out.clipped_low = (double)sum.low / units;
        out.clipped_high = (double)sum.high / units;
    }
    return out;
}
