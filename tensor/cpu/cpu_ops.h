/*
 * Inside the CPU backend: its state, its scratch stack, and one function per row of rl_compute_ops.
 * The checked entries of ops.c have vouched for shapes before any of these runs.
 */
#ifndef RL_TENSOR_CPU_CPU_OPS_H
#define RL_TENSOR_CPU_CPU_OPS_H

#include "rl/core/assert.h"
#include "rl/core/pool.h"
#include "rl/tensor/backend.h"
#include "rl/tensor/cpu.h"
#include "tensor/cpu/kern.h"

struct rl_buffer {
    unsigned char *host; // 2 MiB aligned
    size_t bytes;
};

enum { RL_CPU_SCRATCH_BLOCKS = 24 };

typedef struct rl_cpu_scratch_block {
    unsigned char *ptr;
    size_t bytes;
} rl_cpu_scratch_block;

typedef struct rl_cpu_mark {
    int32_t block;
    size_t used;
} rl_cpu_mark;

typedef struct rl_cpu {
    rl_backend base;
    rl_pool *pool;     // borrowed; NULL runs everything on the caller
    int32_t n_threads; // of the pool, at least 1
    rl_kernels kernels;
    rl_kern kern;
    rl_cpu_scratch_block scratch[RL_CPU_SCRATCH_BLOCKS];
    rl_cpu_mark top;
    char text[160];
} rl_cpu;

static inline rl_cpu *rl_cpu_of(const rl_backend *be) {
    return (rl_cpu *)be->self;
}

static inline float *rl_cpu_f32(rl_tensor t) {
    RL_DASSERT(t.dtype == RL_DTYPE_F32);
    return (float *)(void *)(t.buffer->host + t.offset);
}

static inline uint16_t *rl_cpu_bf16(rl_tensor t) {
    RL_DASSERT(t.dtype == RL_DTYPE_BF16);
    return (uint16_t *)(void *)(t.buffer->host + t.offset);
}

static inline int32_t *rl_cpu_i32(rl_tensor t) {
    RL_DASSERT(t.dtype == RL_DTYPE_I32);
    return (int32_t *)(void *)(t.buffer->host + t.offset);
}

/*
 * The scratch stack, for the thread that calls the operations (worker 0): take what all workers
 * need before rl_pool_run and let each use its part. Memory is aligned to 64 bytes, not zeroed, and
 * kept until the backend is closed, so a warm step allocates nothing.
 */
rl_cpu_mark rl_cpu_scratch_mark(const rl_cpu *cpu);
void *rl_cpu_scratch(rl_cpu *cpu, size_t bytes);
/* The same; `what` tells of a failure what the bytes were for, and what to try. */
void *rl_cpu_scratch_for(rl_cpu *cpu, size_t bytes, const char *what);
void rl_cpu_scratch_rewind(rl_cpu *cpu, rl_cpu_mark mark);

/* gemm_blas.c: sets BLAS to one thread (its core is chosen before, see rl/tensor/blas.h). May be
 * called more than once. */
void rl_cpu_blas_open(void);

/* Position of the first key that the query at position pos sees. */
static inline int64_t rl_cpu_first_key(const rl_attn_plan *plan, int64_t pos) {
    return plan->window > 0 && pos >= plan->window ? pos + 1 - plan->window : 0;
}

/* Forward. */
int64_t rl_cpu_packed_len(const rl_backend *be, int64_t n_out, int64_t n_in);
void rl_cpu_pack(rl_backend *be, rl_tensor packed, rl_tensor weight);
void rl_cpu_linear(rl_backend *be, rl_tensor out, rl_tensor in, rl_tensor packed, bool add);
void rl_cpu_round_bf16(rl_backend *be, rl_tensor x);
void rl_cpu_embed(rl_backend *be, rl_tensor out, rl_tensor table, rl_tensor token);
void rl_cpu_rms_norm(rl_backend *be, rl_tensor out, rl_tensor rstd, rl_tensor in, rl_tensor weight,
                     float eps);
