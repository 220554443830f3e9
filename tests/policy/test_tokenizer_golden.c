/*
 * Real tokenizers against the ids that other implementations give: Hugging Face's, tiktoken's,
 * llama.cpp's. Each prints "tokenizer NAME: n of n texts equal"; they lie in the shared folder and
 * are passed over with a line where it is absent. stories260K is checked everywhere, by
 * test_tokenizer.c. What is a family's own tokenizer is also a cell of docs/families.md.
 */
#include <stdio.h>
#include <stdlib.h>

#include "rl/core/fs.h"
#include "rl/tensor/gguf.h"
#include "tests/support/tokenizer.h"

// For tools/families.sh; family NULL: none of the table uses this tokenizer.
static void print_cell(const char *family, const char *name, int n_equal, int n_all) {
    if (family != NULL) {
        print_message("families: %s | tokenizer texts | %d of %d (%s)\n", family, n_equal, n_all,
                      name);
    }
}

static void test_hugging_face(void **state) {
    static const struct {
        const char *name, *family;
        bool exact;
    } cases[] = {
        {"smollm2", "llama", false}, // some bytes have no token
        {"gpt2", NULL, true},
        {"qwen3", "qwen3", false}, // NFC
        {"olmo2-dolma2", "olmo2", true},
        {"olmo-gpt-neox", NULL, false}, // NFC
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        char folder[64], oracle[64];
        snprintf(folder, sizeof folder, "models/tokenizers/%s", cases[i].name);
        snprintf(oracle, sizeof oracle, "data/tokenizer-golden/oracle/%s.json", cases[i].name);
        if (rl_shared(folder) == NULL || rl_shared(oracle) == NULL) {
            rl_test_lacks_shared(folder);
            continue;
        }
        rl_tokenizer *tokenizer = rl_test_tokenizer(rl_shared(folder));
        int n = rl_test_oracle(tokenizer, cases[i].name, rl_shared(oracle), RL_ENCODE_SPECIALS,
                               cases[i].exact, 0);
        assert_int_equal(n, 50);
        print_cell(cases[i].family, cases[i].name, n, 50);
        rl_tokenizer_free(tokenizer);
    }
    rl_test_skip_lacking();
}

// swift-transformers' records of transformers' GPT-2: a long text, and short ones with decodings.
static void test_swift_transformers(void **state) {
    const char *folder = rl_shared("models/tokenizers/gpt2");
    const char *one =
        rl_shared("data/tokenizer-golden/swift-transformers/gpt2_encoded_tokens.json");
    const char *many = rl_shared("data/tokenizer-golden/swift-transformers/tokenizer_tests.json");
    rl_json_doc *doc = NULL;
    rl_str decoded = {0};
    rl_arena *arena = rl_arena_new(0);
    rl_err err;
    int n_texts = 0;
    (void)state;
    if (folder == NULL || one == NULL || many == NULL) {
        rl_arena_free(arena);
        rl_test_skip_shared("swift-transformers");
        return;
    }
    rl_tokenizer *tokenizer = rl_test_tokenizer(folder);
    assert_ok(rl_json_read(one, &doc, &err));
    const char *text = rl_json_text(rl_json_get(rl_json_root(doc), "text"), NULL);
    rl_test_encodes(tokenizer, text, strlen(text), RL_ENCODE_SPECIALS,
                    rl_json_get(rl_json_root(doc), "token_ids"), "gpt2");
    rl_json_free(doc);
    n_texts++;
    assert_ok(rl_json_read(many, &doc, &err));
    const rl_json *item = rl_json_first(rl_json_get(rl_json_root(doc), "distilgpt2"));
    for (; item != NULL; item = rl_json_next(item), n_texts++) {
        const rl_json *want = rl_json_get(rl_json_get(item, "encoded"), "input_ids");
        int32_t *ids, n;
        text = rl_json_text(rl_json_get(item, "input"), NULL);
        rl_test_encodes(tokenizer, text, strlen(text), RL_ENCODE_SPECIALS | RL_ENCODE_FRAME, want,
                        "distilgpt2");
        assert_ok(rl_tokenizer_encode(tokenizer, text, strlen(text), RL_ENCODE_SPECIALS, arena,
                                      &ids, &n, &err));
        rl_str_clear(&decoded);
        rl_tokenizer_decode(tokenizer, ids, n, false, &decoded);
        assert_string_equal(rl_str_text(&decoded), text);
    }
    print_message("tokenizer gpt2 (swift-transformers): %d of %d texts equal\n", n_texts, n_texts);
    assert_true(n_texts > 15);
    rl_json_free(doc);
    rl_str_release(&decoded);
    rl_arena_free(arena);
    rl_tokenizer_free(tokenizer);
}

