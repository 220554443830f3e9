#include "train/setup.h"

#include "rl/core/fs.h"
#include "rl/core/log.h"
#include "rl/train/run_dir.h"
#include "train/evaluation.h"

rl_status setup_check_folder(const rl_recipe *recipe, bool overwrite, rl_err *err) {
    const char *dir = recipe->run.dir;
    rl_status status = rl_run_dir_check(dir, overwrite, err);
    if (status == RL_OK) {
        status = rl_run_dir_apart(dir, "model.path", recipe->model.path, err);
    }
    if (status == RL_OK) {
        status = rl_run_dir_apart(dir, "model.adapter", recipe->model.adapter, err);
    }
    if (status == RL_OK) {
        status = rl_run_dir_apart(dir, "data.train", recipe->data.train, err);
    }
    if (status == RL_OK) {
        status = rl_run_dir_apart(dir, "data.eval", recipe->data.eval, err);
    }
    if (status == RL_OK) {
        status = rl_run_dir_apart(dir, "data.eval_loss", recipe->data.eval_loss, err);
    }
    return status;
}

rl_status setup_prompt(const setup *s, const rl_problem *problem, rl_arena *arena, int32_t **out,
                       int32_t *n_out, rl_err *err) {
    return rl_chat_open(s->chat, problem->messages, problem->n_messages, arena, out, n_out, err);
}

// Leaves out or refuses prompts over data.max_prompt_tokens; they are never cut.
static rl_status measure_prompts(const setup *s, rl_dataset *data, const char *key,
                                 const char *path, rl_err *err) {
    const rl_data_opts *opts = &s->recipe->data;
    rl_arena *arena = rl_arena_new(0);
    rl_status status = RL_OK;
    int32_t n = rl_dataset_size(data);
    for (int32_t i = 0; i < n && status == RL_OK; i++) {
        const rl_problem *problem = rl_dataset_at(data, i);
        int32_t *ids, n_ids;
        status = setup_prompt(s, problem, arena, &ids, &n_ids, err);
        rl_arena_reset(arena);
        if (status != RL_OK || n_ids <= opts->max_prompt_tokens) {
            continue;
        }
        if (opts->over_long == RL_OVER_LONG_REFUSE) {
            status = rl_fail(
                err, RL_BAD_RECIPE,
                "prompt of problem '%s' has %d tokens, over 'data.max_prompt_tokens' %d; raise "
                "it, or set 'data.over_long' to skip",
                problem->id, n_ids, opts->max_prompt_tokens);
        } else {
            rl_dataset_skip(data, i);
        }
    }
    rl_arena_free(arena);
    if (status == RL_OK && rl_dataset_skipped(data) > 0) {
        rl_log(RL_LOG_INFO,
               "%s: %d of %d prompts are over 'data.max_prompt_tokens' %d and are skipped", key,
               rl_dataset_skipped(data), n, opts->max_prompt_tokens);
    }
    if (status == RL_OK && rl_dataset_skipped(data) == n) {
        status =
            rl_fail(err, RL_BAD_RECIPE,
                    "no problem is left in '%s': all prompts are over 'data.max_prompt_tokens' %d",
                    path, opts->max_prompt_tokens);
    }
    return status;
}

static void add_stop(setup *s, int32_t id) {
    for (int32_t i = 0; i < s->n_stop; i++) {
        if (s->stop[i] == id) {
            return;
        }
    }
    if (id >= 0) {
        s->stop[s->n_stop++] = id;
    }
}

// A completion ends at the model's eos ids, the tokenizer's, or the end of a chat turn.
static void collect_stops(setup *s) {
    const rl_model_config *config = rl_checkpoint_config(s->checkpoint);
    s->stop = rl_arena_alloc(s->arena, RL_MAX_EOS + 2, sizeof *s->stop);
    add_stop(s, rl_chat_stop(s->chat));
    add_stop(s, rl_tokenizer_eos(s->tokenizer));
    for (int32_t i = 0; i < config->n_eos; i++) {
        add_stop(s, config->eos[i]);
    }
}

static bool runs_tests(const rl_recipe *recipe) {
    for (int32_t r = 0; r < recipe->n_rewards; r++) {
        if (recipe->reward[r].row->runs_tests) {
            return true;
        }
    }
    return false;
}

static rl_status check_room(const setup *s, rl_err *err) {
    const rl_rollout_opts *rollout = &s->recipe->rollout;
    int32_t max = rl_checkpoint_config(s->checkpoint)->max_positions;
    if (s->recipe->data.max_prompt_tokens + rollout->max_new_tokens > max) {
        return rl_fail(
            err, RL_BAD_RECIPE,
            "'data.max_prompt_tokens' %d and 'rollout.max_new_tokens' %d do not fit the model's %d "
            "positions; lower one of them",
            s->recipe->data.max_prompt_tokens, rollout->max_new_tokens, max);
    }
    return RL_OK;
}

