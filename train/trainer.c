#include "rl/train/trainer.h"

#include <math.h>
#include <string.h>

#include "rl/core/alloc.h"
#include "rl/core/clock.h"
#include "rl/core/fs.h"
#include "rl/core/log.h"
#include "rl/train/metrics.h"
#include "rl/train/run_dir.h"
#include "train/evaluation.h"
#include "train/history.h"
#include "train/report.h"
#include "train/setup.h"
#include "train/summary.h"

struct rl_trainer {
    const rl_recipe *recipe;
    const volatile sig_atomic_t *stop;
    setup setup;
    rl_run_dir *dir;
    rl_arena *step_arena;
    report report;
    history history;
    int64_t done;  // steps that were taken and written
    int64_t saved; // step of the last checkpoint; 0 for none
};

rl_status rl_trainer_open(const rl_recipe *recipe, bool overwrite,
                          const volatile sig_atomic_t *stop, rl_trainer **out, rl_err *err) {
    rl_trainer *t = rl_alloc(1, sizeof *t);
    rl_str effective = {0};
    rl_status status = setup_check_folder(recipe, overwrite, err);
    *out = NULL;
    t->recipe = recipe;
    t->stop = stop;
    t->step_arena = rl_arena_new(1 << 20);
    if (status == RL_OK) {
        status = setup_open_light(&t->setup, recipe, err);
    }
    if (status == RL_OK) {
        status = setup_open_heavy(&t->setup, err);
    }
    if (status == RL_OK) {
        rl_recipe_print(recipe, &effective);
        status = rl_run_dir_open(recipe->run.dir, overwrite, &effective, &t->dir, err);
        rl_str_release(&effective);
    }
    if (status != RL_OK) {
        rl_trainer_close(t);
        return status;
    }
    *out = t;
    return RL_OK;
}

void rl_trainer_close(rl_trainer *t) {
    if (t == NULL) {
        return;
    }
    rl_run_dir_close(t->dir);
    setup_close(&t->setup);
    history_release(&t->history);
    rl_arena_free(t->step_arena);
    rl_free(t);
}

// Keeps the batch that broke the run, so that it can be looked at and replayed.
static rl_status raise_alarm(rl_trainer *t, const step_frame *f, const char *what, rl_err *err) {
    rl_str lines = {0};
    char name[64];
    rl_err save = {""};
    rl_status saved;
    snprintf(name, sizeof name, "failed-batch-%lld.jsonl", (long long)f->step);
    t->setup.objective->batch(t->setup.objective_self, f, &lines);
    saved = rl_run_dir_file(t->dir, name, &lines, &save);
    rl_str_release(&lines);
    if (saved != RL_OK) {
        return rl_fail(err, RL_ALARM, "step %lld: %s; its batch could not be kept: %.200s",
                       (long long)f->step, what, save.text);
    }
    return rl_fail(err, RL_ALARM, "step %lld: %s; its batch is kept in '%s/%s'", (long long)f->step,
                   what, rl_run_dir_path(t->dir), name);
}

// One step of the optimizer with the gradient that is there.
static rl_status update(rl_trainer *t, step_frame *f, rl_err *err) {
    const rl_recipe *recipe = t->recipe;
    const char *name;
    f->lr = rl_lr_at(&recipe->optim, f->step - 1, recipe->run.steps);
    f->grad_norm = rl_optim_grad_norm(t->setup.optim);
    if (!isfinite(f->grad_norm)) {
        name = rl_policy_not_finite(t->setup.policy, true);
        return rl_fail(err, RL_ALARM, "the gradient of '%s' is not finite",
                       name != NULL ? name : "a parameter (by its norm)");
    }
    rl_optim_step(t->setup.optim, f->lr, f->grad_norm);
    name = rl_policy_not_finite(t->setup.policy, false);
    if (name != NULL) {
        return rl_fail(err, RL_ALARM, "weight '%s' is not finite after the update", name);
    }
    f->trained = rl_clock_now();
    return RL_OK;
}

static rl_status write_step(rl_trainer *t, const step_frame *f, rl_err *err) {
    const objective *row = t->setup.objective;
    rl_metrics metrics = {0};
    rl_str line = {0};
    rl_status status = RL_OK;
    if (row->record != NULL) {
        status = row->record(t->setup.objective_self, f, t->dir, err);
    }
    if (status == RL_OK) {
        row->put(t->setup.objective_self, f, &metrics);
        rl_metrics_print(&metrics, &line);
        status = rl_run_dir_metrics(t->dir, &line, err);
        rl_str_release(&line);
    }
    if (status != RL_OK) {
        return status;
    }
    history_add(&t->history, &metrics);
    report_done(&t->report, rl_clock_now());
    if (f->step % t->recipe->log.every == 0 || f->step == t->recipe->run.steps) {
        report_step(&t->report, &metrics);
    }
    return RL_OK;
}

