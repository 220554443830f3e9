#include "cli/args.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rl/core/str.h"
#include "rl/train/recipe.h"

const char *args_usage(void) {
    return "usage: rl-train RECIPE [--set SECTION.KEY=VALUE]... [--dry-run] [--overwrite]\n"
           "       rl-train sample MODEL [PROMPT] [--raw] [--temperature X] [--n N] ...\n"
           "       rl-train score MODEL [--in FILE] [--out FILE] [--threads N]\n"
           "                      [--kernels auto|ref|avx2|avx512]\n"
           "       rl-train export MODEL OUT [--dtype f32|bf16|f16] [--adapter DIR]\n"
           "       rl-train convert IN OUT [--dtype f32|f16|bf16|q8_0] [--tokenizer FILE]\n"
           "       rl-train eval RECIPE [--set SECTION.KEY=VALUE]... [--json]\n"
           "       rl-train render MODEL [--in FILE]\n"
           "       rl-train tokenize MODEL [--in FILE]\n"
           "       rl-train doctor\n"
           "       rl-train --help | --help-recipe [--markdown] | --version\n"
           "\n"
           "  RECIPE       a JSON file; recipes/README.md describes those that come with rl-train\n"
           "  --set        change one key; paths here are relative to the current folder\n"
           "  --dry-run    show the resolved recipe, the first prompt and the budget; write "
           "nothing\n"
           "  --overwrite  replace the run that 'run.dir' holds\n"
           "  sample       complete PROMPT, or standard input, and write the text as it comes: as "
           "a\n"
           "               user's message through the chat template, or with --raw as it stands\n"
           "                 --system TEXT       system message before it\n"
           "                 --temperature X     1 unless given; 0 takes the likeliest token\n"
           "                 --top-k N --top-p X --min-p X   draw from the likeliest tokens only\n"
           "                 --max-tokens N      length limit, 256 unless given\n"
           "                 --stop TEXT         end before this text; may be repeated\n"
           "                 --n N --seed N      how many completions, and of which random stream\n"
           "                 --logprobs          one JSON line a completion, with ids and natural\n"
           "                                     logs at that temperature, before filters\n"
           "                 --threads N --kernels NAME   as for score\n"
           "  score        log-probs and entropies of given tokens, natural logs at temperature "
           "1:\n"
           "               JSON lines {\"ids\"} or {\"prompt\", \"completion\"} in, "
           "{\"logprobs\",\n"
           "               \"entropy\", \"sum\"} out; with ids one entry fewer than ids, entry t "
           "being\n"
           "               that of id t + 1, else one per token of the completion\n"
           "  export       write the model as a new Hugging Face folder OUT, its weights in that "
           "dtype\n"
           "  --adapter    of score, sample, export and convert: a LoRA adapter on MODEL, which "
           "the\n"
           "               last two merge; MODEL may be an adapter itself\n"
           "  convert      from a folder or a .gguf file to a folder, or to the file OUT.gguf; "
           "llama2.c's\n"
           "               .bin goes in too, with its --tokenizer\n"
           "  eval         measure 'model.path' on 'data.eval' without training, as the 'eval' "
           "keys "
           "say;\n"
           "               --json prints every number as one object\n"
           "  render       conversations through the chat template: JSON lines {\"messages\": "
           "[{\"role\", \"content\"}..]}\n"
           "               in (other keys are variables of the template), {\"text\", \"ids\"} "
           "out\n"
           "  tokenize     JSON lines {\"text\"} in, {\"ids\"} out, and {\"ids\"} in, "
           "{\"text\"} out\n"
           "  doctor       what this machine offers: processor, BLAS, sandbox\n"
           "\n"
           "exit codes: 0 done, 2 something to mend before training, 3 an alarm or NaN stopped the "
           "run,\n"
           "            4 the machine failed later (disk, memory, sandbox), 130 interrupted\n";
}

typedef enum option_kind {
    OPTION_FLAG,
    OPTION_TEXT,
    OPTION_SET,
    OPTION_STOP,
    OPTION_COUNT,
    OPTION_REAL,
    OPTION_COMMAND
} option_kind;

typedef struct option {
    const char *name;
    option_kind kind;
    size_t offset;    // of the field in args
    unsigned allowed; // commands, as bits
    command command;  // for OPTION_COMMAND
    double min, max;  // for OPTION_COUNT and OPTION_REAL
} option;

