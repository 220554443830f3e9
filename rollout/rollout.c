#include "rl/rollout/rollout.h"

#include <stdint.h>
#include <string.h>

#include "rl/core/assert.h"
#include "rl/core/log.h"
#include "rollout/tree.h"

static const rl_key keys[] = {
    RL_KEY_ROW(rl_rollout_opts, prompts, "8", 1, 1 << 20, 0, "problems a step"),
    RL_KEY_ROW(rl_rollout_opts, group_size, "8", 1, 1 << 16, 0,
               "completions from one context, at every turn"),
    RL_KEY_ROW(rl_rollout_opts, turns, "1", 1, 64, 0,
               "attempts in a row, each shown the feedback on the one before"),
    RL_KEY_ROW(rl_rollout_opts, max_new_tokens, "256", 1, 1 << 24, 0,
               "length limit of a completion"),
    RL_KEY_ROW(rl_rollout_opts, temperature, "1.0", 1e-3, 100, 0,
               "what logits are divided by when sampling"),
    RL_KEY_ROW(rl_rollout_opts, top_k, "0", 0, INT32_MAX, 0,
               "draw only from the k likeliest tokens, 0 for all; wants accept_filter_bias"),
    RL_KEY_ROW(
        rl_rollout_opts, top_p, "1.0", 0, 1, RL_KEY_OPEN_MIN,
        "draw only from the likeliest tokens that together have this probability, 1 for all; "
        "wants accept_filter_bias"),
    RL_KEY_ROW(rl_rollout_opts, min_p, "0.0", 0, 1, 0,
               "draw only from tokens this much as likely as the likeliest, 0 for all; wants "
               "accept_filter_bias"),
    RL_KEY_ROW(rl_rollout_opts, accept_filter_bias, "false", 0, 0, 0,
               "allow top_k, top_p and min_p although they bias training: completions then come "
               "from a narrower distribution than the one whose log-probs are recorded and "
               "trained, which stays that of the temperature over all tokens"),
    RL_KEY_ROW(rl_rollout_opts, max_batch, "64", 1, 1 << 16, RL_KEY_RESUME_FREE,
               "completions generated at a time"),
    RL_KEY_ROW(rl_rollout_opts, engine, "local", 0, 0, 0,
               "what generates completions: local, the policy in this process"),
    RL_KEY_ROW(rl_rollout_opts, feedback_open, "Running it against the tests gave:", 0, 0, 0,
               "line before what a later turn is told of failing tests"),
    RL_KEY_ROW(rl_rollout_opts, feedback_close,
               "Write a corrected, complete solution in a single python code block.", 0, 0, 0,
               "paragraph after it"),
};

// Indexes in the batch are 32 bits: prompts * (G + G^2 + ... + G^turns) must fit.
static bool fits(const rl_rollout_opts *o) {
    int64_t samples = 0, at_turn = o->prompts;
    for (int32_t t = 0; t < o->turns; t++) {
        at_turn *= o->group_size;
        samples += at_turn;
        if (samples > INT32_MAX) {
            return false;
        }
    }
    return true;
}

static rl_status check(const void *opts, rl_err *err) {
    const rl_rollout_opts *o = opts;
    if (rl_engine_find(o->engine) == NULL) {
        return rl_fail(err, RL_BAD_RECIPE,
                       "'rollout.engine' is '%.80s', but only 'local' is supported; engines that "
                       "speak to servers (vllm, sglang, llamacpp) come later",
                       o->engine);
    }
    if (rl_filter_is_on(&(rl_filter){o->top_k, o->top_p, o->min_p}) && !o->accept_filter_bias) {
        return rl_fail(err, RL_BAD_RECIPE,
                       "'rollout.%s' draws from another distribution than the one that is trained; "
                       "leave it out, or accept that bias with 'rollout.accept_filter_bias': true",
                       o->top_k > 0   ? "top_k"
                       : o->top_p < 1 ? "top_p"
                                      : "min_p");
    }
    if (!fits(o)) {
        return rl_fail(err, RL_BAD_RECIPE,
                       "'rollout.prompts' %d, 'rollout.group_size' %d and 'rollout.turns' %d allow "
                       "more than 2^31 samples a step; lower one of them",
                       (int)o->prompts, (int)o->group_size, (int)o->turns);
    }
    return RL_OK;
}

