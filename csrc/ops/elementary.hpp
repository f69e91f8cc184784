// exp, log, tanh of vectors: minimax polynomials in float32, errors in units in the last place (ulp) as measured
// against float64. Infinities, noughts and NaN give what the functions of the C library give.
#pragma once

#include "simd.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

inline constexpr float log2_e = 1.4426950408889634F;

// c0 + c1 x + c2 x^2 + ...
inline Vector polynomial(Vector, float c0) { return broadcast(c0); }
template <class... More>
inline Vector polynomial(Vector x, float c0, More... more) {
  return polynomial(x, more...) * x + c0;
}

// The whole number next to x, as a float; |x| below 2^22.
inline Vector nearest(Vector x) {
  constexpr float shift = 0x1.8p23F;
  return (x + shift) - shift;
}

// x from low to high, or no number.
inline Vector bounded(Vector x, float low, float high) { return smaller(broadcast(high), larger(broadcast(low), x)); }

// 2^n of whole n from -252 to 254, in two steps: the smallest numbers have fewer bits than the others.
inline Vector scaled(Vector x, Vector n) {
#if defined(__AVX512F__)
  return _mm512_maskz_scalef_ps(0xffff, x, n);
#else
  const Ints whole = __builtin_convertvector(n, Ints), half = whole >> 1;
  return x * (Vector)((half + 127) << 23) * (Vector)((whole - half + 127) << 23);
#endif
}

// e^x; at most 1 ulp, at most 1 of the smallest numbers where the result is below 2^-126.
inline Vector exp(Vector x) {
  x = bounded(x, -104.0F, 89.0F);  // beyond: nought and infinity
  const Vector n = nearest(x * 0x1.715476p0F);
  const Vector r = (x - n * 0x1.62e4p-1F) - n * 0x1.7f7d1cp-20F;  // ln 2 in two parts: the first times n is exact
  const Vector tail = polynomial(r, 0.49999994F, 0.1666652F, 0.0416684F, 0.008368852F, 0.0013814318F);
  return scaled(r * r * tail + r + 1.0F, n);
}

// 2^x; as exp.
inline Vector exp2(Vector x) {
  x = bounded(x, -151.0F, 129.0F);
  const Vector n = nearest(x), r = x - n;
  return scaled(polynomial(r, 1.0F, 0.6931472F, 0.24022648F, 0.05550332F, 0.00961844F, 0.0013399133F, 0.00015353152F),
                n);
}

// 2^x within 3e-6 of itself, x below 128: for what is rounded to bfloat16, at two thirds of the time.
inline Vector rough_exp2(Vector x) {
  x = larger(broadcast(-151.0F), x);
  const Vector n = nearest(x), r = x - n;
  return scaled(polynomial(r, 0.9999993F, 0.6931218F, 0.24024746F, 0.05591786F, 0.009570086F), n);
}

// ln x; at most 1 ulp.
inline Vector log(Vector x) {
  const Vector grown = x < 0x1p-126F ? x * 0x1p23F : x;  // a number of all its bits
  const Ints bits = (Ints)grown;
  // x = 2^n m, m from sqrt(1/2) to sqrt(2)
  const Ints shifted = bits - 0x3f3504f3;
  const Vector m = (Vector)((shifted & 0x7fffff) + 0x3f3504f3);
  const Vector n = __builtin_convertvector(shifted >> 23, Vector) - (x < 0x1p-126F ? broadcast(23.0F) : Vector{});
  const Vector f = m - 1.0F;
  const Vector tail = polynomial(f, 0.3333333F, -0.25000823F, 0.20001227F, -0.16623357F, 0.14201762F, -0.13160194F,
                                 0.1276155F, -0.0763443F);
  const Vector y = ((f * f * f * tail + n * 0x1.7f7d1cp-20F) - 0.5F * f * f) + f + n * 0x1.62e4p-1F;
  const Vector finite = x > __FLT_MAX__ ? x : y;  // infinity, and below NaN
  return x > 0.0F ? finite : x == 0.0F ? broadcast(-__builtin_inff()) : broadcast(__builtin_nanf(""));
}

inline Vector magnitude(Vector x) { return (Vector)((Ints)x & 0x7fffffff); }

// The magnitude of `size` with the sign of `sign`.
inline Vector with_sign(Vector size, Vector sign) {
  return (Vector)(((Ints)size & 0x7fffffff) | ((Ints)sign & static_cast<std::int32_t>(0x80000000)));
}

// At most 2 ulp.
inline Vector tanh(Vector x) {
  const Vector size = magnitude(x), square = x * x;
  const Vector tail = polynomial(square, -0.333333F, 0.13331924F, -0.05378383F, 0.020795975F, -0.005895162F);
  const Vector near = x + x * square * tail;
  const Vector far = 1.0F - 2.0F / (exp(2.0F * size) + 1.0F);
  return size < 0.6F ? near : with_sign(far, x);
}

struct Sigmoid {
  Vector value, slope;
};

// s = 1/(1 + e^-x) and s (1 - s), each of at most 3 ulp however large x is.
inline Sigmoid sigmoid(Vector x) {
  const Vector e = exp(-magnitude(x)), share = 1.0F / (1.0F + e), below = e * share;
  return {x >= 0.0F ? share : below, below * share};
}

}  // namespace isoflop::ops::ISOFLOP_ISA
