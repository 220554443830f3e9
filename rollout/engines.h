/* The rows of the engine registry; private to rollout/. */
#ifndef RL_ROLLOUT_ENGINES_H
#define RL_ROLLOUT_ENGINES_H

#include "rl/rollout/engine.h"

extern const rl_engine rl_engine_local;

#endif
