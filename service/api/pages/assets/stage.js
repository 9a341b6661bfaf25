// Stage: the radiograph on one canvas, results and ruler on another above it.

import { Drawing } from "./drawing.js";
import { clamp, distance, View } from "./geometry.js";
import { millimetres } from "./dom.js";
import { at } from "./layers.js";
import { Turn } from "./turning.js";
import { betweenLevels, FULL, levelFor, levels, paint, percentileWindow, table } from "./windowing.js";

const CRISP = 3; // screen pixels for each pixel of the image from which on pixels are shown as squares

export class Stage extends EventTarget {
  constructor(element, appearance) {
    super();
    this.element = element;
    this.appearance = appearance;
    this.base = element.querySelector("#image");
    this.drawing = new Drawing(element.querySelector("#overlay"));
    this.scratch = new OffscreenCanvas(1, 1);
    this.upright = true;
    this.clear();
    new ResizeObserver(() => this.resized()).observe(element);
  }

  clear() {
    Object.assign(this, { facts: null, levels: null, layers: [], ruler: null, cursor: null });
    Object.assign(this, { window: { ...FULL }, inverted: false, windows: {} });
    this.fitted = true;
    this.redraw();
  }

  // Show an image; `facts` are those of the answer, `display` the pixels and the window of the model.
  // `sidesKnown` has the sides of the patient marked.
  setImage(facts, display, sidesKnown) {
    Object.assign(this, { facts, sidesKnown });
    this.levels = levels(display.pixels, display.rows, display.columns);
    const { black, white } = display.window;
    this.windows = {
      file: { ...FULL },
      model: betweenLevels(black, white),
      soft: percentileWindow(display, 0.01, 0.99),
      narrow: percentileWindow(display, 0.2, 0.95),
    };
    this.ruler = this.cursor = null;
    this.view = new View(this.turn());
    this.reset();
    this.dispatchEvent(new Event("turn"));
  }

  // Return how the image is shown: turned upright, as the header tells, or as it is stored.
  turn() {
    return new Turn(this.upright ? this.facts.turned : "none", this.facts);
  }

  // Show images upright, or as they are stored; the whole of the image is shown then.
  setUpright(upright) {
    this.upright = upright;
    this.fit();
    this.dispatchEvent(new Event("turn"));
  }

  setLayers(layers) {
    this.layers = layers;
    this.redraw();
  }

  setWindow(change) {
    const { centre, width } = { ...this.window, ...change };
    this.window = { centre: clamp(centre, -32767, 98302), width: clamp(width, 1, 131070) };
    this.redraw(false);
    this.dispatchEvent(new Event("window"));
  }

  preset(name) {
    if (this.windows[name]) this.setWindow(this.windows[name]);
  }

  invert() {
    this.inverted = !this.inverted;
    this.redraw(false);
    this.dispatchEvent(new Event("window"));
  }

  reset() {
    this.inverted = false;
    this.setWindow(this.windows.file || FULL);
    this.fit();
  }

  get size() {
    return [this.element.clientWidth, this.element.clientHeight];
  }

  fit() {
    this.fitted = true;
    if (this.facts) this.setView(View.fit(this.turn(), ...this.size), true);
  }

  // Show one pixel of the image as one pixel of the screen.
  actualSize() {
    const [width, height] = this.size;
    this.setView(this.view.zoomed(1 / (devicePixelRatio * this.view.scale), width / 2, height / 2));
  }

  zoom(factor, x = this.size[0] / 2, y = this.size[1] / 2) {
    this.setView(this.view.zoomed(factor, x, y));
  }

  pan(dx, dy) {
    this.setView(this.view.moved(dx, dy));
  }

  setView(view, fitted = false) {
    if (!this.facts) return;
    this.fitted = fitted;
    this.view = view.kept(...this.size);
    const { scale, x, y, turn } = this.view;
    Object.assign(this.element.dataset, { scale, x, y, turn: turn.name });
    this.redraw();
    this.dispatchEvent(new Event("view"));
  }

  resized() {
    if (this.fitted) this.fit();
    this.redraw();
  }

  // Draw at the next frame; a change of the window leaves what lies over the image as it is.
  redraw(over = true) {
    this.over ||= over;
    if (this.pending) return;
    this.pending = requestAnimationFrame(() => {
      this.pending = 0;
      this.draw();
    });
  }

