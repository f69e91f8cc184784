"use strict";
/* Figures in the page's colours, light or dark, drawn one after another once the rest of the page answers. */
const Charts = (() => {
  const CONFIG = { responsive: true, displaylogo: false, modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]] };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const figures = new Map();
  let library = null;
  let plan = null;
  let onPaper = false;

  /** Plotly's own script, which the page holds compressed. */
  function plotly() {
    library ??= (async () => {
      const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (letter) => letter.charCodeAt(0));
      const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
      const source = URL.createObjectURL(new Blob([await new Response(stream).text()], { type: "text/javascript" }));
      await new Promise((resolve, reject) => {
        document.head.append(Object.assign(document.createElement("script"), { src: source, onload: resolve, onerror: reject }));
      });
      URL.revokeObjectURL(source);
      return window.Plotly;
    })();
    return library;
  }

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function styled(layout) {
    const axis = { gridcolor: colour("--grid"), linecolor: colour("--line"), zeroline: false, automargin: true, minorloglabels: "none" };
    const narrow = document.documentElement.clientWidth < 700;
    const own = Object.fromEntries(["xaxis", "yaxis"].map((name) => [name, { ...axis, nticks: narrow ? 5 : 9, ...layout[name] }]));
    const shaded = (layout.shapes ?? []).map((shape) => ({ ...shape, line: { width: 0 }, fillcolor: "rgba(128,128,128,.12)", layer: "below" }));
    return {
      ...layout, ...own, shapes: shaded,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: colour("--ink"), size: narrow ? 11 : 12, family: "system-ui, sans-serif" },
      hoverlabel: { align: "left", bgcolor: colour("--card"), bordercolor: colour("--line"), font: { color: colour("--ink") } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--soft"), activecolor: colour("--accent") },
      margin: { t: 28, r: 10, b: 45, l: 55 },
      legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom" },
    };
  }

  /** A colour of the style sheet by its name, or the one of two, for light/dark, that the page is in. */
  function ink(value) {
    if (typeof value !== "string") return value;
    if (value.startsWith("--")) return colour(value);
    return /^#\w+\/#/.test(value) ? value.split("/")[dark.matches && !onPaper ? 1 : 0] : value;
  }

  const DATA = new Set(["x", "y", "text", "customdata"]);

  function inked(value) {
    if (Array.isArray(value)) return value.map(inked);
    if (value === null || typeof value !== "object") return ink(value);
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, DATA.has(key) ? each : inked(each)]));
  }

  async function draw(id) {
    const Plotly = await plotly();
    const figure = figures.get(id);
    if (!figure) return;
    await Plotly.react(figure.box, [...figure.traces.map(inked), ...planned(figure)], styled(figure.layout), CONFIG);
  }

  /** The planner's answer on the figures that have a place for it. */
  function planned(figure) {
    if (!figure.plan || !plan) return [];
    return Object.entries(figure.plan).map(([name, label]) => ({
      type: "scatter", mode: "markers", name: label, x: [plan.compute], y: [plan[name]], showlegend: false,
      marker: { symbol: "star", size: 15, color: colour("--plan"), line: { color: colour("--card"), width: 1 } },
      hovertemplate: `${label} %{y:.4s}<br>C %{x:.4s}<extra></extra>`,
    }));
  }

  function begin(given) {
    const holder = document.querySelector(".figures");
    for (const id of [...figures.keys()]) if (!given.some((figure) => figure.id === id)) {
      figures.get(id).box.closest("figure").remove();
      figures.delete(id);
    }
    for (const figure of given) figures.set(figure.id, { ...figure, box: figures.get(figure.id)?.box ?? framed(holder, figure) });
    return drawAll();
  }

  function framed(holder, { id, title, caption }) {
    const frame = document.createElement("figure");
    const box = Object.assign(document.createElement("div"), { className: "chart" });
    box.dataset.figure = id;
    box.setAttribute("role", "img");
    box.setAttribute("aria-label", `${title}. ${caption}`);
    frame.append(
      Object.assign(document.createElement("h3"), { textContent: title }), box,
      Object.assign(document.createElement("figcaption"), { textContent: caption }),
    );
    holder.append(frame);
    return box;
  }

  let due = 0;
  function showPlan(next) {
    plan = next;
    clearTimeout(due);
    due = setTimeout(() => {
      for (const [id, figure] of figures) if (figure.plan) draw(id);
    }, 80);
  }

  /** All figures, with a breath between two in which the page answers. */
  async function drawAll() {
    for (const id of figures.keys()) {
      await draw(id);
      await new Promise((resolve) => setTimeout(resolve));
    }
    performance.mark("drawn");
  }

  /** On paper colours are those of light, whatever the screen's are; there is no time for a breath. */
  function print(printing) {
    onPaper = printing;
    document.documentElement.toggleAttribute("data-printing", printing);
    for (const id of figures.keys()) draw(id);
  }

  dark.addEventListener("change", drawAll);
  window.addEventListener("beforeprint", () => print(true));
  window.addEventListener("afterprint", () => print(false));

  return { begin, showPlan };
})();
