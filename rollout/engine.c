#include "rl/rollout/engine.h"

#include "rl/core/str.h"
#include "rollout/engines.h"

static const rl_engine *const registry[] = {&rl_engine_local};

const rl_engine *rl_engine_find(const char *name) {
    for (size_t i = 0; i < sizeof registry / sizeof registry[0]; i++) {
        if (rl_text_equal(registry[i]->name, name)) {
            return registry[i];
        }
    }
    return NULL;
}
