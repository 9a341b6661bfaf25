// Samples: radiographs that the service ships, with where they come from and what they may be used for.

import { button, make } from "./dom.js";

export const SAMPLES = [
  {
    file: "adult.jpg", type: "image/jpeg", label: "Adult", text: "a man of 57, from the front, with an enlarged heart",
    source: "NIH ChestX-ray14, image 00000661_000, provided by the NIH Clinical Center (Wang et al. 2017); no restrictions "
      + "on use. Reduced to 512 pixels.",
  },
  {
    file: "child.jpg", type: "image/jpeg", label: "Child", text: "a small child with bacterial pneumonia",
    source: "Kermany, Zhang, Goldbaum: Chest X-Ray Images, Mendeley Data 2018, doi:10.17632/rscbjbr9sj.2; CC BY 4.0. "
      + "Reduced to 224 pixels, without its colour channels.",
  },
  {
    file: "phantom.png", type: "image/png", label: "Phantom", text: "a drawing, which is no radiograph",
    source: "Drawn by docs/example.py of this project.",
  },
];

async function fetched({ file, type }) {
  const response = await fetch(`assets/${file}`);
  if (!response.ok) throw new Error("the sample cannot be read");
  return new File([await response.blob()], `sample-${file}`, { type });
}

// Return one button for each sample; `open(read)` is called with a function that fetches its file.
export function sampleButtons(open) {
  return SAMPLES.map((sample) => button(sample.label, () => open(() => fetched(sample)), {
    title: sample.text, "aria-label": `Open the sample: ${sample.text}`,
  }));
}

// Show what the samples are, with a button that opens each.
export function showSamples(open) {
  const dialog = make("dialog", { "aria-labelledby": "samples-title", className: "samples" });
  const buttons = sampleButtons((read) => {
    dialog.close();
    open(read);
  });
  dialog.append(
    make("h2", { id: "samples-title", textContent: "Samples" }),
    make("p", { className: "soft small", textContent: "The model was not trained on them." }),
    make("ul", {}, ...SAMPLES.map(({ label, text, source }, index) => make("li", {},
      make("div", {}, make("b", { textContent: label }), `: ${text}`, make("div", { className: "soft small", textContent: source })),
      buttons[index]))),
    button("Close", () => dialog.close()));
  for (const [index, { label }] of SAMPLES.entries()) buttons[index].textContent = `Open ${label.toLowerCase()}`;
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
