/* Decoding id by id: whole characters only, and in sum what decoding all at once gives; and random
 * bytes through encoder and decoder. */
#include <stdio.h>
#include <stdlib.h>

#include "policy/tokenizer_parts.h"
#include "rl/core/clock.h"
#include "rl/core/rng.h"
#include "rl/core/unicode.h"
#include "tests/support/tokenizer.h"

#define MARK "\xe2\x96\x81"

static rl_tokenizer *from_text(const char *text) {
    rl_tokenizer *tokenizer = NULL;
    rl_err err;
    assert_ok(rl_tokenizer_from_text(text, strlen(text), "t", &tokenizer, &err));
    return tokenizer;
}

/* A byte-level tokenizer that has every byte, with merges inside and across characters. */
static rl_tokenizer *all_bytes(void) {
    static const uint8_t pair[][2] = {{'a', 'b'}, {0xc3, 0xa9}, {0xe4, 0xb8}, {0xb8, 0xad},
                                      {' ', 'a'}, {0x80, 'a'},  {'\n', '\n'}, {0xff, 0xfe},
                                      {' ', ' '}, {0xf0, 0x9f}, {0xad, 'x'},  {'e', 0xcc}};
    rl_str text = {0}, key = {0};
    rl_json_writer w = {.out = &text};
    int32_t id = 0;
    rl_json_open_object(&w, NULL);
    rl_json_open_object(&w, "pre_tokenizer");
    rl_json_put_text(&w, "type", "ByteLevel", 9);
    rl_json_put_bool(&w, "add_prefix_space", false);
    rl_json_put_bool(&w, "use_regex", false);
    rl_json_close_object(&w);
    rl_json_open_object(&w, "decoder");
    rl_json_put_text(&w, "type", "ByteLevel", 9);
    rl_json_close_object(&w);
    rl_json_open_object(&w, "model");
    rl_json_open_object(&w, "vocab");
    for (; id < 256; id++) {
        rl_str_clear(&key);
        rl_utf8_append(&key, rl_byte_to_char((uint8_t)id));
        rl_json_put_int(&w, key.ptr, id);
    }
    for (size_t i = 0; i < RL_COUNT(pair); i++) {
        rl_str_clear(&key);
        rl_utf8_append(&key, rl_byte_to_char(pair[i][0]));
        rl_utf8_append(&key, rl_byte_to_char(pair[i][1]));
        rl_json_put_int(&w, key.ptr, id++);
    }
    rl_json_close_object(&w);
    rl_json_open_list(&w, "merges");
    for (size_t i = 0; i < RL_COUNT(pair); i++) {
        rl_json_open_list(&w, NULL);
        for (int side = 0; side < 2; side++) {
            rl_str_clear(&key);
            rl_utf8_append(&key, rl_byte_to_char(pair[i][side]));
            rl_json_put_text(&w, NULL, key.ptr, key.len);
        }
        rl_json_close_list(&w);
    }
    rl_json_close_list(&w);
    rl_json_close_object(&w);
    rl_json_close_object(&w);
    rl_tokenizer *tokenizer = from_text(text.ptr);
    rl_str_release(&text);
    rl_str_release(&key);
    return tokenizer;
}

/* Random ids, bytes more often than chance would have them. */
static void check_stream(const rl_tokenizer *tokenizer, const char *name, int rounds) {
    rl_rng rng = {.seed = rl_test_seed(), .purpose = RL_RNG_TEST};
    rl_str whole = {0}, given = {0};
    uint64_t draw = 0, n_vocab = (uint64_t)rl_tokenizer_vocab(tokenizer);
    for (int round = 0; round < rounds; round++) {
        bool skip = rl_rng_below(&rng, draw++, 2) == 0;
        rl_token_stream *stream = rl_token_stream_new(tokenizer, skip);
        for (int again = 0; again < 2; again++) { // a stream begins anew after its end
            int32_t id[24], n = (int32_t)rl_rng_below(&rng, draw++, 24);
            rl_str_clear(&whole);
            rl_str_clear(&given);
            for (int32_t i = 0; i < n; i++) {
                bool low = rl_rng_below(&rng, draw++, 2) == 0 && n_vocab > 260;
                id[i] = (int32_t)rl_rng_below(&rng, draw++, low ? 260 : n_vocab);
                size_t before = given.len;
                rl_token_stream_put(stream, id[i], &given);
                assert_true(rl_utf8_valid(rl_str_text(&given) + before, given.len - before));
            }
            rl_token_stream_end(stream, &given);
            rl_tokenizer_decode(tokenizer, id, n, skip, &whole);
            if (strcmp(rl_str_text(&given), rl_str_text(&whole)) != 0 || given.len != whole.len) {
                fail_msg("%s, round %d: '%s', not '%s'", name, round, rl_str_text(&given),
                         rl_str_text(&whole));
            }
        }
        rl_token_stream_free(stream);
    }
    rl_str_release(&whole);
    rl_str_release(&given);
}

