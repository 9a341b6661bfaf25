// "Try it": sends a request of the interface from the page, and shows the answer.

import { call } from "./api.js";
import { button, make } from "./dom.js";

const HEADERS = new Set(["accept", "if-match", "if-none-match", "idempotency-key", "x-request-timeout"]);

// Return a form for an operation.
export function trial(verb, path, op) {
  const fields = (op.parameters || [])
    .filter((item) => item.in !== "header" || HEADERS.has(item.name.toLowerCase()))
    .map((item) => ({ ...item, input: make("input", { type: "text", autocomplete: "off", placeholder: placeholder(item) }) }));
  const body = bodyField(op.requestBody?.content);
  const accept = acceptField(op.responses);
  const result = make("div", { role: "status" });
  const form = make("form", { className: "try", "aria-label": `Try ${verb.toUpperCase()} ${path}` },
    make("h3", { textContent: "Try it" }),
    ...fields.map(({ name, required, input }) => label(required ? `${name} (required)` : name, input)),
    body && label(body.name, body.input),
    accept && label("Accept", accept),
    make("div", { className: "row" }, make("button", { className: "primary", textContent: "Send" })), result);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    await send(verb, path, fields, body, accept?.value, result);
  });
  return form;
}

function label(text, input) {
  return make("label", {}, make("span", { textContent: text }), input);
}

function placeholder(item) {
  const example = item.example ?? item.schema?.examples?.[0];
  return example === undefined ? "" : String(example);
}

function bodyField(content) {
  const types = Object.keys(content || {});
  if (!types.length) return null;
  if (types.includes("application/json"))
    return { name: "JSON body", json: true, input: make("textarea", { spellcheck: false }) };
  return { name: "File", json: false, input: make("input", { type: "file" }), types };
}

function acceptField(responses) {
  const types = Object.keys(responses["200"]?.content || {});
  if (types.length < 2) return null;
  return make("select", {}, ...types.map((value) => make("option", { value, textContent: value })));
}

async function send(verb, path, fields, body, accept, result) {
  const url = addressOf(path, fields);
  const headers = Object.fromEntries(
    fields.filter((item) => item.in === "header" && item.input.value).map((item) => [item.name, item.input.value]));
  if (accept) headers.Accept = accept;
  const options = { method: verb.toUpperCase(), headers };
  if (body) attach(options, body);
  result.replaceChildren("Sending …");
  const started = performance.now();
  try {
    const response = await call(url, options);
    const ms = Math.round(performance.now() - started);
    result.replaceChildren(make("p", { textContent: `${response.status} in ${ms} ms` }), headersOf(response), ...(await shown(response)));
  } catch (error) {
    result.replaceChildren(make("p", { className: "bad", textContent: `${error.status || ""} ${error.message}` }));
  }
}

// Fill in the path and the query, and leave out the leading slash: the page may be below a path.
function addressOf(path, fields) {
  let address = path.slice(1);
  const query = new URLSearchParams();
  for (const { name, input, ...item } of fields) {
    if (item.in === "path") address = address.replace(`{${name}}`, encodeURIComponent(input.value));
    else if (item.in === "query" && input.value) query.append(name, input.value);
  }
  return query.size ? `${address}?${query}` : address;
}

function attach(options, { input, json, types }) {
  if (json) {
    options.body = input.value;
    options.headers["Content-Type"] = "application/json";
  } else if (input.files[0]) {
    const [file] = input.files;
    options.body = file;
    options.headers["Content-Type"] = types.includes(file.type) ? file.type : types.find((type) => !type.startsWith("multipart/"));
    if (types.includes("application/octet-stream") && !types.includes(file.type)) options.headers["Content-Type"] = "application/octet-stream";
  }
}

function headersOf(response) {
  const lines = [...response.headers].map(([name, value]) => `${name}: ${value}`);
  return make("pre", { textContent: lines.join("\n"), tabIndex: 0 });
}

const MOST_CHARACTERS = 20000;

async function shown(response) {
  const type = response.headers.get("Content-Type") || "";
  if (/json|text/.test(type)) {
    const text = await response.text();
    const pretty = /json/.test(type) && !/ndjson/.test(type) ? JSON.stringify(JSON.parse(text), null, 1) : text;
    const cut = pretty.length > MOST_CHARACTERS ? `${pretty.slice(0, MOST_CHARACTERS)}\n… ${pretty.length} characters in all` : pretty;
    return [make("pre", { textContent: cut, tabIndex: 0 })];
  }
  const blob = await response.blob();
  const save = button(`Save ${blob.size} bytes of ${type || "an unnamed type"}`, () => {
    const link = make("a", { href: URL.createObjectURL(blob), download: "answer" });
    link.click();
    URL.revokeObjectURL(link.href);
  });
  return [save];
}
