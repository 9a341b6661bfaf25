// The viewer: opens radiographs, asks the service about each once, and shows what it says.

import { getJson, Problem } from "./api.js";
import { comparison } from "./comparison.js";
import { Controls } from "./controls.js";
import { button, byId, make, save, show } from "./dom.js";
import { curl, python } from "./exports.js";
import { connectFiles, Files } from "./files.js";
import { doubts, remarkOf, showDoubt, showFindings, showMeasurements, showWarnings, sidesAreKnown } from "./findings.js";
import { showFacts } from "./facts.js";
import { connectKeys, showHelp } from "./help.js";
import { showLayers } from "./layer_list.js";
import { Appearance, layersOf } from "./layers.js";
import { Phrases } from "./phrases.js";
import { dicomFiles, zip } from "./dicom_objects.js";
import { analyse, assess, compareWith, dicomType, fetchAs, locate, manifestOf, readyVersions } from "./requests.js";
import { sampleButtons, showSamples } from "./samples.js";
import { connectSignIn } from "./signin.js";
import { Stage } from "./stage.js";
import { addUncertainty } from "./uncertainty.js";

class Viewer {
  constructor() {
    this.appearance = new Appearance();
    this.stage = new Stage(byId("stage"), this.appearance);
    this.controls = new Controls(this.stage);
    this.files = new Files({ select: (item) => this.select(item), removed: (item) => this.removed(item) });
    this.phrases = new Phrases({
      ask: (phrase, method) => this.ask(phrase, method),
      remove: (phrase) => this.removePhrase(phrase),
      changed: () => this.stage.redraw(),
      appearance: this.appearance,
    });
    this.manifests = new Map(); // "name/version" -> manifest
    this.working = null; // {item, controller} of the request in progress
    this.overlayOfOther = false;
    this.connect();
  }

  get current() {
    return this.files.current;
  }

  connect() {
    connectSignIn();
    connectFiles((files) => this.open(files));
    const openSample = (read) => this.attempt(async () => this.open([await read()]));
    byId("sample").addEventListener("click", () => showSamples(openSample));
    byId("samples").append(...sampleButtons(openSample));
    byId("cancel").addEventListener("click", () => this.working?.controller.abort());
    byId("confirm").addEventListener("click", () => this.confirm());
    byId("all-layers").addEventListener("change", (event) => this.hideAll(!event.target.checked));
    byId("assess").addEventListener("click", () => this.assess());
    byId("other").addEventListener("change", () => this.compare());
    byId("help").addEventListener("click", () => showHelp(this.commands));
    this.connectExports();
    this.commands = this.keys();
    connectKeys(this.commands);
    this.attempt(() => this.learnDefault(), true);
  }

  connectExports() {
    const asked = () => this.phrases.asked.map(({ phrase }) => phrase);
    byId("save-json").addEventListener("click", () =>
      save(new Blob([JSON.stringify(this.current.answer, null, 1)], { type: "application/json" }), "answer.json"));
    byId("save-overlay").addEventListener("click", async () => save(await this.stage.picture(), "overlay.png"));
    byId("save-dicom").addEventListener("click", () => this.attempt(async () => {
      const answer = await fetchAs(this.current.file, await dicomType(), asked());
      save(zip(dicomFiles(await answer.arrayBuffer(), answer.type)), "dicom-objects.zip");
    }));
    for (const [id, write] of [["copy-curl", curl], ["copy-python", python]])
      byId(id).addEventListener("click", () => this.copy(write(this.current.file, asked(), this.phrases.method)));
  }

  keys() {
    const shown = (run) => () => this.current && run();
    return [
      { keys: ["o"], text: "Open files", run: () => byId("open").click() },
      { keys: [","], text: "Previous radiograph", run: shown(() => this.files.step(-1)) },
      { keys: ["."], text: "Next radiograph", run: shown(() => this.files.step(1)) },
      { keys: ["f"], text: "Locate a phrase", run: () => byId("phrase").focus() },
      { keys: ["v"], text: "Hide or show everything that is drawn over the image", run: shown(() => this.hideAll(!this.appearance.allHidden)) },
      { keys: ["h"], text: "Ask how far the results hold", run: shown(() => byId("assess").click()) },
      { keys: ["x"], text: "Draw the other version of a comparison", run: shown(() => this.swap()) },
      { keys: ["j"], text: "Save the answer as JSON", run: shown(() => byId("save-json").click()) },
      ...this.controls.commands(),
      { keys: ["?"], text: "This list", run: () => showHelp(this.commands) },
    ];
  }

  // Show the vocabulary and the methods of the version that answers by default.
  async learnDefault() {
    const { models } = await getJson("v1/models", { quiet: true });
    const model = models.find((item) => item.default);
    const version = model?.versions.find(({ aliases, state }) => state === "ready" && aliases.includes("stable")) || model?.versions[0];
    if (version) this.phrases.offer(await this.manifest({ name: model.name, version: version.version }));
  }

  async manifest({ name, version }) {
    const key = `${name}/${version}`;
    if (!this.manifests.has(key)) this.manifests.set(key, await manifestOf({ name, version }).catch(() => null));
    return this.manifests.get(key);
  }

