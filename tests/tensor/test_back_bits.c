/*
 * The backward gives the same bits on 1, 2, 3 and 8 threads and on every kernel set, and the
 * optimizer's arithmetic is AdamW's.
 */
#include "tests/tensor/back_rig.h"

#include "tensor/cpu/back_kern.h"
#include "tensor/cpu/cpu_ops.h"

/* Everything that one pass over all backward operations writes, in order. */
typedef struct record {
    rl_arena *arena;
    const char *name[48];
    float *value[48];
    int64_t n[48];
    int32_t n_entries;
} record;

static void note(record *rec, rig *r, const char *name, rl_tensor t) {
    int64_t n = rl_tensor_count(t);
    float *value = rl_arena_alloc(rec->arena, (size_t)n, sizeof *value);
    rl_tensor_get(r->be, t, value);
    rec->name[rec->n_entries] = name;
    rec->value[rec->n_entries] = value;
    rec->n[rec->n_entries++] = n;
}

static void note_number(record *rec, const char *name, double number) {
    float *value = rl_arena_alloc(rec->arena, 2, sizeof *value);
    memcpy(value, &number, sizeof number);
    rec->name[rec->n_entries] = name;
    rec->value[rec->n_entries] = value;
    rec->n[rec->n_entries++] = 2;
}

static void products(record *rec, rig *r) {
    static const int64_t shape[][3] = {
        {700, 576, 192}, {1100, 70, 300}, {33, 1700, 100}, {9, 5, 3}};
    for (size_t s = 0; s < RL_COUNT(shape); s++) {
        int64_t m = shape[s][0], n = shape[s][1], k = shape[s][2];
        rl_tensor out = rig_matrix(r, m, n, 1), out_t = rig_matrix(r, m, n, 1);
        rl_tensor a = rig_matrix(r, m, k, 1), a_t = rig_matrix(r, k, m, 1);
        rl_tensor b = rig_matrix(r, k, n, 1);
        rl_op_matmul(r->be, out, a, b, false, false, 0);
        note(rec, r, "matmul", out);
        rl_op_matmul(r->be, out_t, a_t, b, true, false, 1);
        note(rec, r, "matmul of a transpose", out_t);
    }
}

static void attention(record *rec, rig *r) {
    static const int32_t length[5] = {90, 40, 70, 130, 150};
    rl_attn_plan plan = rig_plan(r, length, 6, 3, 24);
    int64_t rows = plan.item[4].row + plan.item[4].n_rows;
    rl_tensor q = rig_matrix(r, rows, 144, 1), d_q = rig_matrix(r, rows, 144, 1);
    rl_tensor k = rig_matrix(r, rows, 72, 1), d_k = rig_matrix(r, rows, 72, 1);
    rl_tensor v = rig_matrix(r, rows, 72, 1), d_v = rig_matrix(r, rows, 72, 1);
    rl_tensor d_out = rig_matrix(r, rows, 144, 1);
    rl_op_attention_back(r->be, d_q, d_k, d_v, d_out, q, k, v, &plan);
    note(rec, r, "attention_back d_q", d_q);
    note(rec, r, "attention_back d_k", d_k);
    note(rec, r, "attention_back d_v", d_v);
    plan.window = 21;
    rl_op_attention_back(r->be, d_q, d_k, d_v, d_out, q, k, v, &plan);
    note(rec, r, "attention_back d_q, window", d_q);
    note(rec, r, "attention_back d_k, window", d_k);
    note(rec, r, "attention_back d_v, window", d_v);
}

