// Calls of the service. The API key lives in this module only: it is never stored, and ends with
// the page.

import { sentence } from "./dom.js";

let key = null;
let signIn = null;

// A request that failed, as the service or the browser describes it.
export class Problem extends Error {
  constructor({ title, detail = "", status = 0, type = "", retryAfter = null, requestId = null }) {
    super([title, detail && sentence(detail)].filter(Boolean).join(". "));
    Object.assign(this, { title, detail, status, type, retryAfter, requestId });
  }
}

export const signedIn = () => key !== null;

export function setKey(value) {
  key = value || null;
}

// Set the function that asks the user for a key; it gets the problem and returns the key or null.
export function onUnauthorised(ask) {
  signIn = ask;
}

// Send a request to a relative address and return the response.
//
// Where the service wants a credential, the user is asked for one and the request repeated; `quiet`
// requests fail instead.
export async function call(path, { quiet = false, headers = {}, ...options } = {}) {
  for (;;) {
    const authorization = key ? { Authorization: `Bearer ${key}` } : {};
    const response = await send(path, { ...options, headers: { ...authorization, ...headers } });
    if (response.ok) return response;
    const problem = await read(response);
    if (response.status !== 401 || quiet || !signIn) throw problem;
    const entered = await signIn(problem);
    if (!entered) throw problem;
    key = entered;
  }
}

export async function getJson(path, options = {}) {
  return (await call(path, options)).json();
}

async function send(path, options) {
  try {
    return await fetch(path, { credentials: "omit", cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({
      title: "The service cannot be reached",
      detail: "check that it is running and try again",
    });
  }
}

async function read(response) {
  const body = await response.json().catch(() => ({}));
  const pause = Number(response.headers.get("Retry-After"));
  return new Problem({
    title: body.title || `The service answered with status ${response.status}`,
    detail: faults(body) || body.detail || "",
    status: response.status,
    type: body.type || "",
    retryAfter: pause > 0 ? pause : null,
    requestId: body.request_id || response.headers.get("X-Request-Id"),
  });
}

function faults(body) {
  return (body.errors || []).map((item) => `${item.where}: ${item.message}`).join("; ");
}
