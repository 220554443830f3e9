/* A rotary table: angles in double, stored as float32. Private to policy/. */
#ifndef RL_POLICY_ROPE_TABLE_H
#define RL_POLICY_ROPE_TABLE_H

#include "rl/policy/config.h"

/* Turns per position of pair i, inv_freq[head_dim / 2], with the rope's scaling applied. */
void rl_rope_inv_freq(const rl_rope *rope, int32_t head_dim, double *inv_freq);

/* Rows [begin, end) of the table rl_op_rope reads: head_dim / 2 cosines, then as many sines. */
void rl_rope_rows(const rl_rope *rope, int32_t head_dim, int32_t begin, int32_t end, float *out);

#endif
