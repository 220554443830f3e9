/*
 * What adapters add to the products of a policy. The adapters of one matrix (q, k and v are one)
 * share a first product u = (s A) x, since their A lie one under the other; each part of the matrix
 * then gets B u on its own columns. Rows go a few at a time through temporaries that all matrices
 * share; a row's result does not depend on the others. The backward makes u again.
 */
#include "policy/lora.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "rl/core/alloc.h"
#include "rl/core/assert.h"
#include "rl/core/rng.h"
#include "rl/tensor/ops.h"
#include "rl/tensor/safetensors.h"

enum { LORA_ROWS = 512 }; // in the temporaries

/* Which matrix of a block a tensor is part of; -1: none. */
static int32_t matrix_of(rl_role role) {
    if (role >= RL_ROLE_Q && role <= RL_ROLE_QKV) {
        return 0;
    }
    if (role >= RL_ROLE_GATE && role <= RL_ROLE_GATE_UP) {
        return 2;
    }
    return role == RL_ROLE_O ? 1 : role == RL_ROLE_DOWN ? 3 : -1;
}

bool rl_lora_takes(const rl_tensor_row *row) {
    return matrix_of(row->role) >= 0;
}

/* Where a tensor begins among the rows of its matrix. */
static int64_t first_row(const rl_adapter *adapter, const rl_tensor_row *row) {
    const rl_tensor_row *layer = adapter->family->layer;
    int64_t at = 0;
    for (size_t i = 0; &layer[i] != row; i++) {
        if (matrix_of(layer[i].role) == matrix_of(row->role)) {
            at += rl_dim_size(adapter->config, layer[i].rows);
        }
    }
    return at;
}

static rl_place place_of(const rl_adapter *adapter, int32_t i) {
    return rl_family_place(adapter->family, adapter->config, adapter->site[i]);
}

/* Sites are in the order of memory, so those of one matrix are neighbours: the end of the run that
 * begins at i. */
static int32_t run_end(const rl_adapter *adapter, int32_t i) {
    rl_place first = place_of(adapter, i), next = first;
    while (next.layer == first.layer && matrix_of(next.row->role) == matrix_of(first.row->role)) {
        if (++i == adapter->n_sites) {
            return i;
        }
        next = place_of(adapter, i);
    }
    return i;
}

int64_t rl_adapter_values(const rl_adapter *adapter) {
    int64_t n = 0;
    for (int32_t i = 0; i < adapter->n_sites; i++) {
        const rl_tensor_row *row = place_of(adapter, i).row;
        n += adapter->opts.r *
             (rl_dim_size(adapter->config, row->rows) + rl_dim_size(adapter->config, row->cols));
    }
    return n;
}

/* Lays the parameters of a run out from element `at` on; returns the element after them. */
static int64_t lay_run(rl_lora *lora, int32_t begin, int32_t end, int64_t at) {
    const rl_adapter *adapter = lora->adapter;
    rl_place first = place_of(adapter, begin);
    rl_lora_matrix *m = &lora->matrix[first.layer * RL_LORA_MATRICES + matrix_of(first.row->role)];
    int64_t r = lora->r, n_in = rl_dim_size(adapter->config, first.row->cols);
    rl_param *item = lora->params.item + 2 * (ptrdiff_t)begin;
    m->lora = lora;
    m->n_parts = end - begin;
    RL_ASSERT(m->n_parts <= RL_LORA_PARTS);
    for (int32_t half = RL_LORA_A; half <= RL_LORA_B; half++) {
        for (int32_t k = 0; k < m->n_parts; k++, item++) {
            rl_place place = place_of(adapter, begin + k);
            int64_t n_out = rl_dim_size(adapter->config, place.row->rows);
            int64_t rows = half == RL_LORA_A ? r : n_out, cols = half == RL_LORA_A ? n_in : r;
            size_t offset = (size_t)at * sizeof(float);
            rl_lora_tensor_name(place, (rl_lora_half)half, item->name);
            item->value = rl_tensor_2d(RL_DTYPE_F32, lora->params.value, offset, rows, cols);
            if (lora->params.grad != NULL) {
                item->grad = rl_tensor_2d(RL_DTYPE_F32, lora->params.grad, offset, rows, cols);
            }
            item->decay = item->hidden = true;
            if (half == RL_LORA_A && k == 0) {
                m->a = item->value;
                m->d_a = item->grad;
            } else if (half == RL_LORA_B) {
                m->part[k] = (rl_lora_part){
                    .b = item->value, .d_b = item->grad, .row = first_row(adapter, place.row)};
            }
            at += rows * cols;
        }
    }
    m->a.shape[0] = m->n_parts * r;
    m->d_a.shape[0] = m->a.shape[0];
    return at;
}

