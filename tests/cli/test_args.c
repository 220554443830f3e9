#include "cli/args.h"

#include "tests/support/support.h"

typedef struct args_case {
    const char *argv[8];
    rl_status status;
    const char *says; // part of the sentence, or NULL
    command command;
    const char *subject;
    size_t n_set;
} args_case;

static const args_case cases[] = {
    {{"r.json"}, RL_OK, NULL, COMMAND_TRAIN, "r.json", 0},
    {{"r.json", "--set", "a.b=1", "--set=c.d=e=f", "--dry-run"},
     RL_OK,
     NULL,
     COMMAND_TRAIN,
     "r.json",
     2},
    {{"--overwrite", "r.json"}, RL_OK, NULL, COMMAND_TRAIN, "r.json", 0},
    {{"score", "m", "--in", "f"}, RL_OK, NULL, COMMAND_SCORE, "m", 0},
    {{"score", "m", "--in=f", "--threads", "2"}, RL_OK, NULL, COMMAND_SCORE, "m", 0},
    {{"sample", "m", "Hello", "--n=3"}, RL_OK, NULL, COMMAND_SAMPLE, "m", 0},
    {{"sample", "--stop", "a", "m", "--stop=b", "-"}, RL_OK, NULL, COMMAND_SAMPLE, "m", 0},
    {{"sample"}, RL_BAD_RECIPE, "sample wants a model", 0, NULL, 0},
    {{"sample", "m", "a", "b"}, RL_BAD_RECIPE, "'b' is one argument too many", 0, NULL, 0},
    {{"sample", "m", "--top-p", "0"}, RL_BAD_RECIPE, "'--top-p' wants a number", 0, NULL, 0},
    {{"sample", "m", "--top-p", "nan"}, RL_BAD_RECIPE, "'--top-p' wants a number", 0, NULL, 0},
    {{"sample", "m", "--min-p", "1.5"}, RL_BAD_RECIPE, "from 0 to 1, not '1.5'", 0, NULL, 0},
    {{"sample", "m", "--top-k", "1e3"}, RL_BAD_RECIPE, "'--top-k' wants a number", 0, NULL, 0},
    {{"sample", "m", "--temperature", "1e-4"}, RL_BAD_RECIPE, "at least 0.001", 0, NULL, 0},
    {{"sample", "m", "--stop", ""}, RL_BAD_RECIPE, "not empty", 0, NULL, 0},
    {{"sample", "m", "--raw", "--system", "s"}, RL_BAD_RECIPE, "'--raw' has none", 0, NULL, 0},
    {{"score", "m", "--in", "f", "--top-k", "3"}, RL_BAD_RECIPE, "not belong to score", 0, NULL, 0},
    {{"export", "m", "out"}, RL_OK, NULL, COMMAND_EXPORT, "m", 0},
    {{"export", "m", "out", "--dtype", "bf16"}, RL_OK, NULL, COMMAND_EXPORT, "m", 0},
    {{"convert", "m", "o.gguf", "--dtype=q8_0"}, RL_OK, NULL, COMMAND_CONVERT, "m", 0},
    {{"convert", "m.bin", "o", "--tokenizer", "t"}, RL_OK, NULL, COMMAND_CONVERT, "m.bin", 0},
    {{"convert", "m"}, RL_BAD_RECIPE, "the folder or .gguf to write", 0, NULL, 0},
    {{"export", "m", "o", "--tokenizer", "t"}, RL_BAD_RECIPE, "not belong to export", 0, NULL, 0},
    {{"export", "m"}, RL_BAD_RECIPE, "the folder to write", 0, NULL, 0},
    {{"export", "m", "out", "more"}, RL_BAD_RECIPE, "'more' is one argument too many", 0, NULL, 0},
    {{"score", "m", "out", "--in", "f"}, RL_BAD_RECIPE, "one argument too many", 0, NULL, 0},
    {{"r.json", "--dtype", "f32"}, RL_BAD_RECIPE, "does not belong to training", 0, NULL, 0},
    {{"eval", "r.json", "--set", "a.b=1", "--json"}, RL_OK, NULL, COMMAND_EVAL, "r.json", 1},
    {{"eval"}, RL_BAD_RECIPE, "eval wants a recipe", 0, NULL, 0},
    {{"eval", "r.json", "--overwrite"}, RL_BAD_RECIPE, "does not belong to eval", 0, NULL, 0},
    {{"r.json", "--json"}, RL_BAD_RECIPE, "does not belong to training", 0, NULL, 0},
    {{"render", "m", "--in", "f"}, RL_OK, NULL, COMMAND_RENDER, "m", 0},
    {{"render"}, RL_BAD_RECIPE, "render wants a model", 0, NULL, 0},
    {{"tokenize", "m"}, RL_OK, NULL, COMMAND_TOKENIZE, "m", 0},
    {{"tokenize"}, RL_BAD_RECIPE, "tokenize wants a model", 0, NULL, 0},
    {{"tokenize", "m", "--json"}, RL_BAD_RECIPE, "does not belong to tokenize", 0, NULL, 0},
    {{"doctor"}, RL_OK, NULL, COMMAND_DOCTOR, NULL, 0},
    {{"--version"}, RL_OK, NULL, COMMAND_VERSION, NULL, 0},
    {{"-h"}, RL_OK, NULL, COMMAND_HELP, NULL, 0},
    {{"--help-recipe", "--markdown"}, RL_OK, NULL, COMMAND_HELP_RECIPE, NULL, 0},
    {{NULL}, RL_BAD_RECIPE, "no recipe given", 0, NULL, 0},
    {{"r.json", "--steps", "5"}, RL_BAD_RECIPE, "so: --set run.steps=VALUE", 0, NULL, 0},
    {{"r.json", "--learning-rate=1"}, RL_BAD_RECIPE, "--set optim.lr=VALUE", 0, NULL, 0},
    {{"r.json", "--dryrun"}, RL_BAD_RECIPE, "did you mean '--dry-run'?", 0, NULL, 0},
    {{"r.json", "--set"}, RL_BAD_RECIPE, "wants a value", 0, NULL, 0},
    {{"r.json", "s.json"}, RL_BAD_RECIPE, "one argument too many", 0, NULL, 0},
    {{"r.json", "--in", "x"}, RL_BAD_RECIPE, "does not belong to training", 0, NULL, 0},
    {{"r.json", "--dry-run=yes"}, RL_BAD_RECIPE, "takes no value", 0, NULL, 0},
    {{"doctor", "nonsense"}, RL_BAD_RECIPE, "doctor takes no argument, but 'nonsense'", 0, NULL, 0},
    {{"--help", "r.json"}, RL_BAD_RECIPE, "--help takes no argument", 0, NULL, 0},
    {{"r.json", "--help-recipe"}, RL_BAD_RECIPE, "--help-recipe takes no argument", 0, NULL, 0},
    {{"--version", "x"}, RL_BAD_RECIPE, "--version takes no argument", 0, NULL, 0},
    {{"--help", "score"}, RL_OK, NULL, COMMAND_HELP, NULL, 0},
    {{"score", "--help"}, RL_OK, NULL, COMMAND_HELP, NULL, 0},
    {{"doctor", "--help"}, RL_OK, NULL, COMMAND_HELP, NULL, 0},
    {{"--help", "doctor"}, RL_OK, NULL, COMMAND_HELP, NULL, 0},
    {{"doctor", "--dry-run"}, RL_BAD_RECIPE, "does not belong to doctor", 0, NULL, 0},
    {{"score", "m"}, RL_OK, NULL, COMMAND_SCORE, "m", 0},
    {{"score", "m", "--out", "o", "--in", "-"}, RL_OK, NULL, COMMAND_SCORE, "m", 0},
    {{"score"}, RL_BAD_RECIPE, "score wants a model", 0, NULL, 0},
    {{"score", "m", "--in", "f", "--threads", "0"}, RL_BAD_RECIPE, "1 to 1024", 0, NULL, 0},
    {{"score", "m", "--in", "f", "--threads", "2x"}, RL_BAD_RECIPE, "1 to 1024", 0, NULL, 0},
};

