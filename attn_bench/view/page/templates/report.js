"use strict";
// The table is whole without this script. Here it learns to sort, to filter, to show more columns,
// to keep its state in the address, to give CSV, and to draw the samples of a case.
(() => {
  const table = document.getElementById("cases");
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];
  const rows = [...body.rows];
  const samples = JSON.parse(document.getElementById("samples").textContent);
  const controls = document.getElementById("controls");
  const search = document.getElementById("search");
  const selects = [...controls.querySelectorAll("select")];
  const boxes = [...controls.querySelectorAll("[data-column]")];
  const at = new Map(headings.map((heading, index) => [heading.dataset.key, index]));
  const SVG = new DOMParser().parseFromString("<svg></svg>", "text/html").querySelector("svg").namespaceURI;
  const sorted = () => headings.find((heading) => heading.hasAttribute("aria-sort"));

  function mark() {
    // A heavier line where the shape changes, while the table is in its own order.
    let before = null;
    for (const row of body.querySelectorAll("tr[data-case]")) {
      if (row.hidden) continue;
      const shape = row.cells[at.get("shape")].textContent;
      row.classList.toggle("first", !sorted() && before !== null && shape !== before);
      before = shape;
    }
  }

  function key(row, index, numeric) {
    const cell = row.cells[index];
    if (!numeric) return cell.textContent || null;
    return cell.dataset.v === undefined ? null : Number(cell.dataset.v);
  }

  function arrange(ordered) {
    fold();
    body.append(...ordered);
    mark();
  }

  function sort(index, order) {
    const numeric = headings[index].classList.contains("n");
    headings.forEach((other) => other.removeAttribute("aria-sort"));
    headings[index].setAttribute("aria-sort", order);
    const sign = order === "descending" ? -1 : 1;
    const keyed = rows.map((row) => [key(row, index, numeric), row]);
    keyed.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null); // the unknown comes last
      return sign * (numeric ? a - b : a.localeCompare(b, "en", { numeric: true }));
    });
    arrange(keyed.map(([, row]) => row));
  }

  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = selects
      .filter((select) => select.value)
      .map((select) => [at.get(select.dataset.filter), select.value]);
    fold();
    let shown = 0;
    for (const row of rows) {
      const seen = [...row.cells].filter((cell) => !cell.hidden).map((cell) => cell.textContent);
      const text = seen.join(" ").toLowerCase();
      row.hidden = !(
        words.every((word) => text.includes(word)) &&
        wanted.every(([index, value]) => row.cells[index].textContent === value)
      );
      shown += row.hidden ? 0 : 1;
    }
    document.getElementById("count").textContent = `${shown} of ${rows.length} cases`;
    mark();
  }

  function choose() {
    for (const box of boxes) {
      const index = Number(box.dataset.column);
      headings[index].hidden = !box.checked;
      for (const row of rows) row.cells[index].hidden = !box.checked;
    }
  }

  // --- the state of the table in the address: #?sort=-latency_us_shown&q=se&module=se&columns=… ---

  function keep() {
    const state = new URLSearchParams();
    const by = sorted();
    if (by) {
      const sign = by.getAttribute("aria-sort") === "descending" ? "-" : "";
      state.set("sort", sign + by.dataset.key);
    }
    if (search.value) state.set("q", search.value);
    for (const select of selects) if (select.value) state.set(select.dataset.filter, select.value);
    if (boxes.some((box) => box.checked !== box.defaultChecked)) {
      const shown = boxes.filter((box) => box.checked);
      state.set("columns", shown.map((box) => headings[box.dataset.column].dataset.key).join(","));
    }
    const text = state.toString();
    history.replaceState(null, "", text ? `#?${text}` : location.pathname + location.search);
  }

  function recall() {
    if (!location.hash.startsWith("#?")) return;
    const state = new URLSearchParams(location.hash.slice(2));
    search.value = state.get("q") ?? "";
    for (const select of selects) {
      const wanted = state.get(select.dataset.filter) ?? "";
      if ([...select.options].some((option) => option.value === wanted)) select.value = wanted;
    }
    if (state.has("columns")) {
      const shown = new Set(state.get("columns").split(","));
      const wanted = boxes.filter((box) => shown.has(headings[box.dataset.column].dataset.key));
      if (wanted.length) for (const box of boxes) box.checked = wanted.includes(box);
    }
    const by = state.get("sort") ?? "";
    const index = at.get(by.replace(/^-/, ""));
    if (index !== undefined) sort(index, by.startsWith("-") ? "descending" : "ascending");
  }

  // --- CSV of what is shown -----------------------------------------------------------------------

  function asCsv() {
    const shown = headings.map((_, index) => index).filter((index) => !headings[index].hidden);
    const cell = (text) => {
      const isFormula = /^[=@\t\r]|^[+-](?![\d.]+ |[\d.]+$)/.test(text); // in a spreadsheet
      const safe = isFormula ? `'${text}` : text;
      return /[",\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
    };
    const figure = (one) => one.textContent.trim().slice(0, one.matches(".best") ? -1 : undefined);
    const lines = [headings.map((heading) => heading.innerText.trim())];
    for (const row of body.querySelectorAll("tr[data-case]")) {
      if (!row.hidden) lines.push([...row.cells].map(figure));
    }
    return lines.map((line) => shown.map((index) => cell(line[index])).join(",") + "\r\n").join("");
  }

  function save() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(["\ufeff", asCsv()], { type: "text/csv" }));
    link.download = "attn-bench.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  // --- the samples of a case: a strip for each session --------------------------------------------

  function element(name, attributes, text = "") {
    const found = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) found.setAttribute(key, value);
    found.textContent = text;
    return found;
  }

  function strips(sessions) {
    const all = sessions.flat();
    const ranked = [...all].sort((a, b) => a - b);
    // Outliers lie at the edge: they would squeeze all others.
    const [low, high] = [ranked[0], ranked[Math.floor(0.97 * (ranked.length - 1))]];
    const [left, right, step] = [160, 560, 22];
    const height = step * sessions.length + 44;
    const x = (value) => left + ((right - left) * (Math.min(value, high) - low)) / (high - low || 1);
    const unit = high >= 1000 ? [1e-3, "ms"] : [1, "µs"];
    const say = (value) => `${Number((value * unit[0]).toPrecision(3))} ${unit[1]}`;
    const svg = element("svg", { viewBox: `0 0 600 ${height}`, role: "img" });
    const words = { fill: "var(--muted)", "font-size": 11 };
    sessions.forEach((values, number) => {
      const y = step * (number + 0.5);
      const label = { ...words, x: left - 12, y: y + 4, "text-anchor": "end" };
      const ordered = [...values].sort((a, b) => a - b);
      const median = ordered[Math.floor(ordered.length / 2)];
      svg.append(element("text", label, `session ${number + 1}: ${say(median)}`));
      for (const value of values) {
        const place = { cx: x(value), cy: y, r: 3, fill: "var(--series-1)", "fill-opacity": 0.35 };
        svg.append(element("circle", place));
      }
      const middle = x(median);
      const tick = { x1: middle, x2: middle, y1: y - 8, y2: y + 8, stroke: "var(--ink)" };
      svg.append(element("line", { ...tick, "stroke-width": 2 }));
    });
    for (const [value, anchor] of [[low, "start"], [high, "end"]]) {
      const label = { ...words, x: x(value), y: height - 24, "text-anchor": anchor };
      svg.append(element("text", label, say(value)));
    }
    const about = "time of one call: a dot is a block, the line is the median of a session; outliers at the edge";
    svg.setAttribute("aria-label", `${about}: ${say(low)} to ${say(high)}`);
    svg.append(element("text", { ...words, x: left, y: height - 6 }, about));
    return svg;
  }

  function fold() {
    const open = body.querySelector("tr.detail");
    if (open) {
      open.previousElementSibling.removeAttribute("aria-expanded");
      open.remove();
    }
  }

  function unfold(row) {
    const isOpen = row.hasAttribute("aria-expanded");
    fold();
    if (isOpen) return;
    const found = samples[Number(row.dataset.case)].filter((session) => session.length);
    const detail = document.createElement("tr");
    const cell = detail.insertCell();
    detail.className = "detail";
    cell.className = "samples";
    cell.colSpan = headings.length;
    cell.append(found.length ? strips(found) : "This page has no samples of this case.");
    row.setAttribute("aria-expanded", "true");
    row.after(detail);
  }

  // --- events -------------------------------------------------------------------------------------

  function press(target, action) {
    target.tabIndex = 0;
    target.addEventListener("click", action);
    target.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      action();
    });
  }

  headings.forEach((heading, index) => {
    // Not a <button>: with one in it, Chromium does not repeat the heading on every printed page.
    const button = document.createElement("span");
    button.setAttribute("role", "button");
    button.append(...heading.childNodes);
    heading.append(button);
    press(button, () => {
      const down = heading.getAttribute("aria-sort") === "ascending";
      sort(index, down ? "descending" : "ascending");
      keep();
    });
  });
  rows.forEach((row) => press(row, () => unfold(row)));
  controls.hidden = false;
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.addEventListener("input", () => {
    choose();
    filter();
    keep();
  });
  controls.addEventListener("reset", () => {
    // The fields have their first values after this event.
    setTimeout(() => {
      headings.forEach((heading) => heading.removeAttribute("aria-sort"));
      arrange(rows);
      choose();
      filter();
      keep();
    });
  });
  document.getElementById("csv").addEventListener("click", save);
  recall();
  choose(); // a browser that goes back keeps what was ticked
  filter();
})();
