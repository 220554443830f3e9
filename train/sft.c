/*
 * The supervised objective: a step takes the next conversations of the corpus and the gradient of
 * their weighted loss over all tokens of the step.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "rl/algos/sft.h"
#include "rl/core/alloc.h"
#include "rl/core/clock.h"
#include "rl/core/log.h"
#include "train/dry_run.h"
#include "train/weighted.h"

typedef struct supervised {
    setup *setup;
    const rl_sft_opts *opts;
    rl_corpus *train, *eval;      // eval is NULL without data.eval_loss
    const rl_conversation **item; // [batch_size] of the step
    weighted_sums step;
    int64_t n_tokens; // trained on since the run began, context included
} supervised;

static void check(const rl_recipe *recipe, rl_errors *errors) {
    if (recipe->data.eval[0] != '\0' && recipe->n_rewards == 0 &&
        !rl_errors_refused(errors, "rewards") && !rl_errors_refused(errors, "data.eval")) {
        rl_errors_add(errors, "'data.eval' names problems, but 'rewards' names nothing that judges "
                              "them; try \"rewards\": [{\"name\": \"code_tests\"}]");
    }
}

static rl_status load(supervised *s, const char *path, const char *key, rl_pool *pool,
                      rl_corpus **out, rl_err *err) {
    const rl_recipe *recipe = s->setup->recipe;
    int32_t positions = rl_checkpoint_config(s->setup->checkpoint)->max_positions;
    int32_t most = s->opts->max_tokens > 0 ? s->opts->max_tokens : positions;
    rl_corpus_opts opts = {.tokenizer = s->setup->tokenizer,
                           .chat = s->setup->chat,
                           .system = recipe->data.system,
                           .prompt_weight = s->opts->prompt_loss_weight,
                           .max_tokens = most < positions ? most : positions,
                           .over_long = recipe->data.over_long,
                           .pool = pool};
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

// The threads are gone again before those that compute are made.
static rl_status open_objective(setup *all, void **self, rl_err *err) {
    supervised *s = rl_alloc(1, sizeof *s);
    const rl_recipe *recipe = all->recipe;
    const rl_data_opts *data = &recipe->data;
    int32_t threads = recipe->compute.threads > 0 ? recipe->compute.threads : rl_cpu_count();
    rl_pool *pool = NULL;
    rl_status status = rl_pool_new(threads, false, &pool, err);
    *self = s;
    s->setup = all;
    s->opts = recipe->algo_opts;
    s->item = rl_alloc((size_t)s->opts->batch_size, sizeof s->item[0]);
    if (status == RL_OK) {
        status = load(s, data->train, "data.train", pool, &s->train, err);
    }
    if (status == RL_OK && data->eval_loss[0] != '\0') {
        status = load(s, data->eval_loss, "data.eval_loss", pool, &s->eval, err);
    }
    rl_pool_free(pool);
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

// A loss that is not finite is followed back to the first tensor that is not.
static rl_status check_loss(const supervised *s, rl_err *err) {
    const rl_conversation *item = s->step.broken;
    rl_segment segment;
    char name[96] = "";
    if (item == NULL) {
        return RL_OK;
    }
    segment = (rl_segment){
        .parent = -1, .token = item->token, .n_tokens = item->n_tokens, .wanted = true};
    if (rl_policy_trace(s->setup->policy, &segment, 1, name, err) != RL_OK || name[0] == '\0') {
        snprintf(name, sizeof name, "a log-prob");
    }
    return rl_fail(err, RL_ALARM, "%s is not finite, seen first in the conversation of line %lld",
                   name, (long long)item->line);
}

static rl_status gradient(void *self, step_frame *frame, rl_err *err) {
    supervised *s = self;
    const rl_recipe *recipe = s->setup->recipe;
    uint64_t seed = (uint64_t)recipe->run.seed;
    int32_t n = s->opts->batch_size;
    rl_status status;
    report_phase(frame->report, "training");
    for (int32_t i = 0; i < n; i++) {
        int64_t k = (frame->step - 1) * n + i;
        s->item[i] =
            rl_corpus_at(s->train, rl_corpus_pick(s->train, seed, recipe->data.shuffle, k));
    }
    s->step = (weighted_sums){0};
    rl_policy_zero_grad(s->setup->policy);
    status = weighted_run(s->setup->policy, s->item, n, 1 / weighted_total(s->item, n),
                          recipe->compute.micro_tokens, frame->arena, &s->step, err);
    s->n_tokens += s->step.n_tokens;
    return status == RL_OK ? check_loss(s, err) : status;
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

// Row i is conversation i. The log-probs are scored once more, which gives the bits of the pass
// that gave the gradient.
static rl_status dump_batch(void *self, const step_frame *frame, dump *out, rl_err *err) {
    const supervised *s = self;
    int32_t n = s->opts->batch_size, longest = 0;
    rl_status status = RL_OK;
    for (int32_t i = 0; i < n; i++) {
        longest = s->item[i]->n_tokens > longest ? s->item[i]->n_tokens : longest;
    }
    *out = dump_begin(frame->arena, n, longest);
    int32_t *ids = dump_ints(out, "ids", true), *length = dump_ints(out, "lengths", false);
    double *weight = dump_reals(out, "weights", true), *logp = dump_reals(out, "logprobs", true);
    for (int32_t i = 0; i < n && status == RL_OK; i++) {
        const rl_conversation *item = s->item[i];
        rl_segment whole = {
            .parent = -1, .token = item->token, .n_tokens = item->n_tokens, .wanted = true};
        int64_t begin = (int64_t)i * longest;
        int32_t t = 0;
        memcpy(ids + begin, item->token, (size_t)item->n_tokens * sizeof *ids);
        length[i] = item->n_tokens;
        for (int32_t k = 0; k < item->n_stretches; k++) {
            for (; t < item->stretch[k].end; t++) {
                weight[begin + t] = (double)item->stretch[k].weight;
            }
        }
        status = rl_policy_score(s->setup->policy, &whole, 1, 1.0, logp + begin + 1, NULL, err);
    }
    return status;
}

static void put_losses(const weighted_sums *t, const char *prefix, rl_metrics *out) {
    rl_metrics_put(out, t->loss / t->weight, "%sloss", prefix);
    rl_metrics_put(out, weighted_mean_value(&t->said), "%sloss/completion", prefix);
    rl_metrics_put(out, weighted_mean_value(&t->prompt), "%sloss/prompt", prefix);
    rl_metrics_put(out, weighted_mean_value(&t->heavy), "%sloss/weighted", prefix);
    rl_metrics_put(out, weighted_mean_value(&t->said_full), "%smean_token_nll", prefix);
    rl_metrics_put(out, weighted_mean_value(&t->entropy), "%sentropy", prefix);
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
    weighted_sums sum = {0};
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
        status = weighted_run(s->setup->policy, s->item, n_items, 0,
                              s->setup->recipe->compute.micro_tokens, arena, &sum, err);
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
        rl_str text = {0}, visible = {0};
        rl_tokenizer_decode(s->setup->tokenizer, item->token + t, stretch->end - t, false, &text);
        report_visible(&visible, rl_str_text(&text), text.len);
        fprintf(to, "[%g] %s\n", (double)stretch->weight, rl_str_text(&visible));
        rl_str_release(&text);
        rl_str_release(&visible);
        t = stretch->end;
    }
    fprintf(to, "ids:");
    for (t = 0; t < item->n_tokens; t++) {
        fprintf(to, " %d", item->token[t]);
    }
    fputc('\n', to);
}

/* Tokens of the largest pass of the first steps: weighted_run's cuts. */
static int64_t largest_pass(const supervised *s) {
    enum { STEPS = 1000 };
    const rl_recipe *r = s->setup->recipe;
    int32_t n = s->opts->batch_size, steps = r->run.steps < STEPS ? r->run.steps : STEPS;
    int64_t largest = 0;
    for (int64_t step = 0; step < steps; step++) {
        int64_t pass = 0;
        for (int64_t k = step * n; k < (step + 1) * n; k++) {
            int32_t at = rl_corpus_pick(s->train, (uint64_t)r->run.seed, r->data.shuffle, k);
            int64_t tokens = rl_corpus_at(s->train, at)->n_tokens;
            pass = pass > 0 && pass + tokens <= r->compute.micro_tokens ? pass + tokens : tokens;
            largest = pass > largest ? pass : largest;
        }
    }
    return largest;
}

