/*
 * Each backward operation against central differences of its forward, written plainly in double.
 * Differences are good to about 1e-9 of the largest gradient, so tolerances speak of float32
 * arithmetic alone: 6e-8 a rounding, times the roundings that meet in one element.
 */
#include "tests/tensor/back_rig.h"

typedef double loss_fn(const void *context, const double *x);

/* Central differences of the loss over all x. */
static double *differences(rig *r, loss_fn *loss, const void *context, double *x, int64_t n) {
    const double h = 1e-5;
    double *out = rig_room(r, n);
    for (int64_t i = 0; i < n; i++) {
        double at = x[i], above;
        x[i] = at + h;
        above = loss(context, x);
        x[i] = at - h;
        out[i] = (above - loss(context, x)) / (2 * h);
        x[i] = at;
    }
    return out;
}

/* got = before + want, to within tolerance of the largest of these. before may be NULL. */
static void check_near(const char *what, const double *got, const double *before,
                       const double *want, int64_t n, double tolerance) {
    double largest = 1e-3, worst = 0;
    for (int64_t i = 0; i < n; i++) {
        double start = before != NULL ? before[i] : 0;
        double error = fabs(got[i] - start - want[i]);
        largest = fmax(largest, fmax(fabs(start), fabs(want[i])));
        worst = error <= worst ? worst : error; // keeps a NaN
    }
    if (!(worst <= tolerance * largest)) {
        fail_msg("%s: off by %.3g of %.3g, allowed %.3g", what, worst, largest, tolerance);
    }
}

static void join(double *out, const double *a, int64_t n_a, const double *b, int64_t n_b) {
    memcpy(out, a, (size_t)n_a * sizeof *a);
    memcpy(out + n_a, b, (size_t)n_b * sizeof *b);
}

static void matmul_is_the_product(void **state) {
    static const struct {
        int64_t m, n, k;
    } shape[] = {{1, 1, 1},     {3, 5, 7},      {33, 65, 17},
                 {64, 48, 300}, {530, 800, 20}, {1040, 70, 40}, // cut into tiles both ways
                 {4, 6, 0}};
    (void)state;
    for (size_t s = 0; s < RL_COUNT(shape); s++) {
        for (int form = 0; form < 12; form++) {
            rig r = rig_open(RL_KERNELS_AUTO, 2);
            int64_t m = shape[s].m, n = shape[s].n, k = shape[s].k;
            bool a_t = form & 1, b_t = form & 2;
            float beta = (float[]){0, 1, 0.5f}[form / 4];
            rl_tensor a = rig_matrix(&r, a_t ? k : m, a_t ? m : k, 1);
            rl_tensor b = rig_matrix(&r, b_t ? n : k, b_t ? k : n, 1);
            rl_tensor out = rig_matrix(&r, m, n, 1);
            const double *av = rig_doubles(&r, a), *bv = rig_doubles(&r, b);
            double *before = rig_doubles(&r, out), *want = rig_room(&r, m * n);
            for (int64_t i = 0; i < m; i++) {
                for (int64_t j = 0; j < n; j++) {
                    double sum = 0;
                    for (int64_t t = 0; t < k; t++) {
                        sum += av[a_t ? t * m + i : i * k + t] * bv[b_t ? j * k + t : t * n + j];
                    }
                    want[i * n + j] = sum;
                    before[i * n + j] *= (double)beta;
                }
            }
            rl_op_matmul(r.be, out, a, b, a_t, b_t, beta);
            // At most 300 terms of size 1 in any order.
            check_near("matmul", rig_doubles(&r, out), before, want, m * n, 2e-6);
            rig_check_guards(&r, out);
            rig_close(&r);
        }
    }
}

static void matmul_without_beta_forgets_what_was_there(void **state) {
    rig r = rig_open(RL_KERNELS_AUTO, 1);
    rl_tensor a = rig_matrix(&r, 40, 30, 1), b = rig_matrix(&r, 30, 50, 1);
    rl_tensor out = rig_matrix(&r, 40, 50, 1);
    (void)state;
    rl_op_fill(r.be, out, NAN);
    rl_op_matmul(r.be, out, a, b, false, false, 0);
    assert_true(isfinite(rl_op_sum_squares(r.be, out)));
    rig_close(&r);
}

