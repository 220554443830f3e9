#include "train/summary.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "rl/core/alloc.h"
#include "train/plot.h"

static int32_t window_of(const history *h) {
    int32_t tenth = (h->n_steps + 9) / 10;
    return tenth > 50 ? 50 : tenth > 0 ? tenth : 1;
}

static bool is_known(const double *y, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        if (isfinite(y[i])) {
            return true;
        }
    }
    return false;
}

enum { CURVES_MAX = HISTORY_N_KEYS + 2 };

/* The curves to draw, with the memory of those that were smoothed. */
typedef struct figure {
    plot_curve curve[CURVES_MAX];
    int32_t n_curves;
    double *smooth[HISTORY_N_KEYS];
    char x_name[48];
} figure;

static void add_steps(figure *f, const history *h, history_key key, plot_style style,
                      const char *name) {
    if (!is_known(h->value[key], h->n_steps)) {
        return;
    }
    f->smooth[key] = rl_alloc((size_t)h->n_steps, sizeof(double));
    plot_smooth(h->value[key], h->n_steps, window_of(h), f->smooth[key]);
    f->curve[f->n_curves++] = (plot_curve){name, style, h->step, f->smooth[key], h->n_steps};
}

static void add_evals(figure *f, const history *h, history_eval_key key, plot_style style,
                      const char *name) {
    if (is_known(h->eval[key], h->n_evals)) {
        f->curve[f->n_curves++] = (plot_curve){name, style, h->eval_step, h->eval[key], h->n_evals};
    }
}

static figure figure_of(const history *h) {
    figure f = {.x_name = "step"};
    if (window_of(h) > 1) {
        snprintf(f.x_name, sizeof f.x_name, "step (lines: mean of %d steps)", (int)window_of(h));
    }
    if (h->n_steps > 0 && is_known(h->value[HISTORY_REWARD], h->n_steps)) {
        add_steps(&f, h, HISTORY_REWARD, PLOT_LINE_DOT, "reward");
        add_steps(&f, h, HISTORY_TURN1, PLOT_LINE_RING, "turn 1 solved");
        add_steps(&f, h, HISTORY_TURN2, PLOT_LINE_DISC, "turn 2 solved");
        add_evals(&f, h, HISTORY_ITER1, PLOT_MARK_DIAMOND, "held-out iter-1");
        add_evals(&f, h, HISTORY_ITER2, PLOT_MARK_FULL_DIAMOND, "iter-2");
    } else if (h->n_steps > 0) {
        add_steps(&f, h, HISTORY_LOSS, PLOT_LINE_DISC, "loss");
        add_evals(&f, h, HISTORY_EVAL_LOSS, PLOT_MARK_FULL_DIAMOND, "held-out loss");
    }
    return f;
}

static void figure_release(figure *f) {
    for (int32_t k = 0; k < HISTORY_N_KEYS; k++) {
        rl_free(f->smooth[k]);
    }
}

void summary_plot(const history *h, bool utf8, rl_str *out) {
    figure f = figure_of(h);
    plot_text(f.curve, f.n_curves, f.x_name, utf8, out);
    figure_release(&f);
}

void summary_svg(const history *h, rl_str *out) {
    figure f = figure_of(h);
    plot_svg(f.curve, f.n_curves, f.x_name, out);
    figure_release(&f);
}

typedef struct table_row {
    const char *name;
    int32_t key;
} table_row;

static const table_row eval_rows[] = {
    {"iter-1", HISTORY_ITER1},
    {"iter-2", HISTORY_ITER2},
    {"iter-2, fresh try (control)", HISTORY_FRESH},
    {"iter-2, wrong feedback (control)", HISTORY_WRONG_FEEDBACK},
};

static const table_row step_rows[] = {
    {"reward", HISTORY_REWARD},
    {"solved at turn 1", HISTORY_TURN1},
    {"solved at turn 2", HISTORY_TURN2},
    {"loss", HISTORY_LOSS},
};

enum { NAME_WIDTH = 34, CELL = 9 };

