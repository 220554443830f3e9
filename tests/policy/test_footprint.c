/* What a policy is said to take of memory, beside what it has when it is open. */
#include "rl/policy/footprint.h"

#include "policy/model.h"
#include "rl/policy/score.h"
#include "tests/support/model.h"
#include "tests/support/support.h"

static double of_hidden(const rl_params *params) {
    double sum = 0;
    for (int32_t i = 0; i < params->n_items; i++) {
        sum += params->item[i].hidden ? (double)rl_tensor_count(params->item[i].value) : 0;
    }
    return sum;
}

static double packed_values(const rl_policy *policy) {
    double sum = (double)policy->head.packed.shape[0];
    for (int32_t i = 0; i < policy->config.n_layers; i++) {
        rl_block *block = &policy->block[i];
        rl_linear *linear[] = RL_BLOCK_LINEARS(block);
        for (size_t k = 0; k < RL_COUNT(linear); k++) {
            sum += (double)linear[k]->packed.shape[0];
        }
    }
    return sum;
}

static void check_model(const char *name, rl_weights weights) {
    char path[256];
    rl_policy_opts opts = {.trains = true, .weights = weights};
    rl_optim_opts adamw = {.name = RL_OPTIMIZER_ADAMW}, muon = {.name = RL_OPTIMIZER_MUON};
    double size = weights == RL_WEIGHTS_BF16 ? 2 : 4, tables, packed;
    rl_footprint said;
    rl_test_model model;
    const rl_params *trained, *held;
    const rl_model_config *config;
    snprintf(path, sizeof path, "%s", rl_golden(name));
    rl_test_model_open_as(&model, path, RL_KERNELS_AUTO, 1, &opts);
    opts.adapter = model.adapter;
    config = rl_policy_config(model.policy);
    trained = rl_policy_params(model.policy);
    held = rl_policy_weights(model.policy);
    said = rl_policy_footprint(config, &opts, &adamw);
    assert_true(said.weights ==
                4 * (double)(held->n_values + (model.adapter != NULL ? trained->n_values : 0)));
    assert_true(said.gradients == 4 * (double)trained->n_values);
    assert_true(said.moments == 8 * (double)trained->n_values);
    assert_true(rl_policy_footprint(config, &opts, &muon).moments ==
                8 * (double)trained->n_values - 4 * of_hidden(trained));
    // Short of the padding of panels, which is much for matrices as small as these.
    tables = 4.0 * config->n_ropes * config->max_positions * config->head_dim;
    packed = said.packed - tables - (model.adapter != NULL ? 4 * (double)trained->n_values : 0);
    assert_true(packed <= size * packed_values(model.policy));
    assert_true(packed >= 0.7 * size * packed_values(model.policy));
    opts.trains = false;
    assert_true(rl_policy_footprint(config, &opts, &adamw).moments == 0);
    rl_test_model_close(&model);
}

static void parts_are_what_is_there(void **state) {
    static const char *const names[] = {"models/llama", "models/qwen2", "models/gemma3",
                                        "models/lora-llama"};
    (void)state;
    for (size_t i = 0; i < RL_COUNT(names); i++) {
        check_model(names[i], RL_WEIGHTS_F32);
        check_model(names[i], RL_WEIGHTS_BF16);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(parts_are_what_is_there)};
    return cmocka_run_group_tests_name("footprint", tests, NULL, NULL);
}
