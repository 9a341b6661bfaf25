// Masks as COCO run lengths: column by column from the top, zeros first.

// A mask as the intervals of rows that each column covers.
export class Mask {
  constructor(rows, columns, parts) {
    this.rows = rows;
    this.columns = columns;
    this.parts = parts; // column -> [start, end, start, end, ...], ends exclusive
    this.bounds = bounds(parts);
  }

  get empty() {
    return this.parts.size === 0;
  }

  has(x, y) {
    const [column, row] = [Math.floor(x), Math.floor(y)];
    const part = this.parts.get(column) || [];
    for (let i = 0; i < part.length; i += 2) if (row >= part[i] && row < part[i + 1]) return true;
    return false;
  }

  // Return the pixels within the bounds, transposed: one row for each column of the mask. Runs are
  // contiguous there, so that they are filled at once.
  transposed(colour) {
    const { left, top, right, bottom } = this.bounds;
    const width = bottom - top;
    const image = new ImageData(width, right - left);
    const pixels = new Uint32Array(image.data.buffer);
    for (const [column, part] of this.parts) {
      const start = (column - left) * width - top;
      for (let i = 0; i < part.length; i += 2) pixels.fill(colour, start + part[i], start + part[i + 1]);
    }
    return image;
  }

  // Return the edges between the mask and everything else, along the borders of pixels.
  outline() {
    const path = new Path2D();
    const { left, right } = this.bounds;
    for (let column = left; column <= right; column += 1) {
      const part = this.parts.get(column) || [];
      for (const row of part) {
        path.moveTo(column, row);
        path.lineTo(column + 1, row);
      }
      for (const [start, end] of difference(this.parts.get(column - 1) || [], part)) {
        path.moveTo(column, start);
        path.lineTo(column, end);
      }
    }
    return path;
  }
}

// Read `{size: [rows, columns], counts: [...]}`.
export function decode(rle) {
  const [rows, columns] = rle.size;
  const parts = new Map();
  let at = 0;
  rle.counts.forEach((count, index) => {
    if (index % 2) for (let start = at; start < at + count; ) start = addPart(parts, rows, start, at + count);
    at += count;
  });
  if (at !== rows * columns) throw new Error(`a mask has ${at} pixels instead of ${rows * columns}`);
  return new Mask(rows, columns, parts);
}

// Add the part of a run that lies in one column, and return where the next column begins.
function addPart(parts, rows, start, end) {
  const column = Math.floor(start / rows);
  const next = Math.min(end, (column + 1) * rows);
  const part = parts.get(column) || [];
  part.push(start - column * rows, next - column * rows);
  parts.set(column, part);
  return next;
}

function bounds(parts) {
  let [left, top, right, bottom] = [Infinity, Infinity, 0, 0];
  for (const [column, part] of parts) {
    left = Math.min(left, column);
    right = Math.max(right, column + 1);
    top = Math.min(top, part[0]);
    bottom = Math.max(bottom, part[part.length - 1]);
  }
  return parts.size ? { left, top, right, bottom } : { left: 0, top: 0, right: 0, bottom: 0 };
}

// Return the rows that belong to exactly one of two lists of intervals.
function difference(one, other) {
  const edges = [...one, ...other].sort((a, b) => a - b);
  const found = [];
  for (let i = 0; i + 1 < edges.length; i += 2)
    if (edges[i] < edges[i + 1]) found.push([edges[i], edges[i + 1]]);
  return found;
}
