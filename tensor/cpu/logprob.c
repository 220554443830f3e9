/*
 * Log-probabilities of chosen tokens, entropy, and drawing. All three read the same sums, so a
 * drawn token's log-prob is the one scoring gives: with z = logit / temperature - max, blocks of
 * RL_SUM_BLOCK elements are summed in float and the block sums in double, in order.
 */
#include "rl/core/fmath.h"
#include "rl/tensor/tensor.h"
#include "tensor/cpu/cpu_ops.h"

typedef struct logprob_job {
    const rl_kern *kern;
    float *logp, *entropy; // entropy may be NULL
    int32_t *token;        // read by logprob, written by sample
    const float *logits;
    int64_t stride, n_vocab, n_sums;
    float temperature; // of logprob
    const float *row_temperature;
    const double *uniform;
    double *sums; // [workers][n_sums]: sample keeps the block sums to find the drawn one
} logprob_job;

typedef struct row_sums {
    float temperature, max;
    double sum, sum_z; // of exp(z) and of exp(z) * z
} row_sums;

static int64_t block_len(const logprob_job *job, int64_t b) {
    int64_t left = job->n_vocab - b * RL_SUM_BLOCK;
    return left < RL_SUM_BLOCK ? left : RL_SUM_BLOCK;
}

/* block_sum[n_sums] may be NULL. */
static row_sums sum_row(const logprob_job *job, const float *x, float temperature,
                        double *block_sum) {
    row_sums s = {.temperature = temperature};
    s.max = job->kern->max(x, job->n_vocab) / temperature; // division keeps order
    for (int64_t b = 0; b < job->n_sums; b++) {
        float sum[2];
        job->kern->exp_sums(sum, x + b * RL_SUM_BLOCK, temperature, s.max, block_len(job, b));
        s.sum += (double)sum[0];
        s.sum_z += (double)sum[1];
        if (block_sum != NULL) {
            block_sum[b] = (double)sum[0];
        }
    }
    return s;
}

static void store_row(const logprob_job *job, int64_t r, const row_sums *s, float logit) {
    double log_sum = rl_ln(s->sum);
    job->logp[r] = (float)((double)(logit / s->temperature) - (double)s->max - log_sum);
    if (job->entropy != NULL) {
        job->entropy[r] = (float)(log_sum - s->sum_z / s->sum);
    }
}

static void logprob_rows(void *context, int64_t begin, int64_t end, int32_t worker) {
    const logprob_job *job = context;
    (void)worker;
    for (int64_t r = begin; r < end; r++) {
        const float *x = job->logits + r * job->stride;
        row_sums s = sum_row(job, x, job->temperature, NULL);
        RL_ASSERT(job->token[r] >= 0 && job->token[r] < job->n_vocab);
        store_row(job, r, &s, x[job->token[r]]);
    }
}

/* The lowest id of the largest logit; 0 when there is none (all NaN). */
static int64_t largest(const logprob_job *job, const float *x) {
    float max = job->kern->max(x, job->n_vocab);
    for (int64_t i = 0; i < job->n_vocab; i++) {
        if (x[i] == max) {
            return i;
        }
    }
    return 0;
}

/*
 * The token at which the running sum first passes uniform * sum; rounding at the end of a block or
 * of the row falls on the last token before it that has weight. 0 when the sums are not numbers.
 */
static int64_t draw(const logprob_job *job, const float *x, const row_sums *s,
                    const double *block_sum, double uniform) {
    float e[RL_SUM_BLOCK];
    double target = uniform * s->sum, passed = 0, before = 0;
    int64_t block = 0, last = 0, n;
    for (int64_t b = 0; b < job->n_sums; b++) {
        if (block_sum[b] > 0) {
            block = b;
            before = passed;
            if (passed + block_sum[b] > target) {
                break;
            }
        }
        passed += block_sum[b];
    }
    n = block_len(job, block);
    job->kern->exp_over(e, x + block * RL_SUM_BLOCK, s->temperature, s->max, n);
    for (int64_t i = 0; i < n; i++) {
        if (e[i] > 0) {
            last = i;
            before += (double)e[i];
            if (before > target) {
                break;
            }
        }
    }
    return block * RL_SUM_BLOCK + last;
}

static void sample_rows(void *context, int64_t begin, int64_t end, int32_t worker) {
    const logprob_job *job = context;
    double *block_sum = job->sums + worker * job->n_sums;
    for (int64_t r = begin; r < end; r++) {
        const float *x = job->logits + r * job->stride;
        float temperature = job->row_temperature[r];
        row_sums s = sum_row(job, x, temperature > 0 ? temperature : 1.0f, block_sum);
        int64_t token =
            temperature > 0 ? draw(job, x, &s, block_sum, job->uniform[r]) : largest(job, x);
        job->token[r] = (int32_t)token;
        store_row(job, r, &s, x[token]);
    }
}

static logprob_job job_of(const rl_cpu *cpu, rl_tensor logp, rl_tensor entropy, rl_tensor logits,
                          rl_tensor token) {
    return (logprob_job){
        .kern = &cpu->kern,
        .logp = rl_cpu_f32(logp),
        .entropy = rl_tensor_is_null(entropy) ? NULL : rl_cpu_f32(entropy),
        .token = rl_cpu_i32(token),
        .logits = rl_cpu_f32(logits),
        .stride = logits.stride[0],
        .n_vocab = logits.shape[1],
        .n_sums = (logits.shape[1] + RL_SUM_BLOCK - 1) / RL_SUM_BLOCK,
    };
}

void rl_cpu_logprob(rl_backend *be, rl_tensor logp, rl_tensor entropy, rl_tensor logits,
                    rl_tensor token, float temperature) {
    rl_cpu *cpu = rl_cpu_of(be);
    logprob_job job = job_of(cpu, logp, entropy, logits, token);
    job.temperature = temperature;
    rl_pool_run(cpu->pool, logits.shape[0], 1, logprob_rows, &job);
}

void rl_cpu_sample(rl_backend *be, rl_tensor token, rl_tensor logp, rl_tensor entropy,
                   rl_tensor logits, const double *uniform, const float *temperature) {
    rl_cpu *cpu = rl_cpu_of(be);
    rl_cpu_mark mark = rl_cpu_scratch_mark(cpu);
    logprob_job job = job_of(cpu, logp, entropy, logits, token);
    job.uniform = uniform;
    job.row_temperature = temperature;
    job.sums = rl_cpu_scratch(cpu, (size_t)(cpu->n_threads * job.n_sums) * sizeof(double));
    rl_pool_run(cpu->pool, logits.shape[0], 1, sample_rows, &job);
    rl_cpu_scratch_rewind(cpu, mark);
}
