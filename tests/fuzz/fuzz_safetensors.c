/* Any bytes: refused with a sentence, or tensors that lie within the bytes and can all be read. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "rl/core/alloc.h"
#include "rl/core/assert.h"
#include "rl/tensor/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    rl_safetensors *file;
    rl_err err = {""};
    size_t n_bytes = 0;
    if (rl_safetensors_parse(data, size, "fuzz", &file, &err) != RL_OK) {
        RL_ASSERT(file == NULL && err.text[0] != '\0');
        return 0;
    }
    for (size_t i = 0; i < rl_safetensors_count(file); i++) {
        const rl_weight *w = rl_safetensors_at(file, i);
        RL_ASSERT(rl_safetensors_find(file, w->name) == w);
        RL_ASSERT((const uint8_t *)w->bytes >= data + 8 && w->n_bytes <= size);
        RL_ASSERT((const uint8_t *)w->bytes + w->n_bytes <= data + size);
        n_bytes += w->n_bytes;
        if (rl_stored_is_weight(w->stored)) {
            float *values = rl_alloc((size_t)rl_weight_count(w), sizeof *values);
            rl_weight_to_f32(w, values);
            rl_free(values);
        }
    }
    RL_ASSERT(n_bytes < size); // no byte is shown twice
    rl_safetensors_close(file);
    return 0;
}
