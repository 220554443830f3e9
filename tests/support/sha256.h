/* SHA-256 (FIPS 180-4), for goldens that give checksums. */
#ifndef RL_TESTS_SHA256_H
#define RL_TESTS_SHA256_H

#include <stddef.h>

/* Lower-case hexadecimal digits and a NUL. */
void rl_sha256(const void *bytes, size_t n_bytes, char out[65]);

#endif
