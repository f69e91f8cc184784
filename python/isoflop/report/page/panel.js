"use strict";
/* The planner's controls and its answers. A control is a slider over a logarithmic range and a field of the exact value. */
const Panel = (() => {
  const STEPS = 1000;
  /** Decades that a slider covers about the value it begins with, the ends that it keeps to, and what is allowed. */
  const RANGES = {
    compute: { about: [-4, 12], least: 1, most: 1e35 },
    unique: { about: [-4, 9], least: 1, most: 1e30 },
    served: { about: [-4, 9], least: 1, most: 1e30 },
    count: { ends: [1, 1e5], least: 1, most: 1e7, whole: true },
    mfu: { ends: [1, 100], least: 0.01, most: 100 },
    price: { ends: [0.1, 100], least: 1e-6, most: 1e6 },
  };
  const at = (id) => document.getElementById(id);
  const settings = {};
  const sliders = {};
  let answer = null;
  let fit = null;
  let listener = () => {};

  function number(value) {
    if (!Number.isFinite(value)) return "–";
    if (value === 0) return "0";
    const size = Math.abs(value);
    if (size >= 1e6 || size < 1e-3) return value.toExponential(3).replace(/\.?0*e\+?/, "e");
    return String(Number(value.toPrecision(4)));
  }

  function begin(given, heard) {
    const first = fit === null;
    fit = given;
    listener = heard;
    answer = Planner.of(fit);
    at("level").textContent = `${Math.round(1000 * fit.level) / 10} % interval`;
    if (first) {
      fillDevices();
      const start = { ...fit.start, mfu: 100 * fit.start.mfu };
      for (const name of Object.keys(RANGES)) connect(name, start[name]);
      at("device").value = start.device;
      at("device").addEventListener("change", () => show(true));
    }
    show(true);
  }

  function fillDevices() {
    for (const [key, device] of Object.entries(fit.devices)) at("device").add(new Option(device.name, key));
  }

  function connect(name, start) {
    const { about, ends, least, most, whole } = RANGES[name];
    const [low, high] = (ends ?? about.map((decades) => start * 10 ** decades)).map((end) => Math.min(Math.max(end, least), most));
    const slider = at(`${name}-slider`);
    const field = at(name);
    const place = (value) => Math.round((STEPS * Math.log(value / low)) / Math.log(high / low));
    const follow = (value) => {
      settings[name] = value;
      slider.value = place(value);
      slider.setAttribute("aria-valuetext", number(value));
    };
    slider.addEventListener("input", () => {
      const value = low * (high / low) ** (slider.value / STEPS);
      settings[name] = whole ? Math.round(value) : Number(value.toPrecision(3));
      slider.setAttribute("aria-valuetext", number(settings[name]));
      field.value = number(settings[name]);
      field.removeAttribute("aria-invalid");
      showSoon();
    });
    slider.addEventListener("change", () => show(true));
    field.addEventListener("change", () => {
      const value = Number(field.value.replaceAll(/[\s,_]/g, ""));
      const good = value >= least && value <= most && (!whole || Number.isInteger(value));
      if (!good) {
        field.setAttribute("aria-invalid", "true");
        field.title = `a number from ${number(least)} to ${number(most)}, as in 1e21`;
        return;
      }
      field.removeAttribute("aria-invalid");
      field.removeAttribute("title");
      follow(value);
      show(true);
    });
    follow(whole ? start : Number(start.toPrecision(4)));
    field.value = number(settings[name]);
  }

  let waiting = 0;
  function showSoon() {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => show(false));
  }

  /** Everything that follows of the settings; `settled` when it is worth reading out. */
  function show(settled) {
    const asked = { ...settings, mfu: settings.mfu / 100, device: at("device").value };
    const said = answer(asked);
    const { best } = said;
    const sentence = `N = ${number(best.n)} parameters on D = ${number(best.d)} tokens; expect a loss of ${number(best.loss)} nats/token.`;
    if (settled) at("answer").textContent = sentence;
    at("outside").hidden = said.beyond === "";
    at("outside").textContent = `Extrapolation by ${said.beyond}: the intervals hold only if the law does.`;
    at("quantities").replaceChildren(...rows(asked, said));
    listener(asked, said);
  }

  function rows(asked, said) {
    const { best, intervals, once, repeated, serving, servingIntervals: lifelong, epochs } = said;
    const short = epochs > 1;
    return [
      heading(`Compute-optimal training with ${number(asked.compute)} FLOP`),
      row("n", "N*", best.n, intervals.n, "parameters"),
      row("d", "D*", best.d, intervals.d, "tokens"),
      row("ratio", "D*/N*", best.ratio, intervals.ratio, "tokens per parameter"),
      row("loss", "L*", best.loss, intervals.loss, "nats/token"),
      heading(short ? `Only ${number(asked.unique)} tokens are at hand` : `${number(asked.unique)} tokens at hand are enough`),
      row("epochs", "epochs", epochs, null, short ? "over them would D* take" : "over them are D*"),
      ...(short ? [
        ...(repeated ? [
          row("repeated-n", "N", repeated.n, null, "parameters, best with repeats"),
          row("repeated-d", "D", repeated.d, null, `tokens in ${number(repeated.epochs)} epochs`),
          row("repeated-loss", "L", repeated.loss, null, "nats/token, by the Chinchilla law of these runs; published worth of repeats"),
        ] : []),
        row("once-n", "N", once.n, null, "parameters, were each token seen once"),
        row("once-loss", "L", once.loss, null, "nats/token then"),
      ] : []),
      heading(`On ${number(asked.count)} × ${fit.devices[asked.device].name} at ${number(100 * asked.mfu)} % of its bf16 peak`),
      ...billed("bill", said.bill),
      heading(`Cheapest at that loss to train and to serve ${number(asked.served)} tokens`),
      row("serving-n", "N", serving.n, lifelong.n, "parameters"),
      row("serving-d", "D", serving.d, lifelong.d, "tokens"),
      row("serving-cost", "C", serving.cost, null, "FLOP for both"),
      row("serving-saving", "saves", 100 * serving.saving, lifelong.saving?.map((end) => 100 * end), "% of the compute-optimal model's cost"),
      ...billed("serving-bill", said.servingBill).slice(0, 2),
    ];
  }

  const UNITS = [[1, "days"], [24, "hours"], [1440, "minutes"], [86400, "seconds"]];

  /** Days in the largest unit of which there are two. */
  function lasting(days) {
    const [per, unit] = UNITS.find(([per]) => days * per >= 2) ?? UNITS.at(-1);
    return { amount: days * per, unit };
  }

  function billed(id, { days, hours, cost, kwh }) {
    const { amount, unit } = lasting(days);
    const lines = [
      row(`${id}-time`, "time", amount, null, `${unit}, or ${number(hours)} device-hours`),
      row(`${id}-cost`, "cost", cost, null, "to pay, in the currency of the price"),
    ];
    if (!Number.isNaN(kwh[0])) {
      lines.push(row(`${id}-kwh`, "energy", (kwh[0] + kwh[1]) / 2, kwh, "kWh, at 70 to 100 % of the devices' design power"));
    }
    return lines;
  }

  function heading(text) {
    const line = document.createElement("tr");
    line.className = "head";
    line.append(cell("th", text, { colSpan: 4, scope: "rowgroup" }));
    return line;
  }

  function row(id, symbol, value, interval, meaning) {
    const line = document.createElement("tr");
    line.dataset.quantity = id;
    const range = interval && interval.every(Number.isFinite) ? `${number(interval[0])} to ${number(interval[1])}` : "";
    line.append(
      cell("th", symbol, { scope: "row" }), cell("td", number(value), { className: "number" }),
      cell("td", range), cell("td", meaning),
    );
    return line;
  }

  const cell = (kind, text, more = {}) => Object.assign(document.createElement(kind), { textContent: text, ...more });

  return { begin, number };
})();
