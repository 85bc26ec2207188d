"""The look of a report, and the little it does when it is clicked on."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --soft: #59636e; --line: #d1d9e0;
  --accent: #0072b2; --wrong: #d55e00; --raised: #f6f8fa; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #0d1117; --soft: #9198a1;
  --line: #30363d; --accent: #56b4e9; --wrong: #f0883e; --raised: #161b22; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 4rem; color: var(--ink);
  background: var(--paper); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.7rem; margin: 0 0 .4rem; line-height: 1.2; }
h2 { font-size: 1.25rem; margin: 2.4rem 0 .6rem; padding-top: .4rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.4rem 0 .4rem; }
nav { display: flex; flex-wrap: wrap; gap: .2rem .9rem; margin: .4rem 0 1rem; font-size: .92rem; }
a { color: var(--accent); }
.lead { font-size: 1.12rem; } .soft { color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .5rem 0; }
caption { text-align: left; color: var(--soft); padding: .2rem 0; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: left; }
th { white-space: nowrap; } .number { text-align: right; }
th[aria-sort] { cursor: pointer; }
th[aria-sort=ascending]::after { content: " \\2191"; }
th[aria-sort=descending]::after { content: " \\2193"; }
table.matrix th, table.matrix td { padding: 0; text-align: center; border: 1px solid var(--line); }
table.matrix th { padding: .15rem .5rem; } table.matrix tbody th { text-align: right; }
table.matrix thead th { vertical-align: bottom; }
table.matrix thead span { writing-mode: vertical-rl; transform: rotate(180deg); }
table.matrix button { all: unset; display: block; box-sizing: border-box; width: 100%;
  min-width: 2.4rem; padding: .3rem .2rem; cursor: pointer; text-align: center; }
table.matrix button:focus-visible, table.matrix button[aria-pressed=true] {
  outline: 3px solid var(--wrong); outline-offset: -3px; }
.gallery { display: flex; flex-wrap: wrap; gap: .6rem; }
.gallery figure { margin: 0; width: 104px; font-size: .75rem; line-height: 1.25; }
.gallery img { width: 104px; height: 104px; object-fit: contain; background: var(--raised);
  border-radius: .3rem; display: block; image-rendering: auto; }
.gallery .wrong { color: var(--wrong); } .gallery [hidden] { display: none; }
figure { margin: .6rem 0; } figure img { max-width: 100%; height: auto; border-radius: .3rem; }
figure.drawing { background: #fff; padding: .5rem; border-radius: .4rem; width: fit-content;
  max-width: 100%; }
figure svg { max-width: 100%; height: auto; display: block; }
.pair { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
.pair figure.drawing { flex: 1 1 22rem; max-width: 30rem; }
pre { overflow-x: auto; padding: .8rem; border: 1px solid var(--line); border-radius: .4rem;
  background: var(--raised); }
details { margin: .6rem 0; } summary { cursor: pointer; color: var(--accent); }
@media (max-width: 34rem) { body { font-size: 15px; padding: 1rem .7rem 3rem; }
  th, td { padding: .2rem .4rem; } }
@media print { :root { --ink: #000; --paper: #fff; --soft: #444; --line: #bbb; --accent: #0072b2;
    --wrong: #a04000; --raised: #fff; color-scheme: light; }
  body { max-width: none; padding: 0; font-size: 10.5pt; } nav { display: none; }
  h2, h3, caption { break-after: avoid; } tr, figure { break-inside: avoid; }
  .scroll { overflow: visible; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""

# Conveniences: without scripts the tables stand as they were written and every image is shown.
SCRIPT = """
"use strict";
const number = (text) => {
  const found = /^[+-]?[\\d,]*\\.?\\d+(e[+-]?\\d+)?/i.exec(text);
  return found ? parseFloat(found[0].replaceAll(",", "")) : NaN;
};
const before = (a, b) => {
  const x = number(a), y = number(b);
  if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y) || a.localeCompare(b);
  return x - y;
};
for (const table of document.querySelectorAll("table.sortable"))
  for (const head of table.tHead.rows[0].cells) {
    head.setAttribute("aria-sort", "none");
    head.tabIndex = 0;
    const sort = () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = (row) => row.cells[head.cellIndex].textContent.trim();
      const rows = [...table.tBodies[0].rows].sort((a, b) => before(key(a), key(b)));
      table.tBodies[0].append(...(up ? rows : rows.reverse()));
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
  }
for (const cell of document.querySelectorAll("button[data-cell]"))
  cell.addEventListener("click", () => {
    const wanted = cell.getAttribute("aria-pressed") !== "true";
    for (const other of document.querySelectorAll("button[data-cell]"))
      other.setAttribute("aria-pressed", other === cell && wanted);
    let count = 0;
    for (const image of document.querySelectorAll(".gallery figure")) {
      image.hidden = wanted && image.dataset.cell !== cell.dataset.cell;
      count += !image.hidden;
    }
    const told = document.getElementById("filtered");
    if (wanted) {
      const kept = count ? count + " of them kept" : "none of them kept";
      told.textContent = cell.dataset.label + ": " + kept + ". Click again for all.";
    } else told.textContent = told.dataset.all;
  });
"""
