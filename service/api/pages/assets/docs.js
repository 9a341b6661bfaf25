// The interface, read from the OpenAPI document: operations, and types that link to each other.

import { getJson } from "./api.js";
import { byId, make } from "./dom.js";
import { connectSignIn } from "./signin.js";
import { trial } from "./trial.js";

function resolve(node, api) {
  if (!node?.$ref) return node || {};
  return node.$ref.split("/").slice(1).reduce((at, key) => at[key], api);
}

const nameOf = (reference) => reference.split("/").pop();

function linkTo(name) {
  return make("a", { href: `docs#type-${name}`, textContent: name });
}

// Return a schema in words, as nodes; named types are links.
function kind(schema) {
  if (!schema) return [""];
  if (schema.$ref) return [linkTo(nameOf(schema.$ref))];
  if (schema.const !== undefined) return [JSON.stringify(schema.const)];
  if (schema.enum) return [schema.enum.map((value) => JSON.stringify(value)).join(" | ")];
  const choices = schema.anyOf || schema.oneOf || schema.allOf;
  if (choices) return choices.flatMap((choice, index) => (index ? [" | ", ...kind(choice)] : kind(choice)));
  if (schema.type === "array") return ["list of ", ...items(schema)];
  if (schema.type === "object" && schema.additionalProperties?.type)
    return ["map of ", ...kind(schema.additionalProperties)];
  const format = schema.format ? ` (${schema.format})` : "";
  return [`${schema.type || "any"}${format}`];
}

function items(schema) {
  if (schema.prefixItems) return schema.prefixItems.flatMap((item, index) => (index ? [", ", ...kind(item)] : kind(item)));
  return kind(schema.items);
}

function table(rows) {
  return make("table", {}, make("tbody", {}, ...rows.map(([name, type, text]) =>
    make("tr", {},
      make("td", {}, make("code", { textContent: name })),
      make("td", {}, ...type),
      make("td", { textContent: text })))));
}

function properties(schema) {
  const required = new Set(schema.required || []);
  return table(Object.entries(schema.properties || {}).map(([name, part]) =>
    [name, [...kind(part), required.has(name) ? "" : " (optional)"], part.description || ""]));
}

function examples(content) {
  return Object.entries(content || {}).flatMap(([type, body]) =>
    Object.values(body.examples || {}).map(({ summary, value }) => {
      const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
      return make("pre", { textContent: `${type}: ${summary}\n${text}`, tabIndex: 0 });
    }));
}

function part(title, children) {
  return children.length ? [make("h3", { textContent: title }), ...children] : [];
}

function answer(content, api) {
  return Object.entries(content || {}).flatMap(([type, { schema }]) => {
    if (!schema) return [];
    const line = make("p", {}, make("code", { textContent: type }), ": ", ...kind(schema));
    const named = schema.$ref || schema.type !== "object";
    return [line, ...(schema.$ref ? [properties(resolve(schema, api))] : named ? [] : [properties(schema)])];
  });
}

function operation(verb, path, op, api) {
  const parameters = (op.parameters || []).map((item) =>
    [item.name, [`${item.in}, `, ...kind(item.schema)], item.description || item.schema.description || ""]);
  const body = make("div", {},
    make("p", { textContent: op.description || "" }),
    ...part("Parameters", parameters.length ? [table(parameters)] : []),
    ...part("Body", examples(op.requestBody?.content)));
  for (const [status, response] of Object.entries(op.responses)) {
    const fine = status.startsWith("2");
    body.append(...part(`${status} ${response.description}`,
      fine ? answer(response.content, api) : examples(response.content)));
  }
  const details = make("details", { id: op.operationId },
    make("summary", {},
      make("span", { className: `verb ${verb}`, textContent: verb.toUpperCase() }),
      make("code", { textContent: path }),
      make("span", { className: "soft", textContent: op.summary || "" })),
    body);
  details.addEventListener("toggle", () => body.append(trial(verb, path, op)), { once: true });
  return details;
}

function type(name, schema) {
  return make("details", { id: `type-${name}` },
    make("summary", {}, make("code", { textContent: name }), make("span", { className: "soft", textContent: schema.description || "" })),
    make("div", {}, schema.properties ? properties(schema) : make("p", {}, ...kind(schema))));
}

// Open the type or operation that the address names.
function openTarget() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) {
    target.open = true;
    target.scrollIntoView();
  }
}

async function read() {
  const api = await getJson("openapi.json");
  byId("title").textContent = api.info.title;
  byId("about").textContent = api.info.description.trim();
  const groups = new Map();
  for (const [path, verbs] of Object.entries(api.paths))
    for (const [verb, op] of Object.entries(verbs)) {
      const tag = (op.tags || ["Other"])[0];
      groups.set(tag, [...(groups.get(tag) || []), operation(verb, path, op, api)]);
    }
  groups.set("Types", Object.entries(api.components.schemas).map(([name, schema]) => type(name, schema)));
  byId("content").replaceChildren(...[...groups].flatMap(([tag, found]) => [make("h2", { textContent: tag }), ...found]));
  addEventListener("hashchange", openTarget);
  openTarget();
}

connectSignIn();
read().catch((error) => (byId("content").textContent = error.message));
