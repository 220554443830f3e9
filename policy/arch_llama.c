/* Llama and what shares its block: SmolLM2, Llama 2 and 3, TinyLlama. */
#include "policy/family.h"

static const rl_tensor_row layer[] = {
    {"input_layernorm.weight", "attn_norm.weight", RL_DIM_WIDTH, RL_DIM_NONE, RL_PAIRS_NONE},
    {"self_attn.q_proj.weight", "attn_q.weight", RL_DIM_Q, RL_DIM_WIDTH, RL_PAIRS_Q},
    {"self_attn.k_proj.weight", "attn_k.weight", RL_DIM_KV, RL_DIM_WIDTH, RL_PAIRS_K},
    {"self_attn.v_proj.weight", "attn_v.weight", RL_DIM_KV, RL_DIM_WIDTH, RL_PAIRS_NONE},
    {"self_attn.o_proj.weight", "attn_output.weight", RL_DIM_WIDTH, RL_DIM_Q, RL_PAIRS_NONE},
    {"post_attention_layernorm.weight", "ffn_norm.weight", RL_DIM_WIDTH, RL_DIM_NONE,
     RL_PAIRS_NONE},
    {"mlp.gate_proj.weight", "ffn_gate.weight", RL_DIM_MLP, RL_DIM_WIDTH, RL_PAIRS_NONE},
    {"mlp.up_proj.weight", "ffn_up.weight", RL_DIM_MLP, RL_DIM_WIDTH, RL_PAIRS_NONE},
    {"mlp.down_proj.weight", "ffn_down.weight", RL_DIM_WIDTH, RL_DIM_MLP, RL_PAIRS_NONE},
};

static rl_status check_json(const rl_json *config, rl_err *err) {
    static const char *const off[] = {"attention_bias", "mlp_bias", "rope_interleaved"};
    const char *act = rl_json_text(rl_json_get(config, "hidden_act"), "silu");
    for (size_t i = 0; i < sizeof off / sizeof off[0]; i++) {
        if (rl_json_bool(rl_json_get(config, off[i]), false)) {
            return rl_fail(err, RL_UNSUPPORTED, "'%s' true is not supported for model type 'llama'",
                           off[i]);
        }
    }
    if (!rl_text_equal(act, "silu") && !rl_text_equal(act, "swish")) {
        return rl_fail(err, RL_UNSUPPORTED,
                       "hidden_act '%s' is not supported for model type 'llama'; supported: silu",
                       act);
    }
    return RL_OK;
}

static rl_status check_gguf(const rl_gguf *file, rl_err *err) {
    int64_t n_experts;
    if (rl_gguf_integer(file, "llama.expert_count", &n_experts) && n_experts > 0) {
        return rl_fail(err, RL_UNSUPPORTED,
                       "a mixture of %lld experts is not supported; supported: dense llama",
                       (long long)n_experts);
    }
    if (rl_gguf_find(file, "rope_freqs.weight") != NULL) {
        return rl_fail(
            err, RL_UNSUPPORTED,
            "rotary frequencies by tensor 'rope_freqs.weight' are not supported; use the "
            "model's Hugging Face folder, whose config.json says how they are scaled");
    }
    return RL_OK;
}

const rl_family rl_family_llama = {
    .model_type = "llama",
    .architecture = "LlamaForCausalLM",
    .gguf = "llama",
    .embedding = {"model.embed_tokens.weight", "token_embd.weight", RL_DIM_VOCAB, RL_DIM_WIDTH,
                  RL_PAIRS_NONE},
    .norm = {"model.norm.weight", "output_norm.weight", RL_DIM_WIDTH, RL_DIM_NONE, RL_PAIRS_NONE},
    .head = {"lm_head.weight", "output.weight", RL_DIM_VOCAB, RL_DIM_WIDTH, RL_PAIRS_NONE},
    .layer = layer,
    .n_layer = sizeof layer / sizeof layer[0],
    .check_json = check_json,
    .check_gguf = check_gguf,
};
