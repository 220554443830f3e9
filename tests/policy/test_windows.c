/*
 * Layers with a window in families whose goldens have none: log-probs and gradients against a plain
 * forward in float64, written here, which the goldens themselves hold to first. Every window is
 * shorter than the texts.
 */
#include <math.h>
#include <stdio.h>

#include "rl/core/fs.h"
#include "rl/policy/score.h"
#include "rl/tensor/ops.h"
#include "tests/support/model.h"
#include "tests/support/support.h"

enum { WINDOW = 5, N_MAX = 128 };

/* Weights and gradients of a policy in float64, by parameter. */
typedef struct reference {
    const rl_model_config *config;
    const rl_params *params;
    rl_arena *arena;
    double **weight, **grad;
} reference;

static double *read(rl_backend *be, rl_tensor tensor, rl_arena *arena) {
    int64_t n = rl_tensor_count(tensor);
    float *from = rl_arena_alloc(arena, (size_t)n, sizeof *from);
    double *out = rl_arena_alloc(arena, (size_t)n, sizeof *out);
    rl_tensor_get(be, tensor, from);
    for (int64_t i = 0; i < n; i++) {
        out[i] = (double)from[i];
    }
    return out;
}

static const double *weight(const reference *r, int layer, const char *name) {
    char full[96];
    if (layer < 0) {
        snprintf(full, sizeof full, "%s", name);
    } else {
        snprintf(full, sizeof full, "model.layers.%d.%s", layer, name);
    }
    const rl_param *param = rl_params_find(r->params, full);
    return param != NULL ? r->weight[param - r->params->item] : NULL;
}

static double *room(const reference *r, int64_t n) {
    return rl_arena_alloc(r->arena, (size_t)n, sizeof(double));
}

/* y[n_out] = w x + b, rows `row` and on of w. */
static double *times(const reference *r, const double *w, int row, const double *b, const double *x,
                     int n_out, int n_in) {
    double *y = room(r, n_out);
    assert_non_null(w);
    for (int i = 0; i < n_out; i++) {
        y[i] = b != NULL ? b[i] : 0;
        for (int j = 0; j < n_in; j++) {
            y[i] += w[(int64_t)(row + i) * n_in + j] * x[j];
        }
    }
    return y;
}

static void norm(const reference *r, const double *w, const double *x, int n, double *y) {
    double squares = 0;
    for (int i = 0; i < n; i++) {
        squares += x[i] * x[i] / n;
    }
    for (int i = 0; i < n; i++) {
        y[i] = x[i] / sqrt(squares + r->config->norm_eps) * w[i];
    }
}

static void rotate(const reference *r, double *x, int position) {
    int half = r->config->head_dim / 2;
    for (int d = 0; d < half; d++) {
        double angle = position * pow(r->config->rope[0].theta, -d / (double)half);
        double a = x[d], b = x[d + half];
        x[d] = a * cos(angle) - b * sin(angle);
        x[d + half] = b * cos(angle) + a * sin(angle);
    }
}

/* Queries or keys of one position: normed where the family norms heads, and rotated. */
static void prepare(const reference *r, int layer, const char *name, double *x, int n_heads,
                    int position, bool rotates) {
    const double *w = weight(r, layer, name);
    int dim = r->config->head_dim;
    for (int h = 0; h < n_heads; h++) {
        if (w != NULL) {
            norm(r, w, x + h * dim, dim, x + h * dim);
        }
        if (rotates) {
            rotate(r, x + h * dim, position);
        }
    }
}

/* One query head over the positions (at - window, at]; window 0: all. */
static void attend(const reference *r, const double *q, double *const *k, double *const *v,
                   int from, int at, int window, double *out) {
    int dim = r->config->head_dim, begin = window > 0 && at >= window ? at - window + 1 : 0;
    double score[N_MAX], sum = 0;
    for (int s = begin; s <= at; s++) {
        score[s] = 0;
        for (int d = 0; d < dim; d++) {
            score[s] += q[d] * k[s][from + d] / sqrt(dim);
        }
        sum += score[s] = exp(score[s]);
    }
    for (int d = 0; d < dim; d++) {
        out[d] = 0;
        for (int s = begin; s <= at; s++) {
            out[d] += score[s] / sum * v[s][from + d];
        }
    }
}

