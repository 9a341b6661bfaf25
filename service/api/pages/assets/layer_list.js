// Lists of layers: a switch, a colour, a name and an opacity for each.

import { byId, make, show } from "./dom.js";

// Return the row of one layer; `changed` is called after every change of its appearance.
export function layerRow(item, appearance, changed, note, ...more) {
  const state = appearance.of(item);
  const swatch = make("span", { className: "swatch", "aria-hidden": "true" });
  swatch.style.background = item.colour;
  const box = make("input", { type: "checkbox", checked: state.on });
  box.addEventListener("change", () => {
    state.on = box.checked;
    changed();
  });
  const kind = { mask: "", box: "boxes of ", heat: "heat map of ", phrase: "" }[item.kind];
  const slider = make("input", {
    type: "range", min: 0, max: 100, step: 5, value: Math.round(100 * state.opacity),
    "aria-label": `Opacity of ${kind}${item.name}`,
  });
  slider.addEventListener("input", () => {
    state.opacity = slider.value / 100;
    changed();
  });
  const name = make("span", { textContent: item.kind === "box" ? `${item.name} (boxes)` : item.name });
  return make("li", { "data-layer": item.key },
    make("label", {}, box, swatch, name),
    make("span", { className: "soft small", textContent: note }),
    slider, ...more);
}

// Show the layers of structures and boxes.
export function showLayers(layers, appearance, changed) {
  const listed = layers.filter(({ kind }) => kind === "mask" || kind === "box");
  byId("layers").querySelector("ul").replaceChildren(
    ...listed.map((item) => layerRow(item, appearance, changed, noteOf(item))));
  byId("all-layers").checked = !appearance.allHidden;
  show(byId("layers"), listed.length > 0);
}

function noteOf(item) {
  if (item.kind === "box") return item.note;
  return item.mask.empty ? "not found" : item.area;
}
