#include "train/dry_run.h"

#include <unistd.h>

#include "rl/core/alloc.h"
#include "rl/core/log.h"
#include "rl/policy/footprint.h"
#include "rl/policy/score.h"
#include "rl/train/trainer.h"

/*
 * What every run takes beside what its sizes say: buffers of BLAS and of single operations, the
 * stacks of threads, and the rounding of allocations to large pages. By measurement
 * (tests/bench/bench_memory.sh).
 */
#define RUN_BYTES    (12.0 * 1048576)
#define THREAD_BYTES (6.0 * 1048576)

typedef struct parts {
    rl_footprint model;
    double program, passes, sampling, all;
} parts;

static parts parts_of(const setup *s, const dry_run_load *load) {
    const rl_model_config *config = rl_checkpoint_config(s->checkpoint);
    const rl_recipe *recipe = s->recipe;
    const rl_policy_opts opts = {.trains = true,
                                 .adapter = s->adapter,
                                 .weights = recipe->compute.weights,
                                 .recompute = recipe->compute.recompute};
    int32_t threads = recipe->compute.threads > 0 ? recipe->compute.threads : rl_cpu_count();
    bool samples = load->kv_tokens > 0 || recipe->data.eval[0] != '\0';
    parts p = {
        .model = rl_policy_footprint(config, &opts, &recipe->optim),
        // Data and tokenizer are open by now: this very process has what the run will have.
        .program = (double)rl_peak_rss() + RUN_BYTES + THREAD_BYTES * threads,
        .passes = (double)rl_policy_train_bytes(config, opts.recompute, (int64_t)load->pass_tokens),
    };
    if (samples) {
        p.sampling = rl_decoder_bytes(config, recipe->rollout.max_batch) +
                     rl_kv_bytes(config, load->kv_tokens, load->kv_sequences);
    }
    p.all = p.model.weights + p.model.packed + p.model.gradients + p.model.moments + p.program +
            p.passes + p.sampling;
    return p;
}

void dry_run_memory(const setup *s, const dry_run_load *expected, const dry_run_load *most,
                    const char *case_text, const char *keys, FILE *to) {
    const double gib = 1024.0 * 1024 * 1024;
    double machine = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    parts p = parts_of(s, expected), worst = parts_of(s, most);
    fprintf(to,
            "memory estimate: %.3g GiB%s (weights %.2f, as products read them %.2f, gradients "
            "%.2f, optimizer %.2f, passes of %.0f tokens %.2f, sampling %.2f, program and data "
            "%.2f); at most %.3g GiB\n",
            p.all / gib, case_text, p.model.weights / gib, p.model.packed / gib,
            p.model.gradients / gib, p.model.moments / gib, expected->pass_tokens, p.passes / gib,
            p.sampling / gib, p.program / gib, worst.all / gib);
    if (worst.all > machine) {
        fprintf(
            to, "this machine has %.2f GiB; if memory runs out, lower %scompute.micro_tokens%s%s\n",
            machine / gib, keys,
            s->recipe->compute.recompute == RL_RECOMPUTE_NONE ? ", set compute.recompute to layers"
                                                              : "",
            s->recipe->compute.weights == RL_WEIGHTS_F32 ? " or compute.weights to bf16" : "");
    }
}

rl_status rl_trainer_dry_run(const rl_recipe *recipe, bool overwrite, FILE *to, rl_err *err) {
    setup s = {0};
    rl_str effective = {0};
    rl_status status;
    // Nothing is written, so a folder that cannot be used is worth a word only.
    if (setup_check_folder(recipe, overwrite, err) != RL_OK) {
        rl_log(RL_LOG_WARN, "%s", err->text);
    }
    status = setup_open_light(&s, recipe, err);
    if (status == RL_OK) {
        rl_recipe_print(recipe, &effective);
        fputs(rl_str_text(&effective), to);
        status = s.objective->preview(s.objective_self, to, err);
    }
    rl_str_release(&effective);
    setup_close(&s);
    return status;
}