static void rows_are_added_where_the_index_says(void **state) {
    static const struct {
        int64_t rows, width;
        int32_t below;
    } shape[] = {{1, 1, 1}, {40, 70, 9}, {300, 33, 1000}, {0, 5, 3}};
    (void)state;
    for (size_t s = 0; s < 2 * RL_COUNT(shape); s++) {
        rig r = rig_open(RL_KERNELS_AUTO, 2);
        int64_t rows = shape[s / 2].rows, width = shape[s / 2].width;
        int32_t below = shape[s / 2].below;
        rl_tensor out = rig_matrix(&r, below, width, 1), in = rig_matrix(&r, rows, width, 1);
        rl_tensor index = rig_index(&r, rows, below);
        const double *before = rig_doubles(&r, out), *iv = rig_doubles(&r, in);
        const int32_t *row = rig_ints(&r, index);
        double *want = rig_room(&r, below * width);
        for (int64_t i = 0; i < rows * width; i++) {
            want[row[i / width] * width + i % width] += iv[i];
        }
        if (s % 2 == 0) {
            rl_op_embed_back(r.be, out, in, index);
        } else {
            rl_op_scatter_add(r.be, out, in, index);
        }
        // A few additions of numbers near 1.
        check_near("rows", rig_doubles(&r, out), before, want, below * width, 2e-6);
        rig_check_guards(&r, out);
        rig_close(&r);
    }
}

typedef struct norm_case {
    int64_t rows, width;
    const double *d_out;
} norm_case;

/* x: in [rows, width], then weight [width]. */
static double norm_loss(const void *context, const double *x) {
    const norm_case *c = context;
    double loss = 0;
    for (int64_t r = 0; r < c->rows; r++) {
        const double *in = x + r * c->width, *weight = x + c->rows * c->width;
        double squares = 0;
        for (int64_t i = 0; i < c->width; i++) {
            squares += in[i] * in[i];
        }
        for (int64_t i = 0; i < c->width; i++) {
            loss += c->d_out[r * c->width + i] * in[i] * weight[i] /
                    sqrt(squares / (double)c->width + 1e-5);
        }
    }
    return loss;
}

static void rms_norm_gradient(void **state) {
    static const int64_t shape[][2] = {{1, 1}, {1, 16}, {3, 15}, {5, 50}, {150, 17}};
    (void)state;
    for (size_t s = 0; s < RL_COUNT(shape); s++) {
        rig r = rig_open(RL_KERNELS_AUTO, 2);
        int64_t rows = shape[s][0], width = shape[s][1], n = rows * width;
        rl_tensor in = rig_matrix(&r, rows, width, 1), d_out = rig_matrix(&r, rows, width, 1);
        rl_tensor d_in = rig_matrix(&r, rows, width, 1), rstd = rig_vector(&r, rows, 1);
        rl_tensor weight = rig_vector(&r, width, 1), d_weight = rig_vector(&r, width, 1);
        rl_tensor out = rig_matrix(&r, rows, width, 1);
        const double *d_in_before = rig_doubles(&r, d_in);
        const double *d_weight_before = rig_doubles(&r, d_weight);
        norm_case c = {rows, width, rig_doubles(&r, d_out)};
        double *x = rig_room(&r, n + width), *want;
        join(x, rig_doubles(&r, in), n, rig_doubles(&r, weight), width);
        rl_op_rms_norm(r.be, out, rstd, in, weight, 1e-5f);
        want = differences(&r, norm_loss, &c, x, n + width);
        rl_op_rms_norm_back(r.be, d_in, d_weight, d_out, in, weight, rstd);
        // Each d_in is the difference of two terms that may be larger than it.
        check_near("d_in", rig_doubles(&r, d_in), d_in_before, want, n, 2e-6);
        check_near("d_weight", rig_doubles(&r, d_weight), d_weight_before, want + n, width, 2e-6);
        rig_check_guards(&r, d_in);
        rig_close(&r);
    }
}