const rl_section rl_rollout_section = {
    .name = "rollout",
    .doc = "how completions are drawn",
    .size = sizeof(rl_rollout_opts),
    .keys = keys,
    .n_keys = sizeof keys / sizeof keys[0],
    .check = check,
};

static void fill_groups(const rl_tree *tree, rl_rollout_result *out) {
    size_t n = (size_t)tree->n_contexts, n_ids = 0;
    rl_group *group = rl_arena_alloc(tree->arena, n, sizeof *group);
    rl_str text = {0};
    int32_t *ids;
    for (size_t g = 0; g < n; g++) {
        n_ids += (size_t)tree->context[g].n_added;
    }
    RL_ASSERT(n_ids <= UINT32_MAX);
    ids = rl_arena_alloc(tree->arena, n_ids, sizeof *ids);
    out->prompt_text = rl_arena_alloc(tree->arena, n, sizeof *out->prompt_text);
    out->prompt_text_len = rl_arena_alloc(tree->arena, n, sizeof *out->prompt_text_len);
    out->prompt_token = rl_arena_alloc(tree->arena, n, sizeof *out->prompt_token);
    out->n_prompt_tokens = rl_arena_alloc(tree->arena, n, sizeof *out->n_prompt_tokens);
    n_ids = 0;
    for (size_t g = 0; g < n; g++) {
        const rl_context *c = &tree->context[g];
        group[g] = (rl_group){.parent = c->parent,
                              .first = c->first,
                              .n_samples = c->n_samples,
                              .fresh = c->fresh,
                              .ctx_begin = (uint32_t)n_ids,
                              .ctx_end = (uint32_t)n_ids + (uint32_t)c->n_added};
        memcpy(ids + n_ids, c->added, (size_t)c->n_added * sizeof *ids);
        n_ids += (size_t)c->n_added;
        rl_str_clear(&text);
        rl_tokenizer_decode(tree->rollout->tokenizer, c->whole, c->n_whole, false, &text);
        out->prompt_text[g] = rl_arena_strndup(tree->arena, rl_str_text(&text), text.len);
        out->prompt_text_len[g] = text.len;
        out->prompt_token[g] = c->whole;
        out->n_prompt_tokens[g] = c->n_whole;
    }
    rl_str_release(&text);
    out->batch.group = group;
    out->batch.n_groups = tree->n_contexts;
    out->batch.context_token = ids;
    out->batch.n_context_tokens = (uint32_t)n_ids;
}

static void fill_tokens(const rl_tree *tree, rl_batch *batch) {
    size_t n = 0;
    for (int32_t i = 0; i < tree->n_attempts; i++) {
        n += (size_t)tree->attempt[i].completion.n_tokens;
    }
    RL_ASSERT(n <= UINT32_MAX);
    int32_t *token = rl_arena_alloc(tree->arena, n, sizeof *token);
    uint8_t *trainable = rl_arena_alloc(tree->arena, n, sizeof *trainable);
    double *logp = rl_arena_alloc(tree->arena, n, sizeof *logp);
    double *entropy = rl_arena_alloc(tree->arena, n, sizeof *entropy);
    memset(trainable, 1, n);
    n = 0;
    for (int32_t i = 0; i < tree->n_attempts; i++) {
        const rl_completion *c = &tree->attempt[i].completion;
        for (int32_t t = 0; t < c->n_tokens; t++, n++) {
            token[n] = c->token[t];
            logp[n] = c->logp[t];
            entropy[n] = c->entropy[t];
        }
    }
    batch->token = token;
    batch->trainable = trainable;
    batch->logp_sampled = batch->logp_old = logp;
    batch->entropy = entropy;
    batch->n_tokens = (uint32_t)n;
}

