// Fine-tuning: start and steer, loss and figures as they come, the gate, and the decision.

import { button, element, fold } from "./page.js";

const RUNNING = ["starting", "preparing", "training", "measuring", "paused"];
const SIZE = { width: 200, height: 40 }; // of a plot, px
const SVG = "http://www.w3.org/2000/svg";

// Draws a series of (step, value) points, with a dashed line at the value before.
function plot(parent, title, points, total, before = null) {
  const values = [...points.map(([, value]) => value), ...(before === null ? [] : [before])];
  if (!values.length) return;
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const span = high - low || 1;
  const place = (step, value) => [(step / Math.max(total, 1)) * SIZE.width, SIZE.height - 4 - ((value - low) / span) * (SIZE.height - 8)];
  const figure = element("div", "fctl-plot", parent);
  const last = points.at(-1)?.[1];
  element("div", "fctl-note", figure, `${title}${last === undefined ? "" : ` ${last.toFixed(3)}`}`);
  const drawing = figure.appendChild(document.createElementNS(SVG, "svg"));
  drawing.setAttribute("viewBox", `0 0 ${SIZE.width} ${SIZE.height}`);
  drawing.setAttribute("preserveAspectRatio", "none");
  const line = (path, dashed) => {
    const made = drawing.appendChild(document.createElementNS(SVG, "polyline"));
    made.setAttribute("points", path.map((point) => point.join()).join(" "));
    if (dashed) made.setAttribute("stroke-dasharray", "4 3");
  };
  if (before !== null) line([place(0, before), place(total, before)], true);
  line(points.map(([step, value]) => place(step, value)), false);
}

export class Tuning {
  constructor(viewer) {
    this.viewer = viewer;
    this.root = fold(viewer.panel, "Fine-tune", "Let the network learn from what is painted.");
    const row = element("label", "fctl-layer", this.root, "Steps");
    this.steps = element("input", "", row);
    Object.assign(this.steps, { type: "number", min: 1, max: 100000, value: 75, title: "Largest number of steps." });
    this.buttons = element("div", "fctl-row", this.root);
    this.told = element("div", "fctl-told", this.root);
    this.plots = element("div", "", this.root);
    this.root.addEventListener("toggle", () => this.root.open && this.steer("look"));
    if (viewer.model.get("tuning").state !== "none") this.root.open = true;
    this.show();
  }

  steer(what) {
    const start = what === "start" ? { steps: Number(this.steps.value) || 75 } : {};
    return this.viewer.tell({ kind: "tune", do: what, ...start });
  }

  // Shows the state; what can be done depends on it.
  show() {
    const facts = this.viewer.model.get("tuning");
    const { state, done, total, better, reasons, name, changed, problem } = facts;
    if (state === "waiting" && this.compared !== name) {
      this.compared = name;
      this.steer("compare"); // what it changes is computed, and shown over the map
    }
    this.buttons.replaceChildren();
    const offer = (text, what, title) => button(this.buttons, text, title, () => this.steer(what));
    if (state === "waiting") {
      if (better) offer("Keep", "keep", "Make it a checkpoint beside the image.");
      else offer("Keep anyway", "keep anyway", "Make it a checkpoint, although the gate advises against it.");
      offer("Roll back", "roll back", "Delete it. The network before stays as it is.");
    } else if (RUNNING.includes(state)) {
      if (state === "paused") offer("Go on", "resume", "Go on.");
      else offer("Pause", "pause", "Pause after this step.");
      offer("Cancel", "cancel", "Stop. The next start goes on from here.");
    } else {
      offer(["cut", "cancelled"].includes(state) ? "Resume" : "Start", "start", "Learn from the corrections of this image.");
    }
    const words = {
      cut: `A run was cut off (${name}).`,
      waiting: `${name}: ${better ? "the gate advises to keep it." : "the gate advises to roll it back."}`,
      kept: `${name} is kept beside the image. This viewer goes on with it.`,
      "rolled back": "It is rolled back; the network before stays.",
      "decided elsewhere": `${name} was decided elsewhere.`,
      none: "",
    };
    const lines = [words[state] ?? `${state}${total ? ` ${done} of ${total}` : ""}`, ...(state === "waiting" ? (reasons ?? []) : [])];
    if (changed !== undefined && ["waiting", "kept"].includes(state)) lines.push(`${(100 * changed).toFixed(1)} % of the map is called otherwise.`);
    if (problem) lines.push(problem);
    this.told.textContent = lines.filter(Boolean).join("\n");
    this.plots.replaceChildren();
    if (!["none", "cut", "rolled back", "decided elsewhere"].includes(state)) this.plot(facts);
    if (this.root.open) this.viewer.reveal(this.told);
  }

  plot(facts) {
    const steps = facts.steps || 1;
    plot(this.plots, "loss", facts.loss ?? [], steps);
    plot(this.plots, "mIoU on held-out corrections", facts.held_out ?? [], steps, facts.before ?? null);
    plot(this.plots, "as before elsewhere", facts.scene ?? [], steps);
  }
}