static rl_status open_checkpoint(setup *s, rl_err *err) {
    const rl_model_opts *model = &s->recipe->model;
    uint64_t seed = (uint64_t)s->recipe->run.seed;
    rl_status status = RL_OK;
    switch (model->init) {
    case RL_MODEL_INIT_WEIGHTS:
        status = rl_adapted_open(model->path, model->adapter, &s->checkpoint, &s->adapter, err);
        break;
    case RL_MODEL_INIT_RANDOM:
        status = rl_checkpoint_open_random(model->path, seed, &s->checkpoint, err);
        if (status == RL_OK && model->adapter[0] != '\0') {
            status = rl_adapter_open(model->adapter, s->checkpoint, &s->adapter, err);
        }
        break;
    }
    if (status != RL_OK || s->recipe->lora.r == 0) {
        return status;
    }
    if (s->adapter != NULL) {
        return rl_fail(err, RL_BAD_RECIPE,
                       "'lora.r' asks for a new adapter, but 'model.path' is one already: '%s'; "
                       "leave 'lora' out to train it on, or name a model",
                       model->path);
    }
    return rl_adapter_new(&s->recipe->lora, seed, s->checkpoint, &s->adapter, err);
}

rl_status setup_need_file(const char *path, const char *key, rl_err *err) {
    if (!rl_fs_exists(path)) {
        rl_arena *arena = rl_arena_new(0);
        const char *near = rl_fs_nearest(path, arena);
        rl_status status =
            near != NULL
                ? rl_fail(err, RL_IO, "'%s' names '%s', which is not there; did you mean '%s'?",
                          key, path, near)
                : rl_fail(err, RL_IO,
                          "'%s' names '%s', which is not there; set it with --set %s=FILE", key,
                          path, key);
        rl_arena_free(arena);
        return status;
    }
    return RL_OK;
}

rl_status setup_problems(const setup *s, const char *path, const char *key, rl_dataset **out,
                         rl_err *err) {
    rl_status status = check_room(s, err);
    if (status == RL_OK) {
        status = setup_need_file(path, key, err);
    }
    if (status == RL_OK) {
        status = rl_dataset_load(path, s->recipe->data.system, out, err);
    }
    if (status == RL_OK && runs_tests(s->recipe)) {
        status = rl_dataset_require_tests(*out, err);
    }
    if (status == RL_OK) {
        status = measure_prompts(s, *out, key, path, err);
    }
    return status;
}

rl_status setup_open_light(setup *s, const rl_recipe *recipe, rl_err *err) {
    const rl_gguf *gguf;
    rl_status status;
    s->recipe = recipe;
    s->arena = rl_arena_new(0);
    status = open_checkpoint(s, err);
    if (status != RL_OK) {
        return status;
    }
    gguf = rl_checkpoint_gguf(s->checkpoint);
    status = gguf != NULL
                 ? rl_tokenizer_from_gguf(gguf, &s->tokenizer, err)
                 : rl_tokenizer_load(rl_checkpoint_path(s->checkpoint), &s->tokenizer, err);
    if (status == RL_OK &&
        rl_tokenizer_vocab(s->tokenizer) > rl_checkpoint_config(s->checkpoint)->vocab) {
        status = rl_fail(err, RL_BAD_RECIPE, "tokenizer of '%s' has %d tokens, the model only %d",
                         recipe->model.path, rl_tokenizer_vocab(s->tokenizer),
                         rl_checkpoint_config(s->checkpoint)->vocab);
    }
    if (status == RL_OK) {
        status = rl_chat_new(s->tokenizer, &s->chat, err);
    }
    if (status == RL_OK && !rl_chat_keeps_prefix(s->chat)) {
        rl_log(RL_LOG_INFO, "the chat template rewrites earlier turns; here they stay as they were "
                            "sampled");
    }
    if (status == RL_OK) {
        collect_stops(s);
    }
    if (status == RL_OK && !s->measures_only) {
        s->objective = objective_of(recipe->algo);
        status = s->objective->open(s, &s->objective_self, err);
    }
    if (status == RL_OK && recipe->data.eval[0] != '\0') {
        status = setup_problems(s, recipe->data.eval, "data.eval", &s->eval, err);
        if (status == RL_OK) {
            status = eval_check_size(s, err);
        }
    }
    return status;
}

