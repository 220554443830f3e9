/* Conversations as ids and weights, against what the chat form gives by hand. */
#include "rl/rollout/corpus.h"

#include <stdio.h>

#include "rl/core/alloc.h"
#include "rl/core/fs.h"
#include "tests/support/support.h"

/* A tokenizer with its conversation form, and how corpora are read unless a test says otherwise. */
typedef struct rig {
    rl_tokenizer *tokenizer;
    rl_chat *chat;
    rl_corpus_opts opts;
} rig;

static void rig_open(rig *r, const char *name) {
    rl_err err;
    assert_ok(rl_tokenizer_load(rl_golden(name), &r->tokenizer, &err));
    assert_ok(rl_chat_new(r->tokenizer, &r->chat, &err));
    r->opts = (rl_corpus_opts){
        .tokenizer = r->tokenizer, .chat = r->chat, .system = "", .max_tokens = 4096};
}

static void rig_close(rig *r) {
    rl_chat_free(r->chat);
    rl_tokenizer_free(r->tokenizer);
}

static int setup(void **state) {
    rig *r = rl_alloc(1, sizeof *r);
    rig_open(r, "models/tiny-chat");
    *state = r;
    return 0;
}

static int teardown(void **state) {
    rig_close(*state);
    rl_free(*state);
    return 0;
}

static rl_corpus *parse(const rl_corpus_opts *opts, const char *text) {
    rl_corpus *corpus;
    rl_err err;
    assert_ok(rl_corpus_parse("c.jsonl", text, strlen(text), opts, &corpus, &err));
    return corpus;
}

// "[weight]text" for every stretch, the text of what the assistant says after '>'.
static void render(const rig *r, const rl_conversation *item, rl_str *out) {
    int32_t t = 0;
    for (int32_t k = 0; k < item->n_stretches; k++) {
        const rl_stretch *s = &item->stretch[k];
        assert_true(s->end > t);
        rl_str_appendf(out, s->said ? "[%g]>" : "[%g]", (double)s->weight);
        rl_tokenizer_decode(r->tokenizer, item->token + t, s->end - t, false, out);
        t = s->end;
    }
    assert_int_equal(t, item->n_tokens);
}

static void expect(const rig *r, const rl_corpus_opts *opts, const char *record, const char *want) {
    rl_corpus *corpus = parse(opts, record);
    rl_str got = {0};
    render(r, rl_corpus_at(corpus, 0), &got);
    assert_string_equal(rl_str_text(&got), want);
    rl_str_release(&got);
    rl_corpus_free(corpus);
}

#define USER(text)      "<|im_start|>user\n" text "<|im_end|>\n"
#define ASSISTANT       "<|im_start|>assistant\n"
#define MESSAGE(r, t)   "{\"role\": \"" r "\", \"content\": \"" t "\"}"
#define REPLY(t, extra) "{\"role\": \"assistant\", \"content\": \"" t "\", " extra "}"

