/* The CPU as a backend: memory, the scratch stack, the choice of kernels, and the table. */
#include <stdio.h>
#include <string.h>

#include "rl/core/alloc.h"
#include "rl/core/assert.h"
#include "rl/tensor/blas.h"
#include "rl/tensor/cpu.h"
#include "rl/tensor/tensor.h"
#include "tensor/cpu/cpu_ops.h"

const char *const rl_kernels_names[] = {"auto", "ref", "avx2", "avx512", NULL};

static rl_status cpu_alloc(rl_backend *be, size_t bytes, rl_buffer **out, rl_err *err) {
    void *host;
    rl_status status = rl_try_alloc(bytes, NULL, &host, err);
    (void)be;
    *out = NULL;
    if (status == RL_OK) {
        *out = rl_alloc(1, sizeof **out);
        **out = (rl_buffer){.host = host, .bytes = bytes};
    }
    return status;
}

static void cpu_free(rl_backend *be, rl_buffer *buffer) {
    (void)be;
    rl_free_large(buffer->host, buffer->bytes);
    rl_free(buffer);
}

/* Row count and row length in bytes of a tensor of rank 1 or 2, seen as rows. */
static void as_rows(rl_tensor t, int64_t *n_rows, size_t *row_bytes, size_t *stride_bytes) {
    size_t size = rl_dtype_size(t.dtype);
    bool flat = t.rank == 1 || rl_tensor_dense(t);
    *n_rows = flat ? 1 : t.shape[0];
    *row_bytes = (size_t)(flat ? rl_tensor_count(t) : t.shape[1]) * size;
    *stride_bytes = flat ? *row_bytes : (size_t)t.stride[0] * size;
    RL_ASSERT(t.offset + (size_t)(*n_rows > 0 ? *n_rows - 1 : 0) * *stride_bytes + *row_bytes <=
              t.buffer->bytes);
}

static void cpu_put(rl_backend *be, rl_tensor dst, const void *host) {
    int64_t n_rows;
    size_t row_bytes, stride_bytes;
    (void)be;
    as_rows(dst, &n_rows, &row_bytes, &stride_bytes);
    for (int64_t r = 0; r < n_rows && row_bytes > 0; r++) {
        memcpy(dst.buffer->host + dst.offset + (size_t)r * stride_bytes,
               (const unsigned char *)host + (size_t)r * row_bytes, row_bytes);
    }
}

static void cpu_get(rl_backend *be, rl_tensor src, void *host) {
    int64_t n_rows;
    size_t row_bytes, stride_bytes;
    (void)be;
    as_rows(src, &n_rows, &row_bytes, &stride_bytes);
    for (int64_t r = 0; r < n_rows && row_bytes > 0; r++) {
        memcpy((unsigned char *)host + (size_t)r * row_bytes,
               src.buffer->host + src.offset + (size_t)r * stride_bytes, row_bytes);
    }
}

static rl_status cpu_sync(rl_backend *be, rl_err *err) {
    (void)be;
    (void)err;
    return RL_OK; // operations run when called
}

rl_cpu_mark rl_cpu_scratch_mark(const rl_cpu *cpu) {
    return cpu->top;
}

void rl_cpu_scratch_rewind(rl_cpu *cpu, rl_cpu_mark mark) {
    cpu->top = mark;
}

void *rl_cpu_scratch(rl_cpu *cpu, size_t bytes) {
    return rl_cpu_scratch_for(cpu, bytes,
                              "an operation's scratch; try a smaller 'compute.micro_tokens'");
}

void *rl_cpu_scratch_for(rl_cpu *cpu, size_t bytes, const char *what) {
    size_t least = (size_t)64 << 20; // address space only, until touched
    size_t size = (bytes + 63) / 64 * 64;
    while (cpu->top.block < RL_CPU_SCRATCH_BLOCKS) {
        rl_cpu_scratch_block *block = &cpu->scratch[cpu->top.block];
        if (block->ptr == NULL) {
            rl_err err;
            void *ptr;
            block->bytes = size > least ? size : least;
            if (rl_try_alloc(block->bytes, NULL, &ptr, &err) != RL_OK) {
                rl_alloc_failed(block->bytes, 1, what);
            }
            block->ptr = ptr;
        }
        if (block->bytes - cpu->top.used >= size) {
            void *out = block->ptr + cpu->top.used;
            cpu->top.used += size;
            return out;
        }
        least = 2 * block->bytes;
        cpu->top = (rl_cpu_mark){.block = cpu->top.block + 1};
    }
    RL_ASSERT(!"the scratch stack holds the call's needs");
    return NULL;
}

/* Names of the rows of rl_compute_ops, as supports() knows them. */
static const char *const op_names[] = {
    "pack",          "linear", "matmul",      "embed",     "embed_back",     "rms_norm",
    "rms_norm_back", "rope",   "kv_write",    "attention", "attention_back", "swiglu",
    "swiglu_back",   "gather", "scatter_add", "logprob",   "logprob_back",   "sample",
    "copy",          "fill",   "sum_squares", "adamw",     "muon",           "add",
    "sum_rows",      "geglu",  "geglu_back",  "scale",     "linear_back",    "round_bf16",
};