static rl_status alloc_params(rl_lora *lora, rl_backend *be, bool trains, rl_err *err) {
    rl_params *params = &lora->params;
    size_t bytes;
    rl_status status;
    int64_t at = 0;
    params->n_items = 2 * lora->adapter->n_sites;
    params->n_values = rl_adapter_values(lora->adapter);
    bytes = (size_t)params->n_values * sizeof(float);
    status = rl_buffer_alloc(be, bytes, &params->value, err);
    if (status == RL_OK && trains) {
        status = rl_buffer_alloc(be, bytes, &params->grad, err);
    }
    if (status != RL_OK) {
        return rl_fail(err, status,
                       "no memory for an adapter of %lld values (%.0f MiB); try a smaller 'lora.r'",
                       (long long)params->n_values, (double)bytes / 1048576.0);
    }
    params->item = rl_alloc((size_t)params->n_items, sizeof *params->item);
    for (int32_t i = 0, end; i < lora->adapter->n_sites; i = end) {
        end = run_end(lora->adapter, i);
        at = lay_run(lora, i, end, at);
    }
    RL_ASSERT(at == params->n_values);
    return RL_OK;
}

/* Panels of every matrix and the temporaries. */
static void carve_all(rl_lora *lora, const rl_backend *be, rl_carver *carver) {
    size_t n_matrices = (size_t)lora->adapter->config->n_layers * RL_LORA_MATRICES;
    int64_t widest = 0, largest = 0;
    for (size_t i = 0; i < n_matrices; i++) {
        rl_lora_matrix *m = &lora->matrix[i];
        if (m->n_parts == 0) {
            continue;
        }
        m->packed =
            rl_carve_1d(carver, RL_DTYPE_F32, rl_packed_len(be, m->a.shape[0], m->a.shape[1]));
        for (int32_t k = 0; k < m->n_parts; k++) {
            rl_lora_part *part = &m->part[k];
            part->packed = rl_carve_1d(carver, RL_DTYPE_F32,
                                       rl_packed_len(be, part->b.shape[0], part->b.shape[1]));
        }
        widest = m->a.shape[0] > widest ? m->a.shape[0] : widest;
        largest = rl_tensor_count(m->a) > largest ? rl_tensor_count(m->a) : largest;
    }
    lora->u = carver->used;
    (void)rl_carve(carver, RL_DTYPE_F32, LORA_ROWS, widest);
    lora->d_u = carver->used;
    (void)rl_carve(carver, RL_DTYPE_F32, LORA_ROWS, widest);
    lora->scaled = rl_carve_1d(carver, RL_DTYPE_F32, largest);
}

/* Torch's kaiming_uniform_ with a = sqrt(5), as its Linear and peft draw A. */
static void draw_a(rl_backend *be, rl_tensor a, uint64_t seed, int32_t site) {
    rl_rng rng = {.seed = seed, .problem = (uint32_t)site, .purpose = RL_RNG_ADAPTER};
    double bound = 1 / sqrt((double)a.shape[1]);
    float *row = rl_alloc((size_t)a.shape[1], sizeof *row);
    for (int64_t i = 0, at = 0; i < a.shape[0]; i++) {
        for (int64_t k = 0; k < a.shape[1]; k++, at++) {
            row[k] = (float)(bound * (2 * rl_rng_uniform(&rng, (uint64_t)at) - 1));
        }
        rl_tensor_put(be, rl_tensor_rows(a, i, i + 1), row);
    }
    rl_free(row);
}

static void read_half(rl_backend *be, const rl_safetensors *file, const rl_param *param) {
    const rl_weight *w = rl_safetensors_find(file, param->name);
    float *values = rl_alloc((size_t)rl_tensor_count(param->value), sizeof *values);
    RL_ASSERT(w != NULL && rl_weight_count(w) == rl_tensor_count(param->value));
    rl_weight_to_f32(w, values);
    rl_tensor_put(be, param->value, values);
    rl_free(values);
}

static void fill_params(rl_lora *lora, rl_backend *be) {
    const rl_adapter *adapter = lora->adapter;
    for (int32_t i = 0; adapter->file != NULL && i < lora->params.n_items; i++) {
        read_half(be, adapter->file, &lora->params.item[i]);
    }
    for (int32_t i = 0, end; adapter->file == NULL && i < adapter->n_sites; i = end) {
        const rl_param *item = lora->params.item + 2 * (ptrdiff_t)i;
        end = run_end(adapter, i);
        for (int32_t k = i; k < end; k++, item++) {
            draw_a(be, item->value, adapter->seed, adapter->site[k]);
            rl_op_fill(be, item[end - i].value, 0);
        }
    }
}

rl_status rl_lora_init(rl_lora *lora, const rl_adapter *adapter, rl_backend *be, bool trains,
                       rl_err *err) {
    const rl_lora_opts *opts = &adapter->opts;
    rl_carver carver = {0};
    rl_status status;
    *lora = (rl_lora){.adapter = adapter, .r = opts->r};
    lora->scale =
        (float)(opts->lora_alpha / (opts->use_rslora ? sqrt((double)opts->r) : (double)opts->r));
    lora->matrix =
        rl_alloc((size_t)adapter->config->n_layers * RL_LORA_MATRICES, sizeof *lora->matrix);
    status = alloc_params(lora, be, trains, err);
    if (status == RL_OK) {
        carve_all(lora, be, &carver);
        status = rl_buffer_alloc(be, carver.used, &lora->buffer, err);
    }
    if (status != RL_OK) {
        rl_lora_release(lora, be);
        return status;
    }
    carver = (rl_carver){.buffer = lora->buffer};
    carve_all(lora, be, &carver);
    fill_params(lora, be);
    return RL_OK;
}

