/*
 * The supervised objective: a step takes the next conversations of the corpus and the gradient of
 * their weighted loss, sum(w * -log p) / sum(w) over all tokens of the step. Conversations are
 * roots of one forest a micro-batch, so that they are packed without padding.
 */
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "rl/algos/sft.h"
#include "rl/core/alloc.h"
#include "rl/core/clock.h"
#include "rl/core/log.h"
#include "rl/policy/score.h"
#include "rl/rollout/corpus.h"
#include "train/setup.h"

/* Mean of -log p over some tokens. */
typedef struct mean {
    double sum;
    int64_t n;
} mean;

/* What the tokens of some conversations sum up to. */
typedef struct tally {
    double loss, weight;   // sum of w * -log p, sum of w
    mean said, said_full;  // the assistant's tokens of weight over 0, of 1 or more
    mean prompt, weighted; // other tokens of weight over 0; tokens of weight over 1
    mean entropy;          // over tokens of weight over 0
    int64_t n_tokens;      // all of them
} tally;

typedef struct supervised {
    setup *setup;
    const rl_sft_opts *opts;
    rl_corpus *train, *eval;      // eval is NULL without data.eval_loss
    const rl_conversation **item; // [batch_size] of the step
    tally step;
    int64_t n_tokens; // trained on since the run began, context included
} supervised;

static void check(const rl_recipe *recipe, rl_errors *errors) {
    if (recipe->data.eval[0] != '\0' && recipe->n_rewards == 0 &&
        !rl_errors_refused(errors, "rewards") && !rl_errors_refused(errors, "data.eval")) {
        rl_errors_add(errors, "'data.eval' names problems, but 'rewards' names nothing that judges "
                              "them; try \"rewards\": [{\"name\": \"code_tests\"}]");
    }
}

static rl_status load(supervised *s, const char *path, const char *key, rl_corpus **out,
                      rl_err *err) {
    const rl_recipe *recipe = s->setup->recipe;
    int32_t positions = rl_checkpoint_config(s->setup->checkpoint)->max_positions;
    int32_t most = s->opts->max_tokens > 0 ? s->opts->max_tokens : positions;
    rl_corpus_opts opts = {.tokenizer = s->setup->tokenizer,
                           .chat = s->setup->chat,
                           .system = recipe->data.system,
                           .prompt_weight = s->opts->prompt_loss_weight,
                           .max_tokens = most < positions ? most : positions,
                           .over_long = recipe->data.over_long};
    double began = rl_clock_now();
    rl_status status = setup_need_file(path, key, err);
    if (status == RL_OK) {
        status = rl_corpus_load(path, &opts, out, err);
    }
    if (status == RL_OK) {
        rl_log(RL_LOG_INFO, "%s: %d conversations, %lld tokens, read in %.1f s", key,
               rl_corpus_size(*out), (long long)rl_corpus_tokens(*out), rl_clock_now() - began);
    }
    if (status == RL_OK && rl_corpus_skipped(*out) > 0) {
        rl_log(RL_LOG_INFO, "%s: %d conversations of more than %d tokens are skipped", key,
               rl_corpus_skipped(*out), opts.max_tokens);
    }
    return status;
}

static rl_status open_objective(setup *all, void **self, rl_err *err) {
    supervised *s = rl_alloc(1, sizeof *s);
    const rl_data_opts *data = &all->recipe->data;
    rl_status status;
    *self = s;
    s->setup = all;
    s->opts = all->recipe->algo_opts;
    s->item = rl_alloc((size_t)s->opts->batch_size, sizeof s->item[0]);
    status = load(s, data->train, "data.train", &s->train, err);
    if (status == RL_OK && data->eval_loss[0] != '\0') {
        status = load(s, data->eval_loss, "data.eval_loss", &s->eval, err);
    }
    return status;
}

static void close_objective(void *self) {
    supervised *s = self;
    if (s != NULL) {
        rl_corpus_free(s->train);
        rl_corpus_free(s->eval);
        rl_free(s->item);
        rl_free(s);
    }
}