static void shapes(void **state) {
    const rig *r = *state;
    static const char two[] = "[0]" USER("Hi") ASSISTANT "[1]>Yes.<|im_end|>";
    rl_corpus_opts with = r->opts;
    expect(r, &r->opts,
           "{\"messages\": [" MESSAGE("user", "Hi") "," MESSAGE("assistant", "Yes.") "]}", two);
    expect(r, &r->opts, "{\"prompt\": \"Hi\", \"completion\": \"Yes.\", \"id\": 3}", two);
    expect(r, &r->opts,
           "{\"prompt\": [" MESSAGE("user", "Hi") "],"
                                                  " \"completion\": [" MESSAGE("assistant",
                                                                               "Yes.") "]}",
           two);
    expect(r, &r->opts, "{\"prompt\": \"Hi\", \"completion\": [" MESSAGE("assistant", "Yes.") "]}",
           two);
    // Turns alternate; a last one of the user's is context. Earlier turns of a prompt are, too.
    expect(r, &r->opts,
           "{\"messages\": [" MESSAGE("system", "S") "," MESSAGE("user", "a") "," MESSAGE(
               "assistant", "b") "," MESSAGE("user", "c") "," MESSAGE("assistant",
                                                                      "d") "," MESSAGE("user",
                                                                                       "e") "]}",
           "[0]<|im_start|>system\nS<|im_end|>\n" USER("a") ASSISTANT
           "[1]>b<|im_end|>[0]\n" USER("c") ASSISTANT "[1]>d<|im_end|>[0]\n" USER("e") ASSISTANT);
    expect(r, &r->opts,
           "{\"prompt\": [" MESSAGE("user", "a") "," MESSAGE("assistant", "b") "," MESSAGE(
               "user", "c") "], \"completion\": \"d\"}",
           "[0]" USER("a") "<|im_start|>assistant\nb<|im_end|>\n" USER("c") ASSISTANT
           "[1]>d<|im_end|>");
    with.system = "Be brief.";
    expect(r, &with, "{\"prompt\": \"Hi\", \"completion\": \"Yes.\"}",
           "[0]<|im_start|>system\nBe brief.<|im_end|>\n" USER("Hi") ASSISTANT
           "[1]>Yes.<|im_end|>");
    expect(r, &with,
           "{\"prompt\": [" MESSAGE("system", "S") "," MESSAGE("user",
                                                               "Hi") "],"
                                                                     " \"completion\": \"Yes.\"}",
           "[0]<|im_start|>system\nS<|im_end|>\n" USER("Hi") ASSISTANT "[1]>Yes.<|im_end|>");
    // Nothing stands before the first word of the assistant.
    expect(r, &r->opts, "{\"messages\": [" MESSAGE("assistant", "Yes.") "]}",
           "[0]" ASSISTANT "[1]>Yes.<|im_end|>");
}

static void weights(void **state) {
    const rig *r = *state;
    rl_corpus_opts all = r->opts;
    // OpenAI's weight: 0 is context that the assistant said.
    expect(r, &r->opts,
           "{\"messages\": [" MESSAGE("user", "a") "," REPLY("b", "\"weight\": 0") "," MESSAGE(
               "user", "c") "," REPLY("d", "\"weight\": 2.5") "]}",
           "[0]" USER("a") ASSISTANT "[0]>b<|im_end|>[0]\n" USER("c") ASSISTANT
           "[2.5]>d<|im_end|>");
    // Beside a completion that is text they are its own; null is as good as nothing.
    expect(r, &r->opts,
           "{\"prompt\": [" MESSAGE("user", "a") "," REPLY("b", "\"weight\": null") "," MESSAGE(
               "user", "c") "], \"completion\": \"d\", \"weight\": 2.5}",
           "[0]" USER("a") "<|im_start|>assistant\nb<|im_end|>\n" USER("c") ASSISTANT
           "[2.5]>d<|im_end|>");
    expect(
        r, &r->opts,
        "{\"prompt\": \"a\", \"weight\": null, \"completion\": [" REPLY("d", "\"weight\": 3") "]}",
        "[0]" USER("a") ASSISTANT "[3]>d<|im_end|>");
    // The first token of all is predicted by nothing.
    all.prompt_weight = 1;
    expect(r, &all, "{\"prompt\": \"Hi\", \"completion\": \"Yes.\"}",
           "[0]<|im_start|>[1]user\nHi<|im_end|>\n" ASSISTANT "[1]>Yes.<|im_end|>");
    expect(r, &all, "{\"messages\": [" MESSAGE("user", "Hi") "]}",
           "[0]<|im_start|>[1]user\nHi<|im_end|>\n" ASSISTANT);
    all.prompt_weight = 0.25;
    expect(r, &all, "{\"prompt\": \"Hi\", \"completion\": \"Yes.\", \"weight\": 3}",
           "[0]<|im_start|>[0.25]user\nHi<|im_end|>\n" ASSISTANT "[3]>Yes.<|im_end|>");
}