  open(files) {
    const [first] = this.files.add(files);
    if (!first) return;
    if (!this.current || this.current.state === "failed" || files.length === 1) this.select(first);
    this.pump();
  }

  select(item) {
    this.files.mark(item);
    this.overlayOfOther = false;
    this.clear();
    if (!item) return;
    show(byId("invite"), false);
    if (item.answer && !item.display) item.state = "waiting"; // its pixels were dropped
    if (item.state === "done") this.showItem(item);
    else if (item.state === "failed") this.showProblem(item.problem, () => this.retry(item));
    this.pump();
  }

  retry(item) {
    item.state = "waiting";
    this.select(item);
  }

  removed(item) {
    if (this.working?.item === item) this.working.controller.abort();
    else item.end("failed");
  }

  // Analyse the radiographs that wait, one at a time.
  async pump() {
    if (this.working) return;
    const item = this.files.next();
    if (!item) return;
    const controller = new AbortController();
    this.working = { item, controller };
    item.state = "working";
    this.files.show();
    const stop = this.progress(item);
    try {
      await this.analyse(item, controller.signal);
      item.end("done");
    } catch (error) {
      item.problem = error.name === "AbortError" ? new Problem({ title: "Cancelled" }) : error;
      item.end("failed");
    }
    stop();
    this.working = null;
    this.files.forget();
    this.files.show();
    if (item === this.current) this.select(item);
    this.pump();
  }

  async analyse(item, signal) {
    const [first] = this.phrases.groups();
    const { answer, display } = await analyse(item.file, { ...first, signal });
    Object.assign(item, { answer, display, layers: layersOf(answer), other: null, otherLayers: [] });
    await this.catchUp(item, signal);
  }

  // Locate the phrases that were asked for since an image was analysed, or with another method.
  async catchUp(item, signal) {
    for (const { method, phrases } of this.phrases.groups()) {
      const known = new Set((item.answer.phrases || []).map((found) => found.phrase));
      const missing = phrases.filter((phrase) => !known.has(phrase));
      if (missing.length) this.add(item, await locate(item.file, missing, method, null, signal));
    }
  }

  // Put results of phrases into an answer, in place of earlier ones.
  add(item, found) {
    const named = new Set(found.map(({ phrase }) => phrase));
    const others = (item.answer.phrases || []).filter(({ phrase }) => !named.has(phrase));
    item.answer.phrases = [...others, ...found];
    item.layers = layersOf(item.answer);
  }

  // Tell how long a request takes, and return the function that ends it.
  progress(item) {
    const started = performance.now();
    const tell = () => {
      show(byId("busy"), item === this.current);
      const waited = Math.round((performance.now() - started) / 1000);
      const patience = waited >= 10 ? " The service may be busy." : "";
      byId("progress").textContent = waited ? `Analysing, ${waited} s.${patience}` : "Analysing";
    };
    tell();
    const timer = setInterval(tell, 500);
    return () => {
      clearInterval(timer);
      show(byId("busy"), false);
    };
  }

  clear() {
    this.stage.clear();
    showWarnings(null);
    showFindings(null, "");
    showMeasurements(null);
    this.phrases.show([], []);
    for (const id of ["problem", "doubt", "layers", "uncertainty", "compare", "export", "facts", "busy"]) show(byId(id), false);
    show(byId("invite"), !this.current);
  }

  showItem(item) {
    this.stage.setImage(item.answer.image, item.display, sidesAreKnown(item.answer));
    this.showAnswer(item);
    for (const id of ["uncertainty", "export"]) show(byId(id), true);
    this.attempt(() => this.offerVersions(item), true);
    this.attempt(async () => {
      const before = item.answer.phrases?.length;
      await this.catchUp(item);
      if (item === this.current && item.answer.phrases?.length !== before) this.showAnswer(item);
    });
    this.attempt(async () => {
      const dicom = item.answer.image.sop_instance_uid !== null && (await dicomType()) !== null;
      if (item === this.current) show(byId("save-dicom"), dicom);
    }, true);
    const present = (item.answer.findings || []).filter(({ positive }) => positive).length;
    byId("status").textContent = `${item.name} is analysed: ${present} findings present, ${item.answer.warnings.length} warnings.`;
  }

  // Show the results beside and over the image; findings and boxes wait if they may mean nothing.
  async showAnswer(item) {
    const { answer } = item;
    const reasons = doubts(answer);
    const held = reasons.length > 0 && !item.confirmed;
    const layers = (this.overlayOfOther ? item.otherLayers : item.layers).filter(({ kind }) => !held || kind !== "box");
    this.stage.setLayers(layers);
    showWarnings(answer);
    showDoubt(held ? reasons : []);
    showLayers(layers, this.appearance, () => this.stage.redraw());
    showMeasurements(answer.measurements);
    showFacts(answer);
    this.phrases.show((this.overlayOfOther ? item.other : answer).phrases, layers);
    byId("model").textContent = `${answer.model.name}, version ${answer.model.version}`;
    const manifest = await this.manifest(answer.model);
    if (item !== this.current) return;
    showFindings(held ? [] : answer.findings, remarkOf(manifest));
    this.phrases.offer(manifest);
  }