static void swiglu_gradient(void **state) {
    static const int64_t shape[][2] = {{1, 1}, {2, 16}, {40, 37}};
    (void)state;
    for (size_t s = 0; s < RL_COUNT(shape); s++) {
        rig r = rig_open(RL_KERNELS_AUTO, 2);
        int64_t rows = shape[s][0], width = shape[s][1];
        rl_tensor gate_up = rig_matrix(&r, rows, 2 * width, 120); // far into both tails
        rl_tensor d_out = rig_matrix(&r, rows, width, 1);
        rl_tensor d_gate_up = rig_matrix(&r, rows, 2 * width, 1);
        const double *gv, *dv, *got;
        if (s == 2) { // the middle
            rl_tensor near_zero = rig_matrix(&r, rows, 2 * width, 4);
            rl_op_copy(r.be, rl_tensor_rows(gate_up, 0, 20), rl_tensor_rows(near_zero, 0, 20));
        }
        rl_op_swiglu_back(r.be, d_gate_up, d_out, gate_up);
        gv = rig_doubles(&r, gate_up), dv = rig_doubles(&r, d_out);
        got = rig_doubles(&r, d_gate_up);
        for (int64_t i = 0; i < rows * width; i++) {
            int64_t at = i / width * 2 * width + i % width;
            double g = gv[at], up = gv[at + width], sigmoid = 1 / (1 + exp(-g));
            double d_gate = dv[i] * up * sigmoid * (1 + g * (1 - sigmoid));
            double d_up = dv[i] * g * sigmoid;
            // Ten roundings; where the derivative of silu crosses 0, of terms near up.
            assert_true(fabs(got[at] - d_gate) <= 2e-6 * fmax(fabs(d_gate), fabs(dv[i] * up)));
            assert_true(fabs(got[at + width] - d_up) <= 2e-6 * fabs(d_up) + 1e-30);
        }
        rig_check_guards(&r, d_gate_up);
        rig_close(&r);
    }
}

/* Slopes of gelu in tanh form by central differences in double. */
static double gelu(double g) {
    return g / 2 * (1 + tanh(sqrt(2 / acos(-1)) * (g + 0.044715 * g * g * g)));
}

static void geglu_gradient(void **state) {
    static const double size[] = {1, 4, 30}; // the middle, and far into both tails
    (void)state;
    for (size_t s = 0; s < RL_COUNT(size); s++) {
        enum { ROWS = 40, WIDTH = 37 };
        rig r = rig_open(RL_KERNELS_AUTO, 2);
        rl_tensor gate_up = rig_matrix(&r, ROWS, (int64_t)2 * WIDTH, size[s]);
        rl_tensor d_out = rig_matrix(&r, ROWS, WIDTH, 1);
        rl_tensor d_gate_up = rig_matrix(&r, ROWS, (int64_t)2 * WIDTH, 1);
        const double *gv, *dv, *got;
        rl_op_geglu_back(r.be, d_gate_up, d_out, gate_up);
        gv = rig_doubles(&r, gate_up), dv = rig_doubles(&r, d_out);
        got = rig_doubles(&r, d_gate_up);
        for (int64_t i = 0; i < (int64_t)ROWS * WIDTH; i++) {
            int64_t at = i / WIDTH * 2 * WIDTH + i % WIDTH;
            double g = gv[at], up = gv[at + WIDTH], h = 1e-5;
            double d_gate = dv[i] * up * (gelu(g + h) - gelu(g - h)) / (2 * h);
            // Where the slope crosses 0 it is a difference of terms near 1.
            assert_true(fabs(got[at] - d_gate) <= 2e-6 * fmax(fabs(d_gate), fabs(dv[i] * up)));
            assert_true(fabs(got[at + WIDTH] - dv[i] * gelu(g)) <=
                        1e-6 * fmax(fabs(dv[i] * gelu(g)), 1e-2 * fabs(dv[i])));
        }
        rig_check_guards(&r, d_gate_up);
        rig_close(&r);
    }
}

