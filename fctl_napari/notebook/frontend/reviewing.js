// Review, region by region: errors, doubts, and where a correction is worth most.

import { button, choice, element, fold } from "./page.js";

const KINDS = { errors: "errors", doubts: "doubts", next: "where a correction is worth most" };

export class Reviewing {
  constructor(viewer) {
    this.viewer = viewer;
    const root = (this.root = fold(viewer.panel, "Review", "Go from region to region, and mark those that are looked through."));
    root.addEventListener("toggle", () => this.outlineRegion());
    const find = element("div", "fctl-row", root);
    const kinds = viewer.model.get("reviews").map((kind) => [kind, KINDS[kind]]);
    this.what = choice(find, "What to look for.", kinds);
    button(find, "Find", "Look for regions in the whole map.", () => this.find());
    const row = element("div", "fctl-row", root);
    button(row, "Previous", "Go to the previous region that is not marked.", () => this.step(-1));
    button(row, "Next", "Go to the next region that is not marked.", () => this.step(1));
    const marks = element("div", "fctl-row", root);
    button(marks, "Done", "Mark the region as looked through, or take the mark away.", () => this.mark("done"));
    this.wrong = button(marks, "Truth is wrong", "Mark that the ground truth is wrong there.", () => this.mark("truth is wrong"));
    button(marks, "Accept", "Paint what the network predicts in the region.", () => this.accept());
    this.told = element("div", "fctl-told", root);
    this.outlines = [];
    this.what.addEventListener("change", () => (this.wrong.disabled = this.what.value !== "errors"));
    this.wrong.disabled = this.what.value !== "errors";
  }

  async find() {
    this.told.textContent = "Looking for regions…";
    const progress = (done, total) => (this.told.textContent = `Looking for regions… ${Math.round((100 * done) / total)} %`);
    const told = await this.viewer.tell({ kind: "find", what: this.what.value }, progress);
    if (told) this.show(told);
    else this.told.textContent = "";
    return Boolean(told);
  }

  async step(by) {
    if (!this.found && !(await this.find())) return;
    this.show(await this.viewer.tell({ kind: "step", by }));
  }

  async mark(mark) {
    this.show(await this.viewer.tell({ kind: "mark", mark }));
  }

  async accept() {
    const told = await this.viewer.tell({ kind: "accept" });
    if (told) this.told.dataset.accepted = told.changed ? "yes" : "no";
  }

  show(told) {
    if (!told) return;
    this.found = true;
    const { count, found, left, note, region } = told;
    const lines = [];
    if (region) {
      const { number, pixels, called, confidence, gain, mark } = region;
      const was = region.is === null ? "" : `is ${region.is}, `;
      lines.push(`${number} of ${count.toLocaleString("en")}: ${pixels.toLocaleString("en")} px, ${was}called ${called}`);
      lines.push(gain === null ? `confidence ${confidence.toFixed(2)}` : `expected gain ${gain.toFixed(2)}`);
      if (mark) lines.push(`marked: ${mark}`);
    } else if (count) {
      lines.push(`${found.toLocaleString("en")} regions`);
    }
    if (count) lines.push(`${left.toLocaleString("en")} not marked`);
    if (note) lines.push(note);
    this.told.textContent = lines.join("\n");
    this.viewer.reveal(this.told);
  }

  // Outlines the region that is looked at, on each stage.
  outlineRegion() {
    for (const { stage, outline } of this.outlines) stage.osd.removeOverlay(outline);
    const region = this.root.open ? this.viewer.model.get("region") : [];
    const stages = [this.viewer.stage, this.viewer.second].filter((stage) => region.length && stage?.world);
    this.outlines = stages.map((stage) => {
      const outline = element("div", "fctl-region");
      stage.osd.addOverlay({ element: outline, location: stage.rectangle(region) });
      return { stage, outline };
    });
  }
}
