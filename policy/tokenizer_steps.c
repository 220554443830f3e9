#include "policy/tokenizer_steps.h"

#include <string.h>

#include "policy/pattern.h"
#include "rl/core/alloc.h"
#include "rl/core/unicode.h"

enum { MAX_DEPTH = 16 }; // of sequences inside sequences

static bool is_absent(const rl_json *value) {
    return value == NULL || rl_json_type_of(value) == RL_JSON_NULL;
}

static const char *type_of(const rl_json *value) {
    return rl_json_text(rl_json_get(value, "type"), "");
}

static rl_status not_covered(const char *section, const rl_json *value, rl_err *err) {
    const char *type = type_of(value);
    if (*type == '\0') {
        return rl_fail(err, RL_IO, "a %s has no 'type'", section);
    }
    return rl_fail(err, RL_UNSUPPORTED, "%s '%s' is not covered", section, type);
}

static char *keep(rl_tokenizer *tokenizer, const char *text) {
    return rl_arena_strdup(tokenizer->arena, text);
}

static bool is_one_char(const char *text) {
    uint32_t code;
    size_t len = strlen(text);
    return len > 0 && (size_t)rl_utf8_decode(text, len, &code) == len;
}

// {"String": ...} or {"Regex": ...}: exactly one of regex and literal is set.
static rl_status read_pattern(rl_tokenizer *tokenizer, const rl_json *value, rl_regex **regex,
                              const char **literal, rl_err *err) {
    const char *text = rl_json_text(value, rl_json_text(rl_json_get(value, "String"), NULL));
    const char *pattern = rl_json_text(rl_json_get(value, "Regex"), NULL);
    *regex = NULL;
    *literal = NULL;
    if (pattern != NULL) {
        return rl_pattern_new(pattern, regex, err);
    }
    if (text == NULL || *text == '\0') {
        return rl_fail(err, RL_IO, "a pattern has neither text nor a regular expression");
    }
    *literal = keep(tokenizer, text);
    return RL_OK;
}

static rl_status read_replace(rl_tokenizer *tokenizer, const rl_json *value, rl_rewrite *out,
                              rl_err *err) {
    const char *content = rl_json_text(rl_json_get(value, "content"), NULL);
    if (content == NULL) {
        return rl_fail(err, RL_IO, "a 'Replace' has no 'content'");
    }
    *out = (rl_rewrite){.kind = RL_REWRITE_REPLACE, .content = keep(tokenizer, content)};
    return read_pattern(tokenizer, rl_json_get(value, "pattern"), &out->regex, &out->literal, err);
}

static rl_status normalizer(rl_tokenizer *tokenizer, const rl_json *value, int depth, rl_err *err) {
    static const struct {
        const char *name;
        rl_unicode_form form;
    } forms[] = {{"NFC", RL_UNICODE_NFC},
                 {"NFD", RL_UNICODE_NFD},
                 {"NFKC", RL_UNICODE_NFKC},
                 {"NFKD", RL_UNICODE_NFKD}};
    const char *type = type_of(value);
    if (strcmp(type, "Sequence") == 0 && depth < MAX_DEPTH) {
        rl_status status = RL_OK;
        const rl_json *item = rl_json_first(rl_json_get(value, "normalizers"));
        for (; item != NULL && status == RL_OK; item = rl_json_next(item)) {
            status = normalizer(tokenizer, item, depth + 1, err);
        }
        return status;
    }
    rl_rewrite rewrite = {.kind = RL_REWRITE_FORM};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (strcmp(type, forms[i].name) == 0) {
            rewrite.form = forms[i].form;
            rl_normalizer_add(&tokenizer->normalizer, rewrite);
            return RL_OK;
        }
    }
    if (strcmp(type, "Prepend") == 0) {
        const char *text = rl_json_text(rl_json_get(value, "prepend"), "");
        rewrite = (rl_rewrite){.kind = RL_REWRITE_PREPEND, .content = keep(tokenizer, text)};
    } else if (strcmp(type, "Lowercase") == 0) {
        rewrite.kind = RL_REWRITE_LOWER;
    } else if (strcmp(type, "StripAccents") == 0) {
        rewrite.kind = RL_REWRITE_ACCENTS;
    } else if (strcmp(type, "Strip") == 0) {
        rewrite = (rl_rewrite){.kind = RL_REWRITE_STRIP,
                               .left = rl_json_bool(rl_json_get(value, "strip_left"), true),
                               .right = rl_json_bool(rl_json_get(value, "strip_right"), true)};
    } else if (strcmp(type, "Replace") == 0) {
        rl_status status = read_replace(tokenizer, value, &rewrite, err);
        if (status != RL_OK) {
            return status;
        }
    } else {
        return not_covered("normalizer", value, err);
    }
    rl_normalizer_add(&tokenizer->normalizer, rewrite);
    return RL_OK;
}

