/* The policy itself as the engine: one set of weights, one forward, nothing to copy. */
#include "rollout/engines.h"

static rl_status open(void **self, rl_policy *policy, int32_t max_batch, rl_err *err) {
    rl_decoder *decoder = NULL;
    rl_status status = rl_decoder_new(policy, max_batch, &decoder, err);
    *self = decoder;
    return status;
}

// The decoder reads the trainer's weights; what it remembers of them is stale.
static rl_status sync_weights(void *self, rl_err *err) {
    (void)err;
    rl_decoder_reset(self);
    return RL_OK;
}

static rl_status generate(void *self, const rl_prompt *prompt, int32_t n_prompts,
                          const rl_decode_opts *opts, rl_arena *arena, rl_completion *out,
                          rl_err *err) {
    return rl_decoder_run(self, prompt, n_prompts, opts, arena, out, err);
}

static rl_decode_stats stats(const void *self) {
    return rl_decoder_stats(self);
}

static void close(void *self) {
    rl_decoder_free(self);
}

const rl_engine rl_engine_local = {
    .name = "local",
    .open = open,
    .sync_weights = sync_weights,
    .generate = generate,
    .stats = stats,
    .close = close,
};
