/*
 * With x' = (x - max) / t, p = exp(x') / sum and the entropy H:
 *   d logp(token) / d x_j = (1[j = token] - p_j) / t
 *   d H / d x_j           = -p_j (log p_j + H) / t = -p_j (x'_j - mean) / t,  mean = sum p x'
 */
#include "tensor/cpu/back_kern.h"
#include "tensor/cpu/cpu_ops.h"

typedef struct logprob_job {
    const rl_back_kern *kern;
    float *d_logits;
    const float *d_logp, *d_entropy, *logits; // d_entropy may be NULL
    const int32_t *token;
    int64_t d_logits_stride, logits_stride, width;
    float inv_t;
} logprob_job;

static void logprob_rows(void *context, int64_t begin, int64_t end, int32_t worker) {
    const logprob_job *job = context;
    (void)worker;
    for (int64_t r = begin; r < end; r++) {
        const float *x = job->logits + r * job->logits_stride;
        float *out = job->d_logits + r * job->d_logits_stride;
        double d_logp = (double)job->d_logp[r], inv_t = (double)job->inv_t;
        double d_entropy = job->d_entropy != NULL ? (double)job->d_entropy[r] : 0;
        // Without an entropy term e itself is all that is needed, and is not computed twice.
        bool keep = d_entropy == 0;
        rl_softmax_stats stats = job->kern->softmax(keep ? out : NULL, x, job->width, job->inv_t);
        double inv_sum = 1 / stats.sum, mean = stats.sum_x * inv_sum;
        if (keep) {
            job->kern->scale(out, job->width, (float)(-inv_t * inv_sum * d_logp));
        } else {
            job->kern->logprob(out, x, job->width, stats.max, job->inv_t,
                               (float)(-inv_t * inv_sum * (d_logp - d_entropy * mean)),
                               (float)(-inv_t * inv_sum * d_entropy));
        }
        RL_DASSERT(job->token[r] >= 0 && job->token[r] < job->width);
        out[job->token[r]] += (float)(inv_t * d_logp);
    }
}

void rl_cpu_logprob_back(rl_backend *be, rl_tensor d_logits, rl_tensor d_logp, rl_tensor d_entropy,
                         rl_tensor logits, rl_tensor token, float temperature) {
    rl_cpu *cpu = rl_cpu_of(be);
    logprob_job job = {
        .kern = rl_back_kern_of(cpu->kernels),
        .d_logits = rl_cpu_f32(d_logits),
        .d_logp = rl_cpu_f32(d_logp),
        .d_entropy = d_entropy.buffer != NULL ? rl_cpu_f32(d_entropy) : NULL,
        .logits = rl_cpu_f32(logits),
        .token = rl_cpu_i32(token),
        .d_logits_stride = d_logits.stride[0],
        .logits_stride = logits.stride[0],
        .width = logits.shape[1],
        .inv_t = 1.0f / temperature,
    };
    rl_pool_run(cpu->pool, logits.shape[0], 1, logprob_rows, &job);
}
