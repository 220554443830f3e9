/* Builds batches for tests of algorithms: rewards by group, one token a sample unless said
 * otherwise. */
#ifndef RL_TESTS_ALGOS_FOREST_H
#define RL_TESTS_ALGOS_FOREST_H

#include <math.h>

#include "rl/core/batch.h"
#include "tests/support/support.h"

/* A NaN of type double: the macro of math.h is a float. */
#define NO_NUMBER ((double)NAN)

/* NaN in place of a reward makes an unscored sample. */
typedef struct forest_group {
    int32_t parent, n_samples;
    double reward[8];
} forest_group;

static inline rl_batch *forest_empty(rl_arena *arena, int32_t n_groups, int32_t n_samples,
                                     int32_t n_turns) {
    rl_batch *batch = rl_arena_alloc(arena, 1, sizeof *batch);
    *batch = (rl_batch){
        .sample = rl_arena_alloc(arena, (size_t)n_samples, sizeof(rl_sample)),
        .group = rl_arena_alloc(arena, (size_t)n_groups, sizeof(rl_group)),
        .n_samples = n_samples,
        .n_groups = n_groups,
        .n_turns = n_turns,
        .max_new_tokens = 16,
    };
    return batch;
}

/* Adds group g with n_samples samples from `first` on; the caller sets rewards. */
static inline void forest_add(rl_batch *batch, rl_group *group, int32_t g, int32_t parent,
                              int32_t first, int32_t n_samples) {
    group[g] = (rl_group){.parent = parent, .first = first, .n_samples = n_samples};
    for (int32_t i = first; i < first + n_samples; i++) {
        batch->sample[i] = (rl_sample){
            .group = g,
            .parent = parent,
            .turn = parent < 0 ? 0 : batch->sample[parent].turn + 1,
            .problem = parent < 0 ? g : batch->sample[parent].problem,
            .scored = true,
            .keep = true,
        };
    }
}

static inline void forest_score(rl_sample *s, double reward) {
    s->scored = s->keep = !isnan(reward);
    s->reward = s->scored ? reward : 0;
}

static inline rl_batch *forest_new(rl_arena *arena, const forest_group *table, int32_t n_groups,
                                   int32_t n_turns) {
    int32_t n_samples = 0, first = 0;
    for (int32_t g = 0; g < n_groups; g++) {
        n_samples += table[g].n_samples;
    }
    rl_batch *batch = forest_empty(arena, n_groups, n_samples, n_turns);
    rl_group *group = rl_arena_alloc(arena, (size_t)n_groups, sizeof *group);
    batch->group = group;
    for (int32_t g = 0; g < n_groups; g++) {
        forest_add(batch, group, g, table[g].parent, first, table[g].n_samples);
        for (int32_t i = 0; i < table[g].n_samples; i++) {
            forest_score(&batch->sample[first + i], table[g].reward[i]);
        }
        first += table[g].n_samples;
    }
    assert_null(rl_batch_check(batch));
    return batch;
}

static inline void assert_near(double got, double want, double tolerance, const char *what) {
    // Not "> tolerance": a NaN must fail too.
    if (!(fabs(got - want) <= tolerance * fmax(1, fabs(want)))) {
        fail_msg("%s: got %.17g, wanted %.17g", what, got, want);
    }
}

#endif