// Every content here is cut into single characters or bytes, but for words the merges know.
static void spans(void **state) {
    static const struct {
        const char *content, *spans, *want;
    } row[] = {
        {"x=1;y", "[[2, 3, 5]]", "[1]>x=[5]>1[1]>;y<|im_end|>"},
        {"x=1;y", "[[0, 1, 0], [4, 5, 2]]", "[0]>x[1]>=1;[2]>y[1]><|im_end|>"},
        {"x=1;y", "[[0, 5, 3]]", "[3]>x=1;y[1]><|im_end|>"},
        {"x=1;y", "[[0, 5, 3], [1, 3, 0.5]]", "[3]>x[0.5]>=1[3]>;y[1]><|im_end|>"}, // last wins
        {"x=1;y", "[[2, 2, 7]]", "[1]>x=1;y<|im_end|>"},
        {"x=1;y", "[]", "[1]>x=1;y<|im_end|>"},
        {"x=1;y", "null", "[1]>x=1;y<|im_end|>"},
        {"", "[]", "[1]><|im_end|>"},
        // Characters, not bytes: each of these is several.
        {"\xc3\xa9=\xf0\x9f\x98\x80;y", "[[2, 3, 5]]",
         "[1]>\xc3\xa9=[5]>\xf0\x9f\x98\x80[1]>;y<|im_end|>"},
        {"\xf0\x9f\x98\x80\xf0\x9f\x98\x81", "[[1, 2, 4]]",
         "[1]>\xf0\x9f\x98\x80[4]>\xf0\x9f\x98\x81[1]><|im_end|>"},
    };
    const rig *r = *state;
    for (size_t i = 0; i < RL_COUNT(row); i++) {
        char record[512], want[512];
        snprintf(record, sizeof record,
                 "{\"messages\": [" MESSAGE("user", "Hi") ", {\"role\": \"assistant\","
                                                          " \"content\": \"%s\", \"spans\": %s}]}",
                 row[i].content, row[i].spans);
        snprintf(want, sizeof want, "[0]" USER("Hi") ASSISTANT "%s", row[i].want);
        expect(r, &r->opts, record, want);
        snprintf(record, sizeof record,
                 "{\"prompt\": \"Hi\", \"completion\": \"%s\", \"spans\": %s}", row[i].content,
                 row[i].spans);
        expect(r, &r->opts, record, want);
    }
}

static void append(int32_t *all, int32_t *n, const int32_t *ids, int32_t n_ids) {
    for (int32_t i = 0; i < n_ids; i++) {
        all[(*n)++] = ids[i];
    }
}

// The ids of a rollout with the same words: context, what is sampled, the way on, what is sampled.
static void check_ids(const rig *r) {
    static const rl_message first = {"user", "Write f."};
    static const char one[] = "def f(x):\n    return x", more[] = "No: 1 != 2", two[] = " ok\n";
    int32_t want[256], n = 0, *ids, n_ids, stop = rl_chat_stop(r->chat);
    rl_arena *arena = rl_arena_new(0);
    rl_corpus *corpus =
        parse(&r->opts,
              "{\"messages\": [" MESSAGE("user", "Write f.") "," MESSAGE(
                  "assistant",
                  "def f(x):\\n    return x") "," MESSAGE("user",
                                                          "No: 1 != 2") "," MESSAGE("assistant",
                                                                                    " ok\\n") "]}");
    const rl_conversation *item = rl_corpus_at(corpus, 0);
    rl_err err;
    assert_ok(rl_chat_open(r->chat, &first, 1, arena, &ids, &n_ids, &err));
    append(want, &n, ids, n_ids);
    assert_ok(rl_chat_reply(r->chat, one, strlen(one), arena, &ids, &n_ids, &err));
    append(want, &n, ids, n_ids);
    append(want, &n, &stop, stop >= 0);
    assert_ok(rl_chat_continue(r->chat, stop >= 0, more, strlen(more), arena, &ids, &n_ids, &err));
    append(want, &n, ids, n_ids);
    assert_ok(rl_chat_reply(r->chat, two, strlen(two), arena, &ids, &n_ids, &err));
    append(want, &n, ids, n_ids);
    append(want, &n, &stop, stop >= 0);
    assert_int_equal(item->n_tokens, n);
    assert_memory_equal(item->token, want, (size_t)n * sizeof want[0]);
    rl_corpus_free(corpus);
    rl_arena_free(arena);
}

