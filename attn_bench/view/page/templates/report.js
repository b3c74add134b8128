"use strict";
// The table is whole without this script; here it learns to sort, to filter, and to show more columns.
(() => {
  const table = document.getElementById("cases");
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];
  const rows = [...body.rows];
  const controls = document.getElementById("controls");
  const search = document.getElementById("search");
  const selects = [...controls.querySelectorAll("select")];
  const boxes = [...controls.querySelectorAll("[data-column]")];
  const at = new Map(headings.map((heading, index) => [heading.dataset.key, index]));

  function mark() {
    // A heavier line where the shape changes, while the table is in its own order.
    const sorted = headings.some((heading) => heading.hasAttribute("aria-sort"));
    let before = null;
    for (const row of body.rows) {
      if (row.hidden) continue;
      const shape = row.cells[at.get("shape")].textContent;
      row.classList.toggle("first", !sorted && before !== null && shape !== before);
      before = shape;
    }
  }

  function key(row, index, numeric) {
    const cell = row.cells[index];
    if (!numeric) return cell.textContent || null;
    return cell.dataset.v === undefined ? null : Number(cell.dataset.v);
  }

  function sort(index) {
    const heading = headings[index];
    const numeric = heading.classList.contains("n");
    const down = heading.getAttribute("aria-sort") === "ascending";
    headings.forEach((other) => other.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const sign = down ? -1 : 1;
    const keyed = rows.map((row) => [key(row, index, numeric), row]);
    keyed.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null); // the unknown comes last
      return sign * (numeric ? a - b : a.localeCompare(b, "en", { numeric: true }));
    });
    body.append(...keyed.map(([, row]) => row));
    mark();
  }

  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = selects
      .filter((select) => select.value)
      .map((select) => [at.get(select.dataset.filter), select.value]);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
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

  headings.forEach((heading, index) => {
    // Not a <button>: with one in it, Chromium does not repeat the heading on every printed page.
    const button = document.createElement("span");
    button.setAttribute("role", "button");
    button.tabIndex = 0;
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sort(index));
    button.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      sort(index);
    });
    heading.append(button);
  });
  controls.hidden = false;
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.addEventListener("input", filter);
  controls.addEventListener("change", choose);
  controls.addEventListener("reset", () => {
    // The fields have their first values after this event.
    setTimeout(() => {
      headings.forEach((heading) => heading.removeAttribute("aria-sort"));
      body.append(...rows);
      choose();
      filter();
    });
  });
  choose(); // a browser that goes back keeps what was ticked
  filter();
})();
