#include "train/plot.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "rl/core/alloc.h"

typedef struct style_row {
    bool line;
    char ascii;
    const char *mark, *colour;
} style_row;

static const style_row styles[] = {
    [PLOT_LINE_DOT] = {true, '.', "\xc2\xb7", "#999999"},               // ·
    [PLOT_LINE_RING] = {true, 'o', "\xe2\x97\x8b", "#56b4e9"},          // ○
    [PLOT_LINE_DISC] = {true, '*', "\xe2\x97\x8f", "#0072b2"},          // ●
    [PLOT_MARK_DIAMOND] = {false, '1', "\xe2\x97\x87", "#e69f00"},      // ◇
    [PLOT_MARK_FULL_DIAMOND] = {false, '2', "\xe2\x97\x86", "#d55e00"}, // ◆
};

void plot_smooth(const double *y, int32_t n, int32_t window, double *out) {
    for (int32_t i = n; i-- > 0;) {
        double sum = 0;
        int32_t n_finite = 0;
        for (int32_t k = i; k >= 0 && k > i - window; k--) {
            if (isfinite(y[k])) {
                sum += y[k];
                n_finite++;
            }
        }
        out[i] = n_finite > 0 ? sum / n_finite : (double)NAN;
    }
}

/* The axes: what their ends stand for. */
typedef struct frame {
    double x_low, x_high, y_low, y_high;
    bool empty;
} frame;

// The least number of the form 1, 1.2, ... times a power of ten that is not below x: its quarters
// are short to write.
static double round_up(double x) {
    static const double steps[] = {1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10};
    double power = 1;
    while (power * 10 <= x) {
        power *= 10;
    }
    while (power > x) {
        power /= 10;
    }
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        if (steps[i] * power >= x * (1 - 1e-9)) {
            return steps[i] * power;
        }
    }
    return 10 * power;
}

static frame frame_of(const plot_curve *curve, int32_t n_curves) {
    frame f = {.empty = true};
    for (int32_t c = 0; c < n_curves; c++) {
        for (int32_t i = 0; i < curve[c].n; i++) {
            double x = curve[c].x[i], y = curve[c].y[i];
            if (!isfinite(y)) {
                continue;
            }
            f.x_low = f.empty || x < f.x_low ? x : f.x_low;
            f.x_high = f.empty || x > f.x_high ? x : f.x_high;
            f.y_low = y < f.y_low ? y : f.y_low;
            f.y_high = y > f.y_high ? y : f.y_high;
            f.empty = false;
        }
    }
    f.y_high = f.y_high > 0 ? round_up(f.y_high) : f.y_low < 0 ? 0 : 1;
    f.y_low = f.y_low < 0 ? -round_up(-f.y_low) : 0;
    return f;
}

static double share_of(double value, double low, double high) {
    return high > low ? (value - low) / (high - low) : 0;
}

/* Points of a curve across `n_columns`, NaN where it has none: a line is read off between its
 * finite points. */
static void columns_of(const plot_curve *curve, const frame *f, int32_t n_columns, double *y) {
    int32_t last = -1, last_column = 0;
    for (int32_t column = 0; column < n_columns; column++) {
        y[column] = (double)NAN;
    }
    for (int32_t i = 0; i < curve->n; i++) {
        if (!isfinite(curve->y[i])) {
            continue;
        }
        double at = share_of(curve->x[i], f->x_low, f->x_high) * (n_columns - 1);
        int32_t column = (int32_t)lround(at);
        for (int32_t k = last_column + 1; last >= 0 && k < column; k++) {
            double t = (double)(k - last_column) / (column - last_column);
            y[k] = curve->y[last] + t * (curve->y[i] - curve->y[last]);
        }
        y[column] = curve->y[i];
        last = i;
        last_column = column;
    }
}

enum { COLUMNS = 60, ROWS = 13, QUARTER = (ROWS - 1) / 4, LABEL = 7 };

/* Which curve a place of the text shows, from 1; 0 is none. */
typedef struct canvas {
    uint8_t curve[ROWS][COLUMNS];
} canvas;

