#include "rl/rollout/dataset.h"

#include <string.h>

#include "rl/core/alloc.h"
#include "rl/core/arena.h"
#include "rl/core/assert.h"
#include "rl/core/fs.h"
#include "rl/core/map.h"
#include "rollout/dialects.h"
#include "rollout/order.h"

static const char *const over_long_names[] = {"skip", "refuse", NULL};

static const rl_key keys[] = {
    RL_KEY_ROW(rl_data_opts, train, NULL, 0, 0, RL_KEY_REQUIRED,
               "JSON-lines file to train on: problems, or conversations for algo sft"),
    RL_KEY_ROW(rl_data_opts, eval, "", 0, 0, 0, "JSON-lines file to evaluate on, empty for none"),
    RL_KEY_ROW(rl_data_opts, eval_loss, "", 0, 0, 0,
               "JSON-lines file of conversations whose loss is measured with each evaluation of "
               "algo sft, empty for none"),
    RL_KEY_ROW(rl_data_opts, system, "", 0, 0, 0,
               "system message before every prompt that has none, empty for the model's own"),
    RL_KEY_ROW(rl_data_opts, max_prompt_tokens, "512", 1, 1 << 24, 0,
               "longest prompt trained on; prompts are never cut"),
    RL_KEY_ROW(rl_data_opts, shuffle, "true", 0, 0, 0,
               "a new order of problems in every epoch, drawn from run.seed"),
    RL_CHOICE_ROW(rl_data_opts, over_long, "skip", over_long_names, 0,
                  "leave what is too long out and count it, or refuse to start"),
};

const rl_section rl_data_section = {
    .name = "data",
    .doc = "what to train and evaluate on",
    .size = sizeof(rl_data_opts),
    .keys = keys,
    .n_keys = sizeof keys / sizeof keys[0],
};

// Columns whose distinct values are numbered in order of appearance.
static const char *const tag_names[] = {"task", "domain", "dataset", "label"};
enum { N_TAGS = sizeof tag_names / sizeof tag_names[0] };

struct rl_dataset {
    rl_arena *arena; // texts of the problems
    char *name;      // of the file, for sentences
    rl_problem *problem;
    int64_t *line; // where each problem stands
    bool *skip;
    int32_t n_problems, cap, n_skipped;
    rl_map *tag[N_TAGS];

    int32_t *kept; // numbers of the problems not skipped; NULL until asked for
    rl_order order;
};

void rl_dataset_free(rl_dataset *dataset) {
    if (dataset == NULL) {
        return;
    }
    for (int i = 0; i < N_TAGS; i++) {
        rl_map_free(dataset->tag[i]);
    }
    rl_arena_free(dataset->arena);
    rl_free(dataset->name);
    rl_free(dataset->problem);
    rl_free(dataset->line);
    rl_free(dataset->skip);
    rl_free(dataset->kept);
    rl_order_release(&dataset->order);
    rl_free(dataset);
}

static int32_t tag_of(rl_map *seen, const rl_json *value, rl_arena *arena) {
    const char *text = rl_dialect_text(value, arena);
    int64_t number = (int64_t)rl_map_size(seen);
    if (text == NULL) {
        return -1;
    }
    if (!rl_map_add(seen, text, strlen(text), number)) {
        RL_ASSERT(rl_map_get(seen, text, strlen(text), &number));
    }
    return (int32_t)number;
}

static void append(rl_dataset *dataset, rl_problem problem, int64_t line) {
    if (dataset->n_problems == dataset->cap) {
        size_t cap = dataset->cap > 0 ? 2 * (size_t)dataset->cap : 256;
        RL_ASSERT(cap <= INT32_MAX);
        dataset->problem = rl_realloc(dataset->problem, cap, sizeof *dataset->problem);
        dataset->line = rl_realloc(dataset->line, cap, sizeof *dataset->line);
        dataset->skip = rl_realloc(dataset->skip, cap, sizeof *dataset->skip);
        dataset->cap = (int32_t)cap;
    }
    problem.index = dataset->n_problems;
    dataset->problem[dataset->n_problems] = problem;
    dataset->line[dataset->n_problems] = line;
    dataset->skip[dataset->n_problems] = false;
    dataset->n_problems++;
}

static rl_status read_line(rl_dataset *dataset, const char *text, size_t text_len, int64_t line,
                           const char *system, rl_err *err) {
    rl_json_doc *doc = NULL;
    rl_problem problem;
    rl_err reason;
    rl_status status = rl_json_parse_line(text, text_len, dataset->name, line, &doc, err);
    if (status != RL_OK) {
        return status;
    }
    const rl_json *record = rl_json_root(doc);
    status = rl_dialect_read(record, line, system, dataset->arena, &problem, &reason);
    if (status == RL_OK) {
        int32_t *tag[N_TAGS] = {&problem.task, &problem.domain, &problem.dataset, &problem.label};
        for (int i = 0; i < N_TAGS; i++) {
            *tag[i] = tag_of(dataset->tag[i], rl_json_get(record, tag_names[i]), dataset->arena);
        }
        append(dataset, problem, line);
    } else {
        rl_fail(err, status, "'%s', line %lld: %.300s", dataset->name, (long long)line,
                reason.text);
    }
    rl_json_free(doc);
    return status;
}