static void row_operations(record *rec, rig *r) {
    rl_tensor x = rig_matrix(r, 300, 101, 3), d_out = rig_matrix(r, 300, 101, 1);
    rl_tensor d_in = rig_matrix(r, 300, 101, 1), d_weight = rig_vector(r, 101, 1);
    rl_tensor weight = rig_vector(r, 101, 1), rstd = rig_vector(r, 300, 1);
    rl_tensor gate_up = rig_matrix(r, 300, 202, 5), d_gate_up = rig_matrix(r, 300, 202, 1);
    rl_tensor table = rig_matrix(r, 40, 101, 1), index = rig_index(r, 300, 40);
    rl_tensor logits = rig_matrix(r, 30, 2051, 8), token = rig_index(r, 30, 2051);
    rl_tensor d_logp = rig_vector(r, 30, 1), d_entropy = rig_vector(r, 30, 1);
    rl_op_rms_norm_back(r->be, d_in, d_weight, d_out, x, weight, rstd);
    note(rec, r, "rms_norm_back d_in", d_in);
    note(rec, r, "rms_norm_back d_weight", d_weight);
    rl_op_swiglu_back(r->be, d_gate_up, d_out, gate_up);
    note(rec, r, "swiglu_back", d_gate_up);
    rl_op_geglu_back(r->be, d_gate_up, d_out, gate_up);
    note(rec, r, "geglu_back", d_gate_up);
    rl_op_sum_rows(r->be, d_weight, d_out);
    note(rec, r, "sum_rows", d_weight);
    rl_op_rms_norm_back(r->be, rl_tensor_cols(d_in, 0, 96), rl_tensor_rows(d_weight, 0, 24),
                        rl_tensor_cols(d_out, 0, 96), rl_tensor_cols(x, 0, 96),
                        rl_tensor_rows(weight, 0, 24), rig_vector(r, (int64_t)300 * 4, 1));
    note(rec, r, "rms_norm_back of groups, d_in", d_in);
    note(rec, r, "rms_norm_back of groups, d_weight", d_weight);
    rl_op_embed_back(r->be, table, d_out, index);
    note(rec, r, "embed_back", table);
    rl_op_logprob_back(r->be, logits, d_logp, d_entropy, logits, token, 0.7f);
    note(rec, r, "logprob_back", logits);
}

static void flat_operations(record *rec, rig *r) {
    enum { N = 200003 };
    rl_tensor param = rig_vector(r, N, 1), m = rig_vector(r, N, 0), v = rig_vector(r, N, 0);
    rl_tensor grad = rig_vector(r, N, 1), narrow = rig_matrix(r, 3000, 7, 1);
    for (int64_t step = 1; step <= 3; step++) {
        rl_adamw hyper = {.lr = 0.01,
                          .beta1 = 0.9,
                          .beta2 = 0.99,
                          .eps = 1e-8,
                          .weight_decay = 0.1,
                          .grad_scale = 0.5,
                          .step = step};
        rl_op_adamw(r->be, param, m, v, grad, &hyper);
    }
    note(rec, r, "adamw param", param);
    note(rec, r, "adamw m", m);
    note(rec, r, "adamw v", v);
    note_number(rec, "sum_squares", rl_op_sum_squares(r->be, grad));
    note_number(rec, "sum_squares of a matrix with gaps", rl_op_sum_squares(r->be, narrow));
}

static void muon(record *rec, rig *r) {
    static const int64_t shape[][2] = {{96, 96}, {32, 96}, {256, 96}, {96, 256}, {5, 7}, {1, 33}};
    const rl_muon hyper = {.momentum = 0.95, .decay = 0.99, .grad_scale = 0.5, .ns_steps = 5};
    rl_muon_item item[RL_COUNT(shape)];
    for (size_t i = 0; i < RL_COUNT(shape); i++) {
        int64_t n = shape[i][0] * shape[i][1];
        rl_tensor t[] = {rig_vector(r, n, 1), rig_vector(r, n, 0), rig_vector(r, n, 1)};
        item[i] = (rl_muon_item){.param = rl_tensor_reshape(t[0], shape[i][0], shape[i][1]),
                                 .momentum = rl_tensor_reshape(t[1], shape[i][0], shape[i][1]),
                                 .grad = rl_tensor_reshape(t[2], shape[i][0], shape[i][1]),
                                 .rate = 0.02};
    }
    rl_op_muon(r->be, item, RL_COUNT(item), &hyper);
    rl_op_muon(r->be, item, RL_COUNT(item), &hyper);
    for (size_t i = 0; i < RL_COUNT(shape); i++) {
        note(rec, r, "muon param", item[i].param);
        note(rec, r, "muon momentum", item[i].momentum);
    }
}

