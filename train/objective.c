#include "train/objective.h"

const objective *objective_of(const rl_algo *algo) {
    static const objective *const row[] = {
        [RL_OBJECTIVE_POLICY] = &objective_policy,
        [RL_OBJECTIVE_SUPERVISED] = &objective_supervised,
    };
    return row[algo->objective];
}