/* The gradient of a norm of groups is that of each alone, and the weight's is their sum. */
static void rms_norm_groups_gradient(void **state) {
    enum { N = 30, GROUPS = 4, W = 10 };
    rig r = rig_open(RL_KERNELS_AUTO, 2);
    rl_tensor in = rig_matrix(&r, N, (int64_t)GROUPS * W, 1);
    rl_tensor d_out = rig_matrix(&r, N, (int64_t)GROUPS * W, 1);
    rl_tensor d_in = rig_matrix(&r, N, (int64_t)GROUPS * W, 0);
    rl_tensor d_part = rig_matrix(&r, N, (int64_t)GROUPS * W, 0);
    rl_tensor out = rig_matrix(&r, N, (int64_t)GROUPS * W, 1), weight = rig_vector(&r, W, 1);
    rl_tensor d_weight = rig_vector(&r, W, 0), d_weight_part = rig_vector(&r, W, 0);
    rl_tensor rstd = rig_vector(&r, (int64_t)N * GROUPS, 1), one = rig_vector(&r, N, 1);
    (void)state;
    rl_op_rms_norm(r.be, out, rstd, in, weight, 1e-5f);
    rl_op_rms_norm_back(r.be, d_in, d_weight, d_out, in, weight, rstd);
    for (int64_t g = 0; g < GROUPS; g++) {
        rl_tensor part = rl_tensor_cols(in, g * W, (g + 1) * W);
        rl_op_rms_norm(r.be, rl_tensor_cols(out, 0, W), one, part, weight, 1e-5f);
        rl_op_rms_norm_back(r.be, rl_tensor_cols(d_part, g * W, (g + 1) * W), d_weight_part,
                            rl_tensor_cols(d_out, g * W, (g + 1) * W), part, weight, one);
    }
    check_near("d_in", rig_doubles(&r, d_in), NULL, rig_doubles(&r, d_part),
               (int64_t)N * GROUPS * W, 0);
    check_near("d_weight", rig_doubles(&r, d_weight), NULL, rig_doubles(&r, d_weight_part), W,
               2e-6);
    rig_check_guards(&r, d_in);
    rig_close(&r);
}

static void rows_add_up(void **state) {
    static const int64_t shape[][2] = {{0, 3}, {1, 1}, {7, 130}, {900, 17}};
    (void)state;
    for (size_t s = 0; s < RL_COUNT(shape); s++) {
        rig r = rig_open(RL_KERNELS_AUTO, 2);
        int64_t rows = shape[s][0], width = shape[s][1];
        rl_tensor in = rig_matrix(&r, rows, width, 1), out = rig_vector(&r, width, 1);
        const double *x = rig_doubles(&r, in), *before = rig_doubles(&r, out);
        double *want = rig_room(&r, width);
        for (int64_t i = 0; i < rows * width; i++) {
            want[i % width] += x[i];
        }
        rl_op_sum_rows(r.be, out, in);
        check_near("sum", rig_doubles(&r, out), before, want, width, 2e-6);
        rig_close(&r);
    }
}

typedef struct attention_case {
    const rl_attn_plan *plan;
    int64_t n_rows;
    const double *d_out;
} attention_case;

/* Row of the key at a position of an item. */
static int64_t key_row(const rl_attn_plan *plan, const rl_attn_item *item, int64_t position) {
    int32_t s = item->span_begin;
    while (position >= plan->span[s].n) {
        position -= plan->span[s++].n;
    }
    return plan->span[s].row + position;
}

/* One query's part of the loss; kv_width columns of k and v from the query's kv head on. */
static double query_loss(const rl_attn_plan *plan, const rl_attn_item *item, int64_t position,
                         const double *d_out, const double *q, const double *k, const double *v) {
    int64_t dim = plan->head_dim, kv_width = (int64_t)plan->n_kv_heads * dim;
    double sum = 0, loss = 0;
    int64_t from = plan->window > 0 && position >= plan->window ? position + 1 - plan->window : 0;
    for (int64_t key = from; key <= position; key++) {
        int64_t row = key_row(plan, item, key);
        double score = 0, out = 0;
        for (int64_t i = 0; i < dim; i++) {
            score += q[i] * k[row * kv_width + i];
            out += d_out[i] * v[row * kv_width + i];
        }
        sum += exp(score * (double)plan->scale);
        loss += exp(score * (double)plan->scale) * out;
    }
    return loss / sum;
}

