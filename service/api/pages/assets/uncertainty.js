// Uncertainty: how far the results hold in seven harmless changes of the image.

import { percent } from "./dom.js";

// Put the uncertainties of an answer into an earlier one of the same image, version and phrases.
export function addUncertainty(answer, assessed) {
  for (const [list, name] of [["findings", "name"], ["masks", "name"], ["phrases", "phrase"]]) {
    const found = new Map((assessed[list] || []).map((item) => [item[name], item.uncertainty]));
    for (const item of answer[list] || []) if (found.has(item[name])) item.uncertainty = found.get(item[name]);
  }
  (assessed.boxes || []).forEach(({ uncertainty }, i) => (answer.boxes[i].uncertainty = uncertainty));
}

// Say how far a finding or a phrase holds; nothing before it was asked for.
export function decisionHolds({ uncertainty }) {
  if (!uncertainty) return "";
  const { views, agreement, low, high } = uncertainty;
  const range = low === null ? "" : `, ${percent(low)} to ${percent(high)}`;
  return `; the same in ${Math.round(agreement * views)} of ${views} changed views${range}`;
}

// Say how far a mask holds.
export function maskHolds({ uncertainty }) {
  return uncertainty ? `, overlap ${uncertainty.agreement.toFixed(2)} with ${uncertainty.views} changed views` : "";
}

// Say how far the boxes of one name hold, by the one that holds least.
export function boxesHold(items) {
  const held = items.map(({ uncertainty }) => uncertainty).filter(Boolean);
  if (!held.length) return "";
  const { views, agreement } = held.reduce((one, other) => (other.agreement < one.agreement ? other : one));
  const places = items.length === 1 ? "found in" : "each found in at least";
  return `; ${places} ${Math.round(agreement * views)} of ${views} changed views`;
}
