/*
 * What is said of adapters that are not covered: keys of a recipe and of peft's configuration,
 * targets, tensors, models that are not there.
 */
#include <stdio.h>

#include "policy/lora.h"
#include "rl/core/fs.h"
#include "rl/policy/policy.h"
#include "tests/support/checkpoints.h"

static rl_checkpoint *model; // llama

static int open_model(void **state) {
    rl_err err;
    if (rl_test_backend_open(state) != 0) {
        return 1;
    }
    assert_ok(rl_checkpoint_open(rl_golden("models/llama"), &model, &err));
    return 0;
}

static int close_model(void **state) {
    rl_checkpoint_close(model);
    return rl_test_backend_close(state);
}

/* An adapter's folder with peft's configuration of the goldens, in which `from` is `to`. */
static char *changed(const char *from, const char *to) {
    rl_arena *arena = rl_arena_new(0);
    char *folder = rl_test_folder(), *config, *at;
    rl_str text = {0};
    rl_err err;
    config = rl_test_text(arena, rl_golden("models/lora-llama"), "adapter_config.json");
    at = strstr(config, from);
    if (at == NULL) {
        fail_msg("the configuration has no %s", from);
        return NULL;
    }
    rl_str_append_n(&text, config, (size_t)(at - config));
    rl_str_append(&text, to);
    rl_str_append(&text, at + strlen(from));
    assert_ok(rl_fs_write(rl_path_join(arena, folder, "adapter_config.json"), rl_str_text(&text),
                          text.len, &err));
    assert_ok(rl_fs_copy(rl_golden("models/lora-llama/adapter_model.safetensors"),
                         rl_path_join(arena, folder, "adapter_model.safetensors"), &err));
    rl_str_release(&text);
    rl_arena_free(arena);
    return folder;
}

static void test_peft_settings(void **state) {
    static const struct {
        const char *from, *to, *says;
    } rows[] = {
        {"\"bias\": \"none\"", "\"bias\": \"all\"", "'bias' is \"all\", but biases stay"},
        {"\"use_dora\": false", "\"use_dora\": true", "DoRA is not supported"},
        {"\"rank_pattern\": {}", "\"rank_pattern\": {\"q_proj\": 8}",
         "all adapters have the rank r"},
        {"\"alpha_pattern\": {}", "\"alpha_pattern\": {\"q_proj\": 8}", "the same lora_alpha"},
        {"\"modules_to_save\": null", "\"modules_to_save\": [\"lm_head\"]",
         "no module is trained as a whole"},
        {"\"layers_to_transform\": null", "\"layers_to_transform\": [0, 1]",
         "layers.3.self_attn.q_proj"},
        {"\"use_qalora\": false", "\"use_qalora\": true", "'use_qalora' is true, but that is not"},
        {"\"peft_type\": \"LORA\"", "\"peft_type\": \"IA3\"", "only LORA is supported"},
        {"\"init_lora_weights\": true", "\"init_lora_weights\": \"pissa\"",
         "change the model's weights too"},
        {"\"r\": 4", "\"r\": 0", "'r' must be a whole number from 1"},
        {"\"lora_alpha\": 8", "\"lora_alpha\": -8", "'lora_alpha' a number above 0"},
        {"\"r\": 4", "\"r\": 5", "is not [5, "},
        {"\"q_proj\",", "\"qproj\",",
         "named 'qproj', as 'target_modules' wants; did you mean 'q_proj'?"},
        {"\"q_proj\",", "\"lm_head\",", "there are q_proj, k_proj, v_proj, o_proj, gate_proj"},
        {"\"q_proj\",", "\"layers.3.q_proj\",", "in layers 0 to 2"},
        {"\"q_proj\",\n    \"up_proj\",", "\"up_proj\",",
         "q_proj.lora_A.weight' belongs to none of its 'target_modules'"},
        {"\"v_proj\"\n", "\"layers.0.self_attn.v_proj\"\n", "belongs to none of its"},
        {"\"target_modules\": [", "\"exclude_modules\": [\"x\"],\n \"target_modules\": [",
         "target_modules says which modules"},
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        char *folder;
        rl_adapter *adapter;
        rl_err err = {""};
        if (strstr(rows[i].to, "exclude_modules") != NULL) {
            folder = changed("\"exclude_modules\": null", "\"exclude_modules\": [\"x\"]");
        } else {
            folder = changed(rows[i].from, rows[i].to);
        }
        assert_true(rl_adapter_open(folder, model, &adapter, &err) != RL_OK);
        assert_null(adapter);
        rl_test_says(&err, rows[i].says);
        rl_test_drop(folder);
    }
}

