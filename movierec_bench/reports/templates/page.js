"use strict";
// What every page does: the theme, the charts, sorted tables, and numbers as a table or as CSV.
const page = (function () {
  const root = document.documentElement;
  const read = id => JSON.parse(document.getElementById(id).textContent);
  const say = text => { document.getElementById("said").textContent = text; };

  // -- the theme: the system's, until the button is used --------------------------------------
  const themes = read("themes");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const printing = matchMedia("print");
  const themeButton = document.getElementById("theme");
  function theme() {
    if (printing.matches) return "light";
    return root.dataset.theme || (dark.matches ? "dark" : "light");
  }
  function remembered() {
    try { return localStorage.getItem("movierec_bench.theme"); } catch { return null; } // storage may be forbidden
  }
  function remember(name) {
    try { localStorage.setItem("movierec_bench.theme", name); } catch { /* then it lasts as long as the page */ }
  }
  function showTheme() {
    themeButton.setAttribute("aria-pressed", String(theme() === "dark"));
    redraw();
  }
  if (remembered()) root.dataset.theme = remembered();
  themeButton.addEventListener("click", () => {
    root.dataset.theme = theme() === "dark" ? "light" : "dark";
    remember(root.dataset.theme);
    showTheme();
  });
  dark.addEventListener("change", showTheme);
  printing.addEventListener("change", showTheme);

  // -- charts: those in sight first, the others when there is time ----------------------------
  const records = ([columns, values]) => (values[0] || []).map((_, row) =>
    Object.fromEntries(columns.map((column, at) => [column, values[at][row]])));
  const drawn = new Map(); // a chart's element to the theme it is drawn in, and the promise that it is there
  function draw(element) {
    const wanted = theme();
    if (drawn.get(element)?.theme !== wanted) drawn.set(element, { theme: wanted, done: drawAs(element, wanted) });
    return drawn.get(element).done;
  }
  async function drawAs(element, wanted) {
    const { spec } = read("data-" + element.closest("[data-part]").dataset.part);
    const datasets = Object.fromEntries(Object.entries(spec.datasets).map(([name, data]) => [name, records(data)]));
    const narrow = element.clientWidth < 520;
    const config = structuredClone(themes[wanted]);
    config.legend.columns = narrow ? 2 : 4;
    if (narrow) config.axis.labelLimit = 110;
    const options = { mode: "vega-lite", actions: false, renderer: "svg", ast: true, config };
    element.embedded?.finalize();
    element.embedded = await vegaEmbed(element, { ...spec, datasets }, options);
    element.querySelector("svg").setAttribute("aria-hidden", "true"); // the element around it has the label
  }
  const charts = [...document.querySelectorAll(".chart")];
  const seen = new IntersectionObserver(entries =>
    entries.filter(entry => entry.isIntersecting).forEach(entry => draw(entry.target)), { rootMargin: "300px" });
  const whenIdle = work => window.requestIdleCallback ? requestIdleCallback(work, { timeout: 200 }) : setTimeout(work, 50);
  async function drawRest() {
    for (const chart of charts) {
      await new Promise(resolve => whenIdle(resolve));
      await draw(chart);
    }
    root.dataset.charts = "drawn";
  }
  function redraw() {
    delete root.dataset.charts;
    charts.filter(chart => drawn.has(chart)).forEach(draw);
    drawRest();
  }

  // -- tables ---------------------------------------------------------------------------------
  function cellValue(row, at) {
    const cell = row.cells[at];
    return cell.dataset.value ?? cell.textContent.trim();
  }
  // Empty cells stay last whichever way a column is sorted.
  function compare(a, b, down) {
    if (a === "" || b === "") return (a === "") - (b === "");
    const order = isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
    return down ? -order : order;
  }
  function sortBy(head) {
    const body = head.closest("table").tBodies[0];
    const current = head.getAttribute("aria-sort");
    const down = current ? current === "ascending" : "first" in head.dataset && head.dataset.first === "descending";
    const rows = [...body.rows].sort((a, b) => compare(cellValue(a, head.cellIndex), cellValue(b, head.cellIndex), down));
    head.parentElement.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...rows);
    say("Sorted by " + head.textContent.trim() + (down ? ", descending" : ", ascending"));
  }
  document.querySelectorAll("table.sortable th button").forEach(button =>
    button.addEventListener("click", () => sortBy(button.parentElement)));

  // -- the numbers of a figure or table -------------------------------------------------------
  const MOST_ROWS = 300; // shown in the page; the CSV has all
  function numbersOf(part) {
    const { spec, table } = read("data-" + part);
    return typeof table === "string" ? spec.datasets[table] : table;
  }
  const asText = value => value === null ? "" : typeof value === "number" ? value.toLocaleString("en", { maximumSignificantDigits: 6 }) : String(value);
  function element(name, text, attributes = {}) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }
  function tabulate(part, into) {
    const [columns, values] = numbersOf(part);
    const rows = (values[0] || []).length;
    const table = element("table"), body = table.createTBody(), head = table.createTHead().insertRow();
    columns.forEach(column => head.append(element("th", column, { scope: "col" })));
    for (let row = 0; row < Math.min(rows, MOST_ROWS); row++) {
      const line = body.insertRow();
      values.forEach(column => line.append(element("td", asText(column[row]), typeof column[row] === "number" ? { class: "number" } : {})));
    }
    into.replaceChildren(table);
    if (rows > MOST_ROWS) into.append(element("p", `The first ${MOST_ROWS} of ${rows.toLocaleString("en")} rows; the CSV has all.`));
  }
  const quoted = value => /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
  function csv([columns, values]) {
    const lines = (values[0] || []).map((_, row) => values.map(column => quoted(String(column[row] ?? ""))));
    return [columns.map(quoted), ...lines].map(line => line.join(",")).join("\n") + "\n";
  }
  function save(name, text) {
    const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    const link = element("a", "", { href: url, download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
    say("Saved " + name);
  }
  document.querySelectorAll("[data-part]").forEach(part => {
    const name = part.dataset.part;
    part.querySelector("button.csv").addEventListener("click", () => save(name + ".csv", csv(numbersOf(name))));
    const details = part.querySelector("details"), numbers = part.querySelector(".numbers");
    details?.addEventListener("toggle", () => {
      if (details.open && !numbers.hasChildNodes()) tabulate(name, numbers);
    });
  });

  charts.forEach(chart => seen.observe(chart));
  showTheme();
  return { read, say, element, csv, save, numbersOf, asText };
})();
