/* Where tokens stand, against what decoding every prefix says. */
#include "rollout/placing.h"

#include <stdio.h>

#include "rl/core/alloc.h"
#include "rl/core/rng.h"
#include "rl/core/unicode.h"
#include "tests/support/support.h"

static rl_tokenizer *load(const char *name) {
    rl_tokenizer *tokenizer;
    rl_err err;
    assert_ok(rl_tokenizer_load(rl_golden(name), &tokenizer, &err));
    return tokenizer;
}

static size_t char_begin(const char *text, size_t at) {
    while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80) {
        at--;
    }
    return at;
}

// What ids before a token decode to, if that is whole, ends where the token begins.
static bool check(rl_placing *p, const rl_tokenizer *tokenizer, const char *text) {
    rl_arena *arena = rl_arena_new(0);
    size_t len = strlen(text), *at, last = 0;
    int32_t *ids, n;
    rl_str whole = {0};
    bool is_kept;
    rl_err err;
    assert_ok(rl_tokenizer_encode(tokenizer, text, len, RL_ENCODE_PLAIN, arena, &ids, &n, &err));
    at = rl_arena_alloc(arena, (size_t)n, sizeof *at);
    rl_tokenizer_decode(tokenizer, ids, n, false, &whole);
    is_kept = strcmp(rl_str_text(&whole), text) == 0;
    rl_str_release(&whole);
    if (rl_placing_find(p, text, len, ids, n, at) != is_kept) {
        fail_msg("'%s' is %splaced", text, is_kept ? "not " : "");
    }
    if (!is_kept) { // a vocabulary without all bytes drops some
        rl_arena_free(arena);
        return false;
    }
    for (int32_t i = 0; i < n; i++) {
        rl_str before = {0};
        rl_tokenizer_decode(tokenizer, ids, i, false, &before);
        if (before.len <= len && memcmp(rl_str_text(&before), text, before.len) == 0 &&
            strstr(rl_str_text(&before), "\xef\xbf\xbd") == NULL) {
            assert_int_equal(at[i], before.len);
        }
        assert_true(at[i] >= last && at[i] <= len && char_begin(text, at[i]) == at[i]);
        last = at[i];
        rl_str_release(&before);
    }
    rl_arena_free(arena);
    return true;
}

static void every_token_is_placed(void **state) {
    static const char *const names[] = {"tokenizer/chatml", "tokenizer/stories260K",
                                        "models/tiny-chat"};
    static const char *const texts[] = {"",
                                        "a",
                                        " a  b\n\tc ",
                                        "Once upon a time, there was a dog.",
                                        "na\xc3\xafve caf\xc3\xa9",
                                        "\xf0\x9f\x98\x80\xf0\x9f\x98\x81 ok",
                                        "\xe4\xb8\xad\xe6\x96\x87 1234 \xc3\x9f",
                                        "def f(x):\n    return x + 10\n"};
    uint64_t seed = rl_test_seed();
    (void)state;
    for (size_t k = 0; k < RL_COUNT(names); k++) {
        rl_tokenizer *tokenizer = load(names[k]);
        rl_placing p = rl_placing_begin(tokenizer);
        int n_kept = 0;
        for (size_t i = 0; i < RL_COUNT(texts); i++) {
            n_kept += check(&p, tokenizer, texts[i]);
        }
        for (uint32_t round = 0; round < 200; round++) {
            rl_rng rng = {.seed = seed, .step = round, .purpose = RL_RNG_TEST};
            rl_str text = {0};
            uint64_t n = rl_rng_below(&rng, 0, 30);
            for (uint64_t c = 0; c < n; c++) {
                static const uint32_t least[] = {' ', 0xa0, 0x4e00, 0x1f600};
                uint64_t from = rl_rng_below(&rng, 2 * c + 1, RL_COUNT(least));
                rl_utf8_append(&text, least[from] + (uint32_t)rl_rng_below(&rng, 2 * c + 2, 90));
            }
            n_kept += check(&p, tokenizer, rl_str_text(&text));
            rl_str_release(&text);
        }
        print_message("%s: %d texts\n", names[k], n_kept);
        assert_true(n_kept >= 20);
        rl_placing_release(&p);
        rl_tokenizer_free(tokenizer);
    }
}

// A character that is cut into its bytes: all of them begin in it.
static void bytes_of_a_character_begin_with_it(void **state) {
    static const char text[] = "a\xf0\x9f\x98\x80z";
    rl_tokenizer *tokenizer = load("models/tiny-chat");
    rl_placing p = rl_placing_begin(tokenizer);
    rl_arena *arena = rl_arena_new(0);
    int32_t *ids, n;
    size_t at[8];
    rl_err err;
    (void)state;
    assert_ok(rl_tokenizer_encode(tokenizer, text, sizeof text - 1, RL_ENCODE_PLAIN, arena, &ids,
                                  &n, &err));
    assert_int_equal(n, 6); // the model's vocabulary has no piece for it
    assert_true(rl_placing_find(&p, text, sizeof text - 1, ids, n, at));
    static const size_t want[] = {0, 1, 1, 1, 1, 5};
    for (int i = 0; i < 6; i++) {
        assert_int_equal(at[i], want[i]);
    }
    assert_false(rl_placing_find(&p, "another text", 12, ids, n, at));
    assert_false(rl_placing_find(&p, text, sizeof text - 2, ids, n, at));
    assert_false(rl_placing_find(&p, text, sizeof text - 1, ids, n - 1, at));
    rl_placing_release(&p);
    rl_arena_free(arena);
    rl_tokenizer_free(tokenizer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_token_is_placed),
        cmocka_unit_test(bytes_of_a_character_begin_with_it),
    };
    return cmocka_run_group_tests_name("placing", tests, NULL, NULL);
}