#define FOR(name) (1u << COMMAND_##name)

#define OF_SAMPLE(name) offsetof(args, sample.name), FOR(SAMPLE)

static const option options[] = {
    {"--set", OPTION_SET, 0, FOR(TRAIN) | FOR(EVAL), 0, 0, 0},
    {"--dry-run", OPTION_FLAG, offsetof(args, dry_run), FOR(TRAIN), 0, 0, 0},
    {"--overwrite", OPTION_FLAG, offsetof(args, overwrite), FOR(TRAIN), 0, 0, 0},
    {"--resume", OPTION_FLAG, offsetof(args, resume), FOR(TRAIN), 0, 0, 0},
    {"--in", OPTION_TEXT, offsetof(args, in), FOR(SCORE) | FOR(RENDER) | FOR(TOKENIZE), 0, 0, 0},
    {"--out", OPTION_TEXT, offsetof(args, to), FOR(SCORE), 0, 0, 0},
    {"--kernels", OPTION_TEXT, offsetof(args, kernels), FOR(SCORE) | FOR(SAMPLE), 0, 0, 0},
    {"--threads", OPTION_COUNT, offsetof(args, threads), FOR(SCORE) | FOR(SAMPLE), 0, 1, 1024},
    {"--raw", OPTION_FLAG, OF_SAMPLE(raw), 0, 0, 0},
    {"--system", OPTION_TEXT, OF_SAMPLE(system), 0, 0, 0},
    {"--temperature", OPTION_REAL, OF_SAMPLE(temperature), 0, 0, 100},
    {"--top-k", OPTION_COUNT, OF_SAMPLE(top_k), 0, 0, INT32_MAX},
    {"--top-p", OPTION_REAL, OF_SAMPLE(top_p), 0, 1e-9, 1},
    {"--min-p", OPTION_REAL, OF_SAMPLE(min_p), 0, 0, 1},
    {"--max-tokens", OPTION_COUNT, OF_SAMPLE(max_tokens), 0, 1, 1 << 24},
    {"--stop", OPTION_STOP, 0, FOR(SAMPLE), 0, 0, 0},
    {"--n", OPTION_COUNT, OF_SAMPLE(n), 0, 1, 1 << 16},
    {"--seed", OPTION_COUNT, OF_SAMPLE(seed), 0, 0, INT32_MAX},
    {"--logprobs", OPTION_FLAG, OF_SAMPLE(logprobs), 0, 0, 0},
    {"--dtype", OPTION_TEXT, offsetof(args, dtype), FOR(EXPORT) | FOR(CONVERT), 0, 0, 0},
    {"--tokenizer", OPTION_TEXT, offsetof(args, tokenizer), FOR(CONVERT), 0, 0, 0},
    {"--adapter", OPTION_TEXT, offsetof(args, adapter),
     FOR(EXPORT) | FOR(CONVERT) | FOR(SCORE) | FOR(SAMPLE), 0, 0, 0},
    {"--json", OPTION_FLAG, offsetof(args, json), FOR(EVAL), 0, 0, 0},
    {"--markdown", OPTION_FLAG, offsetof(args, markdown), FOR(HELP_RECIPE), 0, 0, 0},
    {"--help", OPTION_COMMAND, 0, ~0u, COMMAND_HELP, 0, 0},
    {"-h", OPTION_COMMAND, 0, ~0u, COMMAND_HELP, 0, 0},
    {"--help-recipe", OPTION_COMMAND, 0, ~0u, COMMAND_HELP_RECIPE, 0, 0},
    {"--version", OPTION_COMMAND, 0, ~0u, COMMAND_VERSION, 0, 0},
};
enum { N_OPTIONS = sizeof options / sizeof options[0] };

static const option *find(const char *text, size_t len) {
    for (size_t i = 0; i < N_OPTIONS; i++) {
        if (strlen(options[i].name) == len && memcmp(options[i].name, text, len) == 0) {
            return &options[i];
        }
    }
    return NULL;
}

