// Sign-in: asks for an API key, which the page keeps in its memory only.

import { onUnauthorised, setKey, signedIn } from "./api.js";
import { byId, button, make } from "./dom.js";

// Ask for a key; returns it, or null if the user gives none.
export function ask(message) {
  return new Promise((resolve) => {
    const input = make("input", { type: "password", id: "key", autocomplete: "off", required: true, spellcheck: false });
    const form = make("form", { method: "dialog" },
      make("h2", { textContent: "Sign in", id: "sign-in-title" }),
      make("p", { textContent: message }),
      make("label", { for: "key", textContent: "API key or token" }), input,
      make("p", { className: "soft small", textContent: "It stays in the memory of this page and ends with it." }));
    const dialog = make("dialog", { "aria-labelledby": "sign-in-title" }, form);
    const actions = make("div", { className: "row" },
      make("button", { className: "primary", textContent: "Sign in" }),
      button("Cancel", () => dialog.close()));
    form.append(actions);
    let entered = null;
    form.addEventListener("submit", () => (entered = input.value.trim() || null));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(entered);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

// Connect the button of the header, and ask whenever the service wants a credential.
export function connectSignIn(changed = () => {}) {
  const toggle = byId("sign-in");
  const refresh = () => (toggle.textContent = signedIn() ? "Sign out" : "Sign in");
  toggle.addEventListener("click", async () => {
    setKey(signedIn() ? null : await ask("Requests of this page are sent with the key."));
    refresh();
    changed();
  });
  let asking = null;
  onUnauthorised((problem) => {
    asking ??= ask(problem.message).finally(() => (asking = null));
    return asking.then((key) => {
      setKey(key);
      refresh();
      return key;
    });
  });
}