static void table(void **state) {
    (void)state;
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        const char *set[9], *stop[9], *given[9] = {"rl-train"};
        char *argv[9];
        args a = {.set = set, .sample.stop = stop};
        rl_err err = {""};
        int argc = 1;
        while (argc < 9 && cases[i].argv[argc - 1] != NULL) {
            given[argc] = cases[i].argv[argc - 1];
            argc++;
        }
        memcpy(argv, given, sizeof argv);
        if (args_parse(argc, argv, &a, &err) != cases[i].status) {
            fail_msg("case %zu: %s", i, err.text);
        }
        if (cases[i].status != RL_OK) {
            if (strstr(err.text, cases[i].says) == NULL) {
                fail_msg("case %zu does not say <%s>: %s", i, cases[i].says, err.text);
            }
            continue;
        }
        assert_int_equal(a.command, cases[i].command);
        assert_int_equal(a.n_set, cases[i].n_set);
        if (cases[i].subject != NULL) {
            assert_string_equal(a.subject, cases[i].subject);
        }
    }
}

static void help_is_of_the_command(void **state) {
    static const struct {
        const char *argv[3], *says;
    } table[] = {
        {{"eval", "--help"}, "usage: rl-train eval RECIPE"},
        {{"export", "-h"}, "usage: rl-train export MODEL OUT"},
        {{"export", "--help"}, "merged"},
        {{"--help"}, "exit codes:"},
        {{"score", "--help"}, "rl-train score MODEL"},
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(table); i++) {
        const char *given[4] = {"rl-train", table[i].argv[0], table[i].argv[1]}, *set[4];
        char *argv[4];
        args a = {.set = set};
        rl_err err = {""};
        memcpy(argv, given, sizeof argv);
        assert_int_equal(args_parse(given[2] != NULL ? 3 : 2, argv, &a, &err), RL_OK);
        assert_int_equal(a.command, COMMAND_HELP);
        if (strstr(args_usage_of(a.help_of), table[i].says) == NULL) {
            fail_msg("case %zu does not say <%s>", i, table[i].says);
        }
    }
    assert_null(strstr(args_usage_of(COMMAND_EVAL), "export"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(table),
                                       cmocka_unit_test(help_is_of_the_command)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
