/* Finding the program in a model's answer, and completing a stub with it: any bytes will do. */
#include <stdint.h>
#include <string.h>

#include "rewards/extract.h"
#include "rl/core/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const rl_problem problem = {.stub = "import math\n\ndef f(x):\n    \"\"\" Doc. \"\"\"\n",
                                       .entry_point = "f"};
    rl_arena *arena = rl_arena_new(0);
    size_t len = 0, program_len = 0;
    size_t all_len = 0;
    const char *code = rl_extract_code(RL_CODE_BLOCK, (const char *)data, size, arena, &len);
    const char *all =
        rl_extract_code(RL_CODE_BLOCK_OR_ALL, (const char *)data, size, arena, &all_len);
    // What stands in a block stands there by either rule.
    RL_ASSERT(code == NULL || (all_len == len && memcmp(all, code, len) == 0));
    RL_ASSERT(all == NULL || (all_len > 0 && all_len <= size + 1 && all[all_len] == '\0'));
    if (code != NULL) {
        const char *program = rl_complete_program(&problem, code, len, arena, &program_len);
        RL_ASSERT(len > 0 && len <= size + 1 && code[len] == '\0');
        RL_ASSERT(program_len >= len && program[program_len] == '\0');
    }
    rl_arena_free(arena);
    return 0;
}