static int32_t longest_conversation(const supervised *s) {
    int32_t longest = 0;
    for (int32_t i = 0; i < rl_corpus_size(s->train); i++) {
        int32_t n = rl_corpus_at(s->train, i)->n_tokens;
        longest = n > longest ? n : longest;
    }
    return longest;
}

static rl_status preview(void *self, FILE *to, rl_err *err) {
    supervised *s = self;
    const rl_recipe *r = s->setup->recipe;
    int32_t first = rl_corpus_pick(s->train, (uint64_t)r->run.seed, r->data.shuffle, 0);
    double n = rl_corpus_size(s->train), mean_tokens = (double)rl_corpus_tokens(s->train) / n;
    double step_tokens = mean_tokens * s->opts->batch_size, longest = longest_conversation(s);
    dry_run_load load = {.pass_tokens = (double)largest_pass(s)}, most = load;
    (void)err;
    print_conversation(s, rl_corpus_at(s->train, first), to);
    fprintf(to, "\nsteps: %d of %d conversations, %.2f epochs of %.0f\n", r->run.steps,
            s->opts->batch_size, (double)r->run.steps * s->opts->batch_size / n, n);
    fprintf(to, "token budget: about %.0f tokens a step, %.3g in all\n", step_tokens,
            step_tokens * r->run.steps);
    // Other steps have other conversations, but no pass is longer than this.
    most.pass_tokens = fmax(longest, fmin(r->compute.micro_tokens, longest * s->opts->batch_size));
    dry_run_memory(s->setup, &load, &most, "", "", to);
    return RL_OK;
}

const objective objective_supervised = {
    .check = check,
    .open = open_objective,
    .close = close_objective,
    .preview = preview,
    .gradient = gradient,
    .batch = batch,
    .dump = dump_batch,
    .put = put,
    .evaluates = evaluates,
    .evaluate = evaluate,
};
