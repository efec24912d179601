"use strict";
// Draws the figures, sorts and filters the tables, and knows light from dark. Nothing is loaded.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const color = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  // Figures

  const PRINTED = 680, PRINTED_PANEL = 336; // pixels: one to a line of a page, or two
  const figures = [...document.querySelectorAll(".plot")];
  const config = { displayModeBar: false, responsive: true };
  const isDrawn = (plot) => plot.classList.contains("js-plotly-plot");

  function themed() {
    const axis = {
      gridcolor: color("--line"), zerolinecolor: color("--line"), linecolor: color("--line"),
      automargin: true, title: { standoff: 8 },
    };
    return {
      layout: {
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
        font: { family: "system-ui, sans-serif", size: 13, color: color("--ink") },
        hoverlabel: { bgcolor: color("--paper"), bordercolor: color("--line"),
          font: { color: color("--ink") }, align: "left" },
        hovermode: "closest", xaxis: axis, yaxis: axis,
        legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
        margin: { l: 56, r: 12, t: 30, b: 44 },
      },
    };
  }

  // what a point stands for is said once for all figures, and not in each
  function named(trace) {
    if (!trace.customdata) return trace;
    const text = trace.customdata.map((number) => (data.trials[number] || ["", ""])[1]);
    return { ...trace, text };
  }

  function draw(plot) {
    if (isDrawn(plot)) return;
    const { traces, layout } = data.figures[plot.dataset.figure];
    Plotly.newPlot(plot, traces.map(named), { ...layout, template: themed() }, config);
    plot.on("plotly_click", ({ points }) => {
      const run = points.length && (data.trials[points[0].customdata] || [""])[0];
      if (run) window.open(data.runs + run, "_blank", "noopener");
    });
  }

  const watcher = new IntersectionObserver(
    (entries) => entries.filter((each) => each.isIntersecting).forEach((each) => draw(each.target)),
    { rootMargin: "400px" },
  );
  figures.forEach((plot) => watcher.observe(plot));
  const later = (f) => setTimeout(f, 10); // one after the other, so that the page answers meanwhile
  function drawOthers() {
    const next = figures.find((plot) => !isDrawn(plot));
    if (next) { draw(next); later(drawOthers); } else { root.dataset.ready = "true"; }
  }
  window.addEventListener("load", () => later(drawOthers));

  const redraw = (change) =>
    figures.filter(isDrawn).forEach((plot) => Plotly.relayout(plot, change));
  let chosen; // the theme before printing, which is in light
  window.addEventListener("beforeprint", () => {
    figures.forEach(draw);
    chosen = root.dataset.theme;
    root.dataset.theme = "light";
    figures.forEach((plot) => {
      const width = plot.closest(".panels") ? PRINTED_PANEL : PRINTED;
      Plotly.relayout(plot, { template: themed(), width, autosize: false });
    });
  });
  window.addEventListener("afterprint", () => {
    if (chosen) root.dataset.theme = chosen; else delete root.dataset.theme;
    redraw({ template: themed(), width: null, autosize: true });
  });

  // Light and dark

  const scheme = window.matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme || (scheme.matches ? "dark" : "light")) === "dark";
  const button = document.querySelector(".theme");
  function remember(theme) { try { localStorage.setItem("theme", theme); } catch { /* not kept */ } }
  function show() {
    button.textContent = isDark() ? "Light" : "Dark";
    redraw({ template: themed() });
  }
  try {
    const kept = localStorage.getItem("theme");
    if (kept) root.dataset.theme = kept;
  } catch { /* none is kept */ }
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remember(root.dataset.theme);
    show();
  });
  scheme.addEventListener("change", show);
  show();

  // Tables

  const MANY_ROWS = 8;
  const numberOf = (text) => {
    const found = text.replace(/,/g, "").match(/^\s*([-+]?\d*\.?\d+(?:e[-+]?\d+)?)/i);
    return found ? parseFloat(found[1]) : null;
  };
  function compare(a, b) {
    if (a === "" || b === "") return (a === "") - (b === "");
    const [x, y] = [numberOf(a), numberOf(b)];
    return x !== null && y !== null && x !== y ? x - y : a.localeCompare(b);
  }
  function sort(table, column, head) {
    const falls = head.getAttribute("aria-sort") === "ascending";
    table.querySelectorAll("th[aria-sort]").forEach((each) => each.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", falls ? "descending" : "ascending");
    const body = table.tBodies[0];
    const text = (row) => row.cells[column].textContent.trim();
    const rows = [...body.rows].sort((a, b) => {
      const [x, y] = [text(a), text(b)];
      if (x === "" || y === "") return compare(x, y); // what is not known comes last
      return falls ? compare(y, x) : compare(x, y);
    });
    body.append(...rows);
  }
  function makeSortable(table) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      head.setAttribute("aria-sort", "none");
      head.tabIndex = 0;
      head.addEventListener("click", () => sort(table, column, head));
      head.addEventListener("keydown", (event) => {
        if (event.key === "Enter") sort(table, column, head);
      });
    });
  }
  function makeFiltered(table) {
    const box = table.parentElement;
    const input = document.createElement("input");
    const shown = document.createElement("span");
    input.className = "filter";
    input.type = "search";
    input.placeholder = "Filter, such as: adam";
    input.setAttribute("aria-label", "Filter the rows of the table");
    shown.className = "shown";
    const rows = [...table.tBodies[0].rows];
    const texts = rows.map((row) => row.textContent.toLowerCase());
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let n = 0;
      rows.forEach((row, i) => {
        row.hidden = !words.every((word) => texts[i].includes(word));
        n += !row.hidden;
      });
      shown.textContent = words.length ? `${n} of ${rows.length}` : "";
    });
    const line = document.createElement("div");
    line.append(input, shown);
    box.before(line);
  }
  document.querySelectorAll(".table table").forEach((table) => {
    const n = table.tBodies[0].rows.length;
    if (table.className) return; // facts, or a matrix, whose order says something
    if (n > 2) makeSortable(table);
    if (n > MANY_ROWS) makeFiltered(table);
  });

  // Where one is

  const links = new Map([...document.querySelectorAll("nav a")].map((a) => [a.hash.slice(1), a]));
  const heads = [...document.querySelectorAll("h2[id]")];
  function mark() {
    const here = heads.filter((head) => head.getBoundingClientRect().top < 120).pop() || heads[0];
    links.forEach((a, id) => a.classList.toggle("here", here && id === here.id));
  }
  document.addEventListener("scroll", mark, { passive: true });
  mark();
  const contents = document.querySelector("nav details");
  const isWide = window.matchMedia("(min-width: 1081px)");
  const fold = () => { contents.open = isWide.matches; };
  isWide.addEventListener("change", fold);
  fold();
  links.forEach((a) => a.addEventListener("click", () => { if (!isWide.matches) contents.open = false; }));
})();
