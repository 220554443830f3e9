#include "cli/shared.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

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