static record run_all(rl_kernels kernels, int32_t n_threads) {
    record rec = {.arena = rl_arena_new(0)};
    rig r = rig_open(kernels, n_threads);
    products(&rec, &r);
    attention(&rec, &r);
    row_operations(&rec, &r);
    flat_operations(&rec, &r);
    muon(&rec, &r);
    rig_close(&r);
    return rec;
}

static void check_same(const record *a, const record *b) {
    assert_int_equal(a->n_entries, b->n_entries);
    for (int32_t i = 0; i < a->n_entries; i++) {
        assert_int_equal(a->n[i], b->n[i]);
        if (memcmp(a->value[i], b->value[i], (size_t)a->n[i] * sizeof(float)) != 0) {
            fail_msg("%s: other bits", a->name[i]);
        }
    }
}

static void threads_do_not_change_bits(void **state) {
    record one = run_all(RL_KERNELS_AUTO, 1);
    (void)state;
    for (int32_t n = 2; n <= 8; n += n == 2 ? 1 : 5) {
        record many = run_all(RL_KERNELS_AUTO, n);
        check_same(&one, &many);
        rl_arena_free(many.arena);
    }
    rl_arena_free(one.arena);
}

static void kernel_sets_do_not_change_bits(void **state) {
    record ref = run_all(RL_KERNELS_REF, 2);
    (void)state;
    for (rl_kernels set = RL_KERNELS_AVX2; set <= RL_KERNELS_AVX512; set++) {
        if (!rl_cpu_has(set)) {
            print_message("skipped: this processor has no '%s'\n", rl_kernels_names[set]);
            continue;
        }
        record other = run_all(set, 2);
        check_same(&ref, &other);
        rl_arena_free(other.arena);
    }
    rl_arena_free(ref.arena);
}

/*
 * Items add to shared keys in their order, so all at once is the same as one call an item. Together
 * they are more than attention_back takes in one wave (4 Mi floats of sums).
 */
static void attention_items_may_come_one_by_one(void **state) {
    enum { ITEMS = 14, PROMPT = 700, TAIL = 20, DIM = 256, ROWS = PROMPT + (ITEMS - 1) * TAIL };
    rig r = rig_open(RL_KERNELS_AUTO, 2);
    rl_tensor q = rig_matrix(&r, ROWS, DIM, 1), k = rig_matrix(&r, ROWS, DIM, 1);
    rl_tensor v = rig_matrix(&r, ROWS, DIM, 1), d_out = rig_matrix(&r, ROWS, DIM, 1);
    rl_tensor d_q[2], d_k[2], d_v[2];
    rl_attn_item item[ITEMS];
    rl_kv_span span[2 * ITEMS];
    int32_t tree_item[2] = {0, ITEMS};
    (void)state;
    for (int32_t i = 0, row = 0; i < ITEMS; i++) {
        int32_t n = i == 0 ? PROMPT : TAIL;
        span[2 * i] = (rl_kv_span){.n = PROMPT};
        span[2 * i + 1] = (rl_kv_span){.row = row, .n = TAIL};
        item[i] = (rl_attn_item){.row = row,
                                 .n_rows = n,
                                 .pos = i == 0 ? 0 : PROMPT,
                                 .span_begin = 2 * i,
                                 .span_end = i == 0 ? 1 : 2 * i + 2};
        row += n;
    }
    rl_attn_plan plan = {.item = item,
                         .n_items = ITEMS,
                         .span = span,
                         .n_spans = 2 * ITEMS,
                         .tree_item = tree_item,
                         .n_trees = 1,
                         .max_keys = PROMPT + TAIL,
                         .n_heads = 1,
                         .n_kv_heads = 1,
                         .head_dim = DIM,
                         .scale = 0.1f};
    for (int pass = 0; pass < 2; pass++) {
        d_q[pass] = rig_matrix(&r, ROWS, DIM, 0);
        d_k[pass] = rig_matrix(&r, ROWS, DIM, 0);
        d_v[pass] = rig_matrix(&r, ROWS, DIM, 0);
        plan.n_items = tree_item[1] = pass == 0 ? ITEMS : 1;
        for (plan.item = item; plan.item < item + ITEMS; plan.item += plan.n_items) {
            rl_op_attention_back(r.be, d_q[pass], d_k[pass], d_v[pass], d_out, q, k, v, &plan);
        }
    }
    size_t bytes = ROWS * DIM * sizeof(float);
    assert_memory_equal(rig_floats(&r, d_q[0]), rig_floats(&r, d_q[1]), bytes);
    assert_memory_equal(rig_floats(&r, d_k[0]), rig_floats(&r, d_k[1]), bytes);
    assert_memory_equal(rig_floats(&r, d_v[0]), rig_floats(&r, d_v[1]), bytes);
    rig_close(&r);
}

