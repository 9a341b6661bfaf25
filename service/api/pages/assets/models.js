// Models: versions with their aliases, figures and cards, and the way back to an earlier version.

import { call, getJson } from "./api.js";
import { button, byId, make, show } from "./dom.js";
import { connectSignIn } from "./signin.js";

async function load() {
  const { models } = await getJson("v1/models");
  const parts = await Promise.all(models.map(model));
  byId("content").replaceChildren(...(parts.length ? parts : [make("p", { textContent: "No model is loaded." })]));
}

async function model(summary) {
  const versions = await Promise.all(summary.versions.map((version) => detail(summary.name, version)));
  const title = `${summary.name}${summary.default ? " (answers by default)" : ""}`;
  return make("section", { className: "card", "aria-label": summary.name },
    make("h2", { textContent: title }),
    summary.reason && make("p", { className: "bad", textContent: summary.reason }),
    ...versions);
}

async function detail(name, summary) {
  const path = `v1/models/${encodeURIComponent(name)}/versions/${summary.version}`;
  const version = await getJson(path);
  const state = { ready: "good", failed: "bad" }[version.state] || "warn";
  return make("article", { "aria-label": `Version ${version.version}` },
    make("h3", {}, `Version ${version.version} `, make("span", { className: state, textContent: version.state })),
    version.reason && make("p", { className: "bad", textContent: version.reason }),
    aliases(name, version),
    facts(version),
    version.manifest && more("Figures", figures(version.manifest)),
    version.manifest && more("Contents", contents(version.manifest)),
    version.manifest && card(path));
}

function aliases(name, { aliases: held, wanted_by: wanted }) {
  return make("div", { className: "row" },
    ...held.map((alias) => make("span", { className: "row" },
      make("b", { textContent: alias }),
      button("Roll back", () => rollBack(name, alias), { className: "danger", "aria-label": `Roll ${alias} back to its previous version` }))),
    ...wanted.map((alias) => make("span", { className: "warn", textContent: `${alias} (not answering yet)` })));
}

function facts(version) {
  const entries = [
    ["Tasks", version.tasks.join(", ")],
    ["Digest", version.digest || "unknown"],
    ["Precision", version.variant || "not loaded"],
    ["Providers", version.providers.join(", ") || "none"],
    ["Created", version.manifest?.created || "unknown"],
  ];
  return make("dl", {}, ...entries.flatMap(([name, value]) => [make("dt", { textContent: name }), make("dd", { textContent: value })]));
}

function more(title, ...children) {
  return make("details", {}, make("summary", { textContent: title }), ...children);
}

// The figures of the test split; all others are for calibration.
function figures(manifest) {
  const measured = manifest.provenance.metrics.filter(({ split }) => split === "test");
  if (!measured.length) return make("p", { textContent: "The version states no figures of a test split." });
  const columns = ["Task", "Label", "Data", "Metric", "Value", "95 % interval", "Images"];
  return make("table", {},
    make("thead", {}, make("tr", {}, ...columns.map((text) => make("th", { textContent: text, scope: "col" })))),
    make("tbody", {}, ...measured.map((item) => make("tr", {},
      ...[item.task, item.label, item.data, item.metric, item.value.toFixed(3),
        `${item.low.toFixed(3)} to ${item.high.toFixed(3)}`, item.n].map((text) => make("td", { textContent: text }))))));
}

// The model card, read when it is opened.
function card(path) {
  const text = make("pre", { textContent: "Loading …", tabIndex: 0 });
  const details = more("Card", text);
  details.addEventListener("toggle", async () => {
    text.textContent = await call(`${path}/card`).then((response) => response.text(), (error) => error.message);
  }, { once: true });
  return details;
}

function onlyWithin(label) {
  return label.subtype_of ? `, and only where ${label.subtype_of} is present` : "";
}

function contents(manifest) {
  const thresholds = Object.values(manifest.heads).flatMap((head) => (head.labels || []).map((label) =>
    [`${head.kind}: ${label.name}`, label.threshold >= 1 ? "withheld" : `threshold ${label.threshold}${onlyWithin(label)}`]));
  const entries = [
    ["Intended use", manifest.intended_use],
    ["Licence", manifest.licence],
    ["Input", `${manifest.preprocess.size_px} px square`],
    ...manifest.provenance.data.map((data) => [`Data: ${data.name}`, [data.licence, data.note].filter(Boolean).join("; ")]),
    ...thresholds,
  ];
  return make("dl", {}, ...entries.flatMap(([name, value]) => [make("dt", { textContent: name }), make("dd", { textContent: value })]));
}

// Point an alias back; the ETag makes sure that nobody moved it meanwhile.
async function rollBack(name, alias) {
  if (!(await confirmed(`Roll ${alias} of ${name} back to its previous version?`))) return;
  const path = `v1/models/${encodeURIComponent(name)}/aliases/${encodeURIComponent(alias)}`;
  await attempt(async () => {
    const before = await call(path);
    const response = await call(`${path}/rollback`, { method: "POST", headers: { "If-Match": before.headers.get("ETag") } });
    const { version } = await response.json();
    byId("status").textContent = `${alias} points to version ${version} now.`;
    await load();
  });
}

function confirmed(question) {
  return new Promise((resolve) => {
    const dialog = make("dialog", { "aria-label": question }, make("p", { textContent: question }));
    let agreed = false;
    dialog.append(make("div", { className: "row" },
      button("Roll back", () => { agreed = true; dialog.close(); }, { className: "danger" }),
      button("Cancel", () => dialog.close())));
    dialog.addEventListener("close", () => { dialog.remove(); resolve(agreed); });
    document.body.append(dialog);
    dialog.showModal();
  });
}

async function attempt(action) {
  show(byId("problem"), false);
  try {
    await action();
  } catch (error) {
    byId("problem").textContent = error.message;
    show(byId("problem"), true);
  }
}

connectSignIn(() => attempt(load));
attempt(load);