#define SMALL(decoder)                                                                             \
    "{\"model\":{\"byte_fallback\":true,\"vocab\":{\"" MARK "\":0,\"a\":1,\"" MARK "a\":2,"        \
    "\"<0xE4>\":3,\"<0xB8>\":4,\"<0xAD>\":5,\"b\":6,\"" MARK "b\":7,\"<0x0A>\":8,\" \":9},"        \
    "\"merges\":[[\"" MARK "\",\"a\"]]},\"added_tokens\":[{\"id\":10,\"content\":\"<s>\","         \
    "\"special\":true}],\"decoder\":" decoder "}"
#define REPLACE "{\"type\":\"Replace\",\"pattern\":{\"String\":\"" MARK "\"},\"content\":\" \"}"
#define STRIP(start, stop)                                                                         \
    "{\"type\":\"Strip\",\"content\":\" \",\"start\":" #start ",\"stop\":" #stop "}"
#define SEQUENCE(list) "{\"type\":\"Sequence\",\"decoders\":[" list "]}"
#define FALLBACK       "{\"type\":\"ByteFallback\"}"
#define FUSE           "{\"type\":\"Fuse\"}"
#define METASPACE      "{\"type\":\"Metaspace\",\"replacement\":\"" MARK "\"}"

static void test_decoders(void **state) {
    static const char *const texts[] = {
        SMALL("null"),
        SMALL(FUSE),
        SMALL(METASPACE),
        SMALL(SEQUENCE(REPLACE "," FALLBACK "," FUSE "," STRIP(1, 0))),
        SMALL(SEQUENCE(REPLACE "," FALLBACK "," FUSE "," STRIP(3, 0))),
        SMALL(SEQUENCE(REPLACE "," FALLBACK "," FUSE "," STRIP(1, 1))),
        SMALL(SEQUENCE(REPLACE "," STRIP(1, 1) "," FALLBACK "," FUSE)),
        SMALL(SEQUENCE(FALLBACK "," FUSE "," REPLACE)),
        SMALL(SEQUENCE(FALLBACK "," METASPACE)),
        SMALL(SEQUENCE("{\"type\":\"ByteLevel\"}," FUSE)),
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(texts); i++) {
        rl_tokenizer *tokenizer = from_text(texts[i]);
        check_stream(tokenizer, texts[i], 2000);
        rl_tokenizer_free(tokenizer);
    }
}

static void test_tokenizers(void **state) {
    static const char *const shared[] = {"smollm2", "gpt2", "olmo2-dolma2"};
    rl_tokenizer *tokenizer = rl_test_tokenizer(rl_golden("tokenizer/stories260K"));
    (void)state;
    check_stream(tokenizer, "stories260K", 3000);
    rl_tokenizer_free(tokenizer);
    tokenizer = rl_test_tokenizer(rl_golden("tokenizer/chatml"));
    check_stream(tokenizer, "chatml", 3000);
    rl_tokenizer_free(tokenizer);
    tokenizer = all_bytes();
    check_stream(tokenizer, "all bytes", 3000);
    rl_tokenizer_free(tokenizer);
    for (size_t i = 0; i < RL_COUNT(shared); i++) {
        char folder[64];
        snprintf(folder, sizeof folder, "models/tokenizers/%s", shared[i]);
        if (rl_shared(folder) == NULL) {
            rl_test_lacks_shared(folder);
            continue;
        }
        tokenizer = rl_test_tokenizer(rl_shared(folder));
        check_stream(tokenizer, shared[i], 1000);
        rl_tokenizer_free(tokenizer);
    }
    rl_test_skip_lacking();
}

/* A text of which the decoder says nothing, or next to nothing, for long: its stream takes time by
 * its length alone (by its square it would be minutes). */
