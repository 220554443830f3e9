/*
 * Runs a fuzz target without a fuzzer: over every file of its corpus, then over seeded mutations of
 * them. With clang and -DRL_FUZZ=ON the same target is built as a libFuzzer program instead.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rl/core/alloc.h"
#include "rl/core/arena.h"
#include "rl/core/fs.h"
#include "rl/core/rng.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROUNDS = 400, MUTATIONS = 8000 }; // at most, of a file and in all

static void mutate(uint8_t *data, size_t *size, size_t cap, uint64_t file, uint64_t round) {
    rl_rng rng = {.seed = file, .step = (uint32_t)round, .purpose = RL_RNG_TEST};
    uint64_t n_edits = 1 + rl_rng_below(&rng, 0, 8);
    for (uint64_t e = 0; e<n_edits && * size> 0; e++) {
        size_t at = (size_t)rl_rng_below(&rng, 10 * e + 1, *size);
        uint8_t byte = (uint8_t)rl_rng_bits(&rng, 10 * e + 2);
        switch (rl_rng_below(&rng, 10 * e + 3, 5)) {
        case 0:
            data[at] = byte;
            break;
        case 1:
            data[at] ^= (uint8_t)(1u << (byte % 8));
            break;
        case 2: // cut
            *size = at;
            break;
        case 3: // repeat a piece at the end
            if (*size + (*size - at) <= cap) {
                memmove(data + *size, data + at, *size - at);
                *size += *size - at;
            }
            break;
        default: // remove a byte
            memmove(data + at, data + at + 1, *size - at - 1);
            *size -= 1;
        }
    }
}

int main(int argc, char **argv) {
    rl_arena *arena = rl_arena_new(0);
    char **name = NULL;
    size_t n = 0;
    uint64_t rounds;
    rl_err err;
    if (argc != 2 || rl_fs_list(argv[1], arena, &name, &n, &err) != RL_OK || n == 0) {
        fprintf(stderr, "no corpus at '%s'\n", argc > 1 ? argv[1] : "");
        return 1;
    }
    rounds = MUTATIONS / n < ROUNDS ? MUTATIONS / n + 1 : ROUNDS;
    for (size_t i = 0; i < n; i++) {
        char *bytes;
        size_t len;
        if (rl_fs_read(rl_path_join(arena, argv[1], name[i]), arena, &bytes, &len, &err) != RL_OK) {
            fprintf(stderr, "%s\n", err.text);
            return 1;
        }
        LLVMFuzzerTestOneInput((const uint8_t *)bytes, len);
        for (uint64_t round = 0; round < rounds; round++) {
            // A block of its own, so that ASan sees a read one byte past the end.
            size_t cap = 2 * len, size = len;
            uint8_t *copy = rl_alloc(cap + 1, 1), *exact;
            memcpy(copy, bytes, len);
            mutate(copy, &size, cap, i + 1, round);
            exact = rl_alloc(size, 1);
            memcpy(exact, copy, size);
            LLVMFuzzerTestOneInput(exact, size);
            rl_free(exact);
            rl_free(copy);
        }
    }
    printf("%zu files, %d mutations each\n", n, (int)rounds);
    rl_arena_free(arena);
    return 0;
}