/* Dropout is nothing to an adapter that is only used. */
static void test_dropout(void **state) {
    char *folder = changed("\"lora_dropout\": 0.0", "\"lora_dropout\": 0.05");
    rl_policy_opts opts = {0};
    rl_adapter *adapter;
    rl_policy *policy;
    rl_err err = {""};
    assert_ok(rl_adapter_open(folder, model, &adapter, &err));
    opts.adapter = adapter;
    assert_ok(rl_policy_open(model, *state, &opts, &policy, &err));
    rl_policy_free(policy);
    opts.trains = true;
    assert_int_equal(rl_policy_open(model, *state, &opts, &policy, &err), RL_UNSUPPORTED);
    assert_null(policy);
    rl_test_says(&err, "'lora_dropout' 0.05");
    rl_adapter_close(adapter);
    rl_test_drop(folder);
}

static void test_folders(void **state) {
    char *folder = changed("\"../llama\"", "\"somebody/llama\"");
    rl_arena *arena = rl_arena_new(0);
    rl_checkpoint *checkpoint;
    rl_adapter *adapter;
    rl_err err = {""};
    (void)state;
    assert_int_equal(rl_adapted_open(folder, NULL, &checkpoint, &adapter, &err), RL_IO);
    assert_null(checkpoint);
    rl_test_says(&err, "is for the model 'somebody/llama', which is not a path here");
    assert_ok(rl_adapted_open(rl_golden("models/llama"), folder, &checkpoint, &adapter, &err));
    assert_non_null(adapter);
    rl_adapter_close(adapter);
    rl_checkpoint_close(checkpoint);
    assert_int_equal(rl_adapted_open(folder, folder, &checkpoint, &adapter, &err), RL_BAD_RECIPE);
    rl_test_says(&err, "adapters both");
    assert_int_equal(rl_adapted_open(rl_golden("models/llama"), rl_golden("models/llama"),
                                     &checkpoint, &adapter, &err),
                     RL_IO);
    assert_null(checkpoint);
    rl_test_says(&err, "no adapter_config.json there");
    assert_ok(rl_fs_remove(rl_path_join(arena, folder, "adapter_model.safetensors"), &err));
    assert_int_equal(rl_adapter_open(folder, model, &adapter, &err), RL_IO);
    rl_test_says(&err, "has no adapter_model.safetensors");
    rl_arena_free(arena);
    rl_test_drop(folder);
}

/* An adapter for another model. */
static void test_other_model(void **state) {
    rl_adapter *adapter;
    rl_err err = {""};
    (void)state;
    assert_int_equal(rl_adapter_open(rl_golden("models/lora-qwen2"), model, &adapter, &err), RL_IO);
    rl_test_says(&err, "is not [");
}

static void read_section(const char *text, rl_lora_opts *opts, rl_errors *errors, rl_arena *arena) {
    rl_json_doc *doc;
    rl_err err;
    assert_ok(rl_json_parse(text, strlen(text), "test", &doc, &err));
    rl_section_read(&rl_lora_section, rl_json_root(doc), rl_lora_other_keys, arena, opts, errors);
    rl_lora_check_section(rl_json_root(doc), errors);
    rl_json_free(doc);
}