static void attention(const reference *r, int layer, bool rotates, int window, double **x, int n) {
    const rl_model_config *c = r->config;
    const double *joint = weight(r, layer, "self_attn.qkv_proj.weight");
    int nq = c->n_heads * c->head_dim, nkv = c->n_kv_heads * c->head_dim;
    double *q[N_MAX], *k[N_MAX], *v[N_MAX], *normed = room(r, c->width), *out = room(r, nq);
    for (int t = 0; t < n; t++) {
        norm(r, weight(r, layer, "input_layernorm.weight"), x[t], c->width, normed);
        q[t] = times(r, joint != NULL ? joint : weight(r, layer, "self_attn.q_proj.weight"), 0,
                     weight(r, layer, "self_attn.q_proj.bias"), normed, nq, c->width);
        k[t] = times(r, joint != NULL ? joint : weight(r, layer, "self_attn.k_proj.weight"),
                     joint != NULL ? nq : 0, weight(r, layer, "self_attn.k_proj.bias"), normed, nkv,
                     c->width);
        v[t] = times(r, joint != NULL ? joint : weight(r, layer, "self_attn.v_proj.weight"),
                     joint != NULL ? nq + nkv : 0, weight(r, layer, "self_attn.v_proj.bias"),
                     normed, nkv, c->width);
        prepare(r, layer, "self_attn.q_norm.weight", q[t], c->n_heads, t, rotates);
        prepare(r, layer, "self_attn.k_norm.weight", k[t], c->n_kv_heads, t, rotates);
    }
    for (int t = 0; t < n; t++) {
        for (int h = 0; h < c->n_heads; h++) {
            int group = h / (c->n_heads / c->n_kv_heads);
            attend(r, q[t] + h * c->head_dim, k, v, group * c->head_dim, t, window,
                   out + h * c->head_dim);
        }
        double *add =
            times(r, weight(r, layer, "self_attn.o_proj.weight"), 0, NULL, out, c->width, nq);
        for (int i = 0; i < c->width; i++) {
            x[t][i] += add[i];
        }
    }
}

static void mlp(const reference *r, int layer, double *x) {
    const rl_model_config *c = r->config;
    const double *joint = weight(r, layer, "mlp.gate_up_proj.weight");
    double *normed = room(r, c->width);
    norm(r, weight(r, layer, "post_attention_layernorm.weight"), x, c->width, normed);
    double *gate = times(r, joint != NULL ? joint : weight(r, layer, "mlp.gate_proj.weight"), 0,
                         NULL, normed, c->mlp, c->width);
    double *up = times(r, joint != NULL ? joint : weight(r, layer, "mlp.up_proj.weight"),
                       joint != NULL ? c->mlp : 0, NULL, normed, c->mlp, c->width);
    for (int i = 0; i < c->mlp; i++) {
        gate[i] = gate[i] / (1 + exp(-gate[i])) * up[i];
    }
    double *add =
        times(r, weight(r, layer, "mlp.down_proj.weight"), 0, NULL, gate, c->width, c->mlp);
    for (int i = 0; i < c->width; i++) {
        x[i] += add[i];
    }
}

/* Log-probs of tokens 1 and on; layers[i]: 'w' a window, 's' a window and no rotation, 'n' no
 * rotation, 'f' neither. */
static double forward(const reference *r, const char *layers, int window, const int32_t *token,
                      int n, double *logp) {
    const rl_model_config *c = r->config;
    const double *embedding = weight(r, -1, "model.embed_tokens.weight");
    const double *head = c->tied ? embedding : weight(r, -1, "lm_head.weight");
    double *x[N_MAX], mean = 0;
    for (int t = 0; t < n; t++) {
        x[t] = room(r, c->width);
        memcpy(x[t], embedding + (int64_t)token[t] * c->width, (size_t)c->width * sizeof(double));
    }
    for (int i = 0; i < c->n_layers; i++) {
        bool slides = layers[i] == 'w' || layers[i] == 's';
        attention(r, i, layers[i] != 's' && layers[i] != 'n', slides ? window : 0, x, n);
        for (int t = 0; t < n; t++) {
            mlp(r, i, x[t]);
        }
    }
    for (int t = 0; t + 1 < n; t++) {
        double sum = 0;
        norm(r, weight(r, -1, "model.norm.weight"), x[t], c->width, x[t]);
        double *logit = times(r, head, 0, NULL, x[t], c->vocab, c->width);
        for (int v = 0; v < c->vocab; v++) {
            sum += exp(logit[v]);
        }
        logp[t] = logit[token[t + 1]] - log(sum);
        mean += logp[t] / (n - 1);
    }
    return mean;
}

static void move(reference *r, double step) {
    for (int32_t p = 0; p < r->params->n_items; p++) {
        int64_t n = rl_tensor_count(r->params->item[p].value);
        for (int64_t i = 0; i < n; i++) {
            r->weight[p][i] += step * r->grad[p][i];
        }
    }
}

/* Log-probs against the reference; and the gradient of their mean, by how that mean changes along
 * it. */
