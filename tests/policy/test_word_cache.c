/* The one part of a tokenizer that changes after loading, under many threads; also for TSan. */
#include "policy/word_cache.h"

#include "policy/tokenizer_parts.h"
#include "rl/core/alloc.h"
#include "rl/core/pool.h"
#include "rl/core/rng.h"
#include "tests/support/support.h"

enum { N_THREADS = 6, N_TEXTS = 48, N_ROUNDS = 4 };

static rl_tokenizer *load(const char *name) {
    rl_tokenizer *tokenizer = NULL;
    rl_err err;
    assert_ok(rl_tokenizer_load(rl_golden(name), &tokenizer, &err));
    return tokenizer;
}

// Words of a few syllables: most repeat within a text and between texts, some are new.
static void make_texts(rl_str text[N_TEXTS]) {
    static const char *const syllable[] = {"ab",           "word", " ",  "1",    "\xc3\xa9",
                                           "it's",         "--",   "\n", "aa12", " word",
                                           "\xe4\xb8\xad", "3.14", " ",  "<s>",  "ing"};
    for (uint32_t t = 0; t < N_TEXTS; t++) {
        rl_rng rng = {.seed = rl_test_seed(), .sample = t, .purpose = RL_RNG_TEST};
        for (uint64_t i = 0; i < 300; i++) {
            rl_str_append(&text[t], syllable[rl_rng_below(&rng, i, RL_COUNT(syllable))]);
        }
    }
}

/* Ids of text t: what one thread gives, and what each item of a job gave. */
typedef struct encodings {
    const rl_tokenizer *tokenizer;
    const rl_str *text;
    const rl_ids *want;
    bool all;           // every item encodes every text, else item t text t
    bool same[N_TEXTS]; // by item
} encodings;

static bool encodes(const rl_tokenizer *tokenizer, const rl_str *text, const rl_ids *want) {
    rl_ids ids = {0};
    rl_err err;
    bool same = rl_tokenizer_encode_part(tokenizer, text->ptr, text->len, RL_ENCODE_SPECIALS, true,
                                         &ids, &err) == RL_OK &&
                ids.len == want->len && memcmp(ids.ptr, want->ptr, ids.len * sizeof *ids.ptr) == 0;
    rl_ids_release(&ids);
    return same;
}

static void encode_items(void *context, int64_t begin, int64_t end, int32_t worker) {
    encodings *e = context;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        e->same[i] = true;
        for (int64_t t = e->all ? 0 : i; t < (e->all ? N_TEXTS : i + 1); t++) {
            e->same[i] &= encodes(e->tokenizer, &e->text[t], &e->want[t]);
        }
    }
}

static void check_threads(rl_pool *pool, const char *name, bool all, const rl_str *text) {
    rl_ids want[N_TEXTS] = {{0}};
    rl_err err;
    rl_tokenizer *alone = load(name);
    for (int t = 0; t < N_TEXTS; t++) {
        assert_ok(rl_tokenizer_encode_part(alone, text[t].ptr, text[t].len, RL_ENCODE_SPECIALS,
                                           true, &want[t], &err));
        assert_true(want[t].len > 100);
    }
    for (int round = 0; round < N_ROUNDS; round++) {
        rl_tokenizer *shared = load(name); // with no word in its cache
        encodings e = {.tokenizer = shared, .text = text, .want = want, .all = all};
        rl_pool_run(pool, all ? N_THREADS : N_TEXTS, 1, encode_items, &e);
        for (int i = 0; i < (all ? N_THREADS : N_TEXTS); i++) {
            assert_true(e.same[i]);
        }
        rl_tokenizer_free(shared);
    }
    for (int t = 0; t < N_TEXTS; t++) {
        rl_ids_release(&want[t]);
    }
    rl_tokenizer_free(alone);
}

