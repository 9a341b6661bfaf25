// Jobs: sends many radiographs at once and follows how far they are.
//
// An identifier of a job is a secret: it stays in the memory of the page.

import { call, getJson } from "./api.js";
import { button, byId, make, save, seconds, show } from "./dom.js";
import { connectSignIn } from "./signin.js";

const known = new Map(); // identifier -> status
const INTERVAL_MS = 1000;
let timer = null;
let listed = true; // the service lists the jobs of this client

function sender() {
  const files = make("input", { type: "file", multiple: true, id: "job-files" });
  const phrase = make("input", { type: "text", id: "job-phrase", autocomplete: "off" });
  const form = make("form", { className: "row", "aria-label": "New job" },
    make("label", { for: "job-files", textContent: "Files, or one zip file" }), files,
    make("label", { for: "job-phrase", textContent: "Phrase (optional)" }), phrase,
    make("button", { className: "primary", textContent: "Send" }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (files.files.length) attempt(() => submit([...files.files], phrase.value.trim()));
  });
  return make("section", { className: "card" }, make("h2", { textContent: "New job" }), form);
}

async function submit(files, phrase) {
  const zip = files.length === 1 && /zip/.test(files[0].type);
  const query = phrase ? `?phrase=${encodeURIComponent(phrase)}` : "";
  const options = { method: "POST", headers: { "Idempotency-Key": crypto.getRandomValues(new Uint32Array(4)).join("-") } };
  if (zip) Object.assign(options, { body: files[0] }).headers["Content-Type"] = "application/zip";
  else options.body = form(files, phrase);
  const job = await (await call(`v1/jobs${zip ? query : ""}`, options)).json();
  known.set(job.id, job);
  byId("status").textContent = `The job is accepted: ${job.items.total} radiographs.`;
  draw();
}

function form(files, phrase) {
  const body = new FormData();
  for (const file of files) body.append("file", file);
  if (phrase) body.append("phrase", phrase);
  return body;
}

function finder() {
  const field = make("input", { type: "text", id: "job-id", autocomplete: "off", size: 34 });
  const search = make("form", { className: "row", "aria-label": "Known job" },
    make("label", { for: "job-id", textContent: "Identifier" }), field, make("button", { textContent: "Show" }));
  search.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(async () => {
      const job = await getJson(`v1/jobs/${encodeURIComponent(field.value.trim())}`);
      known.set(job.id, job);
      field.value = "";
      draw();
    });
  });
  return make("section", { className: "card" }, make("h2", { textContent: "Known job" }), search);
}

function card(job) {
  const { items } = job;
  const done = items.succeeded + items.failed;
  const bar = make("progress", { max: items.total || 1, value: done, "aria-label": "Answered radiographs" });
  const left = job.eta_s === null || job.state === "finished" ? "" : `, about ${seconds(job.eta_s)} left`;
  const details = make("details", { open: opened.has(job.id) }, make("summary", { textContent: "Radiographs" }));
  const list = make("div");
  details.append(list);
  details.addEventListener("toggle", () => {
    if (details.open) opened.add(job.id);
    else opened.delete(job.id);
    if (details.open) attempt(() => showItems(job.id, list));
  });
  if (details.open) attempt(() => showItems(job.id, list));
  return make("section", { className: "card", "aria-label": `Job of ${job.created}`, "data-job": job.id },
    make("h2", { textContent: `${job.state} · ${new Date(job.created).toLocaleString()}` }),
    bar,
    make("p", { textContent: `${done} of ${items.total} answered${left}: ${items.succeeded} succeeded, ${items.failed} failed.` }),
    make("p", { className: "soft small", textContent: `${job.model.name}, version ${job.model.version}; tasks: ${job.tasks.join(", ") || "all"}; identifier ${job.id}` }),
    make("div", { className: "row" },
      button("Save the results", () => attempt(async () =>
        save(await (await call(`v1/jobs/${job.id}/results`, { headers: { Accept: "application/x-ndjson" } })).blob(), "results.ndjson"))),
      button("Delete", () => attempt(() => remove(job.id)), { className: "danger" })),
    details);
}

const opened = new Set();

async function showItems(id, target) {
  const { items } = await getJson(`v1/jobs/${id}/items?limit=200`);
  target.replaceChildren(make("table", {}, make("tbody", {}, ...items.map((item) => make("tr", {},
    make("td", { textContent: String(item.number) }),
    make("td", { textContent: item.label || `position ${item.position}` }),
    make("td", { textContent: item.state, className: { succeeded: "good", failed: "bad" }[item.state] || "" }),
    make("td", { textContent: item.problem ? `${item.problem.title}: ${item.problem.detail}` : "" }))))));
}

async function remove(id) {
  await call(`v1/jobs/${id}`, { method: "DELETE" });
  known.delete(id);
  draw();
}

function draw() {
  const focused = document.activeElement?.closest("[data-job]")?.dataset.job;
  const text = document.activeElement?.textContent;
  byId("jobs").replaceChildren(...[...known.values()].map(card));
  if (focused) refocus(focused, text);
  show(byId("none"), known.size === 0);
  const running = [...known.values()].some(({ state }) => state !== "finished");
  clearTimeout(timer);
  if (running) timer = setTimeout(() => attempt(follow), INTERVAL_MS);
}

// Give the focus back to the control of a job that was drawn anew.
function refocus(id, text) {
  const controls = byId("jobs").querySelectorAll(`[data-job="${CSS.escape(id)}"] :is(button, summary)`);
  [...controls].find((control) => control.textContent === text)?.focus();
}

async function follow() {
  for (const job of [...known.values()].filter(({ state }) => state !== "finished"))
    known.set(job.id, await getJson(`v1/jobs/${job.id}`));
  draw();
}

// List the jobs of a client with a key; without one, the service lists none.
async function list() {
  try {
    const { jobs } = await getJson("v1/jobs");
    for (const job of jobs) known.set(job.id, job);
    listed = true;
  } catch (error) {
    if (!error.type?.endsWith("listing-off")) throw error;
    listed = false;
  }
  byId("none").textContent = listed
    ? "There are no jobs."
    : "Jobs without a key are not listed: this page shows those that it sent, and those whose identifier you enter.";
  draw();
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

byId("content").replaceChildren(sender(), finder(), make("p", { id: "none", className: "soft" }), make("div", { id: "jobs" }));
connectSignIn(() => attempt(list));
attempt(list);
