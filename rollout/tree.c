/*
 * Growing Murphy's tree (arXiv 2511.07833, section 1.1 of our algorithm notes).
 *
 * Parties: the engine, which continues contexts; the judges, which give verdicts; the chat, which
 * turns feedback into ids. A turn is four stages over all open contexts at once, so that the engine
 * sees one large batch and the judges one long queue:
 *
 *   open_roots   the problems' prompts become the contexts of turn 0
 *   draw         every open context gets its group of attempts         (engine)
 *   judge        every new attempt gets its verdicts and its feedback  (judges)
 *   expand       every new attempt that failed opens one context, as   (chat); back to draw
 *                the rollout's retry says
 *
 * It ends after the last turn or when nothing is left to try again. Solved attempts are leaves; so
 * are those without a verdict, which never train, and those whose conversation is full.
 *
 * Invariants:
 *  1. An attempt's random numbers depend on (seed, step, problem, path, turn) alone: neither other
 *     problems of the step nor the order of verdicts can change a completion.
 *  2. Contexts are appended in the order of their parents, attempts in the order of contexts: this
 *     is the batch's order.
 *  3. Ids are only appended. A context's ids are its parent's, the attempt as sampled, and what the
 *     chat adds; a fresh context's are its problem's prompt.
 */
#include "rollout/tree.h"

#include <string.h>

#include "rl/core/assert.h"
#include "rl/core/clock.h"
#include "rl/core/str.h"
#include "rollout/feedback.h"
#include "rollout/scorer.h"

// Reward this near to full is full: weights may not add up exactly.
static const double full_score = 1 - 1e-9;

static void *grown(rl_arena *arena, const void *old, int32_t n_old, int32_t n_more, size_t size) {
    void *out = rl_arena_alloc(arena, (size_t)n_old + (size_t)n_more, size);
    if (n_old > 0) {
        memcpy(out, old, (size_t)n_old * size);
    }
    return out;
}

// How often the problem of a slot occurred before it in this step.
static uint32_t occurrence(const rl_tree *tree, int32_t slot) {
    uint32_t n = 0;
    for (int32_t i = 0; i < slot; i++) {
        n += tree->problem[i] == tree->problem[slot];
    }
    return n;
}

static rl_status open_roots(rl_tree *tree, rl_err *err) {
    tree->context = rl_arena_alloc(tree->arena, (size_t)tree->n_problems, sizeof *tree->context);
    for (int32_t i = 0; i < tree->n_problems; i++) {
        const rl_problem *problem = tree->problem[i];
        rl_context *context = &tree->context[tree->n_contexts++];
        int32_t *ids;
        rl_status status = rl_chat_open(tree->rollout->chat, problem->messages, problem->n_messages,
                                        tree->arena, &ids, &context->n_added, err);
        if (status != RL_OK) {
            return status;
        }
        context->parent = -1;
        context->slot = i;
        context->n_samples = tree->rollout->opts->group_size;
        context->path = occurrence(tree, i) * (uint32_t)context->n_samples;
        context->added = context->whole = ids;
        context->n_whole = context->n_added;
    }
    return RL_OK;
}

// The prompt of one context and where the random numbers of its attempts come from.
static rl_prompt prompt_of(const rl_tree *tree, const rl_context *context, int32_t turn) {
    int32_t n = context->n_samples;
    rl_rng *rng = rl_arena_alloc(tree->arena, (size_t)n, sizeof *rng);
    for (int32_t k = 0; k < n; k++) {
        uint64_t path = (uint64_t)context->path + (uint64_t)k;
        RL_ASSERT(path <= UINT32_MAX);
        rng[k] = (rl_rng){.seed = tree->seed,
                          .step = tree->step,
                          .problem = (uint32_t)tree->problem[context->slot]->index,
                          .sample = (uint32_t)path,
                          .turn = (uint32_t)turn,
                          .purpose = RL_RNG_SAMPLE};
    }
    return (rl_prompt){
        .parent = context->parent < 0 || context->fresh
                      ? -1
                      : tree->attempt[context->parent].completion.node,
        .token = context->added,
        .n_tokens = context->n_added,
        .n_samples = n,
        .rng = rng,
    };
}

