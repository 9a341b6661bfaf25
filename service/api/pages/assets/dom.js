// Elements of a page, and values as people read them.

export const byId = (id) => document.getElementById(id);

const ATTRIBUTES = new Set(["list", "role", "for", "form"]);

// Return an element; names with a hyphen are attributes, all others properties.
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.includes("-") || ATTRIBUTES.has(name)) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function button(text, action, properties = {}) {
  const element = make("button", { type: "button", textContent: text, ...properties });
  element.addEventListener("click", action);
  return element;
}

export function show(element, visible) {
  element.hidden = !visible;
}

// Return a probability in whole per cent; 0 and 100 % are said only of what is exactly so.
export function percent(value) {
  if (value > 0 && value < 0.01) return "< 1 %";
  if (value > 0.99 && value < 1) return "> 99 %";
  return `${Math.round(100 * value)} %`;
}

// Return a number with at most three significant digits, without trailing zeros.
export function short(value) {
  return String(Number(value.toPrecision(3)));
}

export function millimetres(value) {
  return value >= 100 ? `${value.toFixed(0)} mm` : `${value.toFixed(1)} mm`;
}

export function spacing(pair) {
  if (!pair) return "unknown";
  const [rows, columns] = pair.map(short);
  return rows === columns ? `${rows} mm` : `${rows} × ${columns} mm`;
}

export function seconds(value) {
  if (value < 90) return `${Math.round(value)} s`;
  if (value < 5400) return `${Math.round(value / 60)} min`;
  return `${(value / 3600).toFixed(1)} h`;
}

export function sentence(text) {
  return text ? text[0].toUpperCase() + text.slice(1) : text;
}

// Offer bytes to be saved; the address is dropped at once, so that nothing of it remains.
export function save(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 0);
}
