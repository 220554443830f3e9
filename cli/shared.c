#include "cli/shared.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "cli/commands.h"
#include "rl/core/fs.h"
#include "rl/core/log.h"

static volatile sig_atomic_t stop_asked;
static const char *stop_words;

static void on_interrupt(int signal_number) {
    stop_asked = 1;
    (void)!write(STDERR_FILENO, stop_words, strlen(stop_words));
    signal(signal_number, SIG_DFL);
}

const volatile sig_atomic_t *watch_interrupt(const char *words) {
    struct sigaction action;
    stop_words = words;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_interrupt;
    action.sa_flags = SA_RESTART;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    return &stop_asked;
}

int exit_code(rl_status status, bool begun) {
    switch (status) {
    case RL_OK:
        return EXIT_DONE;
    case RL_ALARM:
        return EXIT_ALARM;
    case RL_INTERRUPTED:
        return EXIT_INTERRUPTED;
    case RL_BAD_RECIPE:
        return EXIT_USER;
    case RL_IO:
    case RL_MEMORY:
    case RL_UNSUPPORTED:
        break;
    }
    return begun ? EXIT_WORLD : EXIT_USER;
}

static const char *find_recipe(const char *name, rl_arena *arena) {
    char *folder, *installed;
    rl_err err;
    if (rl_fs_exists(name) || rl_path_program_dir(arena, &folder, &err) != RL_OK) {
        return name;
    }
    installed =
        rl_path_absolute(arena, rl_arena_printf(arena, "%s/../share/rl-train/%s", folder, name));
    return name[0] != '/' && rl_fs_exists(installed) ? installed : name;
}

static void print_errors(const rl_errors *errors) {
    for (const char *line = rl_str_text(&errors->text); *line != '\0';) {
        size_t n = strcspn(line, "\n");
        rl_log(RL_LOG_ERROR, "%.*s", (int)n, line);
        line += n + (line[n] == '\n');
    }
    if (errors->count > 1) {
        rl_log(RL_LOG_ERROR, "%d mistakes; nothing was started", errors->count);
    }
}

bool load_recipe(const args *a, rl_recipe *out) {
    rl_arena *arena = rl_arena_new(0);
    rl_errors errors = {0};
    bool ok =
        rl_recipe_load(find_recipe(a->subject, arena), a->set, a->n_set, out, &errors) == RL_OK;
    if (!ok) {
        print_errors(&errors);
    }
    rl_errors_release(&errors);
    rl_arena_free(arena);
    return ok;
}

bool terminal_has_utf8(void) {
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = getenv(names[i]);
        if (value != NULL && value[0] != '\0') {
            const char *coding = strchr(value, '.');
            return coding != NULL &&
                   (strncasecmp(coding, ".utf-8", 6) == 0 || strncasecmp(coding, ".utf8", 5) == 0);
        }
    }
    return false;
}

rl_status read_input(const char *path, rl_arena *arena, char **out, size_t *out_len, rl_err *err) {
    rl_str text = {0};
    char piece[4096];
    size_t n;
    rl_status status = RL_OK;
    if (path != NULL && strcmp(path, "-") != 0) {
        return rl_fs_read(path, arena, out, out_len, err);
    }
    errno = 0;
    while ((n = fread(piece, 1, sizeof piece, stdin)) > 0) {
        rl_str_append_n(&text, piece, n);
    }
    if (ferror(stdin)) {
        status = rl_fail(err, RL_IO, "cannot read standard input: %s", strerror(errno));
    } else {
        *out = rl_arena_strndup(arena, rl_str_text(&text), text.len);
        *out_len = text.len;
    }
    rl_str_release(&text);
    return status;
}

void put_numbers(rl_json_writer *w, const char *key, const double *x, int64_t n) {
    rl_json_open_list(w, key);
    for (int64_t i = 0; i < n; i++) {
        rl_json_put_number(w, NULL, x[i]);
    }
    rl_json_close_list(w);
}