static void ids_are_those_of_a_rollout(void **state) {
    rig plain;
    check_ids(*state);
    rig_open(&plain, "tokenizer/stories260K"); // a base model: no template
    check_ids(&plain);
    // A token takes the span of its first byte, here the space before "time".
    expect(&plain, &plain.opts,
           "{\"prompt\": \"Once upon\", \"completion\": \"a time\", \"spans\": [[1, 6, 3]]}",
           "[0]<s> Once upon\n[1]>a[3]>time[1]></s>");
    expect(&plain, &plain.opts,
           "{\"prompt\": \"Once upon\", \"completion\": \"a time\", \"spans\": [[2, 6, 3]]}",
           "[0]<s> Once upon\n[1]>a time</s>");
    rig_close(&plain);
}

static void bad_lines(void **state) {
    static const struct {
        const char *record, *says;
    } bad[] = {
        {"{", "line 2"},
        {"[1]", "is a list, not an object"},
        {"{\"text\": \"a\"}", "has no 'messages', nor 'prompt' and 'completion'"},
        {"{\"completion\": \"a\"}", "'prompt' is not text or a list of messages"},
        {"{\"prompt\": \"a\"}", "has no 'messages', nor"},
        {"{\"prompt\": 3, \"completion\": \"a\"}", "'prompt' is not text or a list"},
        {"{\"prompt\": \"a\", \"completion\": []}", "'completion' is not text or a list"},
        {"{\"messages\": []}", "'messages' is not a list of messages"},
        {"{\"messages\": \"a\"}", "'messages' is not a list of messages"},
        {"{\"messages\": [3]}", "message 1 of 'messages' is not an object with the texts"},
        {"{\"messages\": [{\"role\": \"user\"}]}", "message 1 of 'messages' is not an object"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": null}]}", "with the texts 'role'"},
        {"{\"messages\": [" MESSAGE("tool", "a") "," MESSAGE("assistant", "b") "]}",
         "message 1 has the role 'tool'"},
        {"{\"messages\": [" MESSAGE("user", "a") "," MESSAGE("system", "b") "," MESSAGE("assistant",
                                                                                        "c") "]}",
         "message 2 has the role 'system'"},
        {"{\"messages\": [" MESSAGE("user", "a") "," MESSAGE("assistant", "b") "," MESSAGE(
             "assistant", "c") "]}",
         "turn 2 from the first of the assistant has the role 'assistant', not 'user'"},
        {"{\"messages\": [" MESSAGE("assistant",
                                    "b") "," MESSAGE("user", "c") "," MESSAGE("user", "d") "]}",
         "turn 3 from the first of the assistant has the role 'user', not 'assistant'"},
        {"{\"prompt\": \"a\", \"completion\": [" MESSAGE("user", "b") "]}",
         "turn 1 from the first of the assistant has the role 'user'"},
        {"{\"messages\": [" MESSAGE("user", "a") "]}", "has nothing to train on"},
        {"{\"messages\": [" MESSAGE("user", "a") "," REPLY("b", "\"weight\": 0") "]}",
         "has nothing to train on"},
        {"{\"messages\": [" REPLY("b", "\"weight\": -1") "]}", "'weight' of a message is not"},
        {"{\"messages\": [" REPLY("b", "\"weight\": \"1\"") "]}", "'weight' of a message is not"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"a\", \"weight\": 1}]}",
         "message 1 of 'messages' has 'weight', which only messages of the assistant may have"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"a\", \"spans\": []}]}",
         "message 1 of 'messages' has 'spans', which only"},
        {"{\"prompt\": [" MESSAGE("user", "a") "," REPLY("b", "\"weight\": 2") "," MESSAGE(
             "user", "c") "], \"completion\": \"d\"}",
         "message 2 of 'prompt' has 'weight', which only messages of the assistant may have that"},
        {"{\"prompt\": [" MESSAGE("user", "a") "," REPLY("b", "\"spans\": []") "," MESSAGE(
             "user", "c") "], \"completion\": \"d\"}",
         "message 2 of 'prompt' has 'spans', which only"},
        {"{\"prompt\": \"a\", \"weight\": 2, \"completion\": [" MESSAGE("assistant", "b") "]}",
         "'weight' stands beside a 'completion' that is a list"},
        {"{\"prompt\": \"a\", \"spans\": [], \"completion\": [" MESSAGE("assistant", "b") "]}",
         "'spans' stands beside a 'completion' that is a list"},
        {"{\"messages\": [" REPLY("b", "\"spans\": 3") "]}", "'spans' is a number, not a list"},
        {"{\"messages\": [" REPLY("b", "\"spans\": [3]") "]}", "is not [begin, end, weight]"},
        {"{\"messages\": [" REPLY("b", "\"spans\": [[]]") "]}", "is not [begin, end, weight]"},
        {"{\"messages\": [" REPLY("b", "\"spans\": [[0, 1]]") "]}", "is not [begin, end, weight]"},
        {"{\"messages\": [" REPLY("b", "\"spans\": [[0, 1, 1, 1]]") "]}", "is not [begin, end"},
        {"{\"messages\": [" REPLY("b", "\"spans\": [[0, 0.5, 1]]") "]}", "is not [begin, end"},
        {"{\"messages\": [" REPLY("b", "\"spans\": [[0, 1, -2]]") "]}", "is not [begin, end"},
        {"{\"messages\": [" REPLY("b", "\"spans\": [[0, 1, 1e7]]") "]}", "is not [begin, end"},
        {"{\"messages\": [" REPLY("b", "\"spans\": [[0, 2, 1]]") "]}",
         "span [0, 2] is not inside its content, which has 1 characters"},
        {"{\"messages\": [" REPLY("b", "\"spans\": [[-1, 1, 1]]") "]}", "span [-1, 1] is not"},
        {"{\"messages\": [" REPLY("b", "\"spans\": [[1, 0, 1]]") "]}", "span [1, 0] is not"},
    };
    const rig *r = *state;
    for (size_t i = 0; i < RL_COUNT(bad); i++) {
        rl_corpus *corpus;
        rl_str text = {0};
        rl_err err = {""};
        rl_status status;
        rl_str_appendf(&text, "{\"prompt\": \"a\", \"completion\": \"b\"}\n%s\n", bad[i].record);
        status = rl_corpus_parse("c.jsonl", text.ptr, text.len, &r->opts, &corpus, &err);
        if (status != RL_IO || corpus != NULL || strstr(err.text, bad[i].says) == NULL ||
            strstr(err.text, "'c.jsonl', line 2") == NULL) {
            fail_msg("%s: status %d, %s", bad[i].record, (int)status, err.text);
        }
        rl_str_release(&text);
    }
}

