#include "rl/core/assert.h"

#include <stdio.h>
#include <stdlib.h>

void rl_assert_failed(const char *file, int line, const char *cond) {
    fprintf(stderr, "rl-train: internal error at %s:%d: '%s' does not hold; please report it\n",
            file, line, cond);
    abort();
}
