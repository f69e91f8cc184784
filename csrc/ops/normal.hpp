// The normal distribution at vectors: its share below z, and its density, as the gradient of GELU takes both.
#pragma once

#include "elementary.hpp"
#include "instructions.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

struct Normal {
  Vector share, density;
};

#if defined(__AVX512F__)

// Polynomials of the share on 32 pieces, coefficients by power and piece, found in lanes by one permutation each: less
// than half the time of erf and exp. Fitted at Chebyshev's points of the distance from a piece's middle; the pieces are
// counted from that around 0, those below it from the end; the outermost are 0 and 1.
inline constexpr float normal_pieces_a_unit = 2.6F;
inline constexpr int normal_degree = 6;
// clang-format off
alignas(64) inline constexpr float normal_pieces[normal_degree + 1][32] = {
    {0.5F, 0.6497388F, 0.7791218F, 0.87571836F, 0.9380321F, 0.9727648F, 0.9894919F, 0.99645203F, 0.99895424F,
     0.9997315F, 0.99994F, 0.9999884F, 0.99999803F, 0.9999997F, 0.99999994F, 1.0F, 0.0F, 3.9817096e-09F,
     3.629986e-08F, 2.8665158e-07F, 1.9618399e-06F, 1.1644675e-05F, 5.999322e-05F, 0.0002685487F, 0.0010457464F,
     0.0035479723F, 0.010508128F, 0.027235195F, 0.061967902F, 0.12428162F, 0.22087817F, 0.3502612F},
    {0.15343934F, 0.14249983F, 0.11414246F, 0.07885611F, 0.046987113F, 0.02414779F, 0.0107036345F, 0.004092045F,
     0.0013492885F, 0.00038372894F, 9.4123854e-05F, 1.9912712e-05F, 3.6334304e-06F, 5.7181984e-07F, 7.7617194e-08F,
     0.0F, 0.0F, 9.0868495e-09F, 7.7617194e-08F, 5.7181984e-07F, 3.6334304e-06F, 1.9912712e-05F, 9.4123854e-05F,
     0.00038372894F, 0.0013492885F, 0.004092045F, 0.0107036345F, 0.02414779F, 0.046987113F, 0.07885611F, 0.11414246F,
     0.14249983F},
    {-8.8733896e-16F, -0.0105399275F, -0.016884979F, -0.017497659F, -0.013901512F, -0.008930396F, -0.004750134F,
     -0.0021186625F, -0.0007983956F, -0.00025544083F, -6.9618196e-05F, -1.6201144e-05F, -3.2249266e-06F,
     -5.498231e-07F, -8.037188e-08F, 0.0F, 0.0F, 1.0081367e-08F, 8.037188e-08F, 5.498231e-07F, 3.2249266e-06F,
     1.6201144e-05F, 6.9618196e-05F, 0.00025544083F, 0.0007983956F, 0.0021186625F, 0.004750134F, 0.008930396F,
     0.013901512F, 0.017497659F, 0.016884979F, 0.0105399275F},
    {-0.0037829408F, -0.002993546F, -0.001149004F, 0.00064416975F, 0.0015834222F, 0.0016064169F, 0.0011414873F,
     0.0006304189F, 0.00028168655F, 0.00010389935F, 3.2005897e-05F, 8.295454e-06F, 1.8181705e-06F, 3.3820314e-07F,
     5.3533782e-08F, 0.0F, 0.0F, 7.225519e-09F, 5.3533768e-08F, 3.382031e-07F, 1.8181705e-06F, 8.295454e-06F,
     3.2005897e-05F, 0.00010389935F, 0.00028168655F, 0.0006304189F, 0.0011414873F, 0.0016064169F, 0.0015834222F,
     0.00064416975F, -0.001149004F, -0.002993546F},
    {1.184795e-14F, 0.00037056155F, 0.0005012725F, 0.00035992695F, 0.00010850511F, -7.686302e-05F, -0.00013617032F,
     -0.00011096254F, -6.365471e-05F, -2.828475e-05F, -1.0120759e-05F, -2.9755722e-06F, -7.2752255e-07F,
     -1.4908919e-07F, -2.574737e-08F, 0.0F, 0.0F, 3.7620747e-09F, 2.5747417e-08F, 1.490892e-07F, 7.2752255e-07F,
     2.9755722e-06F, 1.0120759e-05F, 2.828475e-05F, 6.365471e-05F, 0.00011096254F, 0.00013617032F, 7.686302e-05F,
     -0.00010850511F, -0.00035992695F, -0.0005012725F, -0.00037056155F},
    {8.3298924e-05F, 5.5116307e-05F, -3.956886e-06F, -4.5784895e-05F, -4.7702786e-05F, -2.429503e-05F,
     -1.3049308e-06F, 8.8815295e-06F, 8.78325e-06F, 5.2355153e-06F, 2.3000505e-06F, 7.939479e-07F, 2.218571e-07F,
     5.103374e-08F, 9.766076e-09F, 0.0F, 0.0F, 1.5659359e-09F, 9.766136e-09F, 5.1033794e-08F, 2.2185716e-07F,
     7.939479e-07F, 2.3000505e-06F, 5.2355153e-06F, 8.78325e-06F, 8.8815295e-06F, -1.3049307e-06F, -2.429503e-05F,
     -4.7702786e-05F, -4.5784895e-05F, -3.956886e-06F, 5.5116307e-05F},
    {-3.238635e-14F, -8.610189e-06F, -9.622601e-06F, -3.6787708e-06F, 2.5532909e-06F, 4.479297e-06F, 2.8535678e-06F,
     6.465648e-07F, -4.7518304e-07F, -5.991571e-07F, -3.6394763e-07F, -1.549046e-07F, -5.0648815e-08F,
     -1.322899e-08F, -2.8187928e-09F, 0.0F, 0.0F, 4.9624627e-10F, 2.8186564e-09F, 1.3228969e-08F, 5.0648755e-08F,
     1.5490453e-07F, 3.639476e-07F, 5.99157e-07F, 4.7518304e-07F, -6.465648e-07F, -2.8535678e-06F, -4.479297e-06F,
     -2.5532909e-06F, 3.6787708e-06F, 9.622601e-06F, 8.610188e-06F},
};
inline constexpr int rough_normal_degree = 4;  // of the same, for what is rounded to bfloat16
alignas(64) inline constexpr float rough_normal_pieces[rough_normal_degree + 1][32] = {
    {0.5F, 0.6497388F, 0.7791218F, 0.87571836F, 0.9380321F, 0.9727648F, 0.9894919F, 0.99645203F, 0.99895424F,
     0.9997314F, 0.99994F, 0.9999884F, 0.99999803F, 0.9999997F, 0.99999994F, 1.0F, 0.0F, 3.981952e-09F, 3.6301238e-08F,
     2.8665804e-07F, 1.9618647e-06F, 1.1644751e-05F, 5.99934e-05F, 0.000268549F, 0.0010457466F, 0.003547972F,
     0.010508127F, 0.027235193F, 0.061967902F, 0.12428162F, 0.22087817F, 0.3502612F},
    {0.1534377F, 0.14249875F, 0.11414254F, 0.078857005F, 0.046988044F, 0.024148265F, 0.01070366F, 0.0040918714F,
     0.0013491169F, 0.00038362667F, 9.407893e-05F, 1.9897205e-05F, 3.6290971e-06F, 5.708231e-07F, 7.742645e-08F, 0.0F,
     0.0F, 9.056265e-09F, 7.742645e-08F, 5.708231e-07F, 3.6290971e-06F, 1.9897205e-05F, 9.407893e-05F, 0.00038362667F,
     0.0013491169F, 0.0040918714F, 0.01070366F, 0.024148265F, 0.046988044F, 0.078857005F, 0.11414254F, 0.14249875F},
    {1.4780044e-15F, -0.010539625F, -0.01688464F, -0.017497528F, -0.0139016025F, -0.008930554F, -0.004750234F,
     -0.0021186853F, -0.0007983789F, -0.00025541976F, -6.96054e-05F, -1.6195698e-05F, -3.223146e-06F, -5.49358e-07F,
     -8.0272784e-08F, 0.0F, 0.0F, 1.0063921e-08F, 8.0272784e-08F, 5.49358e-07F, 3.223146e-06F, 1.6195698e-05F,
     6.96054e-05F, 0.00025541976F, 0.0007983789F, 0.0021186853F, 0.004750234F, 0.008930554F, 0.0139016025F,
     0.017497528F, 0.01688464F, 0.010539625F},
    {-0.0037569099F, -0.002976322F, -0.0011502405F, 0.000629862F, 0.001568515F, 0.0015988247F, 0.0011410795F,
     0.00063319434F, 0.0002844313F, 0.000105535444F, 3.2724663e-05F, 8.543562e-06F, 1.8875008e-06F, 3.5415118e-07F,
     5.6585684e-08F, 0.0F, 0.0F, 7.714874e-09F, 5.6585687e-08F, 3.5415118e-07F, 1.8875008e-06F, 8.543562e-06F,
     3.2724663e-05F, 0.000105535444F, 0.0002844313F, 0.00063319434F, 0.0011410795F, 0.0015988247F, 0.001568515F,
     0.000629862F, -0.0011502405F, -0.002976322F},
    {-7.639119e-15F, 0.00036733272F, 0.00049766403F, 0.0003585474F, 0.00010946259F, -7.5183285e-05F, -0.00013510023F,
     -0.00011072008F, -6.383291e-05F, -2.8509434e-05F, -1.0257239e-05F, -3.0336614e-06F, -7.4651587e-07F,
     -1.5405007e-07F, -2.6804424e-08F, 0.0F, 0.0F, 3.9481676e-09F, 2.6804413e-08F, 1.5405006e-07F, 7.465158e-07F,
     3.0336614e-06F, 1.0257239e-05F, 2.8509434e-05F, 6.383291e-05F, 0.00011072008F, 0.00013510023F, 7.5183285e-05F,
     -0.00010946259F, -0.0003585474F, -0.00049766403F, -0.00036733272F},
};
// clang-format on

