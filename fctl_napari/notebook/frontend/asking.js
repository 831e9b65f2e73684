// Asking why: a px's probabilities, the attention over each context where it lies, and what changes without a part.

import OpenSeadragon from "openseadragon";

import { choice, element, tick } from "./page.js";

export class Asking {
  constructor(viewer) {
    this.viewer = viewer;
    this.pictures = [];
    this.root = element("div", "fctl-why", viewer.panel);
    const parts = viewer.model.get("parts");
    this.row = element("label", "fctl-layer", this.root, "Without");
    this.without = choice(this.row, "What would be called otherwise without a part of the network?", [
      ["", "nothing left out"],
      ...parts.map((name) => [name, ["gpe", "ale"].includes(name) ? name.toUpperCase() : `context ${name}`]),
    ]);
    this.without.addEventListener("change", () => this.pixel && this.ask(this.pixel));
    this.told = element("div", "", this.root);
    this.show(false);
  }

  show(on) {
    this.root.style.display = on ? "" : "none";
    if (!on) this.forget();
  }

  async ask({ y, x }) {
    this.forget();
    this.pixel = { y, x };
    this.told.textContent = "Asking the network…";
    const { osd } = this.viewer.stage;
    this.mark = element("div", "fctl-mark");
    const { x: left, y: top } = this.viewer.stage.rectangle([y + 0.5, x + 0.5, y + 0.5, x + 0.5]);
    const location = new OpenSeadragon.Point(left, top);
    osd.addOverlay({ element: this.mark, location, placement: OpenSeadragon.Placement.CENTER, checkResize: false });
    const pixel = this.pixel;
    try {
      const { content, buffers } = await this.viewer.kernel.ask({ kind: "ask", y, x, without: this.without.value });
      if (this.pixel === pixel) this.answer(content, buffers);
    } catch (error) {
      if (this.pixel === pixel) this.told.textContent = error.message;
    }
  }

  answer({ pixel, tile, classes, contexts, changed }, buffers) {
    this.told.replaceChildren();
    element("div", "", this.told, `Pixel y ${pixel[0]}, x ${pixel[1]}`);
    for (const { name, probability, without } of [...classes].sort((a, b) => b.probability - a.probability)) {
      const row = element("div", "fctl-class", this.told);
      element("span", "", row, name);
      const after = without === null ? "" : ` → ${without.toFixed(2)}`;
      element("span", "fctl-note", row, probability.toFixed(2) + after);
    }
    if (changed !== null) {
      const words = `${(100 * changed).toFixed(1)} % of the tile changes`;
      this.overlay(words, "", "The color is that of the class without the part.", tile, buffers[contexts.length], true);
    }
    contexts.forEach(({ name, weight, window }, index) => {
      const title = "Attention of the pixel over the context, and the mean weight of the context in the fusion.";
      this.overlay(`attention in ${name}`, weight.toFixed(2), title, window, buffers[index], !index && changed === null);
    });
    this.viewer.reveal(this.root);
  }

  // Shows a picture over a window of the image, which its cells fill exactly, with a box to hide it.
  overlay(words, note, title, window, data, visible) {
    const { stage } = this.viewer;
    const picture = element("img", "fctl-overlay");
    picture.src = URL.createObjectURL(new Blob([data], { type: "image/png" }));
    stage.osd.addOverlay({ element: picture, location: stage.rectangle(window) });
    const show = (on) => (picture.style.visibility = on ? "visible" : "hidden");
    const box = tick(this.told, words, title, visible, show);
    if (note) element("span", "fctl-note", box.parentElement, note);
    show(visible);
    this.pictures.push(picture);
  }

  // Takes the last answer away.
  forget() {
    for (const picture of this.pictures) {
      this.viewer.stage.osd.removeOverlay(picture);
      URL.revokeObjectURL(picture.src);
    }
    this.pictures = [];
    this.pixel = null;
    if (this.mark) this.viewer.stage.osd.removeOverlay(this.mark);
    this.mark = null;
    this.told.replaceChildren();
  }
}