static bool blank(const char *text, size_t text_len) {
    for (size_t i = 0; i < text_len; i++) {
        if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r') {
            return false;
        }
    }
    return true;
}

rl_status rl_dataset_parse(const char *name, const char *text, size_t text_len, const char *system,
                           rl_dataset **out, rl_err *err) {
    rl_dataset *dataset = rl_alloc(1, sizeof *dataset);
    rl_status status = RL_OK;
    int64_t line = 1;
    *out = NULL;
    dataset->arena = rl_arena_new(0);
    dataset->name = rl_strdup(name);
    for (int i = 0; i < N_TAGS; i++) {
        dataset->tag[i] = rl_map_new(16);
    }
    for (size_t begin = 0; begin < text_len && status == RL_OK; line++) {
        const char *newline = memchr(text + begin, '\n', text_len - begin);
        size_t end = newline != NULL ? (size_t)(newline - text) : text_len;
        if (!blank(text + begin, end - begin)) {
            status = read_line(dataset, text + begin, end - begin, line, system, err);
        }
        begin = end + 1;
    }
    if (status == RL_OK && dataset->n_problems == 0) {
        status = rl_fail(err, RL_IO, "'%s' holds no problems", name);
    }
    if (status != RL_OK) {
        rl_dataset_free(dataset);
        return status;
    }
    *out = dataset;
    return RL_OK;
}

rl_status rl_dataset_load(const char *path, const char *system, rl_dataset **out, rl_err *err) {
    rl_arena *arena = rl_arena_new(0);
    char *text;
    size_t text_len;
    rl_status status = rl_fs_read(path, arena, &text, &text_len, err);
    *out = NULL;
    if (status == RL_OK) {
        status = rl_dataset_parse(path, text, text_len, system, out, err);
    }
    rl_arena_free(arena);
    return status;
}

int32_t rl_dataset_size(const rl_dataset *dataset) {
    return dataset->n_problems;
}

const rl_problem *rl_dataset_at(const rl_dataset *dataset, int32_t i) {
    RL_ASSERT(i >= 0 && i < dataset->n_problems);
    return &dataset->problem[i];
}

rl_status rl_dataset_require_tests(const rl_dataset *dataset, rl_err *err) {
    for (int32_t i = 0; i < dataset->n_problems; i++) {
        const rl_problem *p = &dataset->problem[i];
        if (p->n_tests == 0 && p->check == NULL) {
            return rl_fail(err, RL_IO,
                           "'%s', line %lld: problem '%.80s' has no tests, which a reward that "
                           "runs code needs; add a 'test_list'",
                           dataset->name, (long long)dataset->line[i], p->id);
        }
    }
    return RL_OK;
}

rl_tag_counts rl_dataset_tags(const rl_dataset *dataset) {
    return (rl_tag_counts){
        .tasks = (int32_t)rl_map_size(dataset->tag[0]),
        .domains = (int32_t)rl_map_size(dataset->tag[1]),
        .datasets = (int32_t)rl_map_size(dataset->tag[2]),
        .labels = (int32_t)rl_map_size(dataset->tag[3]),
    };
}

void rl_dataset_skip(rl_dataset *dataset, int32_t i) {
    RL_ASSERT(i >= 0 && i < dataset->n_problems);
    dataset->n_skipped += !dataset->skip[i];
    dataset->skip[i] = true;
    rl_free(dataset->kept);
    dataset->kept = NULL;
}

bool rl_dataset_is_skipped(const rl_dataset *dataset, int32_t i) {
    RL_ASSERT(i >= 0 && i < dataset->n_problems);
    return dataset->skip[i];
}

int32_t rl_dataset_skipped(const rl_dataset *dataset) {
    return dataset->n_skipped;
}

static void list_kept(rl_dataset *dataset) {
    int32_t next = 0;
    dataset->kept = rl_alloc((size_t)dataset->n_problems, sizeof *dataset->kept);
    for (int32_t i = 0; i < dataset->n_problems; i++) {
        if (!dataset->skip[i]) {
            dataset->kept[next++] = i;
        }
    }
}

int32_t rl_dataset_pick(rl_dataset *dataset, uint64_t seed, bool shuffle, int64_t n) {
    int32_t size = dataset->n_problems - dataset->n_skipped;
    if (dataset->kept == NULL) {
        list_kept(dataset);
    }
    return dataset->kept[rl_order_pick(&dataset->order, size, seed, shuffle, n)];
}