/* Arrays of one call to the inner loops, with room for guards after n. */
enum { MOST = 70, ROOM = MOST + 1 };
typedef struct arrays {
    float a[ROOM], b[ROOM], c[ROOM], d[ROOM], e[ROOM];
    double number[3];
} arrays;

static arrays draw_arrays(int64_t n) {
    rl_rng rng = {.seed = 3, .purpose = RL_RNG_TEST};
    arrays x = {.number = {0}};
    float *array[] = {x.a, x.b, x.c, x.d, x.e};
    for (int k = 0; k < 5; k++) {
        for (int64_t i = 0; i < ROOM; i++) {
            float value = (float)(4 * rl_rng_uniform(&rng, (uint64_t)(k * ROOM + i)) - 2);
            array[k][i] = i < n ? value : RIG_GUARD;
        }
    }
    return x;
}

static void call_kernel(const rl_back_kern *kern, int which, arrays *x, int64_t n) {
    const rl_adamw_row row = {0.5f, 0.99f, 0.1f, 0.999f, 0.001f, 0.1f, 0.5f, 1e-8f};
    rl_softmax_stats stats;
    switch (which) {
    case 0:
        kern->add(x->a, x->b, n);
        break;
    case 1:
        x->number[0] = kern->sum_squares(x->a, n);
        break;
    case 2:
        kern->rms_norm(x->a, x->b, x->c, x->d, x->e, 0.7f, n);
        break;
    case 3:
        kern->swiglu(x->a, x->b, x->c, x->d, x->e, n);
        break;
    case 4:
        kern->attention(x->a, x->b, (n + 1) / 2, n, 0.3f);
        break;
    case 5:
        stats = kern->softmax(x->b, x->a, n, 1.25f);
        x->number[0] = (double)stats.max;
        x->number[1] = stats.sum;
        x->number[2] = stats.sum_x;
        break;
    case 6:
        kern->logprob(x->a, x->a, n, 2, 1.25f, 0.5f, -0.25f);
        break;
    case 7:
        kern->scale(x->a, n, 0.3f);
        break;
    case 8:
        kern->geglu(x->a, x->b, x->c, x->d, x->e, n);
        break;
    default:
        for (int64_t i = 0; i < n; i++) {
            x->c[i] = fabsf(x->c[i]); // a mean square
        }
        kern->adamw(x->a, x->b, x->c, x->d, n, &row);
        break;
    }
}

static void inner_loops_stay_inside_their_arrays(void **state) {
    (void)state;
    for (rl_kernels set = RL_KERNELS_REF; set <= RL_KERNELS_AVX512; set++) {
        for (int which = 0; rl_cpu_has(set) && which < 10; which++) {
            for (int64_t n = 1; n <= MOST; n++) {
                arrays want = draw_arrays(n), got = want;
                const float *last[] = {got.a + n, got.b + n, got.c + n, got.d + n, got.e + n};
                call_kernel(&rl_back_kern_ref, which, &want, n);
                call_kernel(rl_back_kern_of(set), which, &got, n);
                for (size_t k = 0; k < RL_COUNT(last); k++) {
                    assert_true(*last[k] == RIG_GUARD);
                }
                assert_memory_equal(&want, &got, sizeof got);
            }
        }
    }
}