static rl_status write_dump(rl_trainer *t, const step_frame *f, rl_err *err) {
    dump d = {0};
    char name[64];
    rl_status status = t->setup.objective->dump(t->setup.objective_self, f, &d, err);
    snprintf(name, sizeof name, "dump-%lld.safetensors", (long long)f->step);
    if (status == RL_OK) {
        status = dump_write(&d, t->setup.policy,
                            rl_path_join(f->arena, rl_run_dir_path(t->dir), name), err);
    }
    return status;
}

static rl_status run_step(rl_trainer *t, int64_t step, rl_err *err) {
    step_frame f = {
        .step = step, .arena = t->step_arena, .report = &t->report, .began = rl_clock_now()};
    rl_status status;
    rl_arena_reset(t->step_arena);
    status = t->setup.objective->gradient(t->setup.objective_self, &f, err);
    if (status == RL_OK && step == t->recipe->log.dump_step) {
        status = write_dump(t, &f, err);
    }
    if (status == RL_OK) {
        status = update(t, &f, err);
    }
    if (status == RL_ALARM) {
        rl_err what = *err;
        return raise_alarm(t, &f, what.text, err);
    }
    return status == RL_OK ? write_step(t, &f, err) : status;
}

static bool evaluates(const rl_trainer *t) {
    const objective *row = t->setup.objective;
    return t->setup.eval != NULL ||
           (row->evaluates != NULL && row->evaluates(t->setup.objective_self));
}

// What the objective measures of its own, then the problems of data.eval: these write files, which
// an evaluation that is stopped must not leave.
static rl_status measure(rl_trainer *t, int64_t step, rl_metrics *out, rl_err *err) {
    const objective *row = t->setup.objective;
    rl_status status = RL_OK;
    rl_metrics_put(out, (double)step, "step");
    if (row->evaluate != NULL) {
        status = row->evaluate(t->setup.objective_self, t->stop, t->step_arena, out, err);
    }
    if (status == RL_OK && t->setup.eval != NULL) {
        eval_place place = {.stop = t->stop, .report = &t->report, .dir = t->dir};
        status = eval_run(&t->setup, step, &place, t->step_arena, out, err);
    }
    return status;
}

static rl_status evaluate(rl_trainer *t, int64_t step, rl_err *err) {
    rl_metrics metrics = {0};
    rl_str line = {0};
    rl_status status;
    double began = rl_clock_now();
    char set[EVAL_SET_NAME];
    report_phase(&t->report, "evaluating");
    status = measure(t, step, &metrics, err);
    if (status == RL_OK) {
        rl_metrics_print(&metrics, &line);
        status = rl_run_dir_metrics(t->dir, &line, err);
        eval_set_name(t->recipe, set);
        report_eval(&t->report, set, &metrics);
        history_add_eval(&t->history, set, &metrics);
    }
    rl_str_release(&line);
    // The time left is told by training steps alone.
    t->report.started += rl_clock_now() - began;
    return status;
}

static rl_status save(rl_trainer *t, int64_t step, rl_err *err) {
    rl_status status;
    report_phase(&t->report, "saving");
    status = rl_run_dir_checkpoint(t->dir, step, t->setup.checkpoint, t->setup.policy,
                                   t->recipe->run.save_dtype, err);
    t->saved = status == RL_OK ? step : t->saved;
    return status;
}

static bool every(int64_t step, int32_t n) {
    return n > 0 && step % n == 0;
}

static bool stop_asked(const rl_trainer *t) {
    return t->stop != NULL && *t->stop != 0;
}

// Whatever ends the evaluation after a step, the weights of the step are kept.
static rl_status keep_weights(rl_trainer *t, int64_t step, rl_status ended, rl_err *err) {
    rl_err what = *err, save_err = {""};
    if (t->saved != step && save(t, step, &save_err) != RL_OK) {
        return rl_fail(err, ended == RL_INTERRUPTED ? RL_IO : ended,
                       "%.250s; the weights could not be kept: %.200s", what.text, save_err.text);
    }
    return ended == RL_INTERRUPTED
               ? ended
               : rl_fail(err, ended, "%.350s; the weights are in '%.100s/checkpoint-%lld'",
                         what.text, rl_run_dir_path(t->dir), (long long)step);
}

