/* Texts with the ids that another implementation gives them. */
#ifndef RL_TESTS_TOKENIZER_H
#define RL_TESTS_TOKENIZER_H

#include "rl/core/json.h"
#include "rl/policy/tokenizer.h"
#include "tests/support/support.h"

/* Fails the test when the folder does not load. */
rl_tokenizer *rl_test_tokenizer(const char *folder);
/* Fails the test with both lists unless text gives the ids of `want`. */
void rl_test_encodes(const rl_tokenizer *tokenizer, const char *text, size_t text_len,
                     unsigned flags, const rl_json *want, const char *name);
/*
 * Every text of an oracle file, [{"text", "ids"}, ...]: its ids, and back to the text where `exact`
 * says that vocabulary and normalizer lose nothing. Ids of `limit` and more are what another
 * version of the vocabulary has; texts with them are passed over (0: no limit). Prints "tokenizer
 * NAME: n of n texts equal" and returns n.
 */
int rl_test_oracle(const rl_tokenizer *tokenizer, const char *name, const char *path,
                   unsigned flags, bool exact, int32_t limit);

#endif
