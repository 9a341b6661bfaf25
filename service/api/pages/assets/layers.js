// Layers: what an answer says about places, as things that can be switched, tinted and drawn.
//
// A layer of the same kind and name keeps its switch, opacity and colour in every image and version.

import { colourOf, packed } from "./colours.js";
import { percent } from "./dom.js";
import { inBox } from "./geometry.js";
import { decode } from "./rle.js";
import { boxesHold, maskHolds } from "./uncertainty.js";

const OPACITY = { mask: 0.25, box: 1, heat: 0.6 };

// Return the layers of an answer, in the order in which they are drawn.
export function layersOf(answer) {
  return [
    ...(answer.phrases || []).filter((item) => item.heatmap.data).map(heatLayer),
    ...(answer.masks || []).map(maskLayer),
    ...boxLayers(answer.boxes || []),
    ...(answer.phrases || []).map(phraseLayer),
  ];
}

function layer(kind, name, rest) {
  return { key: `${kind}:${name}`, kind, name, colour: colourOf(name), ...rest };
}

function maskLayer(item) {
  const mask = decode(item.rle);
  const { bounds } = mask;
  const made = layer("mask", item.name, { mask, area: areaOf(item), outline: mask.outline(), picture: null });
  if (!mask.empty) {
    made.picture = new OffscreenCanvas(bounds.bottom - bounds.top, bounds.right - bounds.left);
    made.picture.getContext("2d").putImageData(mask.transposed(packed(made.colour)), 0, 0);
  }
  return made;
}

function areaOf(item) {
  const area = item.area_mm2 === null ? `${item.area_px} px` : `${(item.area_mm2 / 100).toFixed(1)} cm²`;
  return `${area}${maskHolds(item)}`;
}

// One layer for all boxes of a name.
function boxLayers(boxes) {
  const named = Map.groupBy ? Map.groupBy(boxes, (box) => box.name) : grouped(boxes);
  return [...named].map(([name, items]) =>
    layer("box", name, {
      boxes: items.map(({ box, score }) => ({ box, label: `${name} ${percent(score)}` })),
      note: `${items.length === 1 ? "1 box" : `${items.length} boxes`}, best ${percent(items[0].score)}${boxesHold(items)}`,
    }));
}

function grouped(boxes) {
  const named = new Map();
  for (const box of boxes) named.set(box.name, [...(named.get(box.name) || []), box]);
  return named;
}

function heatLayer(item) {
  const { rows, columns, data } = item.heatmap;
  const picture = new OffscreenCanvas(columns, rows);
  const image = new ImageData(columns, rows);
  const pixels = new Uint32Array(image.data.buffer);
  const opaque = packed(colourOf(item.phrase)) & 0xffffff;
  data.forEach((row, y) =>
    row.forEach((value, x) => {
      pixels[y * columns + x] = ((Math.round(255 * value) << 24) | opaque) >>> 0;
    }));
  picture.getContext("2d").putImageData(image, 0, 0);
  return layer("heat", item.phrase, { picture, data, rows, columns });
}

function phraseLayer(item) {
  return layer("phrase", item.phrase, {
    boxes: item.boxes.map(({ box, score }) => ({ box, label: `${item.phrase} ${percent(score)}` })),
    peak: item.peak,
  });
}

// Switches and opacities by the key of a layer; they outlive images and versions.
export class Appearance {
  constructor() {
    this.allHidden = false;
    this.states = new Map();
  }

  of(item) {
    if (!this.states.has(item.key))
      this.states.set(item.key, { on: true, opacity: OPACITY[item.kind] ?? 1 });
    return this.states.get(item.key);
  }

  opacity(item) {
    const state = this.of(item);
    return state.on && !this.allHidden ? state.opacity : 0;
  }
}

// Return what layers say about a point, in source pixels: names of structures and values of heat maps.
export function at(layers, appearance, facts, x, y) {
  const found = [];
  for (const item of layers) {
    if (appearance.opacity(item) === 0) continue;
    if (item.kind === "mask" && item.mask.has(x, y)) found.push(item.name);
    else if (item.kind === "heat") found.push(`${item.name} ${percent(heatAt(item, facts, x, y))}`);
    else if (item.boxes) found.push(...item.boxes.filter(({ box }) => inBox(box, x, y)).map(({ label }) => `box ${label}`));
  }
  return found;
}

function heatAt({ data, rows, columns }, facts, x, y) {
  const row = Math.min(rows - 1, Math.max(0, Math.floor((y / facts.rows) * rows)));
  const column = Math.min(columns - 1, Math.max(0, Math.floor((x / facts.columns) * columns)));
  return data[row][column];
}