/* x: q [rows, H * D], then k and v [rows, K * D]. */
static double attention_loss(const void *context, const double *x) {
    const attention_case *c = context;
    const rl_attn_plan *plan = c->plan;
    int64_t dim = plan->head_dim, width = plan->n_heads * dim, kv_width = plan->n_kv_heads * dim;
    int64_t group = plan->n_heads / plan->n_kv_heads;
    const double *k = x + c->n_rows * width, *v = k + c->n_rows * kv_width;
    double loss = 0;
    for (int32_t t = 0; t < plan->n_items; t++) {
        const rl_attn_item *item = &plan->item[t];
        for (int64_t r = 0; r < item->n_rows; r++) {
            for (int64_t h = 0; h < plan->n_heads; h++) {
                int64_t at = (item->row + r) * width + h * dim, from = h / group * dim;
                loss += query_loss(plan, item, item->pos + r, c->d_out + at, x + at, k + from,
                                   v + from);
            }
        }
    }
    return loss;
}

static void attention_gradient(void **state) {
    static const struct {
        int32_t length[5], n_heads, n_kv_heads, head_dim, window;
    } shape[] = {
        {{1, 0, 1, 0, 1}, 1, 1, 1, 0},   {{6, 5, 4, 4, 7}, 4, 2, 4, 0},
        {{3, 2, 2, 1, 18}, 13, 1, 2, 0}, // blocks of 16 queries
        {{2, 1, 0, 1, 66}, 2, 2, 2, 0},  // blocks of 64 queries
        {{6, 5, 4, 4, 7}, 4, 2, 4, 5},   {{3, 2, 2, 1, 18}, 13, 1, 2, 1},
        {{2, 1, 0, 1, 66}, 2, 2, 2, 20},
    };
    (void)state;
    for (size_t s = 0; s < RL_COUNT(shape); s++) {
        rig r = rig_open(RL_KERNELS_AUTO, 2);
        rl_attn_plan plan =
            rig_plan(&r, shape[s].length, shape[s].n_heads, shape[s].n_kv_heads, shape[s].head_dim);
        plan.window = shape[s].window;
        int64_t rows = plan.item[4].row + plan.item[4].n_rows;
        int64_t n = rows * plan.n_heads * plan.head_dim,
                n_kv = rows * plan.n_kv_heads * plan.head_dim;
        rl_tensor q = rig_matrix(&r, rows, n / rows, 2), d_q = rig_matrix(&r, rows, n / rows, 1);
        rl_tensor k = rig_matrix(&r, rows, n_kv / rows, 2),
                  v = rig_matrix(&r, rows, n_kv / rows, 1);
        rl_tensor d_k = rig_matrix(&r, rows, n_kv / rows, 1);
        rl_tensor d_v = rig_matrix(&r, rows, n_kv / rows, 1);
        rl_tensor d_out = rig_matrix(&r, rows, n / rows, 1);
        attention_case c = {&plan, rows, rig_doubles(&r, d_out)};
        const double *d_k_before = rig_doubles(&r, d_k), *d_v_before = rig_doubles(&r, d_v);
        double *x = rig_room(&r, n + 2 * n_kv), *want;
        join(x, rig_doubles(&r, q), n, rig_doubles(&r, k), n_kv);
        join(x + n, rig_doubles(&r, k), n_kv, rig_doubles(&r, v), n_kv);
        want = differences(&r, attention_loss, &c, x, n + 2 * n_kv);
        rl_op_attention_back(r.be, d_q, d_k, d_v, d_out, q, k, v, &plan);
        // Softmax over up to 66 keys, then sums of up to 66 products.
        check_near("d_q", rig_doubles(&r, d_q), NULL, want, n, 4e-6);
        check_near("d_k", rig_doubles(&r, d_k), d_k_before, want + n, n_kv, 4e-6);
        check_near("d_v", rig_doubles(&r, d_v), d_v_before, want + n + n_kv, n_kv, 4e-6);
        rig_check_guards(&r, d_q);
        rig_check_guards(&r, d_k);
        rig_check_guards(&r, d_v);
        rig_close(&r);
    }
}

