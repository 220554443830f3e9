/*
 * exp, log, sin, cos and pow in double, for hosts: rotary tables, schedules, log-probs. The C
 * library's own pick their code by processor, so their bits may differ between machines; these are
 * plain C and never do. Accurate to about one unit in the last place. Pure functions, thread-safe.
 */
#ifndef RL_CORE_FMATH_H
#define RL_CORE_FMATH_H

double rl_exp(double x);
double rl_ln(double x); // -infinity at 0, NaN below
/* Accurate for |x| up to 800 000; beyond, digits are lost little by little. NaN at infinity. */
double rl_sin(double x);
double rl_cos(double x);
/* x > 0, or x = 0, or x < 0 with an integer y; NaN otherwise. */
double rl_pow(double x, double y);

#endif