  confirm() {
    this.current.confirmed = true;
    this.showAnswer(this.current);
  }

  hideAll(hidden) {
    this.appearance.allHidden = hidden;
    byId("all-layers").checked = !hidden;
    this.stage.redraw();
  }

  // Locate one phrase in the present image; returns it as the service writes it, or null.
  async ask(phrase, method) {
    const item = this.current;
    if (!item) {
      this.showProblem(new Problem({ title: "Open a radiograph first" }), null);
      return null;
    }
    await item.ended();
    if (!item.answer) return null;
    const busy = byId("locate");
    busy.disabled = true;
    const found = await this.attempt(() => locate(item.file, [phrase], method, null));
    busy.disabled = false;
    if (!found) return null;
    this.add(item, found);
    if (item === this.current) this.showAnswer(item);
    return found[0].phrase;
  }

  // Ask how far each result of the present image holds, by one request for each method.
  async assess() {
    const item = this.current;
    const asked = byId("assess");
    asked.disabled = true;
    byId("status").textContent = "Analysing seven changed views.";
    await item.ended();
    await this.attempt(async () => {
      const [first = { phrases: [] }, ...others] = this.phrases.groups();
      const { version } = item.answer.model;
      addUncertainty(item.answer, await assess(item.file, first, "", version));
      for (const group of others) addUncertainty(item.answer, await assess(item.file, group, "ground", version));
      item.layers = layersOf(item.answer);
      byId("status").textContent = "The results say how far they hold.";
    });
    asked.disabled = false;
    if (item === this.current) this.showAnswer(item);
  }

  removePhrase(phrase) {
    for (const item of this.files.items.filter(({ answer }) => answer?.phrases)) {
      item.answer.phrases = item.answer.phrases.filter((other) => other.phrase !== phrase);
      item.layers = item.layers.filter((layer) => layer.name !== phrase || !["heat", "phrase"].includes(layer.kind));
    }
    this.showAnswer(this.current);
  }

  async offerVersions(item) {
    const versions = (await readyVersions(item.answer.model.name)).filter(({ version }) => version !== item.answer.model.version);
    if (item !== this.current) return;
    show(byId("compare"), versions.length > 0);
    const chosen = item.other ? String(item.other.model.version) : "";
    byId("other").replaceChildren(
      make("option", { value: "", textContent: "none" }),
      ...versions.map(({ version, aliases }) => make("option", {
        value: String(version), selected: String(version) === chosen,
        textContent: `Version ${version}${aliases.length ? ` (${aliases.join(", ")})` : ""}`,
      })));
    this.showComparison(item);
  }

  async compare() {
    const item = this.current;
    const version = byId("other").value;
    const [group = { phrases: [] }] = this.phrases.groups();
    if (!version) item.other = null;
    else await this.attempt(async () => {
      item.other = await compareWith(item.file, group.phrases, group.method, version);
      item.otherLayers = layersOf(item.other);
    });
    this.overlayOfOther = false;
    if (item === this.current) {
      this.showComparison(item);
      this.showAnswer(item);
    }
  }

  showComparison(item) {
    byId("comparison").replaceChildren(...(item.other ? [
      comparison(item.answer, item.other),
      button(`Draw version ${(this.overlayOfOther ? item.answer : item.other).model.version}`, () => this.swap(), { "aria-keyshortcuts": "X" }),
    ] : []));
  }

  swap() {
    if (!this.current.other) return;
    this.overlayOfOther = !this.overlayOfOther;
    this.showComparison(this.current);
    this.showAnswer(this.current);
  }

  async copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      byId("status").textContent = "Copied.";
      this.controls.say("Copied to the clipboard.");
    } catch { // without https, browsers keep the clipboard from pages
      const dialog = make("dialog", { "aria-label": "To copy" }, make("pre", { textContent: text, tabIndex: 0 }));
      dialog.append(button("Close", () => dialog.close()));
      dialog.addEventListener("close", () => dialog.remove());
      document.body.append(dialog);
      dialog.showModal();
    }
  }

  // Run an action; a failure is shown, or with `quiet` left out, and gives null.
  async attempt(action, quiet = false) {
    try {
      return await action();
    } catch (error) {
      if (!quiet && error.name !== "AbortError") this.showProblem(error, null);
      return null;
    }
  }

  showProblem(problem, again) {
    const lines = [make("span", { textContent: problem.message })];
    if (problem.retryAfter) lines.push(make("span", { textContent: ` The service asks to wait ${problem.retryAfter} s.` }));
    if (problem.requestId) lines.push(make("div", { className: "small soft", textContent: `Request ${problem.requestId}` }));
    const actions = make("div", { className: "row" });
    if (again) actions.append(button("Try again", again));
    actions.append(button("Dismiss", () => show(byId("problem"), false)));
    byId("problem").replaceChildren(...lines, actions);
    show(byId("problem"), true);
  }
}

new Viewer();
