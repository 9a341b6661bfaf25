// Geometry of the view: stored pixels on the screen, and distances.

export const SMALLEST = 1 / 64;
export const LARGEST = 64;

// The placement of an image: screen = shown * scale + offset, in CSS pixels; `turn` says how stored
// pixels are shown.
export class View {
  constructor(turn, scale = 1, x = 0, y = 0) {
    Object.assign(this, { turn, scale, x, y });
  }

  // Return the view that shows the whole of an image in the middle; small images are enlarged.
  static fit(turn, width, height, margin = 0) {
    const { rows, columns } = turn;
    const room = [Math.max(1, width - 2 * margin), Math.max(1, height - 2 * margin)];
    const scale = clamp(Math.min(room[0] / columns, room[1] / rows), SMALLEST, LARGEST);
    return new View(turn, scale, (width - columns * scale) / 2, (height - rows * scale) / 2);
  }

  toScreen(x, y) {
    const [u, v] = this.turn.toShown(x, y);
    return [u * this.scale + this.x, v * this.scale + this.y];
  }

  toSource(x, y) {
    return this.turn.toStored((x - this.x) / this.scale, (y - this.y) / this.scale);
  }

  // Return the rectangle on the screen of one of the stored image: left, top, right, bottom.
  rectangle(x0, y0, x1, y1) {
    return ordered(this.toScreen(x0, y0), this.toScreen(x1, y1));
  }

  // Return the rectangle of the stored image of one on the screen.
  rectangleOfSource(x0, y0, x1, y1) {
    return ordered(this.toSource(x0, y0), this.toSource(x1, y1));
  }

  // Return the transform of a canvas that takes stored pixels as coordinates.
  transform(ratio) {
    const { scale, turn } = this;
    const [left, top] = this.toScreen(0, 0);
    return [...turn.linear.map((step) => step * scale * ratio), left * ratio, top * ratio];
  }

  moved(dx, dy) {
    return new View(this.turn, this.scale, this.x + dx, this.y + dy);
  }

  // Return the view with another scale; the point of the image at (x, y) on the screen stays there.
  zoomed(factor, x, y) {
    const scale = clamp(this.scale * factor, SMALLEST, LARGEST);
    const change = scale / this.scale;
    return new View(this.turn, scale, x - (x - this.x) * change, y - (y - this.y) * change);
  }

  // Return the view moved so that a part of the image stays on the screen.
  kept(width, height, part = 40) {
    const { rows, columns } = this.turn;
    const [w, h] = [columns * this.scale, rows * this.scale];
    const x = clamp(this.x, Math.min(part, width) - w, width - Math.min(part, w));
    const y = clamp(this.y, Math.min(part, height) - h, height - Math.min(part, h));
    return new View(this.turn, this.scale, x, y);
  }
}

function ordered([x0, y0], [x1, y1]) {
  return [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)];
}

export function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

// Return the distance of two points in millimetres, or null where the spacing is unknown.
//
// `spacing` is the distance between rows, and between columns.
export function distance([x0, y0], [x1, y1], spacing) {
  if (!spacing) return null;
  return Math.hypot((x1 - x0) * spacing[1], (y1 - y0) * spacing[0]);
}

// Return whether a point lies in a box, x0, y0, x1, y1, with exclusive ends.
export function inBox([x0, y0, x1, y1], x, y) {
  return x >= x0 && x < x1 && y >= y0 && y < y1;
}
