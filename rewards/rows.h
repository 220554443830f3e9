/* The verifiers of this folder, for the registry. */
#ifndef RL_REWARDS_ROWS_H
#define RL_REWARDS_ROWS_H

#include "rl/rewards/verifier.h"

extern const rl_verifier rl_code_tests;

#endif
