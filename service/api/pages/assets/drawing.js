// Drawing: layers, sides and ruler over the image, in the view of the stage.

import { sides } from "./turning.js";

const BACKDROP = "rgb(11 14 19 / 80%)";
const RULER = "#f0e442";
const SIDE = "#e6ebf2";

export class Drawing {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
  }

  // Draw everything; `ratio` is the number of canvas pixels for each CSS pixel, `line` the width of
  // lines in CSS pixels.
  draw(stage, ratio, line = 1) {
    const { context, canvas } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    if (!(canvas instanceof OffscreenCanvas)) context.clearRect(0, 0, canvas.width, canvas.height);
    if (!stage.facts) return;
    this.stage = stage;
    this.ratio = ratio;
    this.line = line;
    for (const layer of stage.layers) {
      const opacity = stage.appearance.opacity(layer);
      if (opacity > 0) this[layer.kind](layer, opacity);
    }
    this.sides();
    if (stage.ruler) this.ruler(stage.ruler);
    if (stage.cursor) this.cursor(stage.cursor);
  }

  // Use source pixels as coordinates.
  inSource() {
    this.context.setTransform(...this.stage.view.transform(this.ratio));
  }

  inScreen() {
    this.context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    this.context.globalAlpha = 1;
  }

  mask(layer, opacity) {
    if (!layer.picture) return;
    const { context } = this;
    const { left, top } = layer.mask.bounds;
    this.inSource();
    context.globalAlpha = opacity;
    context.imageSmoothingEnabled = false;
    context.save();
    context.transform(0, 1, 1, 0, left, top); // the picture has columns as its rows
    context.drawImage(layer.picture, 0, 0);
    context.restore();
    context.globalAlpha = Math.min(1, opacity * 4);
    context.strokeStyle = layer.colour;
    context.lineWidth = (1.5 * this.line) / this.stage.view.scale;
    context.stroke(layer.outline);
  }

  heat(layer, opacity) {
    const { context, stage } = this;
    this.inSource();
    context.globalAlpha = opacity;
    context.imageSmoothingEnabled = true;
    context.drawImage(layer.picture, 0, 0, stage.facts.columns, stage.facts.rows);
  }

  box(layer, opacity) {
    for (const { box, label } of layer.boxes) this.rectangle(box, label, layer.colour, opacity);
  }

  phrase(layer, opacity) {
    this.box(layer, opacity);
    if (!layer.peak) return;
    const [x, y] = this.stage.view.toScreen(...layer.peak);
    this.inScreen();
    this.context.strokeStyle = layer.colour;
    this.context.lineWidth = 2 * this.line;
    this.context.beginPath();
    this.context.arc(x, y, 7 * this.line, 0, 2 * Math.PI);
    this.context.stroke();
  }

  rectangle(box, label, colour, opacity) {
    const { context } = this;
    const [left, top, right, bottom] = this.stage.view.rectangle(...box);
    this.inScreen();
    context.globalAlpha = opacity;
    context.strokeStyle = colour;
    context.lineWidth = 2 * this.line;
    context.strokeRect(left, top, right - left, bottom - top);
    this.text(label, left, top - 4 * this.line, colour, "bottom");
  }

  // Write text on a dark backdrop, moved inside the canvas.
  text(text, x, y, colour, baseline = "top", align = "left") {
    const { context } = this;
    const size = 13 * this.line;
    context.font = `600 ${size}px system-ui, sans-serif`;
    context.textBaseline = "top";
    const width = context.measureText(text).width + 8 * this.line;
    const height = size + 6 * this.line;
    const [w, h] = [this.canvas.width / this.ratio, this.canvas.height / this.ratio];
    let left = { left: x, center: x - width / 2, right: x - width }[align];
    let top = { top: y, middle: y - height / 2, bottom: y - height }[baseline];
    left = Math.min(Math.max(0, left), Math.max(0, w - width));
    top = Math.min(Math.max(0, top), Math.max(0, h - height));
    context.fillStyle = BACKDROP;
    context.fillRect(left, top, width, height);
    context.fillStyle = colour;
    context.fillText(text, left + 4 * this.line, top + 3 * this.line);
  }

  // Write L and R at the edges of the image, and on how much that rests.
  sides() {
    const { facts, sidesKnown, view } = this.stage;
    if (!sidesKnown) return;
    const note = facts.laterality === "assumed" ? " (assumed)" : "";
    this.inScreen();
    for (const [side, edge] of Object.entries(sides(view.turn.name === "none" ? facts.turned : "none"))) {
      const [x, y, align, baseline] = this.edge(edge);
      this.text(side + note, x, y, SIDE, baseline, align);
    }
  }

  edge(edge) {
    const { view, facts, size } = this.stage;
    const [x0, y0, x1, y1] = view.rectangle(0, 0, facts.columns, facts.rows);
    const [left, top] = [Math.max(0, x0), Math.max(0, y0)];
    const [right, bottom] = [Math.min(size[0], x1), Math.min(size[1], y1)];
    const [x, y] = [(left + right) / 2, top + (bottom - top) / 4];
    return {
      left: [left, y, "left", "middle"],
      right: [right, y, "right", "middle"],
      top: [x, top, "center", "top"],
      bottom: [x, bottom, "center", "bottom"],
    }[edge];
  }

  ruler({ from, to, text }) {
    const { context } = this;
    const [a, b] = [this.stage.view.toScreen(...from), this.stage.view.toScreen(...to)];
    const angle = Math.atan2(b[1] - a[1], b[0] - a[0]);
    const [dx, dy] = [-Math.sin(angle) * 6 * this.line, Math.cos(angle) * 6 * this.line];
    this.inScreen();
    context.strokeStyle = RULER;
    context.lineWidth = 2 * this.line;
    context.beginPath();
    context.moveTo(...a);
    context.lineTo(...b);
    for (const [x, y] of [a, b]) {
      context.moveTo(x - dx, y - dy);
      context.lineTo(x + dx, y + dy);
    }
    context.stroke();
    this.text(text, b[0] + 8 * this.line, b[1] + 8 * this.line, RULER);
  }

  cursor([x, y]) {
    const [left, top] = this.stage.view.toScreen(x + 0.5, y + 0.5);
    this.inScreen();
    this.context.strokeStyle = RULER;
    this.context.lineWidth = 1;
    this.context.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      this.context.moveTo(left + 4 * dx, top + 4 * dy);
      this.context.lineTo(left + 16 * dx, top + 16 * dy);
    }
    this.context.stroke();
  }
}