static void spans_of_text_that_is_lost(void **state) {
    static const char record[] =
        "{\"prompt\": \"a\", \"completion\": \"\xf0\x9f\x98\x80 b\", \"spans\": [[0, 1, 2]]}";
    rig lossy;
    rl_corpus *corpus;
    rl_err err;
    (void)state;
    rig_open(&lossy, "tokenizer/chatml"); // a vocabulary without all bytes
    assert_int_equal(rl_corpus_parse("c.jsonl", record, strlen(record), &lossy.opts, &corpus, &err),
                     RL_UNSUPPORTED);
    assert_non_null(strstr(err.text, "'c.jsonl', line 1: 'spans' cannot be placed"));
    rig_close(&lossy);
}

static void long_ones(void **state) {
    static const char text[] = "{\"prompt\": \"a\", \"completion\": \"b\"}\r\n\n"
                               "{\"prompt\": \"a\", \"completion\": \"bcdefghijk\"}\n  \n"
                               "{\"prompt\": \"a\", \"completion\": \"c\"}";
    rl_corpus_opts opts = ((const rig *)*state)->opts;
    rl_corpus *corpus = parse(&opts, text), *none;
    int32_t most = rl_corpus_at(corpus, 0)->n_tokens;
    rl_err err;
    assert_int_equal(rl_corpus_size(corpus), 3);
    assert_int_equal(rl_corpus_skipped(corpus), 0);
    assert_int_equal(rl_corpus_at(corpus, 2)->line, 5);
    assert_int_equal(rl_corpus_tokens(corpus), 2 * most + rl_corpus_at(corpus, 1)->n_tokens);
    rl_corpus_free(corpus);
    opts.max_tokens = most;
    corpus = parse(&opts, text);
    assert_int_equal(rl_corpus_size(corpus), 2);
    assert_int_equal(rl_corpus_skipped(corpus), 1);
    assert_int_equal(rl_corpus_at(corpus, 1)->line, 5);
    rl_corpus_free(corpus);
    opts.max_tokens = most - 1;
    assert_int_equal(rl_corpus_parse("c.jsonl", text, strlen(text), &opts, &none, &err),
                     RL_BAD_RECIPE);
    assert_non_null(strstr(err.text, "no conversation is left in 'c.jsonl'"));
    opts.max_tokens = most;
    opts.over_long = RL_OVER_LONG_REFUSE;
    assert_int_equal(rl_corpus_parse("c.jsonl", text, strlen(text), &opts, &none, &err),
                     RL_BAD_RECIPE);
    assert_non_null(strstr(err.text, "'c.jsonl', line 3: has "));
    assert_non_null(strstr(err.text, "'algo.max_tokens'"));
    assert_int_equal(rl_corpus_parse("c.jsonl", " \n", 2, &opts, &none, &err), RL_IO);
    assert_non_null(strstr(err.text, "'c.jsonl' holds no conversations"));
}

