/*
 * The methods and coefficients are FDLIBM's (Sun Microsystems 1993) but for pow, which takes the
 * logarithm as a sum of two doubles. No fused multiply-add: the build forbids contraction and exact
 * products are split after Dekker (1971).
 */
#include "rl/core/fmath.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

static const double ln2_hi = 6.93147180369123816490e-01; // low 32 bits are zero
static const double ln2_lo = 1.90821492927058770002e-10;
static const double round_magic = 6755399441055744.0; // 1.5 * 2^52
static const double infinity = (double)INFINITY, not_a_number = (double)NAN;

static uint64_t bits_of(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static double from_bits(uint64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* To the nearest integer; |x| < 2^51. */
static double nearest(double x) {
    return (x + round_magic) - round_magic;
}

/* x * 2^k for k in [-1100, 1100], rounded once: all factors but the last are exact. */
static double scale_by(double x, int k) {
    if (k > 1000) {
        return x * from_bits((uint64_t)(1000 + 1023) << 52) *
               from_bits((uint64_t)(k - 1000 + 1023) << 52);
    }
    if (k < -1000) {
        return x * from_bits((uint64_t)(1023 - 900) << 52) *
               from_bits((uint64_t)(k + 900 + 1023) << 52);
    }
    return x * from_bits((uint64_t)(k + 1023) << 52);
}

/* exp(hi + lo) for |hi| < 750 and a lo far below hi. */
static double exp_sum(double hi, double lo) {
    double k = nearest(hi * 1.44269504088896338700);
    double a = hi - k * ln2_hi;
    double b = k * ln2_lo - lo;
    double r = a - b, t = r * r;
    double c =
        r - t * (1.66666666666666019037e-01 +
                 t * (-2.77777777770155933842e-03 +
                      t * (6.61375632143793436117e-05 +
                           t * (-1.65339022054652515390e-06 + t * 4.13813679705723846039e-08))));
    return scale_by(1.0 - ((b - r * c / (2.0 - c)) - a), (int)k);
}

double rl_exp(double x) {
    if (x != x || x > 709.8) {
        return x != x ? x : infinity;
    }
    return x < -746.0 ? 0.0 : exp_sum(x, 0.0);
}

/* x = 2^k * m with m in [sqrt(1/2), sqrt(2)), for finite x > 0. */
static double split_exponent(double x, int *k) {
    uint64_t bits;
    *k = 0;
    if (x < 2.2250738585072014e-308) { // subnormal
        x *= 18014398509481984.0;      // 2^54
        *k = -54;
    }
    // Adding puts the exponent's step at sqrt(2) instead of 2.
    bits = bits_of(x) + (0x3ff0000000000000u - 0x3fe6a09e667f3bcdu);
    *k += (int)(bits >> 52) - 1023;
    return from_bits((bits & 0x000fffffffffffffu) + 0x3fe6a09e667f3bcdu);
}

double rl_ln(double x) {
    double f, s, z, w, even, odd, half, r;
    int k;
    if (!(x > 0) || x == infinity) {
        return x == 0 ? -infinity : x > 0 ? x : not_a_number;
    }
    f = split_exponent(x, &k) - 1.0;
    s = f / (2.0 + f);
    z = s * s;
    w = z * z;
    even = w * (3.999999999940941908e-01 +
                w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01));
    odd = z * (6.666666666666735130e-01 +
               w * (2.857142874366239149e-01 +
                    w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)));
    half = 0.5 * f * f;
    r = even + odd;
    return k * ln2_hi - ((half - (s * (half + r) + k * ln2_lo)) - f);
}

/* x - n * pi/2 as hi + lo, pi/2 in three parts of 33 bits and a tail. */
static int quarter_turns(double x, double *hi, double *lo) {
    double n = nearest(x * 6.36619772367581382433e-01);
    double r = x - n * 1.57079632673412561417e+00;
    double second = n * 6.07710050630396597660e-11, third = n * 2.02226624871116645580e-21;
    double a = r - second, b = a - third, tail;
    tail = ((r - a) - second) + ((a - b) - third) - n * 8.47842766036889956997e-32;
    *hi = b + tail;
    *lo = (b - *hi) + tail;
    return (int)((int64_t)n & 3);
}

static double sin_small(double x, double lo) {
    double z = x * x, v = z * x;
    double r = 8.33333333332248946124e-03 +
               z * (-1.98412698298579493134e-04 +
                    z * (2.75573137070700676789e-06 +
                         z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10)));
    return x - ((z * (0.5 * lo - v * r) - lo) - v * -1.66666666666666324348e-01);
}