static void test_section(void **state) {
    static const struct {
        const char *text, *says; // NULL: nothing
    } rows[] = {
        {"{\"r\": 8, \"lora_dropout\": 0.0, \"bias\": \"none\", \"use_dora\": false,"
         " \"task_type\": \"CAUSAL_LM\","
         " \"modules_to_save\": null, \"rank_pattern\": {}}",
         NULL},
        {"{}", NULL},
        {"{\"r\": 0, \"lora_alpha\": 8}", NULL},
        {"{\"lora_alpha\": 16}", "'lora' has no 'lora.r'"},
        {"{\"r\": 8, \"lora_dropout\": 0.1}",
         "'lora.lora_dropout' is 0.1, but sampling and training share one forward"},
        {"{\"r\": 8, \"bias\": \"lora_only\"}", "biases stay as they are; set it to none"},
        {"{\"r\": 8, \"use_dora\": true}", "DoRA is not supported"},
        {"{\"r\": 8, \"rank_pattern\": {\"q_proj\": 4}}", "all adapters have the rank r"},
        {"{\"r\": 8, \"modules_to_save\": [\"lm_head\"]}", "'lora.modules_to_save'"},
        {"{\"r\": 8, \"lora_aplha\": 16}", "did you mean 'lora_alpha'?"},
        {"{\"r\": 8, \"target_modules\": []}", "'lora.target_modules' is empty"},
        {"{\"r\": 8, \"lora_alpha\": 0}", "'lora.lora_alpha' is 0, outside"},
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        rl_arena *arena = rl_arena_new(0);
        rl_errors errors = {0};
        rl_lora_opts opts;
        read_section(rows[i].text, &opts, &errors, arena);
        if (errors.count != (rows[i].says != NULL) ||
            (rows[i].says != NULL && strstr(rl_str_text(&errors.text), rows[i].says) == NULL)) {
            fail_msg("%s: %d mistakes: %s", rows[i].text, (int)errors.count,
                     rl_str_text(&errors.text));
        }
        rl_errors_release(&errors);
        rl_arena_free(arena);
    }
}

/* Names pick by their ends, whole parts only; each must pick something. */
static void test_targets(void **state) {
    static const struct {
        const char *item[2];
        int32_t n_sites; // 0: refused
        const char *says;
    } rows[] = {
        {{"q_proj", "v_proj"}, 6, NULL},
        {{"self_attn.q_proj", "q_proj"}, 3, NULL},
        {{"layers.1.self_attn.o_proj", "layers.2.mlp.up_proj"}, 2, NULL},
        {{"model.layers.1.mlp.down_proj", "k_proj"}, 4, NULL},
        {{"proj", "q_proj"}, 0, "named 'proj'"},
        {{"q_proj", "up_prj"}, 0, "did you mean 'up_proj'?"},
        {{"q_proj", "embed_tokens"}, 0, "named 'embed_tokens'"},
        {{"q_proj", ""}, 0, "named ''"},
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        rl_lora_opts opts = {
            .r = 2, .lora_alpha = 4, .target_modules = {.item = rows[i].item, .n_items = 2}};
        rl_adapter *adapter;
        rl_err err = {""};
        rl_status status = rl_adapter_new(&opts, 1, model, &adapter, &err);
        if (rows[i].n_sites > 0) {
            assert_int_equal(status, RL_OK);
            assert_int_equal(adapter->n_sites, rows[i].n_sites);
        } else {
            assert_int_equal(status, RL_BAD_RECIPE);
            rl_test_says(&err, rows[i].says);
        }
        rl_adapter_close(adapter);
    }
}

/* Rank-stabilised scaling, there and back. */
static void test_rslora(void **state) {
    static const char *const item[] = {"q_proj"};
    rl_lora_opts opts = {.r = 16,
                         .lora_alpha = 6,
                         .use_rslora = true,
                         .target_modules = {.item = item, .n_items = 1}};
    char *folder = rl_test_folder();
    rl_adapter *adapter, *again;
    rl_policy_opts how = {0};
    rl_policy *policy;
    rl_lora lora;
    rl_err err;
    assert_ok(rl_adapter_new(&opts, 1, model, &adapter, &err));
    assert_ok(rl_lora_init(&lora, adapter, *state, false, &err));
    assert_true(lora.scale == 1.5F);
    rl_lora_release(&lora, *state);
    how.adapter = adapter;
    assert_ok(rl_policy_open(model, *state, &how, &policy, &err));
    assert_ok(rl_policy_save(policy, model, RL_SAVE_BF16, folder, &err));
    rl_policy_free(policy);
    assert_ok(rl_adapter_open(folder, model, &again, &err));
    assert_true(rl_adapter_opts(again)->use_rslora);
    rl_adapter_close(again);
    rl_adapter_close(adapter);
    rl_test_drop(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_peft_settings), cmocka_unit_test(test_dropout),
        cmocka_unit_test(test_folders),       cmocka_unit_test(test_other_model),
        cmocka_unit_test(test_section),       cmocka_unit_test(test_targets),
        cmocka_unit_test(test_rslora),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
