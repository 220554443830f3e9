/*
 * Time of the steps of a recipe by phases, with tokens a second for decoding and for training,
 * beside what the machine gives in the same run: the peak of fused multiply-adds, the reading of
 * memory, and sgemm of the linked BLAS is in bench_back. The run goes to a folder of its own, which
 * is removed.
 *
 *   bench_step RECIPE [--set SECTION.KEY=VALUE]...
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rl/core/alloc.h"
#include "rl/core/assert.h"
#include "rl/core/fs.h"
#include "rl/core/json.h"
#include "rl/tensor/blas.h"
#include "rl/train/trainer.h"
#include "tests/bench/probe.h"

enum { READ_MIB = 512, MAX_SET = 64 };

static void must(rl_status status, const rl_err *err) {
    if (status != RL_OK) {
        fprintf(stderr, "bench_step: %s\n", err->text);
        exit(1);
    }
}

// What the machine can do now: neighbours come and go, so this is measured before and after.
static double print_probe(const rl_recipe *recipe) {
    int32_t n = recipe->compute.threads > 0 ? recipe->compute.threads : rl_cpu_count();
    rl_kernels kernels = recipe->compute.kernels;
    rl_pool *pool = NULL;
    void *memory = NULL;
    double peak, read;
    rl_err err;
    if (kernels == RL_KERNELS_AUTO) {
        kernels = rl_cpu_has(RL_KERNELS_AVX512) ? RL_KERNELS_AVX512 : RL_KERNELS_AVX2;
    }
    must(rl_pool_new(n, true, &pool, &err), &err);
    must(rl_try_alloc((size_t)READ_MIB << 20, "bench", &memory, &err), &err);
    memset(memory, 1, (size_t)READ_MIB << 20);
    peak = probe_peak(pool, n, kernels);
    read = probe_read(pool, n, memory, (int64_t)READ_MIB << 20);
    printf("%d threads, BLAS %s: peak %.0f GF/s, memory read %.1f GB/s\n", n, rl_blas_core(),
           peak / 1e9, read / 1e9);
    rl_free_large(memory, (size_t)READ_MIB << 20);
    rl_pool_free(pool);
    return peak;
}

// Values of the blocks' matrices: each costs 6 flops a trained token, 2 a sampled one.
static double block_values(const rl_recipe *recipe) {
    rl_checkpoint *checkpoint = NULL;
    const rl_model_config *c;
    double heads, values;
    rl_err err;
    must(rl_checkpoint_open(recipe->model.path, &checkpoint, &err), &err);
    c = rl_checkpoint_config(checkpoint);
    heads = 2.0 * (c->n_heads + c->n_kv_heads) * c->head_dim;
    values = (double)c->n_layers * c->width * (heads + 3.0 * c->mlp);
    rl_checkpoint_close(checkpoint);
    return values;
}

static double number(const rl_json *m, const char *key) {
    return rl_json_number(rl_json_get(m, key), (double)NAN);
}

static void print_steps(const rl_recipe *recipe, double values, double peak) {
    rl_arena *arena = rl_arena_new(0);
    char *text;
    size_t len;
    rl_err err;
    must(
        rl_fs_read(rl_path_join(arena, recipe->run.dir, "metrics.jsonl"), arena, &text, &len, &err),
        &err);
    printf("step  rollout s  reward s  train s  step s  decode tok/s  train tok/s  blocks' share "
           "of peak\n");
    for (char *line = text; *line != '\0';) {
        size_t n = strcspn(line, "\n");
        rl_json_doc *doc = NULL;
        const rl_json *m;
        must(rl_json_parse(line, n, "metrics.jsonl", &doc, &err), &err);
        m = rl_json_root(doc);
        printf("%4.0f  %9.2f  %8.2f  %7.2f  %6.2f  %12.0f  %11.0f  %20.2f\n", number(m, "step"),
               number(m, "timing_s/rollout"), number(m, "timing_s/reward"),
               number(m, "timing_s/train"), number(m, "timing_s/step"),
               number(m, "perf/decode_tok_s"), number(m, "perf/train_tok_s"),
               number(m, "perf/train_tok_s") * 6 * values / peak);
        rl_json_free(doc);
        line += n + (line[n] == '\n');
    }
    rl_arena_free(arena);
}

int main(int argc, char **argv) {
    const char *set[MAX_SET];
    size_t n_set = 0;
    char folder[] = "bench-step-XXXXXX", dir[64];
    rl_recipe recipe;
    rl_errors errors = {0};
    rl_trainer *trainer = NULL;
    int64_t steps;
    double values, peak;
    rl_err err;
    rl_blas_choose_core(argv);
    RL_ASSERT(argc > 1 && argc < MAX_SET && mkdtemp(folder) != NULL);
    for (int i = 2; i + 1 < argc; i += 2) {
        set[n_set++] = argv[i + 1];
    }
    snprintf(dir, sizeof dir, "run.dir=%s/run", folder);
    set[n_set++] = dir;
    if (rl_recipe_load(argv[1], set, n_set, &recipe, &errors) != RL_OK) {
        fputs(rl_str_text(&errors.text), stderr);
        return 1;
    }
    probe_print_flags();
    values = block_values(&recipe);
    print_probe(&recipe);
    must(rl_trainer_open(&recipe, false, NULL, &trainer, &err), &err);
    must(rl_trainer_run(trainer, &steps, &err), &err);
    rl_trainer_close(trainer);
    peak = print_probe(&recipe);
    print_steps(&recipe, values, peak);
    rl_recipe_release(&recipe);
    must(rl_fs_remove(folder, &err), &err);
    return 0;
}
