/*
 * Curves over steps as plain text and as a picture, from numbers alone. Private to train/.
 *
 *     1.00 ┤
 *          │            ○○○○○
 *     0.50 ┤      ○○○○○○
 *          │ ○○○○○
 *        0 └────────────────────
 *          0        step      40
 *     ○ solved, turn 1
 */
#ifndef RL_TRAIN_PLOT_H
#define RL_TRAIN_PLOT_H

#include <stdbool.h>

#include "rl/core/str.h"

/* How a curve is drawn: lines through their points, or marks on them. */
typedef enum plot_style {
    PLOT_LINE_DOT,
    PLOT_LINE_RING,
    PLOT_LINE_DISC,
    PLOT_MARK_DIAMOND,
    PLOT_MARK_FULL_DIAMOND,
} plot_style;

typedef struct plot_curve {
    const char *name;
    plot_style style;
    const double *x, *y; // [n] x rises; where y is NaN there is no point
    int32_t n;
} plot_curve;

/* The mean of each value and the window - 1 before it, as far as they are finite; out may be y. */
void plot_smooth(const double *y, int32_t n, int32_t window, double *out);

/*
 * About 70 columns and 17 lines; later curves are drawn over earlier ones. x_name stands below the
 * axis. Nothing where no curve has a point. Without utf8 all of it is ASCII.
 */
void plot_text(const plot_curve *curve, int32_t n_curves, const char *x_name, bool utf8,
               rl_str *out);
void plot_svg(const plot_curve *curve, int32_t n_curves, const char *x_name, rl_str *out);

#endif
