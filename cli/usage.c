#include "cli/args.h"

static const char eval_usage[] =
    "usage: rl-train eval RECIPE [--set SECTION.KEY=VALUE]... [--json]\n"
    "\n"
    "Measures 'model.path' on the problems of 'data.eval', without training and without a run's\n"
    "folder: what share is solved by the first attempt (iter-1) and within two (iter-2), with the\n"
    "controls of second attempts.\n"
    "\n"
    "  --set    change one key of the recipe, such as model.path=runs/mine/checkpoint-40;\n"
    "           eval.samples, eval.problems, eval.turns, eval.temperature and eval.controls say\n"
    "           what is drawn, run.seed with which random numbers\n"
    "  --json   every number as one object, under the names of docs/metrics.md\n"
    "\n"
    "The same weights and recipe give the same numbers; another run.seed gives another sample. "
    "The\n"
    "loss over 'data.eval_loss' is measured by a training run of algo 'sft' alone.\n";

static const char export_usage[] =
    "usage: rl-train export MODEL OUT [--dtype f32|bf16|f16] [--adapter DIR]\n"
    "\n"
    "Writes MODEL, a Hugging Face folder, a checkpoint of a run or a GGUF file, as a new folder "
    "OUT\n"
    "that transformers reads.\n"
    "\n"
    "  --dtype    how numbers are kept, f32 unless given; bf16 and f16 take half the room\n"
    "  --adapter  a LoRA adapter on MODEL, which is merged; MODEL may be an adapter itself\n";

const char *args_usage_of(command of) {
    switch (of) {
    case COMMAND_EVAL:
        return eval_usage;
    case COMMAND_EXPORT:
        return export_usage;
    case COMMAND_TRAIN:
    case COMMAND_CONVERT:
    case COMMAND_SAMPLE:
    case COMMAND_SCORE:
    case COMMAND_RENDER:
    case COMMAND_TOKENIZE:
    case COMMAND_DOCTOR:
    case COMMAND_HELP:
    case COMMAND_HELP_RECIPE:
    case COMMAND_VERSION:
        break;
    }
    return args_usage();
}