static rl_status open_judges(setup *s, rl_err *err) {
    rl_status status = RL_OK;
    s->judge = rl_arena_alloc(s->arena, (size_t)s->recipe->n_rewards, sizeof *s->judge);
    for (int32_t i = 0; i < s->recipe->n_rewards && status == RL_OK; i++) {
        const rl_reward_opts *reward = &s->recipe->reward[i];
        s->judge[i] =
            (rl_judge){.row = reward->row, .name = reward->row->name, .weight = reward->weight};
        status = reward->row->open(&s->judge[i].self, reward->opts, s->sandbox, err);
        s->n_judges += status == RL_OK;
    }
    return status;
}

static rl_status open_compute(setup *s, rl_err *err) {
    const rl_compute_opts *compute = &s->recipe->compute;
    int32_t threads = compute->threads > 0 ? compute->threads : rl_cpu_count();
    rl_status status = rl_pool_new(threads, true, &s->pool, err);
    if (status == RL_OK) {
        status = rl_cpu_open(compute->kernels, s->pool, &s->backend, err);
    }
    if (status == RL_OK) {
        rl_log(RL_LOG_INFO, "compute: %s", rl_cpu_describe(s->backend));
    }
    return status;
}

rl_status setup_open_heavy(setup *s, rl_err *err) {
    const rl_recipe *recipe = s->recipe;
    rl_policy_opts opts = {.trains = !s->measures_only,
                           .fixed = s->measures_only,
                           .adapter = s->adapter,
                           .weights = recipe->compute.weights,
                           .recompute = recipe->compute.recompute};
    int32_t n_waiters = rl_cpu_count();
    rl_status status = RL_OK;
    if (runs_tests(recipe)) {
        status = rl_sandbox_open(&recipe->sandbox, &s->sandbox, err);
        if (status == RL_OK) {
            n_waiters = rl_sandbox_workers(s->sandbox);
            rl_log(RL_LOG_INFO, "sandbox: %s", rl_sandbox_mode_line(s->sandbox));
        }
    }
    if (status == RL_OK) {
        status = rl_pool_new(n_waiters, false, &s->waiters, err);
    }
    if (status == RL_OK) {
        status = open_judges(s, err);
    }
    if (status == RL_OK) {
        status = open_compute(s, err);
    }
    if (status == RL_OK) {
        status = rl_policy_open(s->checkpoint, s->backend, &opts, &s->policy, err);
    }
    if (status == RL_OK) {
        rl_policy_limit_ids(s->policy, rl_tokenizer_vocab(s->tokenizer));
    }
    if (status == RL_OK && rl_policy_not_finite(s->policy, false) != NULL) {
        status =
            rl_fail(err, RL_IO, "weight '%s' of '%s' holds NaN or infinity; the file is damaged",
                    rl_policy_not_finite(s->policy, false), recipe->model.path);
    }
    if (status == RL_OK && !s->measures_only) {
        status = rl_optim_new(&recipe->optim, s->policy, &s->optim, err);
    }
    if (status == RL_OK) {
        s->engine = rl_engine_find(recipe->rollout.engine);
        if (s->engine == NULL) {
            return rl_fail(err, RL_BAD_RECIPE,
                           "unknown engine '%s' in 'rollout.engine'; known: local",
                           recipe->rollout.engine);
        }
        status = s->engine->open(&s->engine_self, s->policy, recipe->rollout.max_batch, err);
    }
    return status;
}

void setup_close(setup *s) {
    if (s->objective != NULL) {
        s->objective->close(s->objective_self);
    }
    if (s->engine_self != NULL) {
        s->engine->close(s->engine_self);
    }
    rl_optim_free(s->optim);
    rl_policy_free(s->policy);
    rl_cpu_close(s->backend);
    for (int32_t i = 0; i < s->n_judges; i++) {
        s->judge[i].row->close(s->judge[i].self);
    }
    rl_pool_free(s->waiters);
    rl_pool_free(s->pool);
    rl_sandbox_close(s->sandbox);
    rl_chat_free(s->chat);
    rl_tokenizer_free(s->tokenizer);
    rl_adapter_close(s->adapter);
    rl_checkpoint_close(s->checkpoint);
    rl_dataset_free(s->eval);
    rl_arena_free(s->arena);
    *s = (setup){0};
}

rl_rollout setup_rollout(const setup *s, const rl_rollout_opts *opts) {
    return (rl_rollout){
        .opts = opts,
        .engine = s->engine,
        .engine_self = s->engine_self,
        .tokenizer = s->tokenizer,
        .chat = s->chat,
        .waiters = s->waiters,
        .judge = s->judge,
        .n_judges = s->n_judges,
        .stop = s->stop,
        .n_stop = s->n_stop,
        .max_positions = rl_checkpoint_config(s->checkpoint)->max_positions,
    };
}