rl_status rl_read_normalizer(rl_tokenizer *tokenizer, const rl_json *value, rl_err *err) {
    return is_absent(value) ? RL_OK : normalizer(tokenizer, value, 0, err);
}

static rl_status add_split(rl_tokenizer *tokenizer, const char *pattern, rl_split_how how,
                           rl_err *err) {
    rl_pre_step step = {.is_split = true, .how = how, .scan = rl_scan_of(pattern)};
    rl_status status = rl_pattern_new(pattern, &step.regex, err);
    if (status == RL_OK) {
        rl_pretokenizer_add(&tokenizer->pretokenizer, step);
    }
    return status;
}

static rl_status read_behavior(const rl_json *value, const char *fallback, rl_split_how *out,
                               rl_err *err) {
    static const char *const names[] = {"Isolated", "Removed", "MergedWithPrevious",
                                        "MergedWithNext", "Contiguous"};
    const char *behavior = rl_json_text(rl_json_get(value, "behavior"), fallback);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(behavior, names[i]) == 0) {
            *out = (rl_split_how)i;
            return RL_OK;
        }
    }
    return rl_fail(err, RL_UNSUPPORTED, "behavior '%s' of pre-tokenizer '%s' is not covered",
                   behavior, type_of(value));
}

static rl_status read_split(rl_tokenizer *tokenizer, const rl_json *value, rl_err *err) {
    const rl_json *pattern = rl_json_get(value, "pattern");
    rl_pre_step step = {.is_split = true,
                        .invert = rl_json_bool(rl_json_get(value, "invert"), false),
                        .scan = rl_scan_of(rl_json_text(rl_json_get(pattern, "Regex"), ""))};
    rl_status status = read_behavior(value, "", &step.how, err);
    if (status == RL_OK) {
        status = read_pattern(tokenizer, pattern, &step.regex, &step.literal, err);
    }
    if (status == RL_OK) {
        rl_pretokenizer_add(&tokenizer->pretokenizer, step);
    }
    return status;
}

static rl_status read_punctuation(rl_tokenizer *tokenizer, const rl_json *value, rl_err *err) {
    rl_split_how how = RL_SPLIT_ISOLATED;
    rl_status status = read_behavior(value, "Isolated", &how, err);
    return status == RL_OK ? add_split(tokenizer, "[!-\\/:-@\\[-`{-~\\p{P}]", how, err) : status;
}

static rl_status read_delimiter(rl_tokenizer *tokenizer, const rl_json *value, rl_err *err) {
    const char *text = rl_json_text(rl_json_get(value, "delimiter"), "");
    if (!is_one_char(text)) {
        return rl_fail(err, RL_IO, "the delimiter of 'CharDelimiterSplit' is not one character");
    }
    rl_pretokenizer_add(
        &tokenizer->pretokenizer,
        (rl_pre_step){.is_split = true, .literal = keep(tokenizer, text), .how = RL_SPLIT_REMOVED});
    return RL_OK;
}