void rl_lora_release(rl_lora *lora, rl_backend *be) {
    rl_params_release(&lora->params, be);
    rl_buffer_free(be, lora->buffer);
    rl_free(lora->matrix);
    *lora = (rl_lora){0};
}

void rl_lora_pack(const rl_lora *lora, rl_backend *be) {
    size_t n_matrices = (size_t)lora->adapter->config->n_layers * RL_LORA_MATRICES;
    for (size_t i = 0; i < n_matrices; i++) {
        const rl_lora_matrix *m = &lora->matrix[i];
        if (m->n_parts > 0) {
            rl_tensor scaled = rl_tensor_2d(RL_DTYPE_F32, lora->scaled.buffer, lora->scaled.offset,
                                            m->a.shape[0], m->a.shape[1]);
            rl_op_copy(be, scaled, m->a);
            rl_op_scale(be, scaled, lora->scale);
            rl_op_pack(be, m->packed, scaled);
        }
        for (int32_t k = 0; k < m->n_parts; k++) {
            rl_op_pack(be, m->part[k].packed, m->part[k].b);
        }
    }
}

/* The temporary at an offset for n rows of a matrix. */
static rl_tensor temporary(const rl_lora_matrix *m, size_t offset, int64_t n) {
    return rl_tensor_2d(RL_DTYPE_F32, m->lora->buffer, offset, n, m->a.shape[0]);
}

/* The columns of a part: of what A gives, and of what the matrix gives. */
static rl_tensor part_of_u(const rl_lora_matrix *m, int32_t k, rl_tensor u) {
    return rl_tensor_cols(u, (int64_t)k * m->lora->r, (int64_t)(k + 1) * m->lora->r);
}

static rl_tensor part_of_out(const rl_lora_part *part, rl_tensor out) {
    return rl_tensor_cols(out, part->row, part->row + part->b.shape[0]);
}

void rl_lora_forward(const rl_lora_matrix *m, rl_backend *be, rl_tensor out, rl_tensor in) {
    int64_t n = m->lora->off ? 0 : in.shape[0];
    for (int64_t begin = 0, end; begin < n; begin = end) {
        rl_tensor u;
        end = n - begin > LORA_ROWS ? begin + LORA_ROWS : n;
        u = temporary(m, m->lora->u, end - begin);
        rl_op_linear(be, u, rl_tensor_rows(in, begin, end), m->packed, false);
        for (int32_t k = 0; k < m->n_parts; k++) {
            const rl_lora_part *part = &m->part[k];
            rl_op_linear(be, part_of_out(part, rl_tensor_rows(out, begin, end)), part_of_u(m, k, u),
                         part->packed, true);
        }
    }
}

void rl_lora_backward(const rl_lora_matrix *m, rl_backend *be, rl_tensor d_in, rl_tensor d_out,
                      rl_tensor in) {
    int64_t n = in.shape[0];
    RL_ASSERT(!m->lora->off);
    for (int64_t begin = 0, end; begin < n; begin = end) {
        rl_tensor u, d_u, x;
        end = n - begin > LORA_ROWS ? begin + LORA_ROWS : n;
        u = temporary(m, m->lora->u, end - begin);
        d_u = temporary(m, m->lora->d_u, end - begin);
        x = rl_tensor_rows(in, begin, end);
        rl_op_linear(be, u, x, m->packed, false);
        for (int32_t k = 0; k < m->n_parts; k++) {
            const rl_lora_part *part = &m->part[k];
            rl_tensor d = part_of_out(part, rl_tensor_rows(d_out, begin, end));
            rl_op_matmul(be, part->d_b, d, part_of_u(m, k, u), true, false, 1);
            rl_op_matmul(be, part_of_u(m, k, d_u), d, part->b, false, false, 0);
        }
        rl_op_scale(be, d_u, m->lora->scale);
        rl_op_matmul(be, m->d_a, d_u, x, true, false, 1);
        rl_op_matmul(be, rl_tensor_rows(d_in, begin, end), d_u, m->a, false, false, 1);
    }
}

rl_status rl_adapter_merge(const rl_adapter *adapter, rl_params *weights, rl_backend *be,
                           rl_err *err) {
    rl_lora lora;
    rl_status status = rl_lora_init(&lora, adapter, be, false, err);
    for (int32_t i = 0, end; status == RL_OK && i < adapter->n_sites; i = end) {
        const rl_param *a = lora.params.item + 2 * (ptrdiff_t)i;
        end = run_end(adapter, i);
        for (int32_t k = i; k < end; k++, a++) {
            rl_op_scale(be, a->value, lora.scale);
            rl_op_matmul(be, weights->item[adapter->site[k]].value, a[end - i].value, a->value,
                         false, false, 1);
        }
    }
    if (status == RL_OK) {
        status = rl_backend_sync(be, err);
        rl_lora_release(&lora, be);
    }
    return status;
}