// Step `step` and what is due after it. The checkpoint comes before the evaluation, which can fail.
static rl_status advance(rl_trainer *t, int64_t step, rl_err *err) {
    const rl_recipe *recipe = t->recipe;
    bool last = step == recipe->run.steps;
    bool due = every(step, recipe->eval.every) || (last && recipe->eval.at_end);
    rl_status status = run_step(t, step, err);
    t->done += status == RL_OK;
    if (status == RL_OK && (every(step, recipe->run.save_every) || last || stop_asked(t))) {
        status = save(t, step, err);
    }
    if (status == RL_OK && evaluates(t) && due) {
        status = evaluate(t, step, err);
        status = status == RL_OK ? RL_OK : keep_weights(t, step, status, err);
    }
    return status;
}

void rl_trainer_summary(const rl_trainer *t, bool utf8, rl_str *out) {
    char set[EVAL_SET_NAME];
    eval_set_name(t->recipe, set);
    if (t->history.n_steps == 0) {
        return;
    }
    summary_plot(&t->history, utf8, out);
    rl_str_append_char(out, '\n');
    summary_table(&t->history, set, out);
}

void rl_trainer_files(const rl_trainer *t, rl_str *out) {
    rl_str_appendf(out, "%s\n  metrics.jsonl", rl_run_dir_path(t->dir));
    if (t->setup.objective->record != NULL) {
        rl_str_append(out, "  completions.jsonl");
    }
    if (t->setup.eval != NULL && t->history.n_evals > 0) {
        rl_str_append(out, "  eval.jsonl");
    }
    if (t->saved > 0) {
        rl_str_appendf(out, "  checkpoint-%lld", (long long)t->saved);
    }
    if (t->history.n_steps > 0) {
        rl_str_append(out, "  plot.txt  plot.svg");
    }
    rl_str_append_char(out, '\n');
}

static rl_status save_summary(rl_trainer *t, rl_err *err) {
    rl_str text = {0}, picture = {0};
    rl_status status = RL_OK;
    if (t->history.n_steps > 0) {
        rl_trainer_summary(t, true, &text);
        summary_svg(&t->history, &picture);
        status = rl_run_dir_file(t->dir, "plot.txt", &text, err);
    }
    if (status == RL_OK && picture.len > 0) {
        status = rl_run_dir_file(t->dir, "plot.svg", &picture, err);
    }
    rl_str_release(&text);
    rl_str_release(&picture);
    return status;
}

// A run that was stopped: before its first step it leaves its recipe alone, so that it can be
// begun again.
static rl_status stopped(rl_trainer *t, rl_err *err) {
    int64_t n_steps = t->recipe->run.steps;
    if (t->done == 0) {
        rl_status status = rl_run_dir_forget(t->dir, err);
        return status != RL_OK ? status
                               : rl_fail(err, RL_INTERRUPTED,
                                         "stopped by the user before the first step; nothing is "
                                         "kept");
    }
    if (t->done == n_steps) {
        return rl_fail(err, RL_INTERRUPTED,
                       "stopped by the user in the evaluation after the last step, which is left "
                       "out; checkpoint-%lld is kept",
                       (long long)t->saved);
    }
    return rl_fail(err, RL_INTERRUPTED,
                   "stopped by the user after step %lld of %lld; checkpoint-%lld is kept",
                   (long long)t->done, (long long)n_steps, (long long)t->saved);
}

rl_status rl_trainer_run(rl_trainer *t, int64_t *steps_begun, rl_err *err) {
    const rl_recipe *recipe = t->recipe;
    int64_t n_steps = recipe->run.steps;
    rl_status status = RL_OK, kept;
    rl_err kept_err;
    *steps_begun = 0;
    t->report = report_begin(n_steps);
    if (evaluates(t) && recipe->eval.at_start) {
        status = evaluate(t, 0, err);
    }
    while (status == RL_OK && t->done < n_steps && !stop_asked(t)) {
        *steps_begun = t->done + 1;
        status = advance(t, t->done + 1, err);
    }
    report_end(&t->report);
    kept = save_summary(t, &kept_err);
    if (kept != RL_OK && (status == RL_OK || status == RL_INTERRUPTED)) {
        *err = kept_err;
        return kept;
    }
    if (status == RL_INTERRUPTED || (status == RL_OK && t->done < n_steps)) {
        return stopped(t, err);
    }
    return status;
}
