#include "algos/shared.h"

#include "rl/core/str.h"

// Every algorithm there is. A new one is its own file, a declaration in shared.h and a line here.
static const rl_algo *const registry[] = {&rl_algo_grpo, &rl_algo_murphy, &rl_algo_sft};

enum { N_ALGOS = sizeof registry / sizeof registry[0] };

const rl_algo *rl_algo_find(const char *name) {
    for (size_t i = 0; i < N_ALGOS; i++) {
        if (rl_text_equal(registry[i]->name, name)) {
            return registry[i];
        }
    }
    return NULL;
}

const rl_algo *const *rl_algo_list(size_t *count) {
    *count = N_ALGOS;
    return registry;
}