static rl_status unknown(const char *arg, rl_err *err) {
    const char *names[N_OPTIONS], *near;
    char name[64], place[128];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(arg, "="), arg);
    if (rl_text_starts(name, "--") && rl_recipe_place(name + 2, place, sizeof place)) {
        return rl_fail(err, RL_BAD_RECIPE,
                       "unknown option '%s'; a recipe's key is set so: --set %s=VALUE", name,
                       place);
    }
    for (size_t i = 0; i < N_OPTIONS; i++) {
        names[i] = options[i].name;
    }
    near = rl_text_nearest(arg, names, N_OPTIONS);
    return near != NULL
               ? rl_fail(err, RL_BAD_RECIPE, "unknown option '%s'; did you mean '%s'?", arg, near)
               : rl_fail(err, RL_BAD_RECIPE, "unknown option '%s'; rl-train --help lists them",
                         arg);
}

static rl_status read_number(const option *o, const char *value, double *out, rl_err *err) {
    char *end;
    *out = o->kind == OPTION_COUNT ? (double)strtol(value, &end, 10) : strtod(value, &end);
    if (*end != '\0' || end == value || !(*out >= o->min && *out <= o->max)) {
        return rl_fail(err, RL_BAD_RECIPE, "'%s' wants a number from %.15g to %.15g, not '%s'",
                       o->name, o->min, o->max, value);
    }
    return RL_OK;
}

// value is NULL for options that take none.
static rl_status apply(const option *o, const char *value, args *out, rl_err *err) {
    char *field = (char *)out + o->offset;
    double number = 0;
    rl_status status = RL_OK;
    switch (o->kind) {
    case OPTION_FLAG:
        *(bool *)field = true;
        break;
    case OPTION_TEXT:
        memcpy(field, &value, sizeof value);
        break;
    case OPTION_SET:
        out->set[out->n_set++] = value;
        break;
    case OPTION_STOP:
        out->sample.stop[out->sample.n_stop++] = value;
        break;
    case OPTION_COUNT:
        status = read_number(o, value, &number, err);
        *(int *)(void *)field = status == RL_OK ? (int)number : 0;
        break;
    case OPTION_REAL:
        status = read_number(o, value, &number, err);
        memcpy(field, &number, sizeof number);
        break;
    case OPTION_COMMAND:
        out->help_of = out->command != o->command ? out->command : out->help_of;
        out->command = o->command;
        break;
    }
    return status;
}

// "--name=value" and "--name value" are the same.
static rl_status read_option(int argc, char **argv, int *i, args *out, uint64_t *seen,
                             rl_err *err) {
    const char *arg = argv[*i], *equals = strchr(arg, '=');
    const option *o = find(arg, equals != NULL ? (size_t)(equals - arg) : strlen(arg));
    const char *value = equals != NULL ? equals + 1 : NULL;
    bool takes = o != NULL && o->kind != OPTION_FLAG && o->kind != OPTION_COMMAND;
    if (o == NULL) {
        return unknown(arg, err);
    }
    if (!takes && value != NULL) {
        return rl_fail(err, RL_BAD_RECIPE, "option '%s' takes no value", o->name);
    }
    if (takes && value == NULL) {
        if (*i + 1 >= argc) {
            return rl_fail(err, RL_BAD_RECIPE, "option '%s' wants a value", o->name);
        }
        value = argv[++*i];
    }
    *seen |= (uint64_t)1 << (o - options);
    return apply(o, value, out, err);
}

static rl_status check_sample(const args *a, rl_err *err) {
    const sample_args *s = &a->sample;
    if (a->subject == NULL) {
        return rl_fail(err, RL_BAD_RECIPE, "sample wants a model");
    }
    if (s->temperature != 0 && s->temperature < 1e-3) {
        return rl_fail(err, RL_BAD_RECIPE,
                       "'--temperature' is %g; take 0 for the likeliest token, or at least 0.001",
                       s->temperature);
    }
    if (s->raw && s->system != NULL) {
        return rl_fail(err, RL_BAD_RECIPE,
                       "'--system' is a message of a conversation, and '--raw' has none");
    }
    for (size_t i = 0; i < s->n_stop; i++) {
        if (s->stop[i][0] == '\0') {
            return rl_fail(err, RL_BAD_RECIPE, "'--stop' wants a text that is not empty");
        }
    }
    return RL_OK;
}