static void files(void **state) {
    const rig *r = *state;
    char *folder = rl_test_folder();
    rl_arena *arena = rl_arena_new(0);
    char *path = rl_path_join(arena, folder, "c.jsonl");
    rl_corpus *corpus;
    rl_str text = {0};
    rl_err err;
    assert_int_equal(rl_corpus_load(path, &r->opts, &corpus, &err), RL_IO);
    assert_non_null(strstr(err.text, path));
    for (int i = 0; i < 3000; i++) { // past the first block of memory
        rl_str_appendf(&text, "{\"prompt\": \"a%d\", \"completion\": \"%d\"}\n", i, i);
    }
    assert_ok(rl_fs_write(path, text.ptr, text.len, &err));
    assert_ok(rl_corpus_load(path, &r->opts, &corpus, &err));
    assert_int_equal(rl_corpus_size(corpus), 3000);
    for (int i = 0; i < 3000; i += 271) {
        const rl_conversation *item = rl_corpus_at(corpus, i);
        rl_str got = {0};
        char want[128];
        render(r, item, &got);
        snprintf(want, sizeof want, "[0]" USER("a%d") ASSISTANT "[1]>%d<|im_end|>", i, i);
        assert_string_equal(rl_str_text(&got), want);
        assert_int_equal(item->line, i + 1);
        rl_str_release(&got);
    }
    rl_corpus_free(corpus);
    rl_corpus_free(NULL);
    rl_str_release(&text);
    rl_arena_free(arena);
    rl_test_drop(folder);
}

static void append_line(rl_str *text, int i) {
    static const char filler[] = "some words that only make the file long enough for many parts";
    if (i % 50 == 7) {
        rl_str_append(text, "  \n");
    }
    rl_str_appendf(text,
                   "{\"prompt\": \"a%d\", \"completion\": \"b %d\", \"spans\": [[2, %d, 3]],"
                   " \"note\": \"%s %s %s\"}\n",
                   i, i, i < 10 ? 3 : 4, filler, filler, filler);
}

