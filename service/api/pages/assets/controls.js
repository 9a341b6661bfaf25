// Controls of the view: toolbar, pointer, cursor, read-out and keys.

import { byId, show } from "./dom.js";
import { BRIGHTEST } from "./windowing.js";
import { connectPointers } from "./pointer.js";

const PAN = 48;
const STEP = BRIGHTEST / 40;

export class Controls {
  constructor(stage) {
    this.stage = stage;
    this.tool = "window";
    for (const button of byId("tools").children) button.addEventListener("click", () => this.choose(button.dataset.tool));
    const actions = {
      invert: () => stage.invert(), "zoom-in": () => stage.zoom(1.25), "zoom-out": () => stage.zoom(0.8),
      fit: () => stage.fit(), actual: () => stage.actualSize(), reset: () => this.reset(),
      upright: () => stage.setUpright(!stage.upright),
    };
    for (const [id, action] of Object.entries(actions)) byId(id).addEventListener("click", action);
    byId("preset").addEventListener("change", (event) => stage.preset(event.target.value));
    stage.addEventListener("window", () => this.showWindow());
    stage.addEventListener("view", () => (byId("zoom").textContent = `${Math.round(100 * stage.view.scale)} %`));
    stage.addEventListener("turn", () => this.showTurn());
    stage.addEventListener("ruler", () => stage.ruler && this.say(`Length ${stage.ruler.text}`));
    connectPointers(stage, () => this.tool, (point) => this.hover(point));
  }

  choose(tool) {
    this.tool = tool;
    for (const button of byId("tools").children) button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
  }

  reset() {
    this.stage.reset();
    this.stage.setRuler(null);
    this.stage.setCursor(null);
  }

  showWindow() {
    const { window, windows, inverted } = this.stage;
    const same = (name) => windows[name].centre === window.centre && windows[name].width === window.width;
    byId("preset").value = Object.keys(windows).find(same) || "";
    byId("invert").setAttribute("aria-pressed", String(inverted));
    this.say(`Window: centre ${share(window.centre)}, width ${share(window.width)}`);
  }

  showTurn() {
    const { facts, upright } = this.stage;
    const turned = facts !== null && facts.turned !== "none";
    show(byId("upright"), turned);
    byId("upright").setAttribute("aria-pressed", String(upright));
    if (turned) this.say(upright ? "Shown upright." : "Shown as the file stores it.");
  }

  say(text) {
    byId("readout").textContent = text;
  }

  hover(point) {
    if (point && !this.stage.cursor) this.read(this.stage.readout(...point));
  }

  read(found) {
    if (!found) return;
    const names = found.names.length ? ` · ${found.names.join(", ")}` : "";
    this.say(`x ${found.x}, y ${found.y} · gray ${found.value} (${share(found.value)})${names}`);
  }

  // Move the cursor that replaces the pointer for people who use the keyboard.
  moveCursor(dx, dy) {
    const { stage } = this;
    const { rows, columns } = stage.facts;
    const [x, y] = stage.cursor || [Math.floor(columns / 2), Math.floor(rows / 2)];
    stage.setCursor([Math.min(columns - 1, Math.max(0, x + dx)), Math.min(rows - 1, Math.max(0, y + dy))]);
    this.read(stage.readout(...stage.view.toScreen(stage.cursor[0] + 0.5, stage.cursor[1] + 0.5)));
  }

  toggleCursor() {
    const readout = byId("readout");
    if (this.stage.cursor) this.stage.setCursor(null);
    else this.moveCursor(0, 0);
    readout.setAttribute("aria-live", this.stage.cursor ? "polite" : "off");
  }

  // Set one end of the ruler at the cursor, then the other.
  measure() {
    const { stage } = this;
    if (!stage.cursor) return this.toggleCursor();
    const point = [stage.cursor[0] + 0.5, stage.cursor[1] + 0.5];
    if (this.end) stage.setRuler(this.end, point);
    else stage.setRuler(point, point);
    this.end = this.end ? null : point;
    return undefined;
  }

  arrow(key) {
    const [dx, dy] = DIRECTIONS[key.replace("Shift+", "")];
    const large = key.startsWith("Shift+");
    if (this.stage.cursor) this.moveCursor(...this.stage.view.turn.stepToStored(large ? 20 * dx : dx, large ? 20 * dy : dy));
    else if (large) this.shift(dx, dy);
    else this.stage.pan(-dx * PAN, -dy * PAN);
  }

  shift(dx, dy) {
    const { centre, width } = this.stage.window;
    this.stage.setWindow({ centre: centre + dy * STEP, width: width + dx * STEP });
  }

  nextPreset() {
    const names = Object.keys(this.stage.windows);
    this.stage.preset(names[(names.indexOf(byId("preset").value) + 1) % names.length]);
  }

  // Return the keys of the view, as `connectKeys` takes them.
  commands() {
    const { stage } = this;
    const shown = (run) => (key) => stage.facts && run(key);
    const on = (keys, text, run, within) => ({ keys, text, run: shown(run), within });
    return [
      on(["1"], "Tool: window (drag sideways for contrast, up and down for brightness)", () => this.choose("window")),
      on(["2"], "Tool: pan", () => this.choose("pan")),
      on(["3"], "Tool: ruler", () => this.choose("ruler")),
      on(Object.keys(DIRECTIONS), "Pan; move the cursor by a pixel", (key) => this.arrow(key), stage.element),
      on(Object.keys(DIRECTIONS).map((key) => `Shift+${key}`), "Contrast and brightness; move the cursor by 20 pixels",
        (key) => this.arrow(key), stage.element),
      on(["w"], "Next preset of the window", () => this.nextPreset()),
      on(["i"], "Invert", () => stage.invert()),
      on(["+", "="], "Zoom in", () => stage.zoom(1.25)),
      on(["-"], "Zoom out", () => stage.zoom(0.8)),
      on(["0"], "Fit", () => stage.fit()),
      on(["z"], "One pixel of the image for one of the screen", () => stage.actualSize()),
      on(["u"], "Upright, or as the file stores it", () => stage.setUpright(!stage.upright)),
      on(["r"], "Reset the view", () => this.reset()),
      on(["c"], "Cursor on or off; it says value, place and structure", () => this.toggleCursor()),
      on(["m"], "Measure from the cursor; again for the other end", () => this.measure()),
      on(["Escape"], "Remove ruler and cursor", () => {
        this.end = null;
        stage.setRuler(null);
        stage.setCursor(null);
      }),
    ];
  }
}

const DIRECTIONS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function share(value) {
  return `${((100 * value) / BRIGHTEST).toFixed(0)} %`;
}
