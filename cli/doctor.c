#include <stdio.h>

#include "cli/commands.h"
#include "rl/core/pool.h"
#include "rl/sandbox/sandbox.h"
#include "rl/tensor/cpu.h"

static bool show_compute(void) {
    rl_pool *pool = NULL;
    rl_backend *backend = NULL;
    rl_err err;
    bool ok = rl_pool_new(rl_cpu_count(), true, &pool, &err) == RL_OK &&
              rl_cpu_open(RL_KERNELS_AUTO, pool, &backend, &err) == RL_OK;
    printf("compute: %s\n", ok ? rl_cpu_describe(backend) : err.text);
    for (int k = RL_KERNELS_REF; rl_kernels_names[k] != NULL; k++) {
        printf("kernels %s: %s\n", rl_kernels_names[k], rl_cpu_has((rl_kernels)k) ? "yes" : "no");
    }
    rl_cpu_close(backend);
    rl_pool_free(pool);
    return ok;
}

static bool show_sandbox(void) {
    rl_arena *arena = rl_arena_new(0);
    rl_sandbox_opts opts;
    rl_sandbox *sandbox = NULL;
    rl_err err;
    bool ok;
    rl_section_defaults(&rl_sandbox_section, arena, &opts);
    ok = rl_sandbox_open(&opts, &sandbox, &err) == RL_OK;
    printf("sandbox: %s\n", ok ? rl_sandbox_mode_line(sandbox) : err.text);
    if (ok) {
        printf("python: %s\n", rl_sandbox_python(sandbox));
    }
    rl_sandbox_close(sandbox);
    rl_arena_free(arena);
    return ok;
}

int command_doctor(void) {
    bool compute = show_compute(), sandbox = show_sandbox();
    return compute && sandbox ? EXIT_DONE : EXIT_USER;
}