static rl_status check(const args *a, uint64_t seen, rl_err *err) {
    static const char *const names[] = {"training", "sample", "score",         "export",
                                        "convert",  "eval",   "render",        "tokenize",
                                        "doctor",   "--help", "--help-recipe", "--version"};
    const unsigned with_subject = FOR(TRAIN) | FOR(SAMPLE) | FOR(SCORE) | FOR(EXPORT) |
                                  FOR(CONVERT) | FOR(EVAL) | FOR(RENDER) | FOR(TOKENIZE);
    bool bare = (with_subject >> a->command & 1) == 0;
    for (size_t i = 0; i < N_OPTIONS; i++) {
        if ((seen >> i & 1) != 0 && (options[i].allowed >> a->command & 1) == 0) {
            return rl_fail(err, RL_BAD_RECIPE, "option '%s' does not belong to %s", options[i].name,
                           names[a->command]);
        }
    }
    if (bare && a->subject != NULL) {
        return rl_fail(err, RL_BAD_RECIPE, "%s takes no argument, but '%s' was given",
                       names[a->command], a->subject);
    }
    if (a->command == COMMAND_TRAIN && a->subject == NULL) {
        return rl_fail(err, RL_BAD_RECIPE, "no recipe given; try rl-train recipes/murphy.json");
    }
    if (a->command == COMMAND_SCORE && a->subject == NULL) {
        return rl_fail(err, RL_BAD_RECIPE, "score wants a model");
    }
    if (a->command == COMMAND_SAMPLE) {
        return check_sample(a, err);
    }
    if (a->command == COMMAND_EVAL && a->subject == NULL) {
        return rl_fail(err, RL_BAD_RECIPE, "eval wants a recipe, whose model it measures");
    }
    if ((a->command == COMMAND_RENDER || a->command == COMMAND_TOKENIZE) && a->subject == NULL) {
        return rl_fail(err, RL_BAD_RECIPE, "%s wants a model, whose tokenizer it uses",
                       names[a->command]);
    }
    if (a->command == COMMAND_CONVERT && a->out == NULL) {
        return rl_fail(err, RL_BAD_RECIPE,
                       "convert wants a model and the folder or .gguf to write");
    }
    if (a->command == COMMAND_EXPORT && a->out == NULL) {
        return rl_fail(err, RL_BAD_RECIPE, "export wants a model and the folder to write");
    }
    return RL_OK;
}

// Sub-commands, as the first plain argument names them.
static bool read_command(const char *arg, args *out) {
    static const struct {
        const char *name;
        command command;
    } rows[] = {{"sample", COMMAND_SAMPLE},     {"score", COMMAND_SCORE},
                {"export", COMMAND_EXPORT},     {"convert", COMMAND_CONVERT},
                {"eval", COMMAND_EVAL},         {"render", COMMAND_RENDER},
                {"tokenize", COMMAND_TOKENIZE}, {"doctor", COMMAND_DOCTOR}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(arg, rows[i].name) == 0) {
            out->command = out->command == COMMAND_TRAIN ? rows[i].command : out->command;
            return true;
        }
    }
    return false;
}

static rl_status read_plain(const char *arg, args *out, rl_err *err) {
    if (out->subject == NULL) {
        out->subject = arg;
    } else if (out->command == COMMAND_SAMPLE && out->prompt == NULL) {
        out->prompt = arg;
    } else if ((out->command == COMMAND_EXPORT || out->command == COMMAND_CONVERT) &&
               out->out == NULL) {
        out->out = arg;
    } else {
        return rl_fail(err, RL_BAD_RECIPE, "'%s' is one argument too many; options begin with --",
                       arg);
    }
    return RL_OK;
}

rl_status args_parse(int argc, char **argv, args *out, rl_err *err) {
    uint64_t seen = 0;
    bool plain_only = false, first = true;
    rl_status status = RL_OK;
    out->sample.temperature = 1;
    out->sample.n = 1;
    out->sample.max_tokens = 256;
    for (int i = 1; i < argc && status == RL_OK; i++) {
        if (!plain_only && strcmp(argv[i], "--") == 0) {
            plain_only = true;
        } else if (!plain_only && argv[i][0] == '-' && argv[i][1] != '\0') {
            status = read_option(argc, argv, &i, out, &seen, err);
        } else {
            status = first && read_command(argv[i], out) ? RL_OK : read_plain(argv[i], out, err);
            first = false;
        }
    }
    return status == RL_OK ? check(out, seen, err) : status;
}
