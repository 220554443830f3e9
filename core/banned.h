/*
 * Force-included into every file: libc calls that do not compile here. The headers come first so
 * that the macros do not touch their declarations.
 */
#ifndef RL_CORE_BANNED_H
#define RL_CORE_BANNED_H

#include <alloca.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <mm_malloc.h> // part of immintrin.h, with inline functions that call malloc and free
#endif

#define strcpy(...)   rl_banned_strcpy_use_rl_str
#define strcat(...)   rl_banned_strcat_use_rl_str
#define strncpy(...)  rl_banned_strncpy_use_rl_str
#define sprintf(...)  rl_banned_sprintf_use_snprintf
#define vsprintf(...) rl_banned_vsprintf_use_vsnprintf
#define strtok(...)   rl_banned_strtok_keeps_global_state
#define atoi(...)     rl_banned_atoi_hides_errors
#define atof(...)     rl_banned_atof_hides_errors
#define rand(...)     rl_banned_rand_use_rl_rng
#define system(...)   rl_banned_system_use_rl_sandbox
#define popen(...)    rl_banned_popen_use_rl_sandbox
#undef alloca
#define alloca(...) rl_banned_alloca_use_rl_arena

#ifndef RL_MAY_MALLOC // core/alloc.c alone, and rl-jail, which has no arena
#define malloc(...)  rl_banned_malloc_use_rl_alloc
#define calloc(...)  rl_banned_calloc_use_rl_alloc
#define realloc(...) rl_banned_realloc_use_rl_realloc
#define free(...)    rl_banned_free_use_rl_free
#define strdup(...)  rl_banned_strdup_use_rl_strdup
#define strndup(...) rl_banned_strndup_use_rl_strndup
#endif

#endif