static const char *text_of(const rl_tree *tree, const rl_completion *completion, size_t *len) {
    rl_str text = {0};
    const char *out;
    rl_tokenizer_decode(tree->rollout->tokenizer, completion->token, completion->n_tokens, true,
                        &text);
    out = rl_arena_strndup(tree->arena, rl_str_text(&text), text.len);
    *len = text.len;
    rl_str_release(&text);
    return out;
}

// Appends the attempts that were drawn from one context.
static void add_attempts(rl_tree *tree, int32_t context, int32_t turn, const rl_completion *drawn) {
    rl_context *from = &tree->context[context];
    from->first = tree->n_attempts;
    for (int32_t k = 0; k < from->n_samples; k++) {
        rl_attempt *attempt = &tree->attempt[tree->n_attempts++];
        *attempt = (rl_attempt){
            .context = context,
            .turn = turn,
            .path = from->path + (uint32_t)k,
            .completion = drawn[k],
        };
        attempt->text = text_of(tree, &drawn[k], &attempt->text_len);
    }
}

// The contexts from first_context on are of the same turn and so of the same size.
static rl_status draw(rl_tree *tree, int32_t first_context, int32_t turn, rl_err *err) {
    const rl_rollout *r = tree->rollout;
    int32_t n_each = tree->context[first_context].n_samples;
    int32_t n_open = tree->n_contexts - first_context, n_new = n_open * n_each;
    rl_prompt *prompt = rl_arena_alloc(tree->arena, (size_t)n_open, sizeof *prompt);
    rl_completion *drawn = rl_arena_alloc(tree->arena, (size_t)n_new, sizeof *drawn);
    rl_decode_opts opts = {.max_new_tokens = r->opts->max_new_tokens,
                           .temperature = r->opts->temperature,
                           .filter = {r->opts->top_k, r->opts->top_p, r->opts->min_p},
                           .stop = r->stop,
                           .n_stop = r->n_stop};
    double began = rl_clock_now();
    for (int32_t g = 0; g < n_open; g++) {
        prompt[g] = prompt_of(tree, &tree->context[first_context + g], turn);
    }
    rl_status status =
        r->engine->generate(r->engine_self, prompt, n_open, &opts, tree->arena, drawn, err);
    tree->generate_s += rl_clock_now() - began;
    if (status != RL_OK) {
        return status;
    }
    tree->attempt =
        grown(tree->arena, tree->attempt, tree->n_attempts, n_new, sizeof *tree->attempt);
    for (int32_t g = 0; g < n_open; g++) {
        add_attempts(tree, first_context + g, turn, &drawn[(int64_t)g * n_each]);
    }
    return RL_OK;
}

// Turns the verdicts of one attempt into reward and feedback.
static void settle(const rl_tree *tree, rl_attempt *attempt) {
    const rl_rollout *r = tree->rollout;
    attempt->main = rl_verdict_main(attempt->verdict, r->n_judges);
    attempt->scored = attempt->main->kind != RL_VERDICT_UNKNOWN;
    if (!attempt->scored) {
        return;
    }
    attempt->solved = true;
    for (int32_t j = 0; j < r->n_judges; j++) {
        attempt->reward += r->judge[j].weight * attempt->verdict[j].score;
        attempt->solved = attempt->solved && attempt->verdict[j].score >= full_score;
    }
    if (!attempt->solved) {
        attempt->feedback =
            rl_feedback_text(r->opts, attempt->main, tree->arena, &attempt->feedback_len);
    }
}

