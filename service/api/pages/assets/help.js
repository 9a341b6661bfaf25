// Keys of the viewer, and the sheet that lists them.

import { button, make } from "./dom.js";

// Return the sheet of keys as an open dialog; `commands` are those of `connectKeys`.
export function showHelp(commands) {
  const rows = commands.map(({ keys, text }) =>
    make("tr", {},
      make("td", {}, ...keys.flatMap((key, index) => [index ? " " : "", make("kbd", { textContent: NAMES[key] || key })])),
      make("td", { textContent: text })));
  const dialog = make("dialog", { "aria-labelledby": "help-title" },
    make("h2", { id: "help-title", textContent: "Keys" }),
    make("table", {}, make("tbody", {}, ...rows)),
    make("p", { className: "soft small", textContent: "Arrow keys and the cursor work while the radiograph has the focus. "
      + "Drag with the tool that is pressed; Ctrl or the middle button pans, the wheel zooms. "
      + "Two fingers zoom and pan." }));
  dialog.append(button("Close", () => dialog.close()));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

const NAMES = {
  ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc",
  "Shift+ArrowLeft": "Shift ←", "Shift+ArrowRight": "Shift →", "Shift+ArrowUp": "Shift ↑", "Shift+ArrowDown": "Shift ↓",
};

// Run a command when one of its keys is pressed outside of fields that take text.
//
// A command has `keys` (values of `KeyboardEvent.key`, letters in lower case, `Shift+` before arrows),
// `text`, `run(key)` and optionally `within`, an element that must have the focus.
export function connectKeys(commands) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
    if (event.target.closest("input:not([type=checkbox], [type=range]), select, textarea")) return;
    const arrow = event.key.startsWith("Arrow");
    if (arrow && event.target.closest("input")) return;
    const plain = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const key = arrow && event.shiftKey ? `Shift+${plain}` : plain;
    const command = commands.find(({ keys, within }) => keys.includes(key) && (!within || within === event.target));
    if (!command) return;
    event.preventDefault();
    command.run(key);
  });
}
