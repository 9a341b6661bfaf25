// Requests of the viewer about one file: everything in one, then single phrases or another version.

import { call, getJson } from "./api.js";
import { partsOf, text } from "./multipart.js";

export const MOST_PHRASES = 8;

// Return the answer to a file and its pixels, from one request for all tasks.
export async function analyse(file, { phrases = [], method, version, signal } = {}) {
  const query = new URLSearchParams({ heatmap: "float" });
  if (method && phrases.length) query.set("method", method);
  if (version) query.set("version", version);
  const response = await post(`v1/analyze?${query}`, file, phrases, "multipart/form-data", signal);
  const parts = partsOf(await response.arrayBuffer(), response.headers.get("Content-Type"));
  const [answer, display] = ["answer", "display"].map((name) => JSON.parse(text(parts.get(name))));
  return { answer, display: { ...display, pixels: numbers(parts.get("pixels").slice().buffer) } };
}

// Return the answers to phrases alone.
export async function locate(file, phrases, method, version, signal) {
  const query = new URLSearchParams({ tasks: "ground", heatmap: "float" });
  if (method) query.set("method", method);
  if (version) query.set("version", version);
  const response = await post(`v1/analyze?${query}`, file, phrases, "application/json", signal);
  return (await response.json()).phrases;
}

// Return the answer of another version, without pixels.
export async function compareWith(file, phrases, method, version, signal) {
  const query = new URLSearchParams({ heatmap: "float", version });
  if (method && phrases.length) query.set("method", method);
  const response = await post(`v1/analyze?${query}`, file, phrases, "application/json", signal);
  return response.json();
}

// Return the answer with the uncertainty of each result, without heat maps. `tasks` may be empty for all.
export async function assess(file, { phrases, method }, tasks, version) {
  const query = new URLSearchParams({ uncertainty: "tta", heatmap: "none", version });
  if (tasks) query.set("tasks", tasks);
  if (method && phrases.length) query.set("method", method);
  return (await post(`v1/analyze?${query}`, file, phrases, "application/json")).json();
}

export async function fetchAs(file, mediaType, phrases, signal) {
  return (await post("v1/analyze", file, phrases, mediaType, signal)).blob();
}

// Phrases travel in the form, and the file without its name: neither is patient data in a log.
function post(path, file, phrases, accept, signal) {
  const body = new FormData();
  body.append("file", file, "radiograph");
  for (const phrase of phrases) body.append("phrase", phrase);
  return call(path, { method: "POST", body, headers: { Accept: accept }, signal });
}

// Return little-endian numbers of 16 bits, whatever the order of this machine.
function numbers(buffer) {
  const pixels = new Uint16Array(buffer);
  if (new Uint8Array(new Uint16Array([1]).buffer)[0] === 1) return pixels;
  return pixels.map((value) => ((value & 255) << 8) | (value >> 8));
}

export async function manifestOf({ name, version }) {
  return (await getJson(`v1/models/${encodeURIComponent(name)}/versions/${version}`)).manifest;
}

// Return the versions of a model that are ready, newest first.
export async function readyVersions(name) {
  const { models } = await getJson("v1/models");
  const found = models.find((model) => model.name === name);
  return (found?.versions || []).filter(({ state }) => state === "ready").sort((a, b) => b.version - a.version);
}

// Return the media type of all DICOM objects that the service can answer `analyze` with, or null.
export async function dicomType() {
  const { paths } = await getJson("openapi.json", { quiet: true });
  const types = Object.keys(paths["/v1/analyze"].post.responses["200"].content);
  return types.some((type) => type.startsWith("multipart/related")) ? 'multipart/related; type="application/dicom"' : null;
}