static double cos_small(double x, double lo) {
    double z = x * x, w = 0.5 * z, one = 1.0 - w;
    double r =
        z * (4.16666666666666019037e-02 +
             z * (-1.38888888888741095749e-03 +
                  z * (2.48015872894767294178e-05 +
                       z * (-2.75573143513906633035e-07 +
                            z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11)))));
    return one + (((1.0 - one) - w) + (z * r - x * lo));
}

/* sin of x plus `turn` quarter turns. */
static double sin_from(double x, int turn) {
    double hi, lo, y;
    if (!(fabs(x) < 1e15)) { // infinite, NaN, or without a fractional turn left
        return x - x;
    }
    turn += quarter_turns(x, &hi, &lo);
    y = turn & 1 ? cos_small(hi, lo) : sin_small(hi, lo);
    return turn & 2 ? -y : y;
}

double rl_sin(double x) {
    return sin_from(x, 0);
}

double rl_cos(double x) {
    return sin_from(x, 1);
}

/* a * b = *hi + *lo exactly, away from overflow and underflow. */
static void exact_product(double a, double b, double *hi, double *lo) {
    double a1 = a * 134217729.0, b1 = b * 134217729.0; // 2^27 + 1
    a1 = a1 - (a1 - a);
    b1 = b1 - (b1 - b);
    *hi = a * b;
    *lo = ((a1 * b1 - *hi) + a1 * (b - b1) + (a - a1) * b1) + (a - a1) * (b - b1);
}

/* log(x) as *hi + *lo, good to about 2^-65: log m = 2 s (1 + s^2/3 + s^4/5 + ...). */
static void log_sum(double x, double *hi, double *lo) {
    int k;
    double m = split_exponent(x, &k);
    double f = m - 1.0, g = m + 1.0, g_lo = m - (g - 1.0);
    double s = f / g, s_lo, z, z_lo, u, u_lo, p, p_lo, q, sum, rest;
    exact_product(s, g, &p, &p_lo);
    s_lo = ((f - p) - p_lo - s * g_lo) / g;
    exact_product(s, s, &z, &z_lo);
    z_lo += 2.0 * s * s_lo;
    q = 0;
    for (int n = 31; n >= 5; n -= 2) {
        q = q * z + 1.0 / n;
    }
    q *= z * z;
    exact_product(z, 1.0 / 3.0, &u, &u_lo);
    u_lo += z_lo * (1.0 / 3.0) + z * 1.850371707708594e-17; // 1/3 less its double
    p = u + q;
    u_lo += (u - p) + q;
    u = p;
    exact_product(s, u, &p, &p_lo);
    p_lo += s * u_lo + s_lo * u + s_lo;
    // k ln 2 + 2 (s + p); k * ln2_hi is exact.
    sum = s + p;
    rest = ((s - sum) + p) + p_lo;
    s = 2.0 * sum;
    rest *= 2.0;
    p = k * ln2_hi;
    sum = p + s;
    rest += (fabs(p) > fabs(s) ? (p - sum) + s : (s - sum) + p) + k * ln2_lo;
    *hi = sum + rest;
    *lo = (sum - *hi) + rest;
}

/* x > 0. */
static double pow_positive(double x, double y) {
    double hi, lo, p, p_lo;
    if (x == 1.0 || x == infinity) {
        return x == 1.0 ? 1.0 : y > 0 ? infinity : 0.0;
    }
    log_sum(x, &hi, &lo);
    p = y * hi;
    if (p > 709.9 || p < -746.0) {
        return p > 0 ? infinity : 0.0;
    }
    exact_product(y, hi, &p, &p_lo);
    return exp_sum(p, p_lo + y * lo);
}

double rl_pow(double x, double y) {
    if (y == 0) {
        return 1.0;
    }
    if (x != x || y != y) {
        return not_a_number;
    }
    if (x == 0) {
        return y > 0 ? 0.0 : infinity;
    }
    if (x > 0) {
        return pow_positive(x, y);
    }
    if (fabs(y) < 4503599627370496.0 && nearest(y) != y) { // 2^52: all larger ones are integers
        return not_a_number;
    }
    // Odd when half of it is no integer; beyond 2^53 all are even.
    if (fabs(y) < 9007199254740992.0 && 2.0 * nearest(y * 0.5) != y) {
        return -pow_positive(-x, y);
    }
    return pow_positive(-x, y);
}
