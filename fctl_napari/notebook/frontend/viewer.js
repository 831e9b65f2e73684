// Viewer of large images in a notebook cell: OpenSeadragon, fed tile by tile through the kernel's own channel.
//
// The kernel describes the layers in the trait "layers" (bottom first). A tile is asked for by a message and comes back
// as the bytes of a picture, so nothing is fetched from any network. Positions are (y, x) px of full resolution.

import OpenSeadragon from "openseadragon";

import { Asking } from "./asking.js";
import { Kernel } from "./kernel.js";
import { button, element, tick } from "./page.js";
import { Painting } from "./painting.js";
import { Reviewing } from "./reviewing.js";
import { Stage } from "./stage.js";
import { Tuning } from "./tuning.js";

const NOT_SURE = 255; // value of px that are neither learned from nor scored
const TOOLS = {
  look: ["Look", "Pan by dragging, zoom with the wheel. A click is told to the notebook."],
  ask: ["Ask", "Click a pixel: what it attended to in each context, and its probabilities."],
  brush: ["Brush", "Paint the chosen class by dragging."],
  polygon: ["Polygon", "Paint the chosen class inside of what is drawn by dragging."],
  erase: ["Erase", "Take away what was painted, by dragging."],
  pick: ["Pick", "Click a pixel: its class is chosen."],
  accept: ["Accept", "Paint what the network predicts inside of what is drawn by dragging."],
};

class Viewer {
  constructor(model, el) {
    this.model = model;
    this.kernel = new Kernel(model);
    this.value = 1;
    this.root = element("div", "fctl", el);
    this.stages = element("div", "fctl-stages", this.root);
    const problem = (sentence) => (this.problem.textContent = sentence);
    this.stage = new Stage(model, this.kernel, this.stages, problem);
    this.panel = element("div", "fctl-panel", this.root);
    this.tools = element("div", "fctl-tools", this.panel);
    this.problem = element("div", "fctl-problem", this.panel);
    this.list = element("div", "fctl-layers", this.panel);
    this.legend = element("div", "fctl-legend", this.panel);
    if (model.get("works")) {
      this.painting = new Painting(this);
      this.asking = new Asking(this);
      this.reviewing = new Reviewing(this);
      this.tuning = new Tuning(this);
      this.showTools();
    } else if (model.get("reason")) {
      element("div", "fctl-note", this.tools, model.get("reason"));
    }
    this.status = element("div", "fctl-status", this.panel);
    this.listen();
    this.showHeight();
    this.choose("look");
    this.showLayers();
    this.showLegend();
    this.showBoth();
    this.stage.opened.then(() => {
      this.stage.look(model.get("view"));
      this.tellView();
      this.reviewing?.outlineRegion();
    });
  }

  listen() {
    const { model, stage } = this;
    this.handlers = {
      "change:layers": () => this.showLayers(),
      "change:versions": () => (this.stage.showLayers(), this.second?.showLayers()),
      "change:problem": () => (this.problem.textContent = model.get("problem")),
      "change:live": () => this.live && (this.live.checked = model.get("live")),
      "change:legend": () => this.showLegend(),
      "change:view": () => this.follow(),
      "change:region": () => this.reviewing?.outlineRegion(),
      "change:tuning": () => this.tuning?.show(),
      "change:swipe": () => this.showLayers(),
      "change:side_by_side": () => (this.showBoth(), this.showLayers()),
      "change:height": () => this.showHeight(),
    };
    for (const [name, act] of Object.entries(this.handlers)) model.on(name, act);
    stage.osd.addHandler("canvas-click", (event) => {
      const at = event.quick ? stage.pointAt(event.position) : null;
      if (!at) return;
      const pixel = { y: Math.floor(at.y), x: Math.floor(at.x) };
      this.set("clicked", [pixel.y, pixel.x]);
      if (this.tool === "ask") this.asking.ask(pixel);
      if (this.tool === "pick") this.painting.pick(pixel);
    });
    stage.osd.addHandler("animation-finish", () => this.tellView());
    stage.element.addEventListener("pointermove", (event) => {
      const box = stage.element.getBoundingClientRect();
      const at = stage.pointAt(new OpenSeadragon.Point(event.clientX - box.left, event.clientY - box.top));
      this.status.textContent = at ? this.position(Math.floor(at.y), Math.floor(at.x)) : "";
    });
    stage.element.addEventListener("pointerleave", () => (this.status.textContent = ""));
  }

