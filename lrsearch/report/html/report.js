"use strict";
(() => {
  const all = (where, what) => Array.from(where.querySelectorAll(what));
  let sorted = null; // which column of the trials is sorted, and which way
  let only = null; // the optimizer that is shown alone

  function show(name) {
    only = name;
    const figure = document.querySelector("#rates");
    if (!figure) return;
    for (const each of all(figure, ".point, .strip"))
      each.classList.toggle("dim", name !== null && !each.classList.contains(name));
    for (const each of all(figure, "[data-only]"))
      each.setAttribute("aria-pressed", String(each.dataset.only === name));
  }

  function valueOf(row, column, kind) {
    const cell = row.cells[Math.min(column, row.cells.length - 1)];
    const text = cell.dataset.v ?? cell.textContent;
    if (kind === "t") return text;
    return text === "" || Number.isNaN(Number(text)) ? null : Number(text);
  }

  function sort(column, down) {
    const table = document.querySelector("table.trials");
    const head = table && table.tHead.rows[0].cells[column];
    if (!head) return;
    const kind = head.querySelector("button").dataset.sort;
    const rows = Array.from(table.tBodies[0].rows);
    const keys = new Map(rows.map((row) => [row, valueOf(row, column, kind)]));
    rows.sort((one, other) => {
      const [a, b] = [keys.get(one), keys.get(other)];
      if (a === null || b === null) return (a === null) - (b === null);
      const order = kind === "t" ? a.localeCompare(b) : a - b;
      return down ? -order : order;
    });
    table.tBodies[0].append(...rows);
    for (const each of head.parentNode.cells) each.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    sorted = [column, down];
  }

  async function copy(button) {
    const code = button.parentNode.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "selected";
    }
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("button");
    if (!button) return;
    if ("only" in button.dataset) show(only === button.dataset.only ? null : button.dataset.only);
    if ("copy" in button.dataset) copy(button);
    if ("sort" in button.dataset) {
      const column = button.closest("th").cellIndex;
      sort(column, Boolean(sorted) && sorted[0] === column && !sorted[1]);
    }
  });

  // What stands in a mark's <title> is shown at once, and on a tap.
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  document.body.append(tip);
  function point(event) {
    const mark = event.target.closest?.("svg *");
    const title = mark && mark.querySelector(":scope > title");
    if (title) { mark.dataset.said = title.textContent; title.remove(); }
    tip.hidden = !mark || !mark.dataset.said;
    if (tip.hidden) return;
    tip.textContent = mark.dataset.said;
    const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
    const below = event.clientY + 18 + tip.offsetHeight < innerHeight;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${event.clientY + (below ? 18 : -tip.offsetHeight - 10)}px`;
  }
  document.addEventListener("pointermove", point);
  document.addEventListener("pointerdown", point);
  document.addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });

  // A live page asks every few seconds whether anything changed, and then takes the new page.
  const every = Number(document.body.dataset.every || 0) * 1000;
  let seen = document.body.dataset.version;
  async function look() {
    if (!document.hidden) {
      try {
        const asked = await fetch(`${document.body.dataset.state}`, { cache: "no-store" });
        const told = asked.ok ? await asked.json() : null;
        if (told && told.version !== seen) await renew();
        document.body.classList.toggle("away", !asked.ok);
      } catch {
        document.body.classList.add("away");
      }
    }
    setTimeout(look, every);
  }
  async function renew() {
    const answer = await fetch(location.href, { cache: "no-store" });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const open = all(document, "details[open] > summary").map((each) => each.textContent);
    const table = document.querySelector("#trials .scroll");
    const [top, left] = table ? [table.scrollTop, table.scrollLeft] : [0, 0];
    document.querySelector("main").replaceWith(fresh.querySelector("main"));
    document.title = fresh.title;
    seen = fresh.body.dataset.version;
    for (const each of all(document, "details > summary"))
      if (open.includes(each.textContent)) each.parentNode.open = true;
    if (sorted) sort(...sorted);
    if (only) show(only);
    const again = document.querySelector("#trials .scroll");
    if (again) { again.scrollTop = top; again.scrollLeft = left; }
    document.dispatchEvent(new Event("lrsearch:renewed"));
  }
  if (every) setTimeout(look, every);
})();
