// Turning: where stored pixels lie in the picture that is shown, which may be turned upright.

// Steps that turn stored pixels upright: transposed, rows flipped, columns flipped, in this order.
const STEPS = {
  none: [false, false, false],
  mirrored: [false, false, true],
  rotated_180: [false, true, true],
  flipped: [false, true, false],
  transposed: [true, false, false],
  rotated_90: [true, false, true],
  transversed: [true, true, true],
  rotated_270: [true, true, false],
};

// One of the eight ways to show an image of some size: shown = linear * stored + shift, in pixels.
export class Turn {
  // `name` is a value of `turned` in an answer; `rows` and `columns` are those of the shown picture.
  constructor(name, { rows, columns }) {
    const [transposed, rowsFlipped, columnsFlipped] = STEPS[name];
    Object.assign(this, { name, rows: transposed ? columns : rows, columns: transposed ? rows : columns });
    const [across, down] = [columnsFlipped ? -1 : 1, rowsFlipped ? -1 : 1];
    this.linear = transposed ? [0, down, across, 0] : [across, 0, 0, down]; // a, b, c, d of a canvas
    this.shift = [columnsFlipped ? this.columns : 0, rowsFlipped ? this.rows : 0];
  }

  toShown(x, y) {
    const [a, b, c, d] = this.linear;
    return [a * x + c * y + this.shift[0], b * x + d * y + this.shift[1]];
  }

  toStored(u, v) {
    return this.stepToStored(u - this.shift[0], v - this.shift[1]);
  }

  // Return a step on the screen as a step between stored pixels.
  stepToStored(du, dv) {
    const [a, b, c, d] = this.linear; // orthogonal: transposed, it is its inverse
    return [a * du + b * dv, c * du + d * dv];
  }
}

const OPPOSITE = { left: "right", right: "left", top: "bottom", bottom: "top" };

// Return the edges at which the patient's left and right are, of an image still to be turned upright.
//
// In an upright image, `none`, the patient's left is at the right edge.
export function sides(turned) {
  const [transposed, , columnsFlipped] = STEPS[turned];
  const upright = columnsFlipped ? "left" : "right";
  const left = transposed ? { left: "top", right: "bottom" }[upright] : upright;
  return { L: left, R: OPPOSITE[left] };
}
