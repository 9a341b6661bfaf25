// One colour for each structure, finding and phrase, the same in every view and list.

// Each has a contrast of more than 4.5 with the backgrounds of the pages, and colour-blind readers can
// tell the first eight apart (after Okabe and Ito, Color Universal Design, 2008).
export const PALETTE = [
  "#56b4e9", "#e69f00", "#00b988", "#f0e442", "#e58fc0", "#ff8a5c", "#86a8ff", "#d6d6d6",
  "#b7a3ff", "#9be564", "#5fd9d9", "#d9b285", "#ff9fae", "#b9c46a",
];
export const BACKGROUNDS = ["#0b0e13", "#141923", "#1d2533"];

const KNOWN = [
  "left lung", "right lung", "heart", "lung opacity", "pneumonia", "effusion", "cardiomegaly",
  "no finding", "pneumothorax", "atelectasis", "nodule", "mass", "infiltration", "consolidation",
];

// Return the colour of a name; names that are not known have one that depends on their letters.
export function colourOf(name) {
  const plain = name.toLowerCase();
  const known = KNOWN.indexOf(plain);
  if (known >= 0) return PALETTE[known];
  let sum = 0;
  for (const character of plain) sum = (sum * 31 + character.codePointAt(0)) >>> 0;
  return PALETTE[sum % PALETTE.length];
}

export function channels(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}

// Return a colour as RGBA in the order of `ImageData`, opaque.
export function packed(colour) {
  const [red, green, blue] = channels(colour);
  return (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;
}

// Return the contrast of two colours (WCAG 2.2, "contrast ratio").
export function contrast(one, other) {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

function luminance(colour) {
  const [red, green, blue] = channels(colour).map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