static void test_silent_ids(void **state) {
    static const char *const texts[] = {
        SMALL(SEQUENCE(REPLACE "," FALLBACK "," FUSE "," STRIP(1, 0))),
        SMALL(SEQUENCE(REPLACE "," FALLBACK "," FUSE "," STRIP(60, 0))),
        SMALL(SEQUENCE(REPLACE "," FALLBACK "," FUSE "," STRIP(70, 0))), // given at the end
        SMALL(SEQUENCE(REPLACE "," STRIP(1, 1) "," FALLBACK "," FUSE)),
        SMALL(METASPACE),
        SMALL(SEQUENCE("{\"type\":\"Replace\",\"pattern\":{\"String\":\"" MARK
                       "\"},\"content\":\"\"}")),
    };
    enum { N = 60000 };
    static int32_t id[N];
    rl_str whole = {0}, given = {0};
    double start = rl_clock_now();
    (void)state;
    for (size_t i = 0; i < RL_COUNT(texts); i++) {
        rl_tokenizer *tokenizer = from_text(texts[i]);
        rl_token_stream *stream = rl_token_stream_new(tokenizer, false);
        rl_str_clear(&whole);
        rl_str_clear(&given);
        for (int32_t k = 0; k < N; k++) {
            id[k] = k < N / 2 ? 0 : k % 1000 == 0 ? 1 : k % 100 == 0 ? 3 : 0; // mostly the mark
            rl_token_stream_put(stream, id[k], &given);
        }
        rl_token_stream_end(stream, &given);
        rl_tokenizer_decode(tokenizer, id, N, false, &whole);
        assert_true(whole.len > 0 && given.len == whole.len);
        assert_memory_equal(given.ptr, whole.ptr, whole.len);
        rl_token_stream_free(stream);
        rl_tokenizer_free(tokenizer);
    }
    assert_true(rl_clock_now() - start < 60);
    rl_str_release(&whole);
    rl_str_release(&given);
}

/* A character comes out with its last byte, not before and not later. */
static void test_at_once(void **state) {
    rl_tokenizer *tokenizer = all_bytes();
    rl_token_stream *stream = rl_token_stream_new(tokenizer, false);
    rl_str out = {0};
    (void)state;
    rl_token_stream_put(stream, 'x', &out);
    assert_string_equal(rl_str_text(&out), "x");
    rl_token_stream_put(stream, 0xe4, &out);
    rl_token_stream_put(stream, 0xb8, &out);
    assert_string_equal(out.ptr, "x");
    rl_token_stream_put(stream, 0xad, &out);
    assert_string_equal(out.ptr, "x\xe4\xb8\xad");
    rl_token_stream_put(stream, 0xe4, &out);
    rl_token_stream_put(stream, 'y', &out);
    assert_string_equal(out.ptr, "x\xe4\xb8\xad\xef\xbf\xbdy");
    rl_token_stream_put(stream, 0xf0, &out);
    rl_token_stream_end(stream, &out);
    assert_string_equal(out.ptr, "x\xe4\xb8\xad\xef\xbf\xbdy\xef\xbf\xbd");
    rl_token_stream_free(stream);
    rl_tokenizer_free(tokenizer);

    tokenizer = rl_test_tokenizer(rl_golden("tokenizer/stories260K"));
    stream = rl_token_stream_new(tokenizer, false);
    rl_str_clear(&out);
    rl_token_stream_put(stream, 3 + 0xc3, &out);
    assert_int_equal(out.len, 0);
    rl_token_stream_put(stream, 3 + 0xa9, &out);
    assert_int_equal(out.len, 0); // one more byte token would spoil it
    rl_token_stream_put(stream, rl_tokenizer_id(tokenizer, MARK "a"), &out);
    assert_string_equal(out.ptr, "\xc3\xa9 a");
    rl_token_stream_free(stream);
    rl_str_release(&out);
    rl_tokenizer_free(tokenizer);
}