/* Those that weights packed as BF16 need. */
static const char *const bf16_names[] = {"pack", "linear", "linear_back", "round_bf16"};

static bool is_among(const char *op, const char *const *name, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (strcmp(name[i], op) == 0) {
            return true;
        }
    }
    return false;
}

static bool cpu_supports(const rl_backend *be, const char *op, rl_dtype dtype) {
    (void)be;
    switch (dtype) {
    case RL_DTYPE_F32:
        return is_among(op, op_names, sizeof op_names / sizeof op_names[0]);
    case RL_DTYPE_BF16:
        return is_among(op, bf16_names, sizeof bf16_names / sizeof bf16_names[0]);
    case RL_DTYPE_I32:
        break;
    }
    return false;
}

static const rl_memory_ops memory_ops = {
    .alloc = cpu_alloc,
    .free = cpu_free,
    .put = cpu_put,
    .get = cpu_get,
    .sync = cpu_sync,
};

static const rl_compute_ops compute_ops = {
    .packed_len = rl_cpu_packed_len,
    .pack = rl_cpu_pack,
    .linear = rl_cpu_linear,
    .linear_back = rl_cpu_linear_back,
    .matmul = rl_cpu_matmul,
    .embed = rl_cpu_embed,
    .round_bf16 = rl_cpu_round_bf16,
    .embed_back = rl_cpu_embed_back,
    .rms_norm = rl_cpu_rms_norm,
    .rms_norm_back = rl_cpu_rms_norm_back,
    .rope = rl_cpu_rope,
    .kv_len = rl_cpu_kv_len,
    .kv_write = rl_cpu_kv_write,
    .attention = rl_cpu_attention,
    .attention_back = rl_cpu_attention_back,
    .swiglu = rl_cpu_swiglu,
    .swiglu_back = rl_cpu_swiglu_back,
    .geglu = rl_cpu_geglu,
    .geglu_back = rl_cpu_geglu_back,
    .add = rl_cpu_add,
    .scale = rl_cpu_scale,
    .sum_rows = rl_cpu_sum_rows,
    .gather = rl_cpu_gather,
    .scatter_add = rl_cpu_scatter_add,
    .logprob = rl_cpu_logprob,
    .logprob_back = rl_cpu_logprob_back,
    .sample = rl_cpu_sample,
    .copy = rl_cpu_copy,
    .fill = rl_cpu_fill,
    .sum_squares = rl_cpu_sum_squares,
    .adamw = rl_cpu_adamw,
    .muon = rl_cpu_muon,
};

bool rl_cpu_has(rl_kernels kernels) {
    switch (kernels) {
    case RL_KERNELS_AUTO:
    case RL_KERNELS_REF:
        return true;
    case RL_KERNELS_AVX2:
        return rl_cpu_has_avx2();
    case RL_KERNELS_AVX512:
        return rl_cpu_has_avx512();
    }
    return false;
}

rl_status rl_cpu_open(rl_kernels kernels, rl_pool *pool, rl_backend **out, rl_err *err) {
    rl_cpu *cpu;
    *out = NULL;
    if (!rl_cpu_has(kernels)) {
        return rl_fail(err, RL_UNSUPPORTED,
                       "this processor has no '%s', asked for by 'compute.kernels'; try 'auto'",
                       rl_kernels_names[kernels]);
    }
    rl_cpu_blas_open();
    if (kernels == RL_KERNELS_AUTO) {
        kernels = rl_cpu_has_avx512() ? RL_KERNELS_AVX512
                  : rl_cpu_has_avx2() ? RL_KERNELS_AVX2
                                      : RL_KERNELS_REF;
    }
    cpu = rl_alloc(1, sizeof *cpu);
    cpu->pool = pool;
    cpu->n_threads = pool != NULL ? rl_pool_threads(pool) : 1;
    cpu->kernels = kernels;
    rl_kern_ref(&cpu->kern);
    if (kernels == RL_KERNELS_AVX2 || kernels == RL_KERNELS_AVX512) {
        rl_kern_avx2(&cpu->kern);
    }
    if (kernels == RL_KERNELS_AVX512) {
        rl_kern_avx512(&cpu->kern);
    }
    cpu->base = (rl_backend){
        .name = "cpu",
        .memory = &memory_ops,
        .compute = &compute_ops,
        .supports = cpu_supports,
        .self = cpu,
    };
    snprintf(cpu->text, sizeof cpu->text, "%s, BLAS %s, %d thread%s", rl_kernels_names[kernels],
             rl_blas_core(), (int)cpu->n_threads, cpu->n_threads == 1 ? "" : "s");
    *out = &cpu->base;
    return RL_OK;
}

void rl_cpu_close(rl_backend *be) {
    if (be != NULL) {
        rl_cpu *cpu = rl_cpu_of(be);
        for (int32_t i = 0; i < RL_CPU_SCRATCH_BLOCKS; i++) {
            rl_free_large(cpu->scratch[i].ptr, cpu->scratch[i].bytes);
        }
        rl_free(cpu);
    }
}

const char *rl_cpu_describe(const rl_backend *be) {
    return rl_cpu_of(be)->text;
}
