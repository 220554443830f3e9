#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/model.h"
#include "rl/core/log.h"

static rl_status find_dtype(const char *name, rl_save_dtype *out, rl_err *err) {
    *out = RL_SAVE_F32;
    for (int i = 0; name != NULL && rl_save_dtype_names[i] != NULL; i++) {
        if (strcmp(rl_save_dtype_names[i], name) == 0) {
            *out = (rl_save_dtype)i;
            return RL_OK;
        }
    }
    return name == NULL
               ? RL_OK
               : rl_fail(err, RL_BAD_RECIPE, "unknown dtype '%s'; known: f32, bf16, f16", name);
}

// An adapter is merged into the weights.
static rl_status export(const args *a, rl_save_dtype dtype, const rl_checkpoint *checkpoint,
                        const rl_adapter *adapter, rl_backend *be, rl_err *err) {
    rl_params params = {0};
    rl_status status = rl_params_init(&params, rl_checkpoint_config(checkpoint), be, false, err);
    if (status == RL_OK) {
        status = rl_checkpoint_read(checkpoint, &params, be, err);
    }
    if (status == RL_OK && adapter != NULL) {
        status = rl_adapter_merge(adapter, &params, be, err);
    }
    if (status == RL_OK) {
        status = model_write_folder(checkpoint, &params, be, dtype, a->out, err);
    }
    if (status == RL_OK) {
        printf("%s: %lld weights as %s%s\n", a->out, (long long)params.n_values,
               rl_save_dtype_names[dtype], adapter != NULL ? ", with the adapter merged" : "");
    }
    rl_params_release(&params, be);
    return status;
}

int command_export(const args *a) {
    rl_checkpoint *checkpoint = NULL;
    rl_adapter *adapter = NULL;
    rl_backend *be = NULL;
    rl_save_dtype dtype;
    rl_err err = {""};
    rl_status status = find_dtype(a->dtype, &dtype, &err);
    if (status == RL_OK) {
        status = model_check_absent(a->out, &err); // before anything is read
    }
    if (status == RL_OK) {
        status = rl_adapted_open(a->subject, a->adapter, &checkpoint, &adapter, &err);
    }
    if (status == RL_OK) {
        status = rl_cpu_open(RL_KERNELS_AUTO, NULL, &be, &err);
    }
    if (status == RL_OK) {
        status = export(a, dtype, checkpoint, adapter, be, &err);
    }
    if (status != RL_OK) {
        rl_log(RL_LOG_ERROR, "%s", err.text);
    }
    rl_cpu_close(be);
    rl_adapter_close(adapter);
    rl_checkpoint_close(checkpoint);
    return status == RL_OK ? EXIT_DONE : EXIT_USER;
}