static rl_status read_byte_level(rl_tokenizer *tokenizer, const rl_json *value, rl_err *err) {
    if (rl_json_bool(rl_json_get(value, "add_prefix_space"), true)) {
        rl_pretokenizer_add(&tokenizer->pretokenizer,
                            (rl_pre_step){.prefix = " ", .where = RL_PREFIX_ALWAYS});
    }
    tokenizer->bpe.byte_level = true;
    return rl_json_bool(rl_json_get(value, "use_regex"), true)
               ? add_split(tokenizer, RL_PATTERN_GPT2, RL_SPLIT_ISOLATED, err)
               : RL_OK;
}

// The scheme is "always", "first" or "never"; files from before it have add_prefix_space.
static rl_status prefix_scheme(const rl_json *value, rl_prefix_where *out, rl_err *err) {
    bool add = rl_json_bool(rl_json_get(value, "add_prefix_space"), true);
    const char *scheme =
        rl_json_text(rl_json_get(value, "prepend_scheme"), add ? "always" : "never");
    if (strcmp(scheme, "always") == 0) {
        *out = RL_PREFIX_ALWAYS;
    } else if (strcmp(scheme, "first") == 0) {
        *out = RL_PREFIX_FIRST;
    } else if (strcmp(scheme, "never") == 0) {
        *out = RL_PREFIX_NEVER;
    } else {
        return rl_fail(err, RL_UNSUPPORTED, "prepend_scheme '%s' of 'Metaspace' is not covered",
                       scheme);
    }
    return RL_OK;
}

static rl_status read_metaspace(rl_tokenizer *tokenizer, const rl_json *value, rl_err *err) {
    const char *mark = rl_json_text(rl_json_get(value, "replacement"), "\xe2\x96\x81");
    if (!is_one_char(mark)) {
        return rl_fail(err, RL_IO, "the replacement of 'Metaspace' is not one character");
    }
    mark = keep(tokenizer, mark);
    rl_pre_step step = {.space = mark, .prefix = mark};
    rl_status status = prefix_scheme(value, &step.where, err);
    if (status != RL_OK) {
        return status;
    }
    rl_pretokenizer_add(&tokenizer->pretokenizer, step);
    if (rl_json_bool(rl_json_get(value, "split"), true)) {
        rl_pretokenizer_add(
            &tokenizer->pretokenizer,
            (rl_pre_step){.is_split = true, .literal = mark, .how = RL_SPLIT_MERGED_WITH_NEXT});
    }
    return RL_OK;
}

static rl_status pretokenizer(rl_tokenizer *tokenizer, const rl_json *value, int depth,
                              rl_err *err) {
    const char *type = type_of(value);
    if (strcmp(type, "Sequence") == 0 && depth < MAX_DEPTH) {
        rl_status status = RL_OK;
        const rl_json *item = rl_json_first(rl_json_get(value, "pretokenizers"));
        for (; item != NULL && status == RL_OK; item = rl_json_next(item)) {
            status = pretokenizer(tokenizer, item, depth + 1, err);
        }
        return status;
    }
    if (tokenizer->bpe.byte_level) {
        // What follows would see bytes as characters, and there is nothing sensible left to cut.
        return rl_fail(err, RL_UNSUPPORTED, "pre-tokenizer '%s' after 'ByteLevel' is not covered",
                       type);
    }
    if (strcmp(type, "ByteLevel") == 0) {
        return read_byte_level(tokenizer, value, err);
    }
    if (strcmp(type, "Digits") == 0) {
        bool single = rl_json_bool(rl_json_get(value, "individual_digits"), false);
        return add_split(tokenizer, "\\p{N}", single ? RL_SPLIT_ISOLATED : RL_SPLIT_CONTIGUOUS,
                         err);
    }
    if (strcmp(type, "Split") == 0) {
        return read_split(tokenizer, value, err);
    }
    if (strcmp(type, "Metaspace") == 0) {
        return read_metaspace(tokenizer, value, err);
    }
    if (strcmp(type, "Whitespace") == 0) { // words and runs of signs, white space dropped
        rl_status status = add_split(tokenizer, "[" RL_PATTERN_WORD "]+|[^\\s" RL_PATTERN_WORD "]+",
                                     RL_SPLIT_REMOVED, err);
        tokenizer->pretokenizer.step[tokenizer->pretokenizer.n_steps - 1].invert = true;
        return status;
    }
    if (strcmp(type, "WhitespaceSplit") == 0) {
        return add_split(tokenizer, "\\s", RL_SPLIT_REMOVED, err);
    }
    if (strcmp(type, "Punctuation") == 0) {
        return read_punctuation(tokenizer, value, err);
    }
    if (strcmp(type, "CharDelimiterSplit") == 0) {
        return read_delimiter(tokenizer, value, err);
    }
    return not_covered("pre-tokenizer", value, err);
}