  set(name, value) {
    this.model.set(name, value);
    this.model.save_changes();
  }

  // Sends a message. Returns the answer, or undefined after showing why there is none.
  async tell(message, progress) {
    try {
      const { content } = await this.kernel.ask(message, progress);
      this.problem.textContent = "";
      return content;
    } catch (error) {
      this.problem.textContent = error.message;
      return undefined;
    }
  }

  showHeight() {
    const height = `${this.model.get("height")}px`;
    for (const each of [this.stage, this.second]) if (each) each.element.style.height = height;
    this.panel.style.maxHeight = height;
  }

  // Scrolls the panel, and not the notebook, so far that a part of it is seen.
  reveal(part) {
    const [box, frame] = [part.getBoundingClientRect(), this.panel.getBoundingClientRect()];
    if (box.bottom > frame.bottom) this.panel.scrollTop += Math.min(box.bottom - frame.bottom, box.top - frame.top);
  }

  // ---- tools

  showTools() {
    for (const [name, [title, tip]] of Object.entries(TOOLS)) {
      button(this.tools, title, tip, () => this.choose(name)).dataset.tool = name;
    }
    for (const [kind, title] of [["undo", "Undo"], ["redo", "Redo"]]) {
      button(this.tools, title, `${title} the latest stroke of yours.`, () => this.painting.send({ kind }));
    }
    const compute = "Compute the tiles in view, and see them as they come.";
    this.live = tick(this.tools, "Live", compute, this.model.get("live"), (on) => this.set("live", on));
    const row = element("label", "fctl-layer", this.tools, "Radius");
    this.brush = element("input", "", row);
    Object.assign(this.brush, { type: "range", min: 1, max: 100, value: 12, title: "Radius of the brush, px of the screen." });
    const radius = element("span", "fctl-note", row, this.brush.value);
    this.brush.addEventListener("input", () => (radius.textContent = this.brush.value));
  }

  get radius() {
    return Number(this.brush.value);
  }

  choose(tool) {
    this.tool = tool;
    this.painting?.choose(tool);
    this.asking?.show(tool === "ask");
    for (const each of this.tools.querySelectorAll("[data-tool]")) {
      each.classList.toggle("fctl-chosen", each.dataset.tool === tool);
    }
  }

  chooseValue(value) {
    this.value = value;
    this.showLegend();
  }

  // ---- layers

  showLayers() {
    this.stage.showLayers();
    this.second?.showLayers();
    this.showList();
  }

  showList() {
    if (this.list.contains(document.activeElement) && document.activeElement.type === "range") return; // it is dragged
    this.list.replaceChildren();
    for (const layer of [...this.model.get("layers")].reverse()) {
      const box = tick(this.list, layer.name, layer.name, layer.visible, (visible) => this.change(layer.id, { visible }));
      const slider = element("input", "", box.parentElement);
      Object.assign(slider, { type: "range", min: 0, max: 1, step: 0.05, value: layer.opacity, title: "Opacity" });
      slider.addEventListener("input", () => this.change(layer.id, { opacity: Number(slider.value) }));
    }
    const swiped = "Show the uppermost map on the right of a line, and those below it on the left.";
    tick(this.list, "Swipe", swiped, this.model.get("swipe"), (on) => this.compare("swipe", on));
    const beside = "Show the uppermost map on the right, and those below it in a view of their own on the left.";
    tick(this.list, "Side by side", beside, this.model.get("side_by_side"), (on) => this.compare("side_by_side", on));
    button(this.list, "Reload", "Read all tiles again, as other programs may have changed the files.", () => {
      const versions = this.model.get("versions");
      this.set("versions", Object.fromEntries(this.model.get("layers").map(({ id }) => [id, (versions[id] ?? 0) + 1])));
      this.problem.textContent = "";
    });
  }