static void judge(rl_tree *tree, int32_t first_attempt) {
    const rl_rollout *r = tree->rollout;
    int32_t n = tree->n_attempts - first_attempt;
    rl_answer *answer = rl_arena_alloc(tree->arena, (size_t)n, sizeof *answer);
    rl_verdict *verdict =
        rl_arena_alloc(tree->arena, (size_t)n * (size_t)r->n_judges, sizeof *verdict);
    double began = rl_clock_now();
    for (int32_t i = 0; i < n; i++) {
        const rl_attempt *attempt = &tree->attempt[first_attempt + i];
        answer[i] = (rl_answer){.problem = tree->problem[tree->context[attempt->context].slot],
                                .text = attempt->text,
                                .text_len = attempt->text_len};
    }
    const char *cause =
        rl_score(r->judge, r->n_judges, r->waiters, answer, n, tree->arena, verdict);
    tree->unknown_cause = tree->unknown_cause != NULL ? tree->unknown_cause : cause;
    for (int32_t i = 0; i < n; i++) {
        tree->attempt[first_attempt + i].verdict = &verdict[(int64_t)i * r->n_judges];
        settle(tree, &tree->attempt[first_attempt + i]);
    }
    tree->reward_s += rl_clock_now() - began;
}

static const int32_t *join(rl_arena *arena, const rl_context *before, const rl_completion *said,
                           const int32_t *added, int32_t n_added) {
    int32_t *out = rl_arena_alloc(
        arena, (size_t)before->n_whole + (size_t)said->n_tokens + (size_t)n_added, sizeof *out);
    memcpy(out, before->whole, (size_t)before->n_whole * sizeof *out);
    if (said->n_tokens > 0) {
        memcpy(out + before->n_whole, said->token, (size_t)said->n_tokens * sizeof *out);
    }
    memcpy(out + before->n_whole + said->n_tokens, added, (size_t)n_added * sizeof *out);
    return out;
}

// Appends the context that follows attempt i; what it holds is the caller's to fill.
static rl_context *add_context(rl_tree *tree, int32_t i) {
    const rl_rollout *r = tree->rollout;
    rl_context *out = &tree->context[tree->n_contexts++];
    int32_t n = r->retries > 0 ? r->retries : r->opts->group_size;
    uint64_t path = (uint64_t)tree->attempt[i].path * (uint64_t)n;
    RL_ASSERT(path <= UINT32_MAX);
    *out = (rl_context){
        .parent = i,
        .slot = tree->context[tree->attempt[i].context].slot,
        .n_samples = n,
        .path = (uint32_t)path,
    };
    return out;
}

// Attempt i goes on with the feedback on attempt `told`, unless the conversation is full.
static rl_status go_on(rl_tree *tree, int32_t i, int32_t told, rl_err *err) {
    const rl_rollout *r = tree->rollout;
    const rl_attempt *attempt = &tree->attempt[i], *heard = &tree->attempt[told];
    const rl_context *before = &tree->context[attempt->context];
    const rl_completion *said = &attempt->completion;
    int32_t *added, n_added;
    bool ended = said->n_tokens > 0 && said->token[said->n_tokens - 1] == rl_chat_stop(r->chat);
    rl_status status = rl_chat_continue(r->chat, ended, heard->feedback, heard->feedback_len,
                                        tree->arena, &added, &n_added, err);
    if (status != RL_OK) {
        return status;
    }
    int64_t n_whole = (int64_t)before->n_whole + said->n_tokens + n_added;
    if (n_whole > INT32_MAX || (r->max_positions > 0 && n_whole >= r->max_positions)) {
        tree->n_no_room++;
        return RL_OK;
    }
    rl_context *context = add_context(tree, i);
    context->added = added;
    context->n_added = n_added;
    context->whole = join(tree->arena, before, said, added, n_added);
    context->n_whole = (int32_t)n_whole;
    return RL_OK;
}

static rl_status retry_with_own(rl_tree *tree, int32_t first_attempt, int32_t i, rl_err *err) {
    (void)first_attempt;
    return go_on(tree, i, i, err);
}

static rl_status retry_afresh(rl_tree *tree, int32_t first_attempt, int32_t i, rl_err *err) {
    // Roots come first and in the order of their slots.
    const rl_context *root = &tree->context[tree->context[tree->attempt[i].context].slot];
    rl_context *context = add_context(tree, i);
    (void)first_attempt;
    (void)err;
    context->fresh = true;
    context->added = context->whole = root->whole;
    context->n_added = context->n_whole = root->n_whole;
    return RL_OK;
}

