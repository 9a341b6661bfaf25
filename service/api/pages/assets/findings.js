// Findings with their thresholds, warnings, and the caution for images the model was not made for.

import { byId, make, percent, sentence, show } from "./dom.js";
import { colourOf } from "./colours.js";
import { decisionHolds } from "./uncertainty.js";

// Warnings after which findings and boxes are shown on request only.
const DOUBTFUL = {
  out_of_domain: "the image is unlike the training images",
  pixels_look_lateral: "it looks like a lateral view",
  lateral_view: "it is a lateral view",
  view_unusual: "its view is unusual",
  pixels_look_turned: "it looks turned",
  pixels_look_mirrored: "it looks mirrored",
  pixels_look_inverted: "black and white look exchanged",
  not_human: "it is of an animal",
  body_part: "it is of another body part",
};

// Return the reasons for which the findings of an answer are not to be relied on.
export function doubts(answer) {
  return answer.warnings.map(({ code }) => DOUBTFUL[code]).filter(Boolean);
}

// Warnings that contradict sides which are only assumed from how radiographs are usually displayed.
const CONTRADICT_SIDES = new Set(["pixels_look_lateral", "pixels_look_turned", "pixels_look_mirrored"]);

// Return whether the sides of an image can be marked at its edges.
export function sidesAreKnown({ image, warnings }) {
  if (image.laterality === "assumed") return !warnings.some(({ code }) => CONTRADICT_SIDES.has(code));
  return image.laterality !== "unknown";
}

export function showWarnings(answer) {
  const list = byId("warnings").querySelector("ul");
  list.replaceChildren(...(answer?.warnings || []).map(({ message }) => make("li", { textContent: sentence(message) })));
  show(byId("warnings"), list.children.length > 0);
}

export function showDoubt(reasons) {
  show(byId("doubt"), reasons.length > 0);
  byId("doubt").querySelector("p").textContent =
    `The model was not made for this image: ${reasons.join("; ")}. Findings and boxes may mean nothing here.`;
}

export function sorted(findings) {
  return [...findings].sort((a, b) => b.positive - a.positive || b.probability - a.probability);
}

export function showFindings(findings, remark) {
  const section = byId("findings");
  section.querySelector("ol").replaceChildren(...sorted(findings || []).map(row));
  section.querySelector("p").textContent = remark;
  show(section, Boolean(findings?.length));
}

// Return the verdict on a finding and its reason in words.
export function verdictOf({ positive, probability, threshold, subtype_of: whole }) {
  const cut = percent(threshold);
  if (!positive && probability >= threshold) return `absent, as ${whole} is; above the threshold of ${cut}`;
  return `${positive ? "present" : "absent"} at the threshold of ${cut}`;
}

function row(item) {
  return make("li", {},
    make("span", { textContent: item.positive ? "●" : "○", "aria-hidden": "true" }),
    make("span", { textContent: item.name, className: item.positive ? "present" : "" }),
    make("span", { textContent: percent(item.probability), className: item.positive ? "present" : "" }),
    meter(item),
    make("span", { className: "verdict", textContent: `${verdictOf(item)}${decisionHolds(item)}` }));
}

const SVG = "http://www.w3.org/2000/svg";

function shape(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

// A bar of the probability with a tick at the threshold, and the range over changed views if it is known.
function meter({ name, probability, threshold, uncertainty }) {
  const svg = shape("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" });
  svg.classList.add("meter");
  svg.append(
    shape("rect", { x: 0, y: 2, width: 100, height: 6, fill: "#2c384b" }),
    shape("rect", { x: 0, y: 2, width: 100 * probability, height: 6, fill: colourOf(name) }),
    ...(uncertainty ? [shape("rect", {
      x: 100 * uncertainty.low, y: 4, width: 100 * (uncertainty.high - uncertainty.low), height: 2, fill: "#ffffff", class: "range" })] : []),
    shape("rect", { x: 100 * threshold - 0.4, y: 0, width: 0.8, height: 10, fill: "#ffffff" }));
  return svg;
}

// Say how probabilities were calibrated and thresholds chosen, from the manifest of the version.
export function remarkOf(manifest) {
  const heads = Object.values(manifest?.heads || {}).filter((head) => head.kind === "classify");
  const rules = [...new Set(heads.map((head) => head.threshold_rule))].join("; ");
  const temperature = heads.some((head) => head.temperature !== 1);
  const calibrated = temperature
    ? "Probabilities are calibrated on the validation data of the model"
    : "Probabilities are those of the model, without a further calibration";
  const chosen = rules ? ` Thresholds: ${rules}.` : "";
  return `${calibrated}; elsewhere they may be too high or too low. The tick is the threshold.${chosen}`;
}

export function showMeasurements(items) {
  const section = byId("measurements");
  section.querySelector("dl").replaceChildren(...(items || []).flatMap((item) => [
    make("dt", { textContent: item.name }),
    make("dd", {},
      item.value.toFixed(2),
      ...item.warnings.map(({ message }) => make("div", { className: "warn small", textContent: message }))),
  ]));
  show(section, Boolean(items?.length));
}
