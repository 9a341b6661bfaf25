// Phrases: those that were asked for, and what the model found of each.

import { button, byId, make, percent } from "./dom.js";
import { layerRow } from "./layer_list.js";
import { MOST_PHRASES } from "./requests.js";
import { decisionHolds } from "./uncertainty.js";

export class Phrases {
  // `ask(phrase, method)` locates one phrase in the present image; `changed()` redraws.
  constructor({ ask, remove, changed, appearance }) {
    this.asked = []; // {phrase, method}, applied to every image that is opened
    this.callbacks = { ask, remove, changed };
    this.appearance = appearance;
    byId("ask").addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
  }

  get method() {
    return byId("method").value;
  }

  async submit() {
    const field = byId("phrase");
    const phrase = field.value.trim();
    if (!phrase) return field.focus();
    if (this.asked.length >= MOST_PHRASES && !this.asked.some((item) => item.phrase === phrase)) {
      field.setCustomValidity(`At most ${MOST_PHRASES} phrases at a time; remove one first.`);
      field.reportValidity();
      field.addEventListener("input", () => field.setCustomValidity(""), { once: true });
      return undefined;
    }
    const method = this.method;
    const written = await this.callbacks.ask(phrase, method);
    if (written) {
      this.remember(written, method);
      field.value = "";
    }
    return undefined;
  }

  remember(phrase, method) {
    this.asked = [...this.asked.filter((item) => item.phrase !== phrase), { phrase, method }];
  }

  // Return the phrases by method, each with a list.
  groups() {
    const found = new Map();
    for (const { phrase, method } of this.asked) found.set(method, [...(found.get(method) || []), phrase]);
    return [...found].map(([method, phrases]) => ({ method, phrases }));
  }

  // Offer the methods and the names of everything that a version knows.
  offer(manifest) {
    const heads = Object.values(manifest?.heads || {});
    const methods = heads.filter(({ kind }) => kind === "ground").map(({ method }) => method);
    const chosen = this.method;
    byId("method").replaceChildren(...methods.map((method) =>
      make("option", { value: method, textContent: NAMES[method] || method, selected: method === chosen })));
    const names = heads.filter(({ kind }) => kind !== "check").flatMap(({ labels }) => labels || []).map(({ name }) => name);
    const words = [...new Set(names.map((name) => name.replaceAll("_", " ").toLowerCase()))].filter((name) => name !== "no finding");
    byId("vocabulary").replaceChildren(...words.map((value) => make("option", { value })));
    byId("phrases").hidden = manifest !== null && methods.length === 0;
  }

  // List the phrases with the results of an answer.
  show(results, layers) {
    byId("asked").replaceChildren(...(results || []).map((item) => {
      const heat = layers.find((layer) => layer.kind === "heat" && layer.name === item.phrase);
      const boxes = layers.find((layer) => layer.kind === "phrase" && layer.name === item.phrase);
      const drop = button("Remove", () => {
        this.asked = this.asked.filter(({ phrase }) => phrase !== item.phrase);
        this.callbacks.remove(item.phrase);
      }, { "aria-label": `Remove the phrase ${item.phrase}` });
      const shown = heat || boxes;
      const linked = () => {
        this.appearance.of(boxes).on = this.appearance.of(shown).on;
        this.callbacks.changed();
      };
      return layerRow(shown, this.appearance, linked, `${verdict(item)}${decisionHolds(item)}`, drop);
    }));
  }
}

const NAMES = { aligned: "aligned (trained on regions)", zero_shot: "zero-shot (pre-training only)" };

// Say what was found of a phrase, in words.
export function verdict(item) {
  const method = item.method.replace("_", "-");
  if (item.found === false)
    return `not found (${percent(item.presence)}, threshold ${percent(item.threshold)}; ${method})`;
  const places = item.boxes.length === 1 ? "1 place" : `${item.boxes.length} places`;
  if (item.found) return `found, ${places} (${percent(item.presence)}; ${method})`;
  return `${places}, similarity ${percent(item.similarity)}; this version does not decide (${method})`;
}