/* torch.optim.AdamW in double, of one element with a constant gradient. */
static double adamw_after(const rl_adamw *hyper, double p, double g, int64_t n_steps) {
    double m = 0, v = 0;
    g *= hyper->grad_scale;
    for (int64_t t = 1; t <= n_steps; t++) {
        p -= hyper->lr * hyper->weight_decay * p;
        m = hyper->beta1 * m + (1 - hyper->beta1) * g;
        v = hyper->beta2 * v + (1 - hyper->beta2) * g * g;
        p -= hyper->lr / (1 - pow(hyper->beta1, (double)t)) * m /
             (sqrt(v) / sqrt(1 - pow(hyper->beta2, (double)t)) + hyper->eps);
    }
    return p;
}

static void adamw_is_torchs(void **state) {
    static const rl_adamw settings[] = {
        {.lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .grad_scale = 1},
        {.lr = 0.1, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-2, .weight_decay = 0.5, .grad_scale = 1},
        {.lr = 1e-2,
         .beta1 = 0,
         .beta2 = 0.99,
         .eps = 1e-8,
         .weight_decay = 0.1,
         .grad_scale = 0.01},
    };
    (void)state;
    for (size_t s = 0; s < RL_COUNT(settings); s++) {
        enum { N = 50, STEPS = 5 };
        rig r = rig_open(RL_KERNELS_AUTO, 1);
        rl_adamw hyper = settings[s];
        rl_tensor param = rig_vector(&r, N, 1), grad = rig_vector(&r, N, 1);
        rl_tensor m = rig_vector(&r, N, 0), v = rig_vector(&r, N, 0);
        const double *before = rig_doubles(&r, param), *g = rig_doubles(&r, grad), *after;
        for (hyper.step = 1; hyper.step <= STEPS; hyper.step++) {
            rl_op_adamw(r.be, param, m, v, grad, &hyper);
        }
        after = rig_doubles(&r, param);
        for (int64_t i = 0; i < N; i++) {
            // Each step rounds the parameter (near 1) and a step of size lr.
            double want = adamw_after(&hyper, before[i], g[i], STEPS);
            assert_true(fabs(after[i] - want) <= STEPS * 2e-7 * (1 + hyper.lr));
        }
        rig_close(&r);
    }
}

static void sum_squares_is_a_double_and_shows_nan(void **state) {
    static const int64_t lengths[] = {1, 15, 16, 65536, 200003};
    (void)state;
    for (size_t s = 0; s < RL_COUNT(lengths); s++) {
        rig r = rig_open(RL_KERNELS_AUTO, 2);
        rl_tensor x = rig_vector(&r, lengths[s], 1);
        const double *value = rig_doubles(&r, x);
        const float bad[] = {NAN, INFINITY};
        double want = 0;
        for (int64_t i = 0; i < lengths[s]; i++) {
            want += value[i] * value[i];
        }
        // Two orders of one sum in double.
        assert_true(fabs(rl_op_sum_squares(r.be, x) - want) <= 1e-13 * want);
        rl_tensor_put(r.be, rl_tensor_rows(x, lengths[s] - 1, lengths[s]), &bad[s % 2]);
        assert_false(isfinite(rl_op_sum_squares(r.be, x)));
        rig_close(&r);
    }
}

// Big matrices have fewer at work on them, and one at least.
static void muon_takes_bounded_memory(void **state) {
    static const struct {
        int32_t threads, items;
        size_t bytes;
        int32_t parts;
    } row[] = {
        {8, 200, 1 << 20, 8},
        {8, 3, 1 << 20, 3},
        {128, 200, RL_CPU_MUON_BYTES / 5, 5},
        {128, 200, RL_CPU_MUON_BYTES, 1},
        {128, 200, 3 * RL_CPU_MUON_BYTES, 1},
        {1, 1, 3 * RL_CPU_MUON_BYTES, 1},
        {4, 0, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(row); i++) {
        assert_int_equal(rl_cpu_muon_parts(row[i].threads, row[i].items, row[i].bytes),
                         row[i].parts);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_do_not_change_bits),
        cmocka_unit_test(kernel_sets_do_not_change_bits),
        cmocka_unit_test(attention_items_may_come_one_by_one),
        cmocka_unit_test(inner_loops_stay_inside_their_arrays),
        cmocka_unit_test(adamw_is_torchs),
        cmocka_unit_test(muon_takes_bounded_memory),
        cmocka_unit_test(sum_squares_is_a_double_and_shows_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
