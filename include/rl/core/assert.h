/*
 * Checks of our own reasoning. A failed RL_ASSERT is a bug in rl-train, never bad input: bad input
 * is an rl_status. RL_DASSERT is for inner loops and exists in debug builds only.
 */
#ifndef RL_CORE_ASSERT_H
#define RL_CORE_ASSERT_H

/* Prints the location and the condition, then aborts. */
_Noreturn void rl_assert_failed(const char *file, int line, const char *cond);

#define RL_ASSERT(cond) ((cond) ? (void)0 : rl_assert_failed(__FILE__, __LINE__, #cond))

#ifdef NDEBUG
#define RL_DASSERT(cond) ((void)0)
#else
#define RL_DASSERT(cond) RL_ASSERT(cond)
#endif

#endif