rl_status rl_read_pretokenizer(rl_tokenizer *tokenizer, const rl_json *value, rl_err *err) {
    return is_absent(value) ? RL_OK : pretokenizer(tokenizer, value, 0, err);
}

static rl_status read_strip(rl_tokenizer *tokenizer, const rl_json *value, rl_detoken_stage *out,
                            rl_err *err) {
    const char *content = rl_json_text(rl_json_get(value, "content"), "");
    int64_t start = 0, stop = 0;
    if (!is_one_char(content) || !rl_json_integer(rl_json_get(value, "start"), &start) ||
        !rl_json_integer(rl_json_get(value, "stop"), &stop) || start < 0 || stop < 0) {
        return rl_fail(err, RL_IO, "decoder 'Strip' needs one character, 'start' and 'stop'");
    }
    *out = (rl_detoken_stage){.kind = RL_DETOKEN_STRIP,
                              .content = keep(tokenizer, content),
                              .start = (size_t)start,
                              .stop = (size_t)stop};
    return RL_OK;
}

static rl_status decoder(rl_tokenizer *tokenizer, const rl_json *value, int depth, rl_err *err) {
    const char *type = type_of(value);
    rl_status status = RL_OK;
    if (strcmp(type, "Sequence") == 0 && depth < MAX_DEPTH) {
        const rl_json *item = rl_json_first(rl_json_get(value, "decoders"));
        for (; item != NULL && status == RL_OK; item = rl_json_next(item)) {
            status = decoder(tokenizer, item, depth + 1, err);
        }
        return status;
    }
    rl_detoken_stage stage = {0};
    if (strcmp(type, "ByteLevel") == 0) {
        stage.kind = RL_DETOKEN_BYTE_LEVEL;
    } else if (strcmp(type, "ByteFallback") == 0) {
        stage.kind = RL_DETOKEN_BYTE_FALLBACK;
    } else if (strcmp(type, "Fuse") == 0) {
        stage.kind = RL_DETOKEN_FUSE;
    } else if (strcmp(type, "Replace") == 0) {
        stage.kind = RL_DETOKEN_REPLACE;
        status = read_replace(tokenizer, value, &stage.replace, err);
    } else if (strcmp(type, "Strip") == 0) {
        status = read_strip(tokenizer, value, &stage, err);
    } else if (strcmp(type, "Metaspace") == 0) {
        const char *mark = rl_json_text(rl_json_get(value, "replacement"), "\xe2\x96\x81");
        rl_prefix_where where = RL_PREFIX_NEVER;
        if (!is_one_char(mark)) {
            return rl_fail(err, RL_IO, "the replacement of 'Metaspace' is not one character");
        }
        status = prefix_scheme(value, &where, err);
        stage = (rl_detoken_stage){.kind = RL_DETOKEN_METASPACE,
                                   .content = keep(tokenizer, mark),
                                   .start = status == RL_OK && where != RL_PREFIX_NEVER};
    } else {
        return not_covered("decoder", value, err);
    }
    if (status == RL_OK) {
        rl_detokenizer_add(&tokenizer->detokenizer, stage);
    }
    return status;
}

rl_status rl_read_decoder(rl_tokenizer *tokenizer, const rl_json *value, rl_err *err) {
    return is_absent(value) ? RL_OK : decoder(tokenizer, value, 0, err);
}

