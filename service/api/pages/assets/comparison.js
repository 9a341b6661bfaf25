// Comparison of two versions on one image: findings side by side, and masks by their overlap.

import { make, percent } from "./dom.js";
import { decode } from "./rle.js";

// Return the table of an answer and that of another version.
export function comparison(answer, other) {
  const [one, two] = [answer, other].map(({ model }) => `Version ${model.version}`);
  return make("div", {},
    table(["Finding", one, two, "Change"], findingRows(answer, other)),
    table(["Structure", "Overlap (Dice)"], maskRows(answer, other)));
}

function table(heads, rows) {
  if (!rows.length) return null;
  return make("table", {},
    make("thead", {}, make("tr", {}, ...heads.map((text, i) => make("th", { textContent: text, scope: "col", className: i ? "number" : "" })))),
    make("tbody", {}, ...rows.map((cells) =>
      make("tr", {}, ...cells.map((text, i) => make("td", { textContent: text, className: i ? "number" : "" }))))));
}

function findingRows(answer, other) {
  const found = new Map((other.findings || []).map((item) => [item.name, item]));
  const rows = (answer.findings || []).map((item) => [item, found.get(item.name)]);
  const alone = (other.findings || []).filter(({ name }) => !(answer.findings || []).some((item) => item.name === name));
  return [...rows, ...alone.map((item) => [null, item])].map(([a, b]) => [
    (a || b).name, said(a), said(b), a && b ? change(b.probability - a.probability) : "",
  ]);
}

function said(item) {
  return item ? `${item.positive ? "●" : "○"} ${percent(item.probability)}` : "not offered";
}

function change(difference) {
  const points = Math.round(100 * difference);
  return points === 0 ? "0" : `${points > 0 ? "+" : "−"}${Math.abs(points)}`;
}

function maskRows(answer, other) {
  const found = new Map((other.masks || []).map((item) => [item.name, item]));
  return (answer.masks || []).filter(({ name }) => found.has(name)).map((item) => {
    const value = dice(decode(item.rle), decode(found.get(item.name).rle));
    return [item.name, value === null ? "both empty" : value.toFixed(2)];
  });
}

// Return the Dice coefficient of two masks of one size, or null if both are empty.
export function dice(one, other) {
  let shared = 0;
  for (const [column, part] of one.parts) shared += common(part, other.parts.get(column) || []);
  const sum = area(one) + area(other);
  return sum ? (2 * shared) / sum : null;
}

function area(mask) {
  let sum = 0;
  for (const part of mask.parts.values()) for (let i = 0; i < part.length; i += 2) sum += part[i + 1] - part[i];
  return sum;
}

function common(one, other) {
  let sum = 0;
  for (let i = 0; i < one.length; i += 2)
    for (let j = 0; j < other.length; j += 2)
      sum += Math.max(0, Math.min(one[i + 1], other[j + 1]) - Math.max(one[i], other[j]));
  return sum;
}