  // Compares two maps in one way or the other.
  compare(how, on) {
    for (const each of ["swipe", "side_by_side"]) this.model.set(each, on && each === how);
    this.model.save_changes();
  }

  change(id, values) {
    this.set("layers", this.model.get("layers").map((layer) => (layer.id === id ? { ...layer, ...values } : layer)));
  }

  showLegend() {
    this.legend.replaceChildren();
    const paints = Boolean(this.painting);
    const entries = this.model.get("legend").map((each, index) => ({ ...each, value: index + 1 }));
    if (paints) entries.push({ name: "not sure", color: [255, 255, 255], note: "", value: NOT_SURE });
    for (const { name, color, note, value } of entries) {
      const row = element("div", "fctl-class", this.legend);
      row.classList.toggle("fctl-chosen", paints && value === this.value);
      if (paints) {
        row.title = `Paint ${name}.`;
        row.addEventListener("click", () => this.chooseValue(value));
      }
      element("span", "fctl-swatch", row).style.background = `rgb(${color.join()})`;
      element("span", "", row, name);
      element("span", "fctl-note", row, note);
    }
  }

  // ---- side by side

  // Makes the second stage, which moves with the first one, or takes it away.
  showBoth() {
    const on = this.model.get("side_by_side");
    if (on === Boolean(this.second)) return;
    if (!on) {
      this.second.leave();
      this.second = null;
      this.reviewing?.outlineRegion();
      return;
    }
    const second = (this.second = new Stage(this.model, this.kernel, this.stages, this.stage.problem, { lower: true }));
    this.stages.prepend(second.element); // what is below lies on the left
    let led = false; // true while one moves the other
    const lead = (from, to) => () => {
      if (led || !from.world || !to.world || this.second !== second) return;
      led = true;
      to.osd.viewport.zoomTo(from.osd.viewport.getZoom(true), null, true);
      to.osd.viewport.panTo(from.osd.viewport.getCenter(true), true);
      led = false;
    };
    for (const event of ["animation", "animation-finish", "resize"]) {
      this.stage.osd.addHandler(event, lead(this.stage, second));
      second.osd.addHandler(event, lead(second, this.stage));
    }
    second.opened.then(() => (lead(this.stage, second)(), this.reviewing?.outlineRegion()));
  }

  // ---- where one looks

  position(y, x) {
    const place = this.model.get("location");
    const pixel = `y ${y}, x ${x}`;
    if (!place) return pixel;
    const [a, b, c, d, e, f] = place.transform;
    const [east, north] = [a * (x + 0.5) + b * (y + 0.5) + c, d * (x + 0.5) + e * (y + 0.5) + f];
    return `${pixel}   ${place.axes[0]} ${east.toFixed(place.digits)}, ${place.axes[1]} ${north.toFixed(place.digits)} (${place.crs})`;
  }

  follow() {
    const view = this.model.get("view");
    if (this.toldView !== JSON.stringify(view) && view.length) this.stage.look(view);
  }

  tellView() {
    const view = this.stage.view();
    if (!view) return;
    this.toldView = JSON.stringify(view);
    this.set("view", view);
    this.stage.divide();
  }

  leave() {
    for (const [name, act] of Object.entries(this.handlers)) this.model.off(name, act);
    this.asking?.forget();
    this.second?.leave();
    this.stage.leave();
    this.kernel.leave();
  }
}

function render({ model, el }) {
  const viewer = new Viewer(model, el);
  return () => viewer.leave();
}

export default { render };