/* Bytes of all kinds: any, UTF-8 with damage, text with names of special tokens. */
static void random_bytes(rl_rng *rng, uint64_t *draw, rl_str *out) {
    static const char *const parts[] = {" ",
                                        "\n",
                                        "ab",
                                        "1",
                                        "<s>",
                                        "<|im_end|>",
                                        "<|endoftext|>",
                                        "\xc3\xa9",
                                        "\xe4\xb8\xad",
                                        "'s",
                                        "\xcc\x81",
                                        "\xf0\x9f\x98\x80",
                                        "\xe4",
                                        "\xff",
                                        "\xc0\x80",
                                        "\xed\xa0\x80",
                                        "  ",
                                        "Z"};
    uint64_t kind = rl_rng_below(rng, (*draw)++, 3);
    uint64_t longest = rl_rng_below(rng, (*draw)++, 64) == 0 ? 3000 : 24;
    uint64_t n = rl_rng_below(rng, (*draw)++, longest);
    rl_str_clear(out);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t bits = rl_rng_bits(rng, (*draw)++);
        if (kind == 0) {
            rl_str_append_char(out, (char)(bits & 0xff));
        } else if (kind == 1) {
            uint32_t code = (uint32_t)(bits % (bits >> 62 == 0 ? 0x110000 : 0x250));
            rl_utf8_append(out, code >= 0xd800 && code < 0xe000 ? 'x' : code);
        } else {
            rl_str_append(out, parts[bits % RL_COUNT(parts)]);
        }
    }
}

static void check_bytes(const rl_tokenizer *tokenizer, const rl_str *text, bool exact,
                        rl_arena *arena, rl_str *back, rl_str *want) {
    unsigned flags[] = {RL_ENCODE_PLAIN, RL_ENCODE_SPECIALS};
    rl_err err;
    for (size_t f = 0; f < RL_COUNT(flags); f++) {
        int32_t *ids, n;
        assert_ok(rl_tokenizer_encode(tokenizer, rl_str_text(text), text->len, flags[f], arena,
                                      &ids, &n, &err));
        for (int32_t i = 0; i < n; i++) {
            assert_true(ids[i] >= 0 && ids[i] < rl_tokenizer_vocab(tokenizer));
        }
        rl_str_clear(back);
        rl_tokenizer_decode(tokenizer, ids, n, false, back);
        assert_true(rl_utf8_valid(rl_str_text(back), back->len));
        if (exact) { // damaged parts are U+FFFD before anything else sees them
            rl_str_clear(want);
            rl_utf8_repair(rl_str_text(text), text->len, want);
            assert_int_equal(back->len, want->len);
            assert_memory_equal(rl_str_text(back), rl_str_text(want), want->len);
        }
        rl_arena_reset(arena);
    }
}

/* Short texts, and now and then a long one. */
static void test_random_bytes(void **state) {
    int rounds = getenv("RL_TEST_ALL") != NULL ? 1000 * 1000 : 10 * 1000;
    rl_rng rng = {.seed = rl_test_seed(), .purpose = RL_RNG_TEST};
    rl_tokenizer *each[5] = {all_bytes(), rl_test_tokenizer(rl_golden("tokenizer/stories260K")),
                             rl_test_tokenizer(rl_golden("tokenizer/chatml"))};
    bool exact[5] = {true, false, false, true, false};
    size_t n_each = 3;
    rl_arena *arena = rl_arena_new(0);
    rl_str text = {0}, back = {0}, want = {0};
    double start = rl_clock_now();
    uint64_t draw = 0;
    (void)state;
    if (rl_shared("models/tokenizers/gpt2") != NULL) {
        each[n_each++] = rl_test_tokenizer(rl_shared("models/tokenizers/gpt2"));
        each[n_each++] = rl_test_tokenizer(rl_shared("models/tokenizers/smollm2"));
    } else {
        rl_test_lacks_shared("models/tokenizers/gpt2");
    }
    for (int round = 0; round < rounds; round++) {
        rng.step = (uint32_t)round;
        draw = 0;
        random_bytes(&rng, &draw, &text);
        for (size_t i = 0; i < n_each; i++) {
            check_bytes(each[i], &text, exact[i], arena, &back, &want);
        }
    }
    print_message("%d random texts through %zu tokenizers in %.1f s\n", rounds, n_each,
                  rl_clock_now() - start);
    for (size_t i = 0; i < n_each; i++) {
        rl_tokenizer_free(each[i]);
    }
    rl_str_release(&text);
    rl_str_release(&back);
    rl_str_release(&want);
    rl_arena_free(arena);
    rl_test_skip_lacking();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decoders),     cmocka_unit_test(test_tokenizers),
        cmocka_unit_test(test_silent_ids),   cmocka_unit_test(test_at_once),
        cmocka_unit_test(test_random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