static void count_verdicts(const rl_attempt *attempt, int32_t n_judges, rl_rollout_result *out) {
    out->n_verdicts += n_judges;
    for (int32_t j = 0; j < n_judges; j++) {
        const rl_verdict *v = &attempt->verdict[j];
        if (v->kind == RL_VERDICT_UNKNOWN) {
            out->n_unknown++;
        } else if (v->timed_out) {
            out->n_timeout++;
        } else if (v->total > 0 && v->kind == RL_VERDICT_PASS) {
            out->n_ok++;
        } else if (v->total > 0 && v->kind != RL_VERDICT_UNREADABLE) {
            out->n_fail++;
        }
    }
}

static void fill_samples(const rl_tree *tree, rl_rollout_result *out) {
    int32_t n_judges = tree->rollout->n_judges;
    size_t n = (size_t)tree->n_attempts;
    rl_batch *batch = &out->batch;
    uint32_t tok = 0;
    batch->sample = rl_arena_alloc(tree->arena, n, sizeof *batch->sample);
    batch->reward_part =
        rl_arena_alloc(tree->arena, n * (size_t)n_judges, sizeof *batch->reward_part);
    out->story = rl_arena_alloc(tree->arena, n, sizeof *out->story);
    for (size_t i = 0; i < n; i++) {
        const rl_attempt *a = &tree->attempt[i];
        const rl_context *c = &tree->context[a->context];
        const rl_problem *problem = tree->problem[c->slot];
        uint32_t begin = tok;
        tok += (uint32_t)a->completion.n_tokens;
        batch->sample[i] = (rl_sample){
            .group = a->context,
            .parent = c->parent,
            .turn = a->turn,
            .problem = problem->index,
            .task = problem->task,
            .domain = problem->domain,
            .dataset = problem->dataset,
            .label = problem->label,
            .tok_begin = begin,
            .tok_end = tok,
            .reward = a->reward,
            .truncated = a->completion.truncated,
            .scored = a->scored,
            .keep = a->scored,
        };
        out->story[i] = (rl_sample_story){
            .problem = problem,
            .completion = a->text,
            .feedback = a->feedback,
            .completion_len = a->text_len,
            .feedback_len = a->feedback_len,
            .verdict = a->main->kind,
            .finish = a->completion.truncated ? RL_FINISH_LENGTH : RL_FINISH_STOP,
            .solved = a->solved,
            .lone = a->lone,
        };
        for (int32_t j = 0; j < n_judges; j++) {
            batch->reward_part[i * (size_t)n_judges + (size_t)j] =
                a->scored ? a->verdict[j].score : 0;
        }
        if (i >= (size_t)tree->n_taken) {
            count_verdicts(a, n_judges, out);
        }
    }
    batch->n_samples = tree->n_attempts;
    batch->n_parts = n_judges;
}

rl_status rl_rollout_step(const rl_rollout *rollout, const rl_problem *const *problem,
                          int32_t n_problems, uint64_t seed, uint32_t step, rl_arena *arena,
                          rl_rollout_result *out, rl_err *err) {
    rl_tree *tree = rl_arena_alloc(arena, 1, sizeof *tree);
    *tree = (rl_tree){
        .rollout = rollout,
        .problem = problem,
        .n_problems = n_problems,
        .seed = seed,
        .step = step,
        .arena = arena,
    };
    rl_status status = rl_tree_grow(tree, err);
    if (status != RL_OK) {
        return status;
    }
    *out = (rl_rollout_result){
        .batch = {.n_turns = rollout->opts->turns, .max_new_tokens = rollout->opts->max_new_tokens},
        .unknown_cause = tree->unknown_cause,
        .n_no_room = tree->n_no_room,
        .generate_s = tree->generate_s,
        .reward_s = tree->reward_s,
        .tree = tree,
    };
    fill_groups(tree, out);
    fill_tokens(tree, &out->batch);
    fill_samples(tree, out);
    if (out->n_unknown > 0) {
        rl_log(RL_LOG_WARN,
               "%d of %d verdicts could not be reached; their samples are left out: %s",
               (int)out->n_unknown, (int)out->n_verdicts, out->unknown_cause);
    }
    RL_DASSERT(rl_batch_check(&out->batch) == NULL);
    return RL_OK;
}
