"use strict";
/*
 * What isoflop.planning computes, for one law and all draws of its constants at once.
 *
 * Laws are of two terms f = A/N**g + B/D**h inside an outer function, so that the optimum of C = 6 N D is in closed form
 * (Hoffmann 2022, eq 4) and the cheapest model to train and to serve (Sardana 2024, eq 3) is the root of one equation.
 * Intervals are BCa (Efron 1987), as those of a fit are.
 */
const Planner = (() => {
  const FLOP_PER_PARAM_TOKEN = 6;
  const FLOP_PER_PARAM_SERVED = 2;
  const HALVINGS = 60;
  const LARGEST = Math.log(1e40);

  /** ln A, g, ln B and h of the terms, and the outer function with its inverse, by law. */
  const LAWS = {
    chinchilla: ({ A, B, E, alpha, beta }) => ({
      logA: Math.log(A), g: alpha, logB: Math.log(B), h: beta,
      loss: (terms) => E + terms,
    }),
    kaplan: ({ alpha_N, alpha_D, N_c, D_c }) => ({
      logA: (alpha_N / alpha_D) * Math.log(N_c), g: alpha_N / alpha_D, logB: Math.log(D_c), h: 1,
      loss: (terms) => terms ** alpha_D,
    }),
  };

  const sum = (law, n, d) => Math.exp(law.logA - law.g * Math.log(n)) + Math.exp(law.logB - law.h * Math.log(d));
  const lossAt = (law, n, d) => law.loss(sum(law, n, d));

  function optimum(law, compute) {
    const budget = Math.log(compute / FLOP_PER_PARAM_TOKEN);
    const logN = (Math.log(law.g / law.h) + law.logA - law.logB + law.h * budget) / (law.g + law.h);
    const n = Math.exp(logN);
    const d = Math.exp(budget - logN);
    return { n, d, ratio: d / n, loss: lossAt(law, n, d) };
  }

  /**
   * The least 6 N D + 2 N V of the optimum's loss: where 3 D (eps_N/eps_D - 1) = V. It rises with x = ln(s/(1 - s)), s being
   * the share of N's term.
   */
  function cheapest(law, usual, served) {
    const logTerms = Math.log(sum(law, usual.n, usual.d));
    const sizes = (x) => ({
      n: Math.exp((law.logA + Math.log1p(Math.exp(-x)) - logTerms) / law.g),
      d: Math.exp((law.logB + Math.log1p(Math.exp(x)) - logTerms) / law.h),
    });
    let low = Math.log(law.h / law.g);
    let high = LARGEST;
    for (let i = 0; i < HALVINGS; i++) {
      const x = (low + high) / 2;
      if (3 * sizes(x).d * ((law.g / law.h) * Math.exp(x) - 1) < served) low = x;
      else high = x;
    }
    const found = sizes(low);
    const { n, d } = found.n > 1 && Math.log(found.d) <= LARGEST ? found : { n: NaN, d: NaN };
    const cost = (n, d) => n * (FLOP_PER_PARAM_TOKEN * d + FLOP_PER_PARAM_SERVED * served);
    return { n, d, training: FLOP_PER_PARAM_TOKEN * n * d, cost: cost(n, d), saving: 1 - cost(n, d) / cost(usual.n, usual.d) };
  }

  /** The best use of a budget with so many unique tokens (Muennighoff 2023, eq 5 and 6). */
  function repeated(constants, compute, unique) {
    const { E, A, B, alpha, beta, R_D, R_N } = constants;
    const budget = Math.log(compute / FLOP_PER_PARAM_TOKEN);
    const worth = (all, once, decay) => once * (1 + decay * -Math.expm1((1 - all / once) / decay));
    const loss = (logN) => {
      const n = Math.exp(logN);
      const d = Math.exp(budget - logN);
      const dOnce = Math.min(unique, d);
      const nOnce = Math.min(n, ((alpha * A) / (beta * B)) ** (1 / alpha) * dOnce ** (beta / alpha));
      return E + A / worth(n, nOnce, R_N) ** alpha + B / worth(d, dOnce, R_D) ** beta;
    };
    const logN = lowest(loss, 0, budget);
    const d = Math.exp(budget - logN);
    return { n: Math.exp(logN), d, epochs: d / unique, loss: loss(logN) };
  }

  /** A grid, then golden sections around its lowest point. */
  function lowest(curve, low, high) {
    const GRID = 256;
    const GOLDEN = (Math.sqrt(5) - 1) / 2;
    const width = (high - low) / GRID;
    let best = 0;
    for (let i = 1; i <= GRID; i++) if (curve(low + i * width) < curve(low + best * width)) best = i;
    let left = low + Math.max(best - 1, 0) * width;
    let right = low + Math.min(best + 1, GRID) * width;
    for (let i = 0; i < HALVINGS; i++) {
      const nearer = right - GOLDEN * (right - left);
      const farther = left + GOLDEN * (right - left);
      if (curve(nearer) <= curve(farther)) right = farther;
      else left = nearer;
    }
    return (left + right) / 2;
  }

  /** Time, money and electricity of FLOPs on devices. */
  function bill(compute, device, { count, mfu, price }) {
    const hours = compute / (device.flops * mfu) / 3600;
    const [low, high] = device.watts ?? [NaN, NaN];
    return {
      days: hours / count / 24, hours, cost: hours * price, kwh: [(low * hours) / 1000, (high * hours) / 1000],
    };
  }

  /** Normal distribution, by a continued fraction in the tails and a series elsewhere. */
  function normal(x) {
    const z = Math.abs(x);
    const density = Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);
    if (z > 5) {
      let fraction = z;
      for (let k = 60; k >= 1; k--) fraction = z + k / fraction;
      return x > 0 ? 1 - density / fraction : density / fraction;
    }
    let term = z;
    let series = z;
    for (let k = 1; k < 120; k++) series += term *= (z * z) / (2 * k + 1);
    return x > 0 ? 0.5 + density * series : 0.5 - density * series;
  }

  /** Its inverse, by halving: there are two calls a quantity. */
  function inverseNormal(share) {
    let low = -9;
    let high = 9;
    for (let i = 0; i < HALVINGS; i++) {
      const middle = (low + high) / 2;
      if (normal(middle) < share) low = middle;
      else high = middle;
    }
    return (low + high) / 2;
  }

  function quantile(sorted, share) {
    const at = share * (sorted.length - 1);
    const below = Math.floor(at);
    const above = Math.min(below + 1, sorted.length - 1);
    return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
  }

  /** None where some draw has no value. */
  function interval(draws, value, pulls, reach) {
    if (draws.some(Number.isNaN)) return [NaN, NaN];
    const sorted = Float64Array.from(draws).sort();
    const n = sorted.length;
    let below = 0;
    for (const draw of draws) below += draw < value ? 1 : draw === value ? 0.5 : 0;
    const bias = inverseNormal(Math.min(Math.max(below / n, 0.5 / n), 1 - 0.5 / n));
    let square = 0;
    let cube = 0;
    for (const pull of pulls) {
      square += pull ** 2;
      cube += pull ** 3;
    }
    const skew = square > 0 ? cube / (6 * square ** 1.5) : 0;
    return [-reach, reach].map((side) => {
      const end = bias + side;
      return quantile(sorted, normal(bias + end / Math.max(1 - skew * end, 0.05)));
    });
  }

  function decoded(text, width) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const flat = new Float64Array(bytes.buffer);
    return Array.from({ length: flat.length / width }, (_, i) => flat.subarray(i * width, (i + 1) * width));
  }

  const DECADES_WORTH_SAYING = 0.05;

  /** How far N, D and C lie outside the runs, in words; empty inside. */
  function beyond(ranges, at) {
    const parts = [];
    for (const [name, [low, high]] of Object.entries(ranges)) {
      const above = Math.log10(at[name] / high);
      const under = Math.log10(low / at[name]);
      const far = Math.max(above, under);
      if (far < 1e-6) continue;
      const amount = far >= DECADES_WORTH_SAYING ? `${far.toFixed(1)} decades` : `${(100 * (10 ** far - 1)).toFixed(1)} %`;
      parts.push(`${amount} ${above > under ? "in" : "below"} ${name}`);
    }
    return parts.join(", ");
  }

  /** A function of settings {compute, unique, served, device, count, mfu, price} for a fit that the page holds. */
  function of(fit) {
    const width = fit.names.length;
    const named = (row) => LAWS[fit.law](Object.fromEntries(fit.names.map((name, i) => [name, row[i]])));
    const own = named(fit.own);
    const draws = decoded(fit.draws, width).map(named);
    const pulls = decoded(fit.pulls, width);
    const moved = fit.steps.map((step, i) => {
      const shifted = (sign) => named(fit.own.map((value, j) => (i === j ? value + sign * step : value)));
      return step > 0 ? { up: shifted(1), down: shifted(-1), step } : null;
    });

    /** Intervals of all quantities that `rule` makes of a law. */
    function intervals(rule) {
      if (!draws.length) return {};
      const values = rule(own);
      const drawn = draws.map(rule);
      const sides = moved.map((each) => each && { up: rule(each.up), down: rule(each.down), step: each.step });
      const found = {};
      for (const name of Object.keys(values)) {
        const slopes = sides.map((side) => (side ? (side.up[name] - side.down[name]) / (2 * side.step) : 0));
        const pulled = pulls.map((pull) => slopes.reduce((total, slope, i) => total + slope * pull[i], 0));
        found[name] = interval(drawn.map((each) => each[name]), values[name], pulled, fit.reach);
      }
      return found;
    }

    return (settings) => {
      const { compute, unique, served } = settings;
      const best = optimum(own, compute);
      const serving = (law) => {
        const { n, d, saving } = cheapest(law, optimum(law, compute), served);
        return { n, d, saving };
      };
      const once = Math.min(unique, best.d);
      const forced = compute / (FLOP_PER_PARAM_TOKEN * once);
      return {
        best, intervals: intervals((law) => optimum(law, compute)),
        beyond: beyond(fit.ranges, { N: best.n, D: best.d, C: compute }),
        epochs: best.d / unique,
        once: { n: forced, d: once, loss: lossAt(own, forced, once) },
        repeated: fit.repeats && repeated(fit.repeats, compute, unique),
        bill: bill(compute, fit.devices[settings.device], settings),
        serving: cheapest(own, best, served), servingIntervals: intervals(serving),
        servingBill: bill(cheapest(own, best, served).training, fit.devices[settings.device], settings),
      };
    };
  }

  return { of };
})();