static const rl_problem *problem_of(const rl_tree *tree, int32_t i) {
    return tree->problem[tree->context[tree->attempt[i].context].slot];
}

static rl_status retry_with_another(rl_tree *tree, int32_t first_attempt, int32_t i, rl_err *err) {
    int32_t n = tree->n_attempts - first_attempt;
    for (int32_t k = 1; k < n; k++) {
        int32_t other = first_attempt + (i - first_attempt + k) % n;
        if (tree->attempt[other].feedback != NULL &&
            problem_of(tree, other)->index != problem_of(tree, i)->index) {
            return go_on(tree, i, other, err);
        }
    }
    tree->attempt[i].lone = true;
    return RL_OK;
}

const char *const rl_retry_names[] = {"feedback", "fresh", "wrong_feedback", NULL};

/* Opens the context after attempt i, one of those from first_attempt on, which are its turn's. */
typedef rl_status retry(rl_tree *tree, int32_t first_attempt, int32_t i, rl_err *err);

static retry *const retries[] = {
    [RL_RETRY_FEEDBACK] = retry_with_own,
    [RL_RETRY_FRESH] = retry_afresh,
    [RL_RETRY_WRONG_FEEDBACK] = retry_with_another,
};

static rl_status expand(rl_tree *tree, int32_t first_attempt, rl_err *err) {
    retry *open_next = retries[tree->rollout->retry];
    int32_t n_failed = 0;
    for (int32_t i = first_attempt; i < tree->n_attempts; i++) {
        n_failed += tree->attempt[i].feedback != NULL;
    }
    tree->context =
        grown(tree->arena, tree->context, tree->n_contexts, n_failed, sizeof *tree->context);
    for (int32_t i = first_attempt; i < tree->n_attempts; i++) {
        rl_status status =
            tree->attempt[i].feedback != NULL ? open_next(tree, first_attempt, i, err) : RL_OK;
        if (status != RL_OK) {
            return status;
        }
    }
    return RL_OK;
}

static rl_status first_turn(rl_tree *tree, rl_err *err) {
    rl_status status = open_roots(tree, err);
    if (status == RL_OK) {
        status = draw(tree, 0, 0, err);
    }
    if (status == RL_OK) {
        judge(tree, 0);
    }
    return status;
}

// The first turn of another tree, as it was before anything was tried again.
static void take_first_turn(rl_tree *tree, const rl_tree *from) {
    RL_ASSERT(from->n_problems == tree->n_problems && from->seed == tree->seed &&
              from->step == tree->step);
    tree->n_contexts = from->n_problems;
    while (tree->n_taken < from->n_attempts && from->attempt[tree->n_taken].turn == 0) {
        tree->n_taken++;
    }
    tree->n_attempts = tree->n_taken;
    tree->context = grown(tree->arena, from->context, tree->n_contexts, 0, sizeof *tree->context);
    tree->attempt = grown(tree->arena, from->attempt, tree->n_attempts, 0, sizeof *tree->attempt);
    for (int32_t i = 0; i < tree->n_attempts; i++) {
        tree->attempt[i].lone = false;
    }
}

rl_status rl_tree_grow(rl_tree *tree, rl_err *err) {
    const rl_rollout *r = tree->rollout;
    int32_t first_attempt = 0;
    rl_status status = RL_OK;
    if (r->first != NULL) {
        take_first_turn(tree, r->first->tree);
    } else {
        status = first_turn(tree, err);
    }
    for (int32_t turn = 1; status == RL_OK && turn < r->opts->turns; turn++) {
        int32_t first_context = tree->n_contexts, n_attempts = tree->n_attempts;
        status = expand(tree, first_attempt, err);
        first_attempt = n_attempts;
        if (status != RL_OK || tree->n_contexts == first_context) {
            break;
        }
        status = draw(tree, first_context, turn, err);
        if (status == RL_OK) {
            judge(tree, first_attempt);
        }
    }
    return status;
}
