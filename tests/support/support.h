/* What every test needs: CMocka with its headers in the right order, temporary folders, golden
 * files. */
#ifndef RL_TESTS_SUPPORT_H
#define RL_TESTS_SUPPORT_H

// CMocka asks for these four before its own header.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <string.h>

#include "rl/core/arena.h"
#include "rl/core/status.h"

#define RL_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Fails the test with the sentence when status is not RL_OK. */
#define assert_ok(call) rl_assert_ok((call), &err, #call, __FILE__, __LINE__)
void rl_assert_ok(rl_status status, const rl_err *err, const char *call, const char *file,
                  int line);

/* A new empty folder under TMPDIR, removed by rl_test_drop. The path is the caller's (rl_free). */
char *rl_test_folder(void);
void rl_test_drop(char *folder);

/* "<tests/golden>/name" and "<shared>/name"; in static storage, a few at a time. The latter is NULL
 * where the folder is not there: then skip the test by rl_test_skip_shared, which does not come
 * back. A test that goes on without the file says so by rl_test_lacks_shared, and once it has
 * released what it holds is shown as skipped by rl_test_skip_lacking if it lacked any. */
const char *rl_golden(const char *name);
const char *rl_shared(const char *name);
void rl_test_skip_shared(const char *name);
void rl_test_lacks_shared(const char *name);
void rl_test_skip_lacking(void);

/* Seed of property tests: RL_TEST_SEED or a fixed number; printed so that a failure can be
 * repeated. */
uint64_t rl_test_seed(void);

#endif
