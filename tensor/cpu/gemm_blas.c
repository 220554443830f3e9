/*
 * Products for gradients: through OpenBLAS, but for those that suit the forward's panels, by
 * shapes alone. BLAS products are cut into tiles of the output that depend on shapes alone. The
 * pool's threads take tiles and BLAS itself runs on one thread, so each BLAS call, and with it
 * every bit, is the same for any number of threads.
 */
#include "rl/tensor/blas.h"

#include <cblas.h>
#include <limits.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "tensor/cpu/cpu_ops.h"
#include "tensor/cpu/gemm_blas.h"

static const char core_key[] = "OPENBLAS_CORETYPE";
static const char restart_key[] = "RL_BLAS_RESTARTED";

static const char *best_core(void) {
    return rl_cpu_has(RL_KERNELS_AVX512) ? "SKYLAKEX"
           : rl_cpu_has(RL_KERNELS_AVX2) ? "HASWELL"
                                         : NULL;
}

void rl_blas_choose_core(char **argv) {
    const char *core = best_core();
    if (getenv(restart_key) != NULL) { // we are the second start: programs we run need neither
        unsetenv(restart_key);
        unsetenv(core_key);
        return;
    }
    if (getenv(core_key) != NULL || core == NULL || strcasecmp(core, rl_blas_core()) == 0) {
        return;
    }
    if (setenv(restart_key, "1", 1) == 0 && setenv(core_key, core, 1) == 0) {
        execv("/proc/self/exe", argv);
    }
    // Without /proc the library's own choice stays: slower, never wrong.
    unsetenv(restart_key);
    unsetenv(core_key);
}

const char *rl_blas_core(void) {
    return openblas_get_corename();
}

void rl_cpu_blas_open(void) {
    openblas_set_num_threads(1);
}

void rl_cpu_sgemm(const rl_cpu_gemm *g) {
    RL_DASSERT(g->m <= INT_MAX && g->n <= INT_MAX && g->k <= INT_MAX);
    if (g->m == 0 || g->n == 0) {
        return;
    }
    cblas_sgemm(CblasRowMajor, g->a_t ? CblasTrans : CblasNoTrans,
                g->b_t ? CblasTrans : CblasNoTrans, (blasint)g->m, (blasint)g->n, (blasint)g->k,
                1.0f, g->a, (blasint)g->a_stride, g->b, (blasint)g->b_stride, g->beta, g->out,
                (blasint)g->out_stride);
}

typedef struct tiles {
    rl_cpu_gemm whole;
    int64_t rows, cols; // of a tile
    int64_t n_across;   // tiles side by side
} tiles;

static int64_t parts_of(int64_t n, int64_t most) {
    return (n + most - 1) / most;
}

static int64_t part_size(int64_t n, int64_t n_parts, int64_t unit) {
    int64_t size = (n + n_parts - 1) / n_parts;
    return (size + unit - 1) / unit * unit;
}

/*
 * Tiles near 512 x 576 run within a tenth of one call over the whole; smaller ones lose more to
 * packing than they gain in balance. An even number keeps two threads equally busy.
 */
static tiles cut(const rl_cpu_gemm *g) {
    enum { MOST_ROWS = 512, MOST_COLS = 768, ROW_UNIT = 16, COL_UNIT = 64 };
    const double small = 2e6; // multiply-adds too few to share
    int64_t down = parts_of(g->m, MOST_ROWS), across = parts_of(g->n, MOST_COLS);
    if ((double)g->m * (double)g->n * (double)g->k < small) {
        down = across = 1;
    } else if (down * across % 2 == 1 && down * across < 8) {
        if (g->m / down >= g->n / across / 2) {
            down++;
        } else {
            across++;
        }
    }
    tiles t = {.whole = *g,
               .rows = part_size(g->m, down, ROW_UNIT),
               .cols = part_size(g->n, across, COL_UNIT)};
    t.n_across = parts_of(g->n, t.cols);
    return t;
}

static void run_tiles(void *context, int64_t begin, int64_t end, int32_t worker) {
    const tiles *t = context;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        rl_cpu_gemm g = t->whole;
        int64_t row = i / t->n_across * t->rows, col = i % t->n_across * t->cols;
        g.m = g.m - row < t->rows ? g.m - row : t->rows;
        g.n = g.n - col < t->cols ? g.n - col : t->cols;
        g.a += g.a_t ? row : row * g.a_stride;
        g.b += g.b_t ? col * g.b_stride : col;
        g.out += row * g.out_stride + col;
        rl_cpu_sgemm(&g);
    }
}

/* Many rows by a matrix that fits the second-level cache go faster by the forward's panels: they
 * leave the rows where they lie. */
static bool suits_panels(const rl_cpu_gemm *g) {
    enum { LEAST_ROWS = 64, MOST_FLOATS = 1 << 18 };
    return !g->a_t && !g->b_t && g->beta == 0 && g->k > 0 && g->m >= LEAST_ROWS &&
           g->n * g->k <= MOST_FLOATS;
}

void rl_cpu_product(rl_cpu *cpu, const rl_cpu_gemm *g) {
    if (suits_panels(g)) {
        rl_cpu_panel_product(cpu, g);
    } else if (g->m > 0 && g->n > 0) {
        tiles t = cut(g);
        rl_pool_run(cpu->pool, parts_of(g->m, t.rows) * t.n_across, 1, run_tiles, &t);
    }
}

void rl_cpu_matmul(rl_backend *be, rl_tensor out, rl_tensor a, rl_tensor b, bool a_t, bool b_t,
                   float beta) {
    rl_cpu_gemm g = {
        .m = out.shape[0],
        .n = out.shape[1],
        .k = a.shape[a_t ? 0 : 1],
        .a = rl_cpu_f32(a),
        .b = rl_cpu_f32(b),
        .out = rl_cpu_f32(out),
        .a_stride = a.stride[0],
        .b_stride = b.stride[0],
        .out_stride = out.stride[0],
        .a_t = a_t,
        .b_t = b_t,
        .beta = beta,
    };
    rl_cpu_product(rl_cpu_of(be), &g);
}