void rl_cpu_rope(rl_backend *be, rl_tensor x, rl_tensor table, rl_tensor position, bool back);
int64_t rl_cpu_kv_len(const rl_backend *be, int64_t n_slots, int64_t n_kv_heads, int64_t head_dim);
void rl_cpu_kv_write(rl_backend *be, rl_tensor k_cache, rl_tensor v_cache, rl_tensor k, rl_tensor v,
                     rl_tensor slot, int32_t n_kv_heads);
void rl_cpu_attention(rl_backend *be, rl_tensor out, rl_tensor q, rl_tensor k_cache,
                      rl_tensor v_cache, const rl_attn_plan *plan);
void rl_cpu_swiglu(rl_backend *be, rl_tensor out, rl_tensor gate_up);
void rl_cpu_geglu(rl_backend *be, rl_tensor out, rl_tensor gate_up);
void rl_cpu_scale(rl_backend *be, rl_tensor x, float by);
void rl_cpu_add(rl_backend *be, rl_tensor out, rl_tensor in);
void rl_cpu_gather(rl_backend *be, rl_tensor out, rl_tensor in, rl_tensor row);
void rl_cpu_logprob(rl_backend *be, rl_tensor logp, rl_tensor entropy, rl_tensor logits,
                    rl_tensor token, float temperature);
void rl_cpu_sample(rl_backend *be, rl_tensor token, rl_tensor logp, rl_tensor entropy,
                   rl_tensor logits, const double *uniform, const float *temperature);
void rl_cpu_copy(rl_backend *be, rl_tensor out, rl_tensor in);
void rl_cpu_fill(rl_backend *be, rl_tensor out, float value);

/* Backward and optimizer. */
void rl_cpu_linear_back(rl_backend *be, rl_tensor d_in, rl_tensor d_out, rl_tensor packed,
                        bool add);
void rl_cpu_matmul(rl_backend *be, rl_tensor out, rl_tensor a, rl_tensor b, bool a_t, bool b_t,
                   float beta);
void rl_cpu_embed_back(rl_backend *be, rl_tensor d_table, rl_tensor d_out, rl_tensor token);
void rl_cpu_rms_norm_back(rl_backend *be, rl_tensor d_in, rl_tensor d_weight, rl_tensor d_out,
                          rl_tensor in, rl_tensor weight, rl_tensor rstd);
void rl_cpu_attention_back(rl_backend *be, rl_tensor d_q, rl_tensor d_k, rl_tensor d_v,
                           rl_tensor d_out, rl_tensor q, rl_tensor k, rl_tensor v,
                           const rl_attn_plan *plan);
void rl_cpu_swiglu_back(rl_backend *be, rl_tensor d_gate_up, rl_tensor d_out, rl_tensor gate_up);
void rl_cpu_geglu_back(rl_backend *be, rl_tensor d_gate_up, rl_tensor d_out, rl_tensor gate_up);
void rl_cpu_sum_rows(rl_backend *be, rl_tensor out, rl_tensor in);
void rl_cpu_scatter_add(rl_backend *be, rl_tensor d_in, rl_tensor d_out, rl_tensor row);
void rl_cpu_logprob_back(rl_backend *be, rl_tensor d_logits, rl_tensor d_logp, rl_tensor d_entropy,
                         rl_tensor logits, rl_tensor token, float temperature);
double rl_cpu_sum_squares(rl_backend *be, rl_tensor in);
void rl_cpu_adamw(rl_backend *be, rl_tensor param, rl_tensor m, rl_tensor v, rl_tensor grad,
                  const rl_adamw *hyper);
/* How many matrices are worked on at once when one needs part_bytes beside it: at least one, and no
 * more than keep within RL_CPU_MUON_BYTES. */
#define RL_CPU_MUON_BYTES ((size_t)1 << 30)
int32_t rl_cpu_muon_parts(int32_t n_threads, int32_t n_items, size_t part_bytes);
void rl_cpu_muon(rl_backend *be, const rl_muon_item *item, int32_t n_items, const rl_muon *hyper);

#endif