typedef struct logprob_case {
    int64_t width, token;
    double d_logp, d_entropy, temperature;
} logprob_case;

static double logprob_loss(const void *context, const double *x) {
    const logprob_case *c = context;
    double sum = 0, entropy = 0, log_sum;
    for (int64_t i = 0; i < c->width; i++) {
        sum += exp(x[i] / c->temperature);
    }
    log_sum = log(sum);
    for (int64_t i = 0; i < c->width; i++) {
        double logp = x[i] / c->temperature - log_sum;
        entropy -= exp(logp) * logp;
    }
    return c->d_logp * (x[c->token] / c->temperature - log_sum) + c->d_entropy * entropy;
}

static void logprob_gradient(void **state) {
    static const int64_t widths[] = {1, 2, 17, 160, 1300}; // the last in two blocks of the sum
    (void)state;
    for (size_t s = 0; s < 4 * RL_COUNT(widths); s++) {
        rig r = rig_open(RL_KERNELS_AUTO, 2);
        int64_t width = widths[s / 4], rows = width < 1000 ? 3 : 1;
        bool in_place = s & 1, with_entropy = s & 2;
        double temperature = with_entropy ? 0.75 : 1;
        rl_tensor logits = rig_matrix(&r, rows, width, 6),
                  token = rig_index(&r, rows, (int32_t)width);
        rl_tensor d_logp = rig_vector(&r, rows, 1), d_entropy = rig_vector(&r, rows, 1);
        rl_tensor d_logits = in_place ? logits : rig_matrix(&r, rows, width, 1);
        double *x = rig_doubles(&r, logits);
        const double *got;
        rl_op_logprob_back(r.be, d_logits, d_logp, with_entropy ? d_entropy : (rl_tensor){0},
                           logits, token, (float)temperature);
        got = rig_doubles(&r, d_logits);
        for (int64_t row = 0; row < rows; row++) {
            logprob_case c = {width, rig_ints(&r, token)[row], rig_doubles(&r, d_logp)[row],
                              with_entropy ? rig_doubles(&r, d_entropy)[row] : 0, temperature};
            const double *want = differences(&r, logprob_loss, &c, x + row * width, width);
            // exp of a rounded difference of logits near 12: 12 * 6e-8, and the sum.
            check_near("d_logits", got + row * width, NULL, want, width, 3e-6);
        }
        rig_check_guards(&r, d_logits);
        rig_close(&r);
    }
}

static void forbidden_tokens_leave_the_others_alone(void **state) {
    rig r = rig_open(RL_KERNELS_AUTO, 1);
    const float x[5] = {1, -INFINITY, 0.5f, -3e38f, 0}, one[1] = {1};
    const int32_t first[1] = {0};
    rl_tensor logits = rig_matrix(&r, 1, 5, 1), d_logits = rig_matrix(&r, 1, 5, 1);
    rl_tensor token = rig_index(&r, 1, 1), d = rig_vector(&r, 1, 1);
    const double *got;
    (void)state;
    rl_tensor_put(r.be, logits, x);
    rl_tensor_put(r.be, token, first);
    rl_tensor_put(r.be, d, one);
    rl_op_logprob_back(r.be, d_logits, d, d, logits, token, 1);
    got = rig_doubles(&r, d_logits);
    assert_true(got[1] == 0 && got[3] == 0);
    assert_true(fabs(got[0] + got[2] + got[4]) < 1e-6 && fabs(got[2]) > 0.1);
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matmul_is_the_product),
        cmocka_unit_test(matmul_without_beta_forgets_what_was_there),
        cmocka_unit_test(rows_are_added_where_the_index_says),
        cmocka_unit_test(rms_norm_gradient),
        cmocka_unit_test(swiglu_gradient),
        cmocka_unit_test(geglu_gradient),
        cmocka_unit_test(rms_norm_groups_gradient),
        cmocka_unit_test(rows_add_up),
        cmocka_unit_test(attention_gradient),
        cmocka_unit_test(logprob_gradient),
        cmocka_unit_test(forbidden_tokens_leave_the_others_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