static void put_mark(canvas *to, const frame *f, int32_t c, int32_t column, double y) {
    double up = share_of(y, f->y_low, f->y_high) * (ROWS - 1);
    to->curve[ROWS - 1 - lround(up)][column] = (uint8_t)(c + 1);
}

static void draw_curve(canvas *to, const frame *f, const plot_curve *curve, int32_t c) {
    double y[COLUMNS];
    if (styles[curve->style].line) {
        columns_of(curve, f, COLUMNS, y);
        for (int32_t column = 0; column < COLUMNS; column++) {
            if (isfinite(y[column])) {
                put_mark(to, f, c, column, y[column]);
            }
        }
        return;
    }
    for (int32_t i = 0; i < curve->n; i++) {
        if (isfinite(curve->y[i])) {
            double at = share_of(curve->x[i], f->x_low, f->x_high) * (COLUMNS - 1);
            put_mark(to, f, c, (int32_t)lround(at), curve->y[i]);
        }
    }
}

static void append_mark(rl_str *out, const plot_curve *curve, bool utf8) {
    if (utf8) {
        rl_str_append(out, styles[curve->style].mark);
    } else {
        rl_str_append_char(out, styles[curve->style].ascii);
    }
}

static void append_row(rl_str *out, const canvas *from, const frame *f, const plot_curve *curve,
                       int32_t row, bool utf8) {
    int32_t end = COLUMNS;
    bool tick = row % QUARTER == 0;
    if (tick) {
        double y = f->y_high - (f->y_high - f->y_low) * row / (ROWS - 1);
        rl_str_appendf(out, "%*.3g ", LABEL, fabs(y) < 1e-12 ? 0 : y);
        rl_str_append(out, utf8 ? "\xe2\x94\xa4" : "+"); // ┤
    } else {
        rl_str_appendf(out, "%*s ", LABEL, "");
        rl_str_append(out, utf8 ? "\xe2\x94\x82" : "|"); // │
    }
    while (end > 0 && from->curve[row][end - 1] == 0) {
        end--;
    }
    for (int32_t column = 0; column < end; column++) {
        if (from->curve[row][column] == 0) {
            rl_str_append_char(out, ' ');
        } else {
            append_mark(out, &curve[from->curve[row][column] - 1], utf8);
        }
    }
    rl_str_append_char(out, '\n');
}

static void append_x_axis(rl_str *out, const frame *f, const char *x_name, bool utf8) {
    char low[32], high[32];
    int low_len = snprintf(low, sizeof low, "%.6g", f->x_low);
    int name_len = (int)strlen(x_name), before = (COLUMNS - name_len) / 2 - low_len;
    snprintf(high, sizeof high, "%.6g", f->x_high);
    rl_str_appendf(out, "%*s ", LABEL, "");
    rl_str_append(out, utf8 ? "\xe2\x94\x94" : "+"); // └
    for (int32_t column = 0; column < COLUMNS; column++) {
        rl_str_append(out, utf8 ? "\xe2\x94\x80" : "-"); // ─
    }
    rl_str_appendf(out, "\n%*s%s%*s%s", LABEL + 2, "", low, before, "", x_name);
    if (f->x_high > f->x_low) {
        rl_str_appendf(out, "%*s", COLUMNS - low_len - before - name_len, high);
    }
    rl_str_append_char(out, '\n');
}

void plot_text(const plot_curve *curve, int32_t n_curves, const char *x_name, bool utf8,
               rl_str *out) {
    frame f = frame_of(curve, n_curves);
    canvas drawn = {0};
    if (f.empty) {
        return;
    }
    for (int32_t c = 0; c < n_curves; c++) {
        draw_curve(&drawn, &f, &curve[c], c);
    }
    for (int32_t row = 0; row < ROWS; row++) {
        append_row(out, &drawn, &f, curve, row, utf8);
    }
    append_x_axis(out, &f, x_name, utf8);
    rl_str_appendf(out, "%*s", LABEL - 1, "");
    for (int32_t c = 0; c < n_curves; c++) {
        rl_str_append(out, "   ");
        append_mark(out, &curve[c], utf8);
        rl_str_appendf(out, " %s", curve[c].name);
    }
    rl_str_append_char(out, '\n');
}

