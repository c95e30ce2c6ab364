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

  function tooltipOf(mark) {
    return mark.dataset.tooltip ?? mark.querySelector(":scope > title")?.textContent ?? "";
  }

  // What stands in a mark's <title> is shown at once, and on a tap.
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  document.body.append(tip);
  function point(event) {
    const mark = event.target.closest?.("svg *");
    const text = mark ? tooltipOf(mark) : "";
    const title = mark && mark.querySelector(":scope > title");
    if (title) { mark.dataset.tooltip = text; title.remove(); }
    tip.hidden = !text;
    if (tip.hidden) return;
    tip.textContent = text;
    const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
    const below = event.clientY + 18 + tip.offsetHeight < innerHeight;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${event.clientY + (below ? 18 : -tip.offsetHeight - 10)}px`;
  }
  document.addEventListener("pointermove", point);
  document.addEventListener("pointerdown", point);
  document.addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });

  // By keyboard: a figure is one stop, arrow keys go from mark to mark, a line below reads each.
  const steps = {
    ArrowRight: ["x", 1], ArrowLeft: ["x", -1], ArrowUp: ["y", -1], ArrowDown: ["y", 1],
    PageDown: ["x", 10], PageUp: ["x", -10], Home: ["x", -Infinity], End: ["x", Infinity],
  };
  function marksOf(figure) {
    const svg = all(figure, "svg").find((each) => each.getClientRects().length);
    const found = svg ? all(svg, "*").filter((each) => tooltipOf(each) && !each.closest(".dim")) : [];
    return found.map((mark) => {
      const box = mark.getBoundingClientRect();
      return { mark, box, x: box.x + box.width / 2, y: box.y + box.height / 2 };
    });
  }
  function unread(figure) {
    for (const each of all(figure, ".at")) each.classList.remove("at");
    for (const each of all(figure, ".cursor")) each.remove();
  }
  function read(figure, found, place) {
    const { mark, box, x, y } = found[place];
    unread(figure);
    mark.classList.add("at");
    if (box.width < 40 && box.height < 40) { // a ring about what is as small as a point
      const svg = mark.ownerSVGElement;
      const at = new DOMPoint(x, y).matrixTransform(svg.getScreenCTM().inverse());
      const ring = document.createElementNS(svg.namespaceURI, "circle");
      for (const [name, value] of Object.entries({ cx: at.x, cy: at.y, r: 10, class: "cursor" }))
        ring.setAttribute(name, value);
      svg.append(ring);
    }
    const line = figure.nextElementSibling;
    line.textContent = `${tooltipOf(mark)} (${place + 1} of ${found.length})`;
    line.classList.add("filled");
  }
  document.addEventListener("keydown", (event) => {
    const figure = event.target.closest?.(".marks");
    if (!figure || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === "Escape") unread(figure);
    if (!(event.key in steps)) return;
    event.preventDefault();
    const [axis, step] = steps[event.key];
    const other = axis === "x" ? "y" : "x";
    const found = marksOf(figure).sort((a, b) => a[axis] - b[axis] || a[other] - b[other]);
    if (!found.length) return;
    const now = found.findIndex((each) => each.mark.classList.contains("at"));
    const first = found.findIndex((each) => each.mark.classList.contains("ring"));
    const next = now < 0 && Number.isFinite(step) ? Math.max(0, first) : now + step;
    read(figure, found, Math.min(found.length - 1, Math.max(0, next)));
  });

  // What a new page keeps: the element with the focus, and the mark that was read.
  function nameOf(each) {
    const part = each.closest("section")?.id ?? "";
    return [each.tagName, part, each.ariaLabel ?? each.textContent].join(" ");
  }
  function stops() { return all(document, "main :is(a, button, summary, [tabindex])"); }
  function focusOf() {
    const here = document.activeElement;
    if (!here?.closest("main")) return { place: -1 };
    const name = nameOf(here), mark = here.querySelector(".at");
    const place = stops().filter((each) => nameOf(each) === name).indexOf(here);
    return { name, place, text: mark && tooltipOf(mark) };
  }
  function focusAgain({ name, place, text }) {
    if (place < 0) return;
    const each = stops().filter((one) => nameOf(one) === name)[place];
    if (!each) return;
    each.focus({ preventScroll: true });
    if (!text) return;
    const found = marksOf(each).sort((a, b) => a.x - b.x || a.y - b.y);
    const at = found.findIndex((one) => tooltipOf(one.mark) === text);
    if (at >= 0) read(each, found, at);
  }

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
    const focus = focusOf();
    document.querySelector("main").replaceWith(fresh.querySelector("main"));
    document.title = fresh.title;
    seen = fresh.body.dataset.version;
    for (const each of all(document, "details > summary"))
      if (open.includes(each.textContent)) each.parentNode.open = true;
    if (sorted) sort(...sorted);
    if (only) show(only);
    const again = document.querySelector("#trials .scroll");
    if (again) { again.scrollTop = top; again.scrollLeft = left; }
    focusAgain(focus);
  }
  if (every) setTimeout(look, every);
})();
