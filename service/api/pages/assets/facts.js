// Facts of the image and of the answer.

import { byId, make, show, spacing } from "./dom.js";

const SIDES = {
  asserted: "as the header says",
  assumed: "assumed, as radiographs are usually displayed",
  unknown: "unknown: names of sides are not to be relied on",
};

export function showFacts(answer) {
  const { image, model, out_of_domain: domain, timings_ms: timings } = answer;
  const entries = [
    ["Model", `${model.name}, version ${model.version}`],
    ["Digest", model.digest.slice(0, 12)],
    ["Size", `${image.columns} × ${image.rows} px`],
    ["Spacing", spacing(image.pixel_spacing_mm)],
    ["Stored as", image.photometric_interpretation],
    ["View", image.view_position || "unknown"],
    ["Sides", SIDES[image.laterality]],
    ["Turned upright", image.turned.replace("_", " by ")],
    ["Distance from training", domain ? `${domain.score.toFixed(2)} (threshold ${domain.threshold.toFixed(2)})` : "not measured"],
    ["Computed in", `${Math.round(timings.total)} ms`],
  ];
  byId("facts").querySelector("dl").replaceChildren(...entries.flatMap(([name, value]) =>
    [make("dt", { textContent: name }), make("dd", { textContent: value })]));
  show(byId("facts"), true);
}