// Of so many vectors, in step: one of them is a chain that fills what the processor looks ahead.
template <int degree, int count>
[[gnu::always_inline]] inline void normal_of_pieces(const float (&pieces)[degree + 1][32], const Vector (&z)[count],
                                                    Normal (&of)[count]) {
  constexpr float shift = 0x1.8p23F;  // the last bits of what is added to it are a whole number
  Vector shifted[count], at[count], value[count], slope[count];
#pragma GCC unroll 4
  for (int i = 0; i < count; ++i) {
    const Vector inside = bounded(z[i], -16.0F / normal_pieces_a_unit, 15.0F / normal_pieces_a_unit);
    shifted[i] = inside * normal_pieces_a_unit + shift;
    at[i] = inside * normal_pieces_a_unit - (shifted[i] - shift);
  }
#pragma GCC unroll 8
  for (int power = degree; power >= 0; --power) {
#pragma GCC unroll 4
    for (int i = 0; i < count; ++i) {
      if (power < degree) slope[i] = power < degree - 1 ? slope[i] * at[i] + value[i] : value[i];
      const Vector next = pick(pieces[power], shifted[i]);
      value[i] = power < degree ? value[i] * at[i] + next : next;
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < count; ++i) of[i] = {value[i], slope[i] * normal_pieces_a_unit};
}

// Errors of both at most 1e-7.
inline Normal normal(Vector z) {
  Normal of[1];
  normal_of_pieces<normal_degree>(normal_pieces, {z}, of);
  return of[0];
}

// The share within 2e-7, the density within 3e-5.
template <int count>
[[gnu::always_inline]] inline void rough_normal(const Vector (&z)[count], Normal (&of)[count]) {
  normal_of_pieces<rough_normal_degree>(rough_normal_pieces, z, of);
}

#else

// Of -|z| the share is the density times a polynomial in 1/(1 + .28 |z|), within 1e-8 (Hastings 1955, his form): with
// the exponential that the density takes anyway, half the time of erf. Errors of both at most 2e-7.
inline Normal normal(Vector z) {
  const Vector bell = exp(-0.5F * z * z), t = 1.0F / (1.0F + 0.28F * magnitude(z));
  const Vector beyond =
      bell * (t * polynomial(t, 0.116520941F, 0.0674957112F, 0.268912792F, -0.236996756F, 0.389876038F, -0.105808742F));
  return {z >= 0.0F ? 1.0F - beyond : beyond, 0.3989422804014327F * bell};
}

template <int count>
[[gnu::always_inline]] inline void rough_normal(const Vector (&z)[count], Normal (&of)[count]) {
  for (int i = 0; i < count; ++i) of[i] = normal(z[i]);
}

#endif

}  // namespace isoflop::ops::ISOFLOP_ISA
