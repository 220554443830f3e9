/*
 * A problem: one item of a data set with what its checker needs. Plain data; all memory belongs to
 * the data set that made it and lives as long as the run. Absent text is NULL.
 */
#ifndef RL_CORE_PROBLEM_H
#define RL_CORE_PROBLEM_H

#include <stdint.h>

/* One chat message; role is "system", "user" or "assistant". */
typedef struct rl_message {
    const char *role;
    const char *content;
} rl_message;

typedef struct rl_problem {
    int32_t index;  // place in the data set, from 0, before shuffling
    const char *id; // as the data set names it: "601", "HumanEval/3"; else the line number

    const rl_message *messages; // [n_messages] the prompt as a conversation ending with a user turn
    int32_t n_messages;

    const char *answer; // gold answer, for verifiers that compare answers

    // For verifiers that run code.
    const char *setup;        // source run before the tests (imports, helper code)
    const char *const *tests; // [n_tests] assert-style statements; one unit each
    int32_t n_tests;
    const char *check;       // HumanEval: source that defines check(candidate)
    const char *entry_point; // name of the function under test
    const char *stub;        // HumanEval: the code prefix a bare function body would continue

    int32_t task, domain, dataset, label; // tags for balancing algorithms; -1 when absent
} rl_problem;

#endif
