#include "train/report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "rl/core/clock.h"
#include "rl/core/log.h"
#include "rl/core/str.h"
#include "rl/core/unicode.h"
#include "train/record.h"

enum { BAR_WIDTH = 24 };

report report_begin(int64_t n_steps) {
    return (report){
        .n_steps = n_steps, .started = rl_clock_now(), .terminal = isatty(STDERR_FILENO) == 1};
}

void report_duration(double seconds, char *out, size_t out_size) {
    long long s = seconds > 0 ? (long long)(seconds + 0.5) : 0;
    if (s >= 3600) {
        snprintf(out, out_size, "%lldh%02lldm", s / 3600, s / 60 % 60);
    } else if (s >= 60) {
        snprintf(out, out_size, "%lldm%02llds", s / 60, s % 60);
    } else {
        snprintf(out, out_size, "%llds", s);
    }
}

static void clear_bar(report *r) {
    if (r->bar_shown) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
        r->bar_shown = false;
    }
}

// By the mean of the steps so far, less what the one under way has taken.
static void time_left(const report *r, double now, char *out, size_t out_size) {
    double left = r->spent / (double)r->done * (double)(r->n_steps - r->done);
    report_duration(left - (now - r->started - r->spent), out, out_size);
}

void report_bar(const report *r, double now, const char *phase, rl_str *out) {
    char text[32];
    if (r->n_steps > 0) {
        int64_t full = r->done * BAR_WIDTH / r->n_steps;
        rl_str_append_char(out, '[');
        for (int64_t i = 0; i < BAR_WIDTH; i++) {
            rl_str_append_char(out, i < full ? '=' : i == full ? '>' : ' ');
        }
        rl_str_append(out, "] ");
    }
    if (r->done < r->n_steps) {
        rl_str_appendf(out, "step %lld/%lld ", (long long)r->done + 1, (long long)r->n_steps);
    }
    rl_str_append(out, phase);
    if (r->done > 0 && r->done < r->n_steps) {
        time_left(r, now, text, sizeof text);
        rl_str_appendf(out, ", %s left", text);
    }
}

void report_phase(report *r, const char *phase) {
    rl_str bar = {0};
    if (r->terminal) {
        report_bar(r, rl_clock_now(), phase, &bar);
        fprintf(stderr, "\r\033[K%s", rl_str_text(&bar));
        fflush(stderr);
        r->bar_shown = true;
    }
    rl_str_release(&bar);
}

void report_progress(report *r, const char *phase, int64_t done, int64_t n) {
    char text[64];
    snprintf(text, sizeof text, "%s %lld/%lld", phase, (long long)done, (long long)n);
    report_phase(r, text);
}

// " name value", left out where there is nothing to show.
static void append(rl_str *line, const rl_metrics *m, const char *label, const char *name,
                   const char *fmt) {
    double value = rl_metrics_get(m, name);
    if (!isnan(value)) {
        char text[48];
        // The formats are literals of this file.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(text, sizeof text, fmt, value);
#pragma GCC diagnostic pop
        rl_str_appendf(line, "  %s %s", label, text);
    }
}

void report_done(report *r, double now) {
    r->done++;
    r->spent = now - r->started;
}

void report_step(report *r, const rl_metrics *m) {
    rl_str line = {0};
    char left[32];
    time_left(r, r->started + r->spent, left, sizeof left);
    rl_str_appendf(&line, "step %.0f/%lld", rl_metrics_get(m, "step"), (long long)r->n_steps);
    append(&line, m, "reward", "reward", "%.3f");
    append(&line, m, "turn1", "turn1/solved", "%.3f");
    append(&line, m, "turn2", "turn2/solved", "%.3f");
    append(&line, m, "loss", "loss", "%.4f");
    append(&line, m, "grad", "grad_norm", "%.3g");
    append(&line, m, "entropy", "entropy", "%.3f");
    append(&line, m, "length", "completions/mean_length", "%.0f");
    append(&line, m, "clipped", "completions/clipped_ratio", "%.2f");
    append(&line, m, "flat", "frac_reward_zero_std", "%.2f");
    append(&line, m, "unknown", "sandbox/unknown", "%.0f");
    append(&line, m, "seconds", "timing_s/step", "%.1f");
    rl_str_appendf(&line, "  left %s", left);
    clear_bar(r);
    rl_log(RL_LOG_INFO, "%s", rl_str_text(&line));
    rl_str_release(&line);
}