// One {"SpecialToken": {"id": name}} of a template: the ids that `special_tokens` has for the name.
static rl_status add_special(rl_tokenizer *tokenizer, const rl_json *value, const char *name,
                             rl_ids *to, rl_err *err) {
    const rl_json *entry = rl_json_get(rl_json_get(value, "special_tokens"), name);
    const rl_json *id = rl_json_first(rl_json_get(entry, "ids"));
    if (id == NULL) {
        return rl_fail(err, RL_IO, "the template's special token '%s' has no ids", name);
    }
    for (; id != NULL; id = rl_json_next(id)) {
        int64_t number;
        if (!rl_json_integer(id, &number) || number < 0 || number >= tokenizer->vocab.n_tokens) {
            return rl_fail(err, RL_IO,
                           "the template's special token '%s' has an id outside the "
                           "vocabulary",
                           name);
        }
        rl_ids_push(to, (int32_t)number);
    }
    return RL_OK;
}

static rl_status read_template(rl_tokenizer *tokenizer, const rl_json *value, rl_err *err) {
    bool seen = false;
    const rl_json *item = rl_json_first(rl_json_get(value, "single"));
    for (; item != NULL; item = rl_json_next(item)) {
        const char *special =
            rl_json_text(rl_json_get(rl_json_get(item, "SpecialToken"), "id"), NULL);
        if (special == NULL) {
            if (seen || rl_json_get(item, "Sequence") == NULL) {
                return rl_fail(err, RL_UNSUPPORTED,
                               "post-processor 'TemplateProcessing' with more "
                               "than one text is not covered");
            }
            seen = true;
            continue;
        }
        rl_ids *to = seen ? &tokenizer->frame_after : &tokenizer->frame_before;
        rl_status status = add_special(tokenizer, value, special, to, err);
        if (status != RL_OK) {
            return status;
        }
    }
    return seen ? RL_OK : rl_fail(err, RL_IO, "post-processor 'TemplateProcessing' has no text");
}

// ["</s>", 2]: a token with its id.
static rl_status push_pair(rl_tokenizer *tokenizer, const rl_json *pair, rl_ids *to, rl_err *err) {
    const rl_json *text = rl_json_first(pair);
    int64_t id;
    if (text == NULL || !rl_json_integer(rl_json_next(text), &id) || id < 0 ||
        id >= tokenizer->vocab.n_tokens) {
        return rl_fail(err, RL_IO, "a post-processor's 'sep' or 'cls' is not a token and its id");
    }
    rl_ids_push(to, (int32_t)id);
    return RL_OK;
}

static rl_status read_cls_sep(rl_tokenizer *tokenizer, const rl_json *value, rl_err *err) {
    rl_status status =
        push_pair(tokenizer, rl_json_get(value, "cls"), &tokenizer->frame_before, err);
    return status == RL_OK
               ? push_pair(tokenizer, rl_json_get(value, "sep"), &tokenizer->frame_after, err)
               : status;
}

static rl_status post_processor(rl_tokenizer *tokenizer, const rl_json *value, int depth,
                                rl_err *err) {
    const char *type = type_of(value);
    if (strcmp(type, "Sequence") == 0 && depth < MAX_DEPTH) {
        rl_status status = RL_OK;
        const rl_json *item = rl_json_first(rl_json_get(value, "processors"));
        for (; item != NULL && status == RL_OK; item = rl_json_next(item)) {
            status = post_processor(tokenizer, item, depth + 1, err);
        }
        return status;
    }
    if (strcmp(type, "ByteLevel") == 0) {
        return RL_OK; // about offsets alone
    }
    if (strcmp(type, "TemplateProcessing") == 0) {
        return read_template(tokenizer, value, err);
    }
    if (strcmp(type, "RobertaProcessing") == 0 || strcmp(type, "BertProcessing") == 0) {
        return read_cls_sep(tokenizer, value, err);
    }
    return not_covered("post-processor", value, err);
}

rl_status rl_read_post_processor(rl_tokenizer *tokenizer, const rl_json *value, rl_err *err) {
    return is_absent(value) ? RL_OK : post_processor(tokenizer, value, 0, err);
}
