/* What reading a config from JSON and from GGUF metadata share; private to policy/. */
#ifndef RL_POLICY_CONFIG_PARTS_H
#define RL_POLICY_CONFIG_PARTS_H

#include "rl/core/str.h"
#include "rl/policy/config.h"

// Sizes beyond these are nonsense; products of any two fit 64 bits.
enum { WIDTH_MAX = 1 << 20, VOCAB_MAX = 1 << 26, HEADS_MAX = 1 << 14 };
enum { POSITIONS_MAX = 1 << 22 };
enum { REQUIRED = -1 }; // as fallback of a key

rl_status rl_config_check_sizes(const rl_model_config *c, rl_err *err);
/* Once each; where: "config.json". */
rl_status rl_config_add_eos(rl_model_config *out, int64_t id, const char *where, rl_err *err);
/* "model type 'x' is not supported; supported: " and what list appends. */
rl_status rl_config_unknown(const char *what, const char *name, int name_len,
                            void (*list)(rl_str *out), rl_err *err);

#endif
