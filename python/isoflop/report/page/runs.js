"use strict";
/* The table of runs: headings sort it, words filter it. Cells are text; what sorts as a number says so in data-value. */
const Runs = (() => {
  let asked = { column: null, ascending: true };
  let lines = [];

  function begin() {
    const table = document.querySelector("#runs table");
    if (!table) return;
    lines = [...table.tBodies[0].rows].map((row) => ({
      row,
      text: row.textContent.toLowerCase(),
      values: [...row.cells].map((cell) => (cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value))),
    }));
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: heading.textContent });
      button.addEventListener("click", () => {
        asked = { column, ascending: asked.column === column ? !asked.ascending : true };
        sort(table);
      });
      heading.replaceChildren(button);
    });
    document.getElementById("filter").hidden = false;
    if (asked.column !== null) sort(table);
    filter();
  }

  function sort(table) {
    const { column, ascending } = asked;
    [...table.tHead.rows[0].cells].forEach((heading, i) => {
      if (i === column) heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      else heading.removeAttribute("aria-sort");
    });
    const absent = (value) => value === "" || Number.isNaN(value);
    const sign = ascending ? 1 : -1;
    lines.sort(({ values: one }, { values: other }) => {
      const [a, b] = [one[column], other[column]];
      if (absent(a) || absent(b)) return absent(a) - absent(b);
      return sign * (typeof a === "number" ? a - b : a < b ? -1 : a > b ? 1 : 0);
    });
    table.tBodies[0].replaceChildren(...lines.map(({ row }) => row));
  }

  function filter() {
    const words = document.getElementById("find").value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const { row, text } of lines) {
      row.hidden = !words.every((word) => text.includes(word));
      shown += !row.hidden;
    }
    document.getElementById("shown").textContent = `${shown} of ${lines.length} runs`;
  }

  document.getElementById("find").addEventListener("input", filter);
  document.getElementById("filter").addEventListener("submit", (event) => event.preventDefault());

  return { begin };
})();
