/* What a loaded tokenizer is made of; for the files that build one and for chat.c. */
#ifndef RL_POLICY_TOKENIZER_PARTS_H
#define RL_POLICY_TOKENIZER_PARTS_H

#include "policy/added.h"
#include "policy/bpe.h"
#include "policy/detoken.h"
#include "policy/normalize.h"
#include "policy/pretoken.h"
#include "policy/vocab.h"
#include "rl/core/json.h"
#include "rl/policy/tokenizer.h"

/* A special token by its part, "pad_token": bos and eos apart. */
typedef struct rl_named_token {
    const char *name, *text;
} rl_named_token;

enum { RL_NAMED_TOKENS = 5 };

struct rl_tokenizer {
    rl_arena *arena;  // every text below
    const char *name; // for sentences: the file it came from
    rl_vocab vocab;
    rl_added_set raw;        // added tokens looked for in the text as it comes
    rl_added_set normalized; // and those looked for after normalizing
    rl_normalizer normalizer;
    rl_pretokenizer pretokenizer;
    rl_bpe bpe;
    rl_detokenizer detokenizer;
    rl_ids frame_before, frame_after;      // what RL_ENCODE_FRAME adds
    int32_t bos, eos;                      // -1 where the files name none
    const char *chat_template;             // NULL where the files have none
    rl_named_token named[RL_NAMED_TOKENS]; // [n_named] what else the files name
    size_t n_named;
    const char **more; // [n_more] additional_special_tokens
    size_t n_more;
};

/* An empty tokenizer, to be filled by a loader. */
rl_tokenizer *rl_tokenizer_new(const char *name);
/* What rl_tokenizer_load makes of the text of tokenizer.json alone; name appears in errors. */
rl_status rl_tokenizer_from_text(const char *text, size_t text_len, const char *name,
                                 rl_tokenizer **out, rl_err *err) RL_MUST_USE;
/* One {"content", "special", "lstrip", ...} under its id. */
rl_status rl_tokenizer_read_added(rl_tokenizer *tokenizer, const rl_json *item, int64_t id,
                                  rl_err *err) RL_MUST_USE;
/* text[0, left_len) and the rest of text merge into text, all three of the vocabulary. */
rl_status rl_tokenizer_put_merge(rl_tokenizer *tokenizer, const char *text, size_t left_len,
                                 size_t text_len, int32_t rank, rl_err *err) RL_MUST_USE;
/* Registers a token that is looked for in the text; the vocabulary must hold its id, the
 * normalizer must stand. */
rl_status rl_tokenizer_add(rl_tokenizer *tokenizer, rl_added added, bool normalized,
                           rl_err *err) RL_MUST_USE;
/* Prepares what depends on everything else and checks that it fits; the last step of a loader. */
rl_status rl_tokenizer_ready(rl_tokenizer *tokenizer, rl_err *err) RL_MUST_USE;

/* What the decoder sees of an id, not terminated; NULL where it sees nothing. */
const char *rl_tokenizer_shown(const rl_tokenizer *tokenizer, int32_t id, bool skip_special,
                               size_t *len);
/* Appends the ids of one stretch of text. at_start: nothing precedes it in what is encoded. */
rl_status rl_tokenizer_encode_part(const rl_tokenizer *tokenizer, const char *text, size_t text_len,
                                   unsigned flags, bool at_start, rl_ids *out,
                                   rl_err *err) RL_MUST_USE;

#endif
