// The radiographs that are open, in order. Files, answers and pixels are kept in memory only.

import { button, byId, make } from "./dom.js";

const KEPT = 6; // images whose pixels are kept; others are analysed again when they are shown

export class Radiograph {
  constructor(file, name) {
    Object.assign(this, { file, name, state: "waiting", answer: null, display: null });
    Object.assign(this, { layers: [], other: null, otherLayers: [], problem: null, confirmed: false, seen: 0 });
    this.waiters = [];
  }

  // Wait until the analysis, if one is still to come, has ended.
  async ended() {
    if (["waiting", "working"].includes(this.state)) await new Promise((resolve) => this.waiters.push(resolve));
  }

  end(state) {
    this.state = state;
    for (const resolve of this.waiters.splice(0)) resolve();
  }
}

const MARKS = { waiting: "…", working: "⟳", done: "✓", failed: "✕" };
const WORDS = { waiting: "waiting", working: "being analysed", done: "analysed", failed: "failed" };

export class Files {
  // `select(item)` shows an item; `removed(item)` is called after one was removed.
  constructor({ select, removed }) {
    this.items = [];
    this.current = null;
    this.clock = 0;
    this.callbacks = { select, removed };
  }

  add(files) {
    const made = [...files].map((file) => new Radiograph(file, file.name));
    this.items.push(...made);
    this.show();
    return made;
  }

  mark(item) {
    this.current = item;
    if (item) item.seen = ++this.clock;
    this.forget();
    this.show();
  }

  // Drop the pixels that were not shown for the longest time.
  forget() {
    const held = this.items.filter(({ display }) => display).sort((a, b) => b.seen - a.seen);
    for (const item of held.slice(KEPT)) item.display = null;
  }

  // Return the radiograph to analyse next: the one that is shown, or the first one that waits.
  next() {
    const waits = (item) => item?.state === "waiting";
    return waits(this.current) ? this.current : this.items.find(waits);
  }

  step(by) {
    const index = this.items.indexOf(this.current) + by;
    if (this.items[index]) this.callbacks.select(this.items[index]);
  }

  remove(item) {
    const index = this.items.indexOf(item);
    this.items = this.items.filter((other) => other !== item);
    this.callbacks.removed(item);
    if (this.current === item) {
      const neighbour = this.items[Math.min(index, this.items.length - 1)] || null;
      this.callbacks.select(neighbour);
    }
    this.show();
  }

  show() {
    byId("files").replaceChildren(...this.items.map((item) =>
      make("li", { "data-state": item.state },
        button(`${MARKS[item.state]} ${item.name}`, () => this.callbacks.select(item), {
          "aria-label": `${item.name}, ${WORDS[item.state]}`,
          "aria-current": String(item === this.current),
          title: item.name,
        }),
        button("×", () => this.remove(item), { "aria-label": `Close ${item.name}` }))));
  }
}

// Connect the button, the field of the browser and dropping anywhere on the page.
export function connectFiles(open) {
  const field = byId("file");
  byId("open").addEventListener("click", () => field.click());
  field.addEventListener("change", () => {
    open([...field.files]);
    field.value = "";
  });
  const stage = byId("stage");
  addEventListener("dragover", (event) => {
    event.preventDefault();
    stage.classList.add("over");
  });
  addEventListener("dragleave", (event) => event.relatedTarget || stage.classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    stage.classList.remove("over");
    open([...event.dataTransfer.files]);
  });
}