// A file of several parts: the same conversations on any number of threads, and the first mistake.
static void threads(void **state) {
    enum { N = 16000 };
    rl_corpus_opts opts = ((const rig *)*state)->opts;
    rl_corpus *one, *three, *none;
    rl_str text = {0};
    rl_err err;
    for (int i = 0; i < N; i++) {
        append_line(&text, i);
    }
    assert_true(text.len > 3 << 20);
    one = parse(&opts, text.ptr);
    assert_ok(rl_pool_new(3, false, &opts.pool, &err));
    three = parse(&opts, text.ptr);
    assert_int_equal(rl_corpus_size(one), N);
    assert_int_equal(rl_corpus_size(three), N);
    assert_int_equal(rl_corpus_tokens(three), rl_corpus_tokens(one));
    for (int i = 0; i < N; i++) {
        const rl_conversation *a = rl_corpus_at(one, i), *b = rl_corpus_at(three, i);
        assert_int_equal(a->line, i + 1 + (i + 43) / 50); // a blank one before every 50th
        assert_int_equal(b->line, a->line);
        assert_int_equal(b->n_tokens, a->n_tokens);
        assert_memory_equal(b->token, a->token, (size_t)a->n_tokens * sizeof a->token[0]);
        assert_int_equal(b->n_stretches, a->n_stretches);
        for (int32_t k = 0; k < a->n_stretches; k++) {
            assert_true(b->stretch[k].end == a->stretch[k].end &&
                        b->stretch[k].weight == a->stretch[k].weight);
        }
    }
    rl_str_append(&text, "{}\n");
    for (int i = 0; i < N; i++) {
        rl_str_append(&text, "3\n");
        append_line(&text, i);
    }
    assert_int_equal(rl_corpus_parse("c.jsonl", text.ptr, text.len, &opts, &none, &err), RL_IO);
    assert_non_null(strstr(err.text, "'c.jsonl', line 16321: has no 'messages'"));
    rl_corpus_free(one);
    rl_corpus_free(three);
    rl_pool_free(opts.pool);
    rl_str_release(&text);
}

// Each epoch holds every conversation once, in the order that problems of a data set have.
static void epochs(void **state) {
    enum { N = 5 };
    const rig *r = *state;
    rl_str text = {0}, problems = {0};
    rl_corpus *corpus;
    rl_dataset *dataset;
    char *folder = rl_test_folder(), path[4096];
    rl_err err;
    for (int i = 0; i < N; i++) {
        rl_str_append(&text, "{\"prompt\": \"a\", \"completion\": \"b\"}\n");
        rl_str_append(&problems, "{\"prompt\": \"a\"}\n");
    }
    corpus = parse(&r->opts, rl_str_text(&text));
    snprintf(path, sizeof path, "%s/p.jsonl", folder);
    assert_ok(rl_fs_write(path, problems.ptr, problems.len, &err));
    assert_ok(rl_dataset_load(path, "", &dataset, &err));
    for (int e = 0; e < 4; e++) {
        int seen[N] = {0};
        for (int i = 0; i < N; i++) {
            int32_t at = rl_corpus_pick(corpus, 7, true, e * N + i);
            seen[at]++;
            assert_int_equal(at, rl_dataset_pick(dataset, 7, true, e * N + i));
            assert_int_equal(rl_corpus_pick(corpus, 7, false, e * N + i), i);
        }
        for (int i = 0; i < N; i++) {
            assert_int_equal(seen[i], 1);
        }
    }
    rl_corpus_free(corpus);
    rl_dataset_free(dataset);
    rl_str_release(&text);
    rl_str_release(&problems);
    rl_test_drop(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes),    cmocka_unit_test(weights),
        cmocka_unit_test(spans),     cmocka_unit_test(ids_are_those_of_a_rollout),
        cmocka_unit_test(bad_lines), cmocka_unit_test(spans_of_text_that_is_lost),
        cmocka_unit_test(long_ones), cmocka_unit_test(files),
        cmocka_unit_test(threads),   cmocka_unit_test(epochs),
    };
    return cmocka_run_group_tests_name("corpus", tests, setup, teardown);
}