static double total_weight(const rl_conversation *const *item, int32_t n_items) {
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

static void add(mean *m, double x) {
    m->sum += x;
    m->n++;
}

static double mean_of(const mean *m) {
    return m->n > 0 ? m->sum / (double)m->n : (double)NAN;
}

/* Some conversations on their way through the model in one pass. */
typedef struct pass {
    rl_policy *policy;
    const rl_conversation *const *item;
    int32_t n_items;
    double scale; // of the gradient: 1 / sum of w of the whole update; 0 scores without one
    rl_arena *arena;
    tally *out;
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
    tally *out = p->out;
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
                add(&out->entropy, entropy[at]);
                add(stretch->said ? &out->said : &out->prompt, nll);
                if (stretch->said && stretch->weight >= 1) {
                    add(&out->said_full, nll);
                }
                if (stretch->weight > 1) {
                    add(&out->weighted, nll);
                }
            }
        }
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
        count(p, logp, entropy);
    }
    rl_arena_rewind(p->arena, mark);
    return status;
}

/* All conversations in passes of at most compute.micro_tokens, or of one that is longer. */
static rl_status run_passes(const supervised *s, const rl_conversation *const *item,
                            int32_t n_items, double scale, rl_arena *arena, tally *out,
                            rl_err *err) {
    int64_t most = s->setup->recipe->compute.micro_tokens;
    for (int32_t begin = 0, end; begin < n_items; begin = end) {
        int64_t n_tokens = item[begin]->n_tokens;
        for (end = begin + 1; end < n_items && n_tokens + item[end]->n_tokens <= most; end++) {
            n_tokens += item[end]->n_tokens;
        }
        pass p = {.policy = s->setup->policy,
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

static rl_status gradient(void *self, step_frame *frame, rl_err *err) {
    supervised *s = self;
    const rl_recipe *recipe = s->setup->recipe;
    int32_t n = s->opts->batch_size;
    rl_status status;
    report_phase(frame->report, "training");
    for (int32_t i = 0; i < n; i++) {
        int32_t at = rl_corpus_pick(s->train, (uint64_t)recipe->run.seed, recipe->data.shuffle,
                                    (frame->step - 1) * n + i);
        s->item[i] = rl_corpus_at(s->train, at);
    }
    s->step = (tally){.weight = total_weight(s->item, n)};
    rl_policy_zero_grad(s->setup->policy);
    status = run_passes(s, s->item, n, 1 / s->step.weight, frame->arena, &s->step, err);
    if (status == RL_OK && !isfinite(s->step.loss)) {
        status = rl_fail(err, RL_ALARM, "the loss is not finite");
    }
    s->n_tokens += s->step.n_tokens;
    return status;
}

static void batch(void *self, const step_frame *frame, rl_str *lines) {
    const supervised *s = self;
    for (int32_t i = 0; i < s->opts->batch_size; i++) {
        const rl_conversation *item = s->item[i];
        rl_json_writer w = {.out = lines};
        int32_t t = 0;
        rl_json_open_object(&w, NULL);
        rl_json_put_int(&w, "step", frame->step);
        rl_json_put_int(&w, "line", item->line);
        rl_json_open_list(&w, "ids");
        for (; t < item->n_tokens; t++) {
            rl_json_put_int(&w, NULL, item->token[t]);
        }
        rl_json_close_list(&w);
        rl_json_open_list(&w, "weights");
        t = 0;
        for (int32_t k = 0; k < item->n_stretches; k++) {
            for (; t < item->stretch[k].end; t++) {
                rl_json_put_number(&w, NULL, (double)item->stretch[k].weight);
            }
        }
        rl_json_close_list(&w);
        rl_json_close_object(&w);
        rl_str_append_char(lines, '\n');
    }
}

static void put_losses(const tally *t, const char *prefix, rl_metrics *out) {
    rl_metrics_put(out, t->loss / t->weight, "%sloss", prefix);
    rl_metrics_put(out, mean_of(&t->said), "%sloss/completion", prefix);
    rl_metrics_put(out, mean_of(&t->prompt), "%sloss/prompt", prefix);
    rl_metrics_put(out, mean_of(&t->weighted), "%sloss/weighted", prefix);
    rl_metrics_put(out, mean_of(&t->said_full), "%smean_token_nll", prefix);
    rl_metrics_put(out, mean_of(&t->entropy), "%sentropy", prefix);
}

static void put(void *self, const step_frame *frame, rl_metrics *m) {
    const supervised *s = self;
    double seconds = frame->trained - frame->began;
    rl_metrics_put(m, (double)frame->step, "step");
    rl_metrics_put(m, (double)frame->step * s->opts->batch_size / rl_corpus_size(s->train),
                   "epoch");
    put_losses(&s->step, "", m);
    rl_metrics_put(m, frame->grad_norm, "grad_norm");
    rl_metrics_put(m, frame->lr, "learning_rate");
    rl_metrics_put(m, (double)s->n_tokens, "num_tokens");
    rl_metrics_put(m, seconds, "timing_s/step");
    rl_metrics_put(m, seconds > 0 ? (double)s->step.n_tokens / seconds : (double)NAN,
                   "perf/train_tok_s");
    rl_metrics_put(m, (double)rl_peak_rss() / 1048576.0, "perf/peak_rss_mb");
}

static bool evaluates(const void *self) {
    const supervised *s = self;
    return s->eval != NULL;
}

static rl_status evaluate(void *self, const volatile sig_atomic_t *stop, rl_arena *arena,
                          rl_metrics *out, rl_err *err) {
    supervised *s = self;
    tally sum = {0};
    int32_t n = s->eval != NULL ? rl_corpus_size(s->eval) : 0, part = s->opts->batch_size;
    if (n == 0) {
        return RL_OK;
    }
    for (int32_t begin = 0; begin < n; begin += part) {
        int32_t n_items = n - begin < part ? n - begin : part;
        rl_status status;
        if (stop != NULL && *stop != 0) {
            return rl_fail(err, RL_INTERRUPTED, "the evaluation was stopped by the user");
        }
        rl_arena_reset(arena);
        for (int32_t i = 0; i < n_items; i++) {
            s->item[i] = rl_corpus_at(s->eval, begin + i);
        }
        sum.weight += total_weight(s->item, n_items);
        status = run_passes(s, s->item, n_items, 0, arena, &sum, err);
        if (status != RL_OK) {
            return status;
        }
    }
    put_losses(&sum, "eval/", out);
    return RL_OK;
}

static void print_conversation(const supervised *s, const rl_conversation *item, FILE *to) {
    int32_t t = 0;
    fprintf(to, "\nfirst conversation (line %lld, %d tokens), each stretch after its weight:\n",
            (long long)item->line, item->n_tokens);
    for (int32_t k = 0; k < item->n_stretches; k++) {
        const rl_stretch *stretch = &item->stretch[k];
        rl_str text = {0};
        rl_tokenizer_decode(s->setup->tokenizer, item->token + t, stretch->end - t, false, &text);
        fprintf(to, "[%g] %s\n", (double)stretch->weight, rl_str_text(&text));
        rl_str_release(&text);
        t = stretch->end;
    }
    fprintf(to, "ids:");
    for (t = 0; t < item->n_tokens; t++) {
        fprintf(to, " %d", item->token[t]);
    }
    fputc('\n', to);
}

static rl_status preview(void *self, FILE *to, rl_err *err) {
    supervised *s = self;
    const rl_recipe *r = s->setup->recipe;
    const rl_model_config *config = rl_checkpoint_config(s->setup->checkpoint);
    double gib = 1024.0 * 1024 * 1024, weights = (double)rl_model_config_params(config) * 4;
    double train = (double)rl_policy_train_bytes(config, r->compute.micro_tokens);
    double data = (double)rl_corpus_tokens(s->train) * (double)sizeof(int32_t);
    double machine = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    double n = rl_corpus_size(s->train);
    (void)err;
    print_conversation(
        s,
        rl_corpus_at(s->train, rl_corpus_pick(s->train, (uint64_t)r->run.seed, r->data.shuffle, 0)),
        to);
    fprintf(to, "\nsteps: %d of %d conversations, %.2f epochs of %.0f\n", r->run.steps,
            s->opts->batch_size, (double)r->run.steps * s->opts->batch_size / n, n);
    fprintf(to, "token budget: about %.0f tokens a step, %.3g in all\n",
            (double)rl_corpus_tokens(s->train) / n * s->opts->batch_size,
            (double)rl_corpus_tokens(s->train) / n * s->opts->batch_size * r->run.steps);
    fprintf(to,
            "memory estimate: %.2f GiB (weights, packed weights, gradients and optimizer %.2f, "
            "activations %.2f, data %.2f)\n",
            (weights * 5 + train + data) / gib, weights * 5 / gib, train / gib, data / gib);
    if (weights * 5 + train + data > machine) {
        fprintf(to, "this machine has %.2f GiB; if memory runs out, lower compute.micro_tokens\n",
                machine / gib);
    }
    return RL_OK;
}

const objective objective_supervised = {
    .check = check,
    .open = open_objective,
    .close = close_objective,
    .preview = preview,
    .gradient = gradient,
    .batch = batch,
    .put = put,
    .evaluates = evaluates,
    .evaluate = evaluate,
};
