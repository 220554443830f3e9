/* Data-set files: any bytes give problems or one sentence. */
#include <string.h>

#include "rl/core/assert.h"
#include "rollout/dialects.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    rl_dataset *dataset = NULL;
    rl_err err = {0};
    rl_status status =
        rl_dataset_parse("fuzz", (const char *)data, size, "Be brief.", &dataset, &err);
    RL_ASSERT((status == RL_OK) == (dataset != NULL));
    if (status != RL_OK) {
        RL_ASSERT(strstr(err.text, "'fuzz'") != NULL);
        return 0;
    }
    for (int32_t i = 0; i < rl_dataset_size(dataset); i++) {
        const rl_problem *p = rl_dataset_at(dataset, i);
        RL_ASSERT(p->index == i && p->id != NULL && p->n_messages > 0);
        RL_ASSERT(strcmp(p->messages[p->n_messages - 1].role, "user") == 0);
        for (int32_t t = 0; t < p->n_tests; t++) {
            RL_ASSERT(p->tests[t] != NULL);
        }
        RL_ASSERT(rl_dataset_pick(dataset, 1, true, i) < rl_dataset_size(dataset));
    }
    rl_dataset_free(dataset);
    return 0;
}
