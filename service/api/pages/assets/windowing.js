// Windowing: displayed pixels of 16 bits to the gray values of a screen.
//
// pixels --average 2 x 2, repeatedly--> levels --of the level that fits the zoom, the visible part-->
// look-up table --> RGBA. A window changes the table only.

export const BRIGHTEST = 65535;
export const FULL = Object.freeze({ centre: BRIGHTEST / 2, width: BRIGHTEST });

const OPAQUE = 0xff000000; // RGBA in little-endian order

// Return the RGBA of each pixel value. A window of width 0 is a threshold.
export function table({ centre, width }, inverted) {
  const colours = new Uint32Array(BRIGHTEST + 1);
  const black = centre - width / 2;
  const slope = 255 / Math.max(width, 1e-9);
  for (let value = 0; value <= BRIGHTEST; value += 1) {
    const level = Math.min(255, Math.max(0, (value - black) * slope)) + 0.5;
    const gray = inverted ? 255 - (level | 0) : level | 0;
    colours[value] = OPAQUE | (gray << 16) | (gray << 8) | gray;
  }
  return colours;
}

// Return an image and its reductions by 2, 4, 8, ..., down to a few hundred pixels.
export function levels(pixels, rows, columns) {
  const made = [{ pixels, rows, columns }];
  while (Math.max(made.at(-1).rows, made.at(-1).columns) > 512) made.push(halved(made.at(-1)));
  return made;
}

// Average blocks of 2 x 2; a last row or column without a partner is left out.
function halved({ pixels, rows, columns }) {
  const [height, width] = [Math.max(1, rows >> 1), Math.max(1, columns >> 1)];
  const reduced = new Uint16Array(height * width);
  const [right, below] = [columns > 1 ? 1 : 0, rows > 1 ? columns : 0];
  for (let row = 0, to = 0; row < height; row += 1) {
    for (let column = 0, from = 2 * row * columns; column < width; column += 1, from += 2, to += 1)
      reduced[to] = (pixels[from] + pixels[from + right] + pixels[from + below] + pixels[from + below + right] + 2) >> 2;
  }
  return { pixels: reduced, rows: height, columns: width };
}

// Return the smallest level that has at least about 0.7 pixels for each pixel of the screen.
export function levelFor(all, sourceColumns, scale) {
  const needed = sourceColumns * scale * 0.7;
  return all.findLast((level) => level.columns >= needed) || all[0];
}

// Write the colours of a rectangle of a level, row by row.
export function paint(level, { left, top, width, height }, colours, target) {
  const { pixels, columns } = level;
  for (let row = 0, to = 0; row < height; row += 1) {
    let from = (top + row) * columns + left;
    for (const end = to + width; to < end; to += 1, from += 1) target[to] = colours[pixels[from]];
  }
}

// Return the window between two percentiles of an image, of a sample of its pixels.
export function percentileWindow({ pixels }, low, high) {
  const step = Math.max(1, Math.floor(pixels.length / 16384));
  const sample = new Uint16Array(Math.ceil(pixels.length / step));
  for (let i = 0; i < sample.length; i += 1) sample[i] = pixels[i * step];
  sample.sort();
  const at = (part) => sample[Math.round(part * (sample.length - 1))];
  return betweenLevels(at(low), at(high));
}

export function betweenLevels(black, white) {
  if (!(white > black)) return { ...FULL };
  return { centre: (black + white) / 2, width: white - black };
}