static void check(rl_test_model *model, const char *name, const char *layers, const int32_t *token,
                  int32_t n, rl_arena *arena) {
    rl_params *params = rl_policy_params(model->policy);
    reference r = {.config = rl_policy_config(model->policy), .params = params, .arena = arena};
    rl_segment seq = {.parent = -1, .wanted = true, .token = token, .n_tokens = n};
    double logp[N_MAX], want[N_MAX], d_logp[N_MAX], entropy[N_MAX], squares = 0, change, worst = 0;
    rl_err err;
    r.weight = rl_arena_alloc(arena, (size_t)params->n_items, sizeof *r.weight);
    r.grad = rl_arena_alloc(arena, (size_t)params->n_items, sizeof *r.grad);
    for (int32_t t = 0; t < n - 1; t++) {
        d_logp[t] = 1.0 / (n - 1);
    }
    rl_policy_zero_grad(model->policy);
    assert_ok(rl_policy_backward(model->policy, &seq, 1, 1, d_logp, NULL, logp, entropy, &err));
    for (int32_t p = 0; p < params->n_items; p++) {
        r.weight[p] = read(model->be, params->item[p].value, arena);
        r.grad[p] = read(model->be, params->item[p].grad, arena);
        for (int64_t i = 0; i < rl_tensor_count(params->item[p].grad); i++) {
            squares += r.grad[p][i] * r.grad[p][i];
        }
    }
    forward(&r, layers, WINDOW, token, n, want);
    for (int32_t t = 0; t < n - 1; t++) {
        worst = fmax(worst, fabs(logp[t] - want[t]));
    }
    double step = 1e-4 / sqrt(squares);
    move(&r, step);
    change = forward(&r, layers, WINDOW, token, n, want);
    move(&r, -2 * step);
    change = (change - forward(&r, layers, WINDOW, token, n, want)) / (2 * step);
    print_message("windows: %s %s | logp %.1e | gradient %.1e\n", name, layers, worst,
                  fabs(change / squares - 1));
    assert_true(worst <= 1e-5);
    assert_true(squares > 0 && fabs(change / squares - 1) <= 1e-4);
}

/* Every occurrence of a text by another. */
static void replace(rl_str *text, const char *from, const char *to) {
    rl_str out = {0};
    const char *at = rl_str_text(text), *hit;
    assert_non_null(strstr(at, from));
    for (; (hit = strstr(at, from)) != NULL; at = hit + strlen(from)) {
        rl_str_append_n(&out, at, (size_t)(hit - at));
        rl_str_append(&out, to);
    }
    rl_str_append(&out, at);
    rl_str_release(text);
    *text = out;
}

static void test_windows(void **state) {
    static const struct {
        const char *name, *config, *before, *layers;
        const char *change[3][2]; // of the config
    } rows[] = {
        {"qwen2",
         "config_v4.json",
         "fff",
         "fww",
         {{"\"sliding_window\": null", "\"sliding_window\": 5"},
          {"\"use_sliding_window\": false", "\"use_sliding_window\": true"},
          {"\"max_window_layers\": 28", "\"max_window_layers\": 1"}}},
        {"qwen3",
         "config.json",
         "fff",
         "www",
         {{"\"sliding_window\": null", "\"sliding_window\": 5"},
          {"\"use_sliding_window\": false", "\"use_sliding_window\": true"},
          {"\"full_attention\"", "\"sliding_attention\""}}},
        {"smollm3",
         "config.json",
         "fnf",
         "wsw",
         {{"\"sliding_window\": null", "\"sliding_window\": 5"},
          {"\"use_sliding_window\": false", "\"use_sliding_window\": true"},
          {"\"full_attention\"", "\"sliding_attention\""}}},
        {"phi3",
         "config.json",
         "fff",
         "www",
         {{"\"sliding_window\": null", "\"sliding_window\": 5"}}},
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        rl_arena *arena = rl_arena_new(0);
        char *folder = rl_test_folder(), *text;
        const char *from = rl_golden("models");
        rl_safetensors *golden;
        rl_str config = {0};
        rl_err err;
        size_t len;
        int64_t n;
        from = rl_path_join(arena, from, rows[i].name);
        assert_ok(
            rl_safetensors_open(rl_path_join(arena, from, "golden.safetensors"), &golden, &err));
        int32_t *token = rl_test_ints(golden, "seq0.input_ids", arena, &n);
        assert_true(n > 2 * WINDOW && n <= N_MAX);
        assert_ok(rl_fs_read(rl_path_join(arena, from, rows[i].config), arena, &text, &len, &err));
        rl_str_append_n(&config, text, len);
        assert_ok(rl_fs_copy(rl_path_join(arena, from, "model.safetensors"),
                             rl_path_join(arena, folder, "model.safetensors"), &err));
        for (int windowed = 0; windowed < 2; windowed++) {
            rl_test_model model;
            for (int k = 0; windowed && k < 3 && rows[i].change[k][0] != NULL; k++) {
                replace(&config, rows[i].change[k][0], rows[i].change[k][1]);
            }
            assert_ok(rl_fs_write(rl_path_join(arena, folder, "config.json"), config.ptr,
                                  config.len, &err));
            rl_test_model_open(&model, folder, RL_KERNELS_AUTO, 1, true);
            check(&model, rows[i].name, windowed ? rows[i].layers : rows[i].before, token,
                  (int32_t)n, arena);
            rl_test_model_close(&model);
        }
        rl_str_release(&config);
        rl_safetensors_close(golden);
        rl_arena_free(arena);
        rl_test_drop(folder);
    }
}

int main(void) {
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_windows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