static void encoding_with_threads(void **state) {
    static const char *const names[] = {"tokenizer/chatml", "tokenizer/stories260K"};
    rl_str text[N_TEXTS] = {{0}};
    rl_pool *pool;
    rl_err err;
    (void)state;
    make_texts(text);
    assert_ok(rl_pool_new(N_THREADS, false, &pool, &err));
    for (size_t i = 0; i < RL_COUNT(names); i++) {
        check_threads(pool, names[i], true, text);
        check_threads(pool, names[i], false, text);
    }
    rl_pool_free(pool);
    for (int t = 0; t < N_TEXTS; t++) {
        rl_str_release(&text[t]);
    }
}

enum { N_WORDS = 4000, N_CROWDED = 64, CROWD = 5 };

typedef struct table {
    rl_word_cache *cache;
    bool good[N_THREADS];
} table;

// Words 0 to N_CROWDED all want one place, the others each their own.
static uint64_t place_of(int32_t word, const char *text, size_t len) {
    return word < N_CROWDED ? CROWD | (uint64_t)word << 32 : rl_word_hash(text, len);
}

static size_t name_word(int32_t word, char out[RL_WORD_MAX]) {
    return (size_t)snprintf(out, RL_WORD_MAX, "w%d", (int)word);
}

// True where the cache has the word; its ids must then be the word's own: n % 5 times its number.
static bool has_word(const rl_word_cache *cache, int32_t word, bool *good) {
    char text[RL_WORD_MAX];
    size_t len = name_word(word, text), n = 0;
    const int32_t *ids = rl_word_find(cache, place_of(word, text, len), text, len, &n);
    *good &= ids == NULL || n == (size_t)word % 5;
    for (size_t i = 0; ids != NULL && i < n; i++) {
        *good &= ids[i] == word;
    }
    return ids != NULL;
}

static void keep_words(void *context, int64_t begin, int64_t end, int32_t worker) {
    table *t = context;
    (void)worker;
    for (int64_t item = begin; item < end; item++) {
        t->good[item] = true;
        for (int32_t i = 0; i < N_WORDS; i++) {
            // Half of the items go backwards.
            int32_t word = item % 2 == 0 ? i : N_WORDS - 1 - i;
            int32_t ids[5] = {word, word, word, word, word};
            char text[RL_WORD_MAX];
            size_t len = name_word(word, text);
            if (!has_word(t->cache, word, &t->good[item])) {
                rl_word_keep(t->cache, place_of(word, text, len), text, len, ids, (size_t)word % 5);
            }
        }
    }
}

// Every word found is right; a crowded place keeps four of its words and gives none up.
static void words_with_threads(void **state) {
    rl_pool *pool;
    rl_err err;
    (void)state;
    assert_ok(rl_pool_new(N_THREADS, false, &pool, &err));
    for (int round = 0; round < N_ROUNDS; round++) {
        table t = {.cache = rl_word_cache_new()};
        bool good = true, before[N_CROWDED];
        int n_crowded = 0, n_others = 0;
        rl_pool_run(pool, N_THREADS, 1, keep_words, &t);
        for (int32_t word = 0; word < N_WORDS; word++) {
            bool has = has_word(t.cache, word, &good);
            if (word < N_CROWDED) {
                before[word] = has;
                n_crowded += has;
            } else {
                n_others += has;
            }
        }
        assert_true(n_crowded > 0 && n_crowded <= 4);
        assert_true(n_others > (N_WORDS - N_CROWDED) * 9 / 10);
        rl_pool_run(pool, N_THREADS, 1, keep_words, &t);
        for (int32_t word = 0; word < N_CROWDED; word++) {
            assert_true(!before[word] || has_word(t.cache, word, &good));
        }
        for (int i = 0; i < N_THREADS; i++) {
            assert_true(t.good[i]);
        }
        assert_true(good);
        rl_word_cache_free(t.cache);
    }
    rl_pool_free(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encoding_with_threads),
        cmocka_unit_test(words_with_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