/* The picture, in pixels. */
enum { WIDE = 720, HIGH = 400, LEFT = 56, RIGHT = 704, TOP = 44, BOTTOM = 356, SAMPLES = 300 };

static double pixel_x(const frame *f, double x) {
    return LEFT + share_of(x, f->x_low, f->x_high) * (RIGHT - LEFT);
}

static double pixel_y(const frame *f, double y) {
    return BOTTOM - share_of(y, f->y_low, f->y_high) * (BOTTOM - TOP);
}

static void append_words(rl_str *out, double x, double y, const char *anchor, const char *words) {
    rl_str_appendf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y, anchor,
                   words);
}

static void append_axes(rl_str *out, const frame *f, const char *x_name) {
    char words[32];
    for (int32_t q = 0; q <= 4; q++) {
        double y = f->y_low + (f->y_high - f->y_low) * q / 4;
        rl_str_appendf(out,
                       "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"#dddddd\"/>\n",
                       LEFT, pixel_y(f, y), RIGHT, pixel_y(f, y));
        snprintf(words, sizeof words, "%.3g", fabs(y) < 1e-12 ? 0 : y);
        append_words(out, LEFT - 8, pixel_y(f, y) + 4, "end", words);
    }
    snprintf(words, sizeof words, "%g", f->x_low);
    append_words(out, LEFT, BOTTOM + 20, "middle", words);
    append_words(out, (LEFT + RIGHT) / 2.0, BOTTOM + 20, "middle", x_name);
    if (f->x_high > f->x_low) {
        snprintf(words, sizeof words, "%g", f->x_high);
        append_words(out, RIGHT, BOTTOM + 20, "end", words);
    }
}

static void append_dot(rl_str *out, double x, double y, const char *colour) {
    rl_str_appendf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"%s\"/>\n", x, y, colour);
}

static void append_curve(rl_str *out, const frame *f, const plot_curve *curve) {
    const style_row *style = &styles[curve->style];
    int32_t n = 0;
    if (style->line) {
        double *y = rl_alloc(SAMPLES, sizeof *y);
        columns_of(curve, f, SAMPLES, y);
        rl_str_appendf(out, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"",
                       style->colour);
        for (int32_t i = 0; i < SAMPLES; i++) {
            if (isfinite(y[i])) {
                double x = LEFT + (double)(RIGHT - LEFT) * i / (SAMPLES - 1);
                rl_str_appendf(out, n++ > 0 ? " %.1f,%.1f" : "%.1f,%.1f", x, pixel_y(f, y[i]));
            }
        }
        rl_str_append(out, "\"/>\n");
        rl_free(y);
        return;
    }
    for (int32_t i = 0; i < curve->n; i++) {
        if (isfinite(curve->y[i])) {
            append_dot(out, pixel_x(f, curve->x[i]), pixel_y(f, curve->y[i]), style->colour);
        }
    }
}

void plot_svg(const plot_curve *curve, int32_t n_curves, const char *x_name, rl_str *out) {
    frame f = frame_of(curve, n_curves);
    double at = LEFT;
    rl_str_appendf(out,
                   "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                   "font-family=\"sans-serif\" font-size=\"12\">\n"
                   "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
                   WIDE, HIGH);
    if (!f.empty) {
        append_axes(out, &f, x_name);
    }
    for (int32_t c = 0; c < n_curves && !f.empty; c++) {
        append_curve(out, &f, &curve[c]);
        append_dot(out, at + 4, TOP - 24, styles[curve[c].style].colour);
        append_words(out, at + 14, TOP - 20, "start", curve[c].name);
        at += 32 + 7.0 * (double)strlen(curve[c].name);
    }
    rl_str_append(out, "</svg>\n");
}
