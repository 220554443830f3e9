/*
 * The BLAS under the backward products. OpenBLAS picks its inner loops ("core") when it is loaded,
 * by processor model, and does not know every model; so the choice is made again here and the
 * program started anew with it.
 */
#ifndef RL_TENSOR_BLAS_H
#define RL_TENSOR_BLAS_H

/*
 * The first call of main. Where another core fits the processor better than the loaded one, runs
 * the program again with that core (same arguments, same process id) and does not return. A core
 * named by OPENBLAS_CORETYPE is obeyed. The environment is left as the user had it.
 */
void rl_blas_choose_core(char **argv);

/* The core in use: "SkylakeX", "Haswell", ... */
const char *rl_blas_core(void);

#endif
