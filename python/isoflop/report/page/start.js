"use strict";
/* The page begins: what it holds is shown, and shown again where a sweep goes on and the page is served. */
(() => {
  const EVERY = 2000;

  function show({ planner, figures }) {
    for (const id of ["planner", "figures"]) document.getElementById(id).hidden = planner === null;
    if (planner === null) return;
    Panel.begin(planner, (asked, said) => Charts.showPlan({ compute: asked.compute, ...said.best }));
    Charts.begin(figures);
  }

  function say(text) {
    const line = document.getElementById("live");
    line.hidden = false;
    if (line.textContent !== text) line.textContent = text;
  }

  /** Ask for what is new; the server answers 204 where nothing is. */
  async function look(version) {
    try {
      const answer = await fetch(`news${location.search}&since=${version}`, { cache: "no-store" });
      if (answer.status === 200) {
        const news = await answer.json();
        version = news.version;
        for (const [id, html] of Object.entries(news.sections)) {
          const place = id === "runs" ? document.querySelector("#runs .scroll") : document.getElementById(id);
          place.innerHTML = html;
        }
        Runs.begin();
        show(news.data);
      } else if (answer.status !== 204) throw new Error(answer.statusText);
      say(`Live: as of ${new Date().toLocaleTimeString()}`);
    } catch {
      say("No longer live: what served this page has stopped.");
      return;
    }
    setTimeout(look, EVERY, version);
  }

  const data = JSON.parse(document.getElementById("data").textContent);
  Runs.begin();
  show(data);
  performance.mark("interactive");
  if (data.version !== null) look(data.version);
})();