static void append_cell(rl_str *out, double value, bool sign) {
    if (isfinite(value)) {
        rl_str_appendf(out, sign ? "%+*.3f" : "%*.3f", CELL, value);
    } else {
        rl_str_appendf(out, "%*s", CELL, "-");
    }
}

static void append_row(rl_str *out, const char *name, double before, double after) {
    if (isfinite(before) || isfinite(after)) {
        rl_str_appendf(out, "%-*s", NAME_WIDTH, name);
        append_cell(out, before, false);
        append_cell(out, after, false);
        append_cell(out, after - before, true);
        rl_str_append_char(out, '\n');
    }
}

static void append_head(rl_str *out, const char *title, const char *before, const char *after) {
    rl_str_appendf(out, "%-*s%*s%*s%*s\n", NAME_WIDTH, title, CELL, before, CELL, after, CELL,
                   "change");
}

static double at(const double *value, int32_t i) {
    return i >= 0 ? value[i] : (double)NAN;
}

static void append_measured(rl_str *out, double problems, double samples, const char *set) {
    if (problems > 0) {
        rl_str_appendf(out, "of %.0f first attempts at %.0f problems of '%s'\n", samples, problems,
                       set);
    }
}

static void eval_table(const history *h, const char *set, rl_str *out) {
    // Without an evaluation at step 0 there is no before; without a later one, no after.
    int32_t before = h->eval_step[0] == 0 ? 0 : -1;
    int32_t after = h->eval_step[h->n_evals - 1] > 0 ? h->n_evals - 1 : -1;
    const double *loss = h->eval[HISTORY_EVAL_LOSS];
    if (h->eval[HISTORY_PROBLEMS][0] > 0) {
        append_head(out, "solved within one and two attempts", "before", "after");
        for (size_t i = 0; i < sizeof eval_rows / sizeof eval_rows[0]; i++) {
            const double *value = h->eval[eval_rows[i].key];
            append_row(out, eval_rows[i].name, at(value, before), at(value, after));
        }
        append_measured(out, h->eval[HISTORY_PROBLEMS][0], h->eval[HISTORY_SAMPLES][0], set);
    }
    if (is_known(loss, h->n_evals)) {
        append_head(out, "held-out conversations", "before", "after");
        append_row(out, "loss", at(loss, before), at(loss, after));
    }
}

static void step_table(const history *h, rl_str *out) {
    int32_t window = window_of(h);
    rl_str title = {0};
    rl_str_appendf(&title, "mean of %d step%s", (int)window, window > 1 ? "s" : "");
    append_head(out, rl_str_text(&title), "first", "last");
    rl_str_release(&title);
    for (size_t i = 0; i < sizeof step_rows / sizeof step_rows[0]; i++) {
        const double *value = h->value[step_rows[i].key];
        double *smooth = rl_alloc((size_t)h->n_steps, sizeof *smooth);
        plot_smooth(value, h->n_steps, window, smooth);
        append_row(out, step_rows[i].name, smooth[window - 1], smooth[h->n_steps - 1]);
        rl_free(smooth);
    }
}

void summary_table(const history *h, const char *set, rl_str *out) {
    if (h->n_evals > 0) {
        eval_table(h, set, out);
    } else if (h->n_steps > 0) {
        step_table(h, out);
    }
}

void summary_eval(const rl_metrics *eval, const char *set, rl_str *out) {
    history h = {0};
    history_add_eval(&h, set, eval);
    append_measured(out, h.eval[HISTORY_PROBLEMS][0], h.eval[HISTORY_SAMPLES][0], set);
    for (size_t i = 0; i < sizeof eval_rows / sizeof eval_rows[0]; i++) {
        double value = h.eval[eval_rows[i].key][0];
        if (isfinite(value)) {
            rl_str_appendf(out, "%-*s", NAME_WIDTH, eval_rows[i].name);
            append_cell(out, value, false);
            rl_str_append_char(out, '\n');
        }
    }
    history_release(&h);
}
