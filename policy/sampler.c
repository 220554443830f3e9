#include "rl/policy/sampler.h"

#include <math.h>

#include "rl/core/fmath.h"

bool rl_filter_is_on(const rl_filter *filter) {
    return filter->top_k > 0 || (filter->top_p > 0 && filter->top_p < 1) || filter->min_p > 0;
}

/* Tokens in the order in which filters take them: a heap, since few of them are taken mostly. */
typedef struct ranking {
    const float *logit;
    int32_t *heap;
    int32_t n;
} ranking;

static bool before(const ranking *r, int32_t a, int32_t b) {
    return r->logit[a] > r->logit[b] || (r->logit[a] == r->logit[b] && a < b);
}

static void sink(ranking *r, int32_t at) {
    int32_t moved = r->heap[at];
    for (;;) {
        int32_t child = 2 * at + 1;
        if (child + 1 < r->n && before(r, r->heap[child + 1], r->heap[child])) {
            child++;
        }
        if (child >= r->n || before(r, moved, r->heap[child])) {
            break;
        }
        r->heap[at] = r->heap[child];
        at = child;
    }
    r->heap[at] = moved;
}

static ranking rank(const float *logit, int32_t n, int32_t *heap) {
    ranking r = {.logit = logit, .heap = heap, .n = n};
    for (int32_t i = 0; i < n; i++) {
        heap[i] = i;
    }
    for (int32_t i = n / 2 - 1; i >= 0; i--) {
        sink(&r, i);
    }
    return r;
}

static int32_t take(ranking *r) {
    int32_t first = r->heap[0];
    r->heap[0] = r->heap[--r->n];
    if (r->n > 0) {
        sink(r, 0);
    }
    return first;
}

/* The last token that stays by rank, and with it all that stand before it. */
typedef struct cut {
    float logit;
    int32_t id;
} cut;

static bool passes(const cut *c, float logit, int32_t id) {
    return logit > c->logit || (logit == c->logit && id <= c->id);
}

// Relative to the largest logit, whose weight is 1.
static double weight(float logit, float largest, double temperature) {
    return rl_exp(((double)logit - (double)largest) / temperature);
}

// The k-th largest logit, with every token that has it.
static cut cut_by_count(const rl_filter *filter, const float *logit, int32_t n, int32_t *heap) {
    ranking r = rank(logit, n, heap);
    for (int32_t i = 1; i < filter->top_k; i++) {
        (void)take(&r);
    }
    return (cut){logit[r.heap[0]], INT32_MAX};
}

static cut cut_by_share(double top_p, double temperature, const float *logit, int32_t n,
                        const cut *within, float largest, int32_t *heap) {
    ranking r = rank(logit, n, heap);
    double total = 0, passed = 0;
    int32_t last = r.heap[0];
    for (int32_t i = 0; i < n; i++) {
        if (passes(within, logit[i], i)) {
            total += weight(logit[i], largest, temperature);
        }
    }
    while (r.n > 0 && passed < top_p * total && passes(within, logit[r.heap[0]], r.heap[0])) {
        last = take(&r);
        passed += weight(logit[last], largest, temperature);
    }
    return (cut){logit[last], last};
}

void rl_filter_row(const rl_filter *filter, double temperature, float *logit, int32_t n,
                   int32_t *heap) {
    cut kept = {-INFINITY, INT32_MAX};
    float largest = -INFINITY;
    for (int32_t i = 0; i < n; i++) {
        if (isnan(logit[i])) {
            return;
        }
        largest = logit[i] > largest ? logit[i] : largest;
    }
    if (!isfinite(largest)) {
        return;
    }
    if (filter->top_k > 0 && filter->top_k < n) {
        kept = cut_by_count(filter, logit, n, heap);
    }
    if (filter->top_p > 0 && filter->top_p < 1) {
        kept = cut_by_share(filter->top_p, temperature, logit, n, &kept, largest, heap);
    }
    for (int32_t i = 0; i < n; i++) {
        if (!passes(&kept, logit[i], i) ||
            (filter->min_p > 0 && weight(logit[i], largest, temperature) < filter->min_p)) {
            logit[i] = -INFINITY;
        }
    }
}