// append of the name within the set's.
static void append_of_set(rl_str *line, const rl_metrics *m, const char *set, const char *label,
                          const char *name, const char *fmt) {
    char whole[RL_METRIC_NAME];
    snprintf(whole, sizeof whole, "eval/%s/%s", set, name);
    append(line, m, label, whole, fmt);
}

void report_eval(report *r, const char *set, const rl_metrics *m) {
    rl_str line = {0};
    rl_str_appendf(&line, "eval at step %.0f", rl_metrics_get(m, "step"));
    append_of_set(&line, m, set, "iter1", "iter1", "%.3f");
    append_of_set(&line, m, set, "iter2", "iter2", "%.3f");
    append_of_set(&line, m, set, "iter2_fresh", "iter2_fresh", "%.3f");
    append_of_set(&line, m, set, "iter2_wrong_feedback", "iter2_wrong_feedback", "%.3f");
    append_of_set(&line, m, set, "reward", "reward", "%.3f");
    append_of_set(&line, m, set, "unknown", "unknown", "%.0f");
    append(&line, m, "loss", "eval/loss", "%.4f");
    append(&line, m, "weighted", "eval/loss/weighted", "%.4f");
    append(&line, m, "seconds", "timing_s/eval", "%.1f");
    clear_bar(r);
    rl_log(RL_LOG_INFO, "%s", rl_str_text(&line));
    rl_str_release(&line);
}

void report_visible(rl_str *out, const char *text, size_t text_len) {
    int32_t n;
    for (size_t at = 0; at < text_len; at += (size_t)n) {
        uint32_t code = (unsigned char)text[at];
        n = rl_utf8_decode(text + at, text_len - at, &code);
        if (n == 0 || (code < ' ' && code != '\n' && code != '\t') || code == 0x7f) {
            rl_str_appendf(out, "\\x%02x", (unsigned char)text[at]);
            n = 1;
        } else if (code >= 0x80 && code < 0xa0) {
            rl_str_appendf(out, "\\u%04x", code);
        } else {
            rl_str_append_n(out, text + at, (size_t)n);
        }
    }
}

static void append_if(rl_str *out, const char *label, bool known, double value) {
    if (known) {
        rl_str_appendf(out, ", %s %.3f", label, value);
    } else {
        rl_str_appendf(out, ", %s none", label);
    }
}

void report_samples(report *r, const rl_rollout_result *result, int32_t n) {
    clear_bar(r);
    for (int32_t i = 0; i < n && i < result->batch.n_samples; i++) {
        const rl_sample *s = &result->batch.sample[i];
        const rl_sample_story *story = &result->story[i];
        rl_str text = {0};
        rl_str_append(&text, "--- problem ");
        report_visible(&text, story->problem->id, strlen(story->problem->id));
        rl_str_appendf(&text, ", turn %d, sample %d: %s", s->turn + 1, i,
                       record_verdict_name(story->verdict));
        append_if(&text, "reward", s->scored, s->reward);
        append_if(&text, "advantage", s->scored, s->advantage);
        rl_str_append_char(&text, '\n');
        report_visible(&text, story->completion, story->completion_len);
        rl_log(RL_LOG_INFO, "%s", rl_str_text(&text));
        rl_str_release(&text);
    }
}

bool report_unreadable(report *r, int64_t step, const rl_rollout_result *result) {
    const rl_sample_story *seen = NULL;
    int32_t n = result->batch.n_samples, n_unreadable = 0;
    for (int32_t i = n; i-- > 0;) {
        if (result->story[i].verdict == RL_VERDICT_UNREADABLE) {
            seen = &result->story[i];
            n_unreadable++;
        }
    }
    if (seen == NULL || n_unreadable < 0.9 * n) {
        return false;
    }
    clear_bar(r);
    rl_log(RL_LOG_WARN,
           "step %lld: the verifier can read no answer in %d of %d completions, and those earn "
           "nothing; 'rewards' tells it where to look ('code' of code_tests), and "
           "completions.jsonl has what was written",
           (long long)step, n_unreadable, n);
    return true;
}

void report_end(report *r) {
    clear_bar(r);
}
