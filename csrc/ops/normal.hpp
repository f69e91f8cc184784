// The normal distribution at vectors: its share below z, and its density, as the gradient of GELU takes both.
#pragma once

#include "elementary.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

struct Normal {
  Vector share, density;
};

#if defined(__AVX512F__)

// Polynomials of share - 1/2 on pieces a third wide, coefficients by power and piece, found in lanes by one permutation
// each: half the time of erf and exp. Fitted at Chebyshev's points; beyond 16/3 the share is 0 or 1.
inline constexpr int normal_pieces_a_unit = 3, normal_degree = 6;
alignas(64) inline constexpr float normal_pieces[normal_degree + 1][16] = {
    {-6.1064577e-11F, 0.130558655F, 0.247507468F, 0.341344744F, 0.40878877F, 0.452209651F, 0.477249861F, 0.490184665F,
     0.496169627F, 0.498650104F, 0.499570936F, 0.499877125F, 0.49996832F, 0.499992669F, 0.49999848F, 0.499999702F},
    {0.132980764F, 0.125794411F, 0.106482662F, 0.080656901F, 0.0546700209F, 0.0331590474F, 0.0179969892F,
     0.00874063093F, 0.00379866292F, 0.00147728308F, 0.000514092913F, 0.000160090058F, 4.46099621e-05F, 1.11235649e-05F,
     2.48199331e-06F, 4.95565985e-07F},
    {-9.59863087e-08F, -0.00698861247F, -0.0118313665F, -0.0134427445F, -0.0121488431F, -0.00921083707F,
     -0.00599901564F, -0.00339915697F, -0.00168830797F, -0.000738644914F, -0.000285605551F, -9.78303069e-05F,
     -2.97382394e-05F, -8.03282546e-06F, -1.93010101e-06F, -4.12861709e-07F},
    {-0.00246202853F, -0.00207047863F, -0.00109574338F, -4.38487632e-07F, 0.000787116529F, 0.00109159853F,
     0.000999946729F, 0.000719533535F, 0.000429972948F, 0.0002188785F, 9.62504564e-05F, 3.68775763e-05F,
     1.23807458e-05F, 3.65663345e-06F, 9.5285202e-07F, 2.19547658e-07F},
    {-1.66318694e-06F, 0.00018630283F, 0.000280629756F, 0.000250191486F, 0.000138393181F, 1.91319941e-05F,
     -5.58650499e-05F, -7.7337223e-05F, -6.45086038e-05F, -4.11011461e-05F, -2.14232095e-05F, -9.41643611e-06F,
     -3.54816302e-06F, -1.15773742e-06F, -3.29315384e-07F, -8.20456378e-08F},
    {4.35097354e-05F, 3.13695818e-05F, 4.90277307e-06F, -1.84216169e-05F, -2.6711632e-05F, -2.0606265e-05F,
     -8.80912921e-06F, 5.71479404e-07F, 4.62761273e-06F, 4.66446045e-06F, 3.12637258e-06F, 1.63205232e-06F,
     7.00613498e-07F, 2.53863277e-07F, 7.88069485e-08F, 2.11584084e-08F},
    {-1.82831013e-06F, -4.1899425e-06F, -3.8051312e-06F, -1.45597608e-06F, 8.90576246e-07F, 1.88748436e-06F,
     1.55629539e-06F, 7.06213257e-07F, 3.56882666e-08F, -2.42203157e-07F, -2.47011798e-07F, -1.57794787e-07F,
     -7.71032731e-08F, -3.0702644e-08F, -1.02611217e-08F, -2.92629521e-09F},
};

// Errors of both at most 1.2e-7.
inline Normal normal(Vector z) {
  constexpr float last = 0x1.fffffep3F;  // below 16
  const Vector place = magnitude(z) * static_cast<float>(normal_pieces_a_unit);
  const Vector bounded = place > last ? broadcast(last) : place;
  const __m512i piece = _mm512_maskz_cvttps_epi32(0xffff, bounded);
  const Vector at = bounded - (Vector)_mm512_maskz_cvtepi32_ps(0xffff, piece);
  Vector value{}, slope{};
#pragma GCC unroll 8
  for (int power = normal_degree; power >= 0; --power) {
    if (power < normal_degree) slope = slope * at + value;
    const Vector next = _mm512_maskz_permutexvar_ps(0xffff, piece, _mm512_load_ps(normal_pieces[power]));
    value = power < normal_degree ? value * at + next : next;
  }
  const Vector half = place > last ? broadcast(0.5F) : value, density = place > last ? Vector{} : slope;
  return {0.5F + with_sign(half, z), density * static_cast<float>(normal_pieces_a_unit)};
}

#else

inline Normal normal(Vector z) {
  return {0.5F * (1.0F + erf(z * 0.7071067811865476F)), 0.3989422804014327F * exp(-0.5F * z * z)};
}

#endif

}  // namespace isoflop::ops::ISOFLOP_ISA