  draw() {
    const [width, height] = this.size;
    const ratio = devicePixelRatio || 1;
    for (const canvas of [this.base, this.drawing.canvas]) {
      const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
      if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
    }
    drawImage(this.base.getContext("2d", { alpha: false }), this, ratio);
    if (this.over) this.drawing.draw(this, ratio);
    this.over = false;
    this.element.dataset.drawn = String(Number(this.element.dataset.drawn || 0) + 1);
  }

  // Return the whole image as it is turned, at the size of its pixels, with the layers.
  async picture() {
    const turn = this.turn();
    const scale = this.levels[0].columns / this.facts.columns;
    const size = [turn.columns, turn.rows].map((pixels) => Math.round(pixels * scale));
    const canvas = new OffscreenCanvas(...size);
    const still = { ...this.shown(), view: new View(turn, scale), size };
    const context = canvas.getContext("2d", { alpha: false });
    drawImage(context, still, 1);
    new Drawing(canvas).draw(still, 1, Math.max(1, size[0] / 1000));
    return canvas.convertToBlob({ type: "image/png" });
  }

  shown() {
    const { facts, sidesKnown, layers, ruler, window, inverted, appearance, scratch } = this;
    return { facts, sidesKnown, layers, ruler, window, inverted, appearance, scratch, levels: this.levels, cursor: null };
  }

  // Return what is at a point of the screen, or null outside of the image.
  readout(screenX, screenY) {
    if (!this.facts) return null;
    const [x, y] = this.view.toSource(screenX, screenY).map(Math.floor);
    const { rows, columns } = this.facts;
    if (x < 0 || y < 0 || x >= columns || y >= rows) return null;
    const level = this.levels[0];
    const row = Math.floor((y * level.rows) / rows);
    const column = Math.floor((x * level.columns) / columns);
    const value = level.pixels[row * level.columns + column];
    return { x, y, value, names: at(this.layers, this.appearance, this.facts, x + 0.5, y + 0.5) };
  }

  setRuler(from, to) {
    this.ruler = from && { from, to, text: lengthText(from, to, this.facts.pixel_spacing_mm) };
    this.redraw();
    this.dispatchEvent(new Event("ruler"));
  }

  setCursor(point) {
    this.cursor = point;
    this.redraw();
  }
}

export function lengthText(from, to, spacing) {
  const length = distance(from, to, spacing);
  if (length !== null) return millimetres(length);
  return `${Math.hypot(to[0] - from[0], to[1] - from[1]).toFixed(0)} px (spacing unknown)`;
}

// Draw the visible part of the image: looked up at the level that fits the zoom, then scaled.
function drawImage(context, stage, ratio) {
  const { canvas } = context;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.fillStyle = "#000";
  context.fillRect(0, 0, canvas.width, canvas.height);
  if (!stage.levels) return;
  const { view, facts } = stage;
  const level = levelFor(stage.levels, facts.columns, view.scale * ratio);
  const [stepX, stepY] = [facts.columns / level.columns, facts.rows / level.rows];
  const part = visible(view, stage.size, level, stepX, stepY);
  if (part.width <= 0 || part.height <= 0) return;
  context.imageSmoothingEnabled = view.scale * ratio * stepX < CRISP;
  context.setTransform(...view.transform(ratio));
  context.drawImage(
    looked(stage, level, part), 0, 0, part.width, part.height,
    part.left * stepX, part.top * stepY, part.width * stepX, part.height * stepY,
  );
}

// Return the rectangle of a level that is on the screen.
function visible(view, [width, height], level, stepX, stepY) {
  const [x0, y0, x1, y1] = view.rectangleOfSource(0, 0, width, height);
  const left = Math.max(0, Math.floor(x0 / stepX));
  const top = Math.max(0, Math.floor(y0 / stepY));
  const right = Math.min(level.columns, Math.ceil(x1 / stepX));
  const bottom = Math.min(level.rows, Math.ceil(y1 / stepY));
  return { left, top, width: right - left, height: bottom - top };
}

// Return a canvas with the colours of a rectangle at its top left.
function looked(stage, level, part) {
  const { scratch } = stage;
  if (scratch.width < part.width) scratch.width = part.width;
  if (scratch.height < part.height) scratch.height = part.height;
  const image = new ImageData(part.width, part.height);
  paint(level, part, table(stage.window, stage.inverted), new Uint32Array(image.data.buffer));
  scratch.getContext("2d").putImageData(image, 0, 0);
  return scratch;
}