static rl_tokenizer *load_gguf(const char *path) {
    rl_gguf *file = NULL;
    rl_tokenizer *tokenizer = NULL;
    rl_err err;
    assert_ok(rl_gguf_open(path, &file, &err));
    assert_ok(rl_tokenizer_from_gguf(file, &tokenizer, &err));
    rl_gguf_close(file); // the tokenizer keeps nothing of it
    return tokenizer;
}

static void test_gguf_smollm2(void **state) {
    const char *path = getenv("RL_SMOLLM2_GGUF");
    const char *oracle = rl_shared("data/tokenizer-golden/oracle/smollm2.json");
    (void)state;
    if (path == NULL || oracle == NULL) {
        print_message("skipped: RL_SMOLLM2_GGUF does not name SmolLM2's GGUF\n");
        skip();
        return;
    }
    rl_tokenizer *tokenizer = load_gguf(path);
    rl_test_oracle(tokenizer, "smollm2 (GGUF)", oracle, RL_ENCODE_SPECIALS, false, 0);
    assert_int_equal(rl_tokenizer_vocab(tokenizer), 49152);
    assert_int_equal(rl_tokenizer_eos(tokenizer), rl_tokenizer_id(tokenizer, "<|im_end|>"));
    assert_non_null(rl_tokenizer_chat_template(tokenizer));
    rl_tokenizer_free(tokenizer);
}

// llama.cpp's own cases: texts between marker lines, a line of ids for each.
static int check_llama_cpp(const rl_tokenizer *tokenizer, const char *name, const char *inp,
                           const char *out) {
    static const char marker[] = "\n__ggml_vocab_test__\n";
    rl_arena *arena = rl_arena_new(0);
    char *text, *line;
    size_t len;
    rl_err err;
    int n_cases = 0;
    assert_ok(rl_fs_read(inp, arena, &text, &len, &err));
    assert_ok(rl_fs_read(out, arena, &line, &len, &err));
    for (char *end; (end = strstr(text, marker)) != NULL; n_cases++) {
        int32_t *ids, n;
        assert_ok(rl_tokenizer_encode(tokenizer, text, (size_t)(end - text), RL_ENCODE_PLAIN, arena,
                                      &ids, &n, &err));
        for (int32_t i = 0; i < n; i++) {
            char *next;
            long want = strtol(line, &next, 10);
            if (next == line || ids[i] != want) {
                fail_msg("%s, text %d '%.*s': id %d is %d, not %ld", name, n_cases,
                         (int)(end - text), text, (int)i, (int)ids[i], want);
            }
            line = next;
        }
        while (*line == ' ') {
            line++;
        }
        assert_int_equal(*line, '\n');
        line++;
        text = end + strlen(marker);
    }
    print_message("tokenizer %s: %d of %d texts equal\n", name, n_cases, n_cases);
    assert_true(n_cases > 40);
    rl_arena_free(arena);
    return n_cases;
}

static void test_llama_cpp(void **state) {
    static const struct {
        const char *name, *family, *golden;
        const char *path; // of a GGUF vocabulary, or of a folder
    } cases[] = {
        {"gpt-2 (GGUF)", NULL, "gpt-2", "models/vocab-gguf/ggml-vocab-gpt-2.gguf"},
        {"phi-3 (GGUF)", "phi3", "phi-3", "models/vocab-gguf/ggml-vocab-phi-3.gguf"},
        {"gpt2 (llama.cpp)", NULL, "gpt-2", "models/tokenizers/gpt2"},
        {"qwen2.5 (llama.cpp)", "qwen2", "qwen2", "models/tokenizers/qwen2.5"},
        {"qwen3 (llama.cpp)", "qwen3", "qwen2", "models/tokenizers/qwen3"},
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        char inp[96], out[96];
        snprintf(inp, sizeof inp, "data/tokenizer-golden/llama.cpp/ggml-vocab-%s.gguf.inp",
                 cases[i].golden);
        snprintf(out, sizeof out, "data/tokenizer-golden/llama.cpp/ggml-vocab-%s.gguf.out",
                 cases[i].golden);
        const char *path = rl_shared(cases[i].path);
        if (path == NULL || rl_shared(inp) == NULL || rl_shared(out) == NULL) {
            rl_test_lacks_shared(cases[i].path);
            continue;
        }
        rl_tokenizer *tokenizer =
            rl_text_ends(path, ".gguf") ? load_gguf(path) : rl_test_tokenizer(path);
        int n = check_llama_cpp(tokenizer, cases[i].name, rl_shared(inp), rl_shared(out));
        print_cell(cases[i].family, cases[i].name, n, n);
        rl_tokenizer_free(tokenizer);
    }
    rl_test_skip_lacking();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hugging_face),
        cmocka_unit_test(test_swift_transformers),
        cmocka_unit_test(test_gguf_smollm2),
        cmocka_unit_test(test_llama_cpp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
