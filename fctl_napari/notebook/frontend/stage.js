// A stage: the layers over each other, with scale bar and swipe. The viewer has one, or two side by side.

import OpenSeadragon from "openseadragon";

import { KernelTiles } from "./kernel.js";
import { element } from "./page.js";

const NICE = [1, 2, 5]; // first digits of the lengths of the scale bar
const PATIENCE = 3000; // longest time that a layer that is read anew is waited for, ms
const BAR = 160; // greatest length of the scale bar, px of the screen
const NOT_SWIPED = ["corrections", "changed", "errors"]; // they lie over both sides

// Returns a round length of at most so much, and what it is called: 200 m, 5 px.
function roundLength(most, unit) {
  const power = 10 ** Math.floor(Math.log10(most));
  const length = power * Math.max(...NICE.filter((digit) => digit * power <= most));
  const units = [["km", 1000], ["m", 1], ["cm", 0.01], ["mm", 1e-3], ["µm", 1e-6], ["nm", 1e-9]];
  if (unit !== "m") return [length, `${length >= 1 ? length.toLocaleString("en") : length} ${unit}`];
  const [name, size] = units.find(([, each]) => length >= each * 0.9999) ?? units.at(-1);
  return [length, `${Math.round((length / size) * 100) / 100} ${name}`];
}

export class Stage {
  // `lower` leaves the uppermost visible map out. `problem` is called with the sentence of what cannot be shown.
  constructor(model, kernel, parent, problem, { lower = false } = {}) {
    this.model = model;
    this.kernel = kernel;
    this.problem = problem;
    this.lower = lower;
    this.shown = new Map(); // id of a layer: { item, version }
    this.element = element("div", "fctl-stage", parent);
    this.element.style.height = `${model.get("height")}px`;
    this.osd = OpenSeadragon({
      element: this.element,
      showNavigationControl: false,
      drawer: "canvas",
      animationTime: 0.25,
      maxZoomPixelRatio: 16,
      minZoomImageRatio: 0.5,
      visibilityRatio: 0.2,
      imageSmoothingEnabled: false,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
      imageLoaderLimit: 6,
      tileRetryMax: 0,
      preserveImageSizeOnResize: true,
    });
    this.bar = element("div", "fctl-bar", this.element);
    this.divider = element("div", "fctl-divider", this.element);
    this.divider.addEventListener("pointerdown", (event) => this.drag(event));
    this.share = 0.5;
    this.osd.addHandler("animation", () => this.drawBar());
    this.osd.addHandler("resize", () => this.drawBar());
    this.opened = new Promise((resolve) => (this.open = resolve));
  }

  // The lowest layer, which has the size of all.
  get world() {
    return this.osd.world.getItemAt(0);
  }

  // ---- layers

  showLayers() {
    const layers = this.model.get("layers");
    const there = new Set(layers.map((layer) => layer.id));
    for (const [id, { item }] of this.shown) {
      if (there.has(id)) continue;
      if (item) this.osd.world.removeItem(item);
      this.shown.delete(id);
    }
    layers.forEach((layer, index) => this.showLayer(layer, index));
    this.divide();
  }

  // Ids of the maps that are compared: the uppermost visible one, then those below it that are visible, or else the next
  // one that is not.
  get maps() {
    const layers = [...this.model.get("layers")].reverse();
    const maps = layers.filter(({ id, kind }) => kind !== "image" && !NOT_SWIPED.includes(id.split("-")[0]));
    const at = maps.findIndex((layer) => layer.visible);
    if (at < 0) return [];
    const below = maps.slice(at + 1);
    const visible = below.filter((layer) => layer.visible);
    const next = below.find((layer) => layer.kind === "classes");
    return [maps[at], ...(visible.length || !next ? visible : [next])].map((layer) => layer.id);
  }

  get compares() {
    return this.model.get("swipe") || this.model.get("side_by_side");
  }

  // Returns whether a layer is shown on this stage: side by side each has its own maps.
  shows(layer) {
    const [top, ...below] = this.compares ? this.maps : [];
    if (this.lower) return below.includes(layer.id) || (layer.visible && layer.id !== top);
    if (this.model.get("side_by_side")) return layer.visible && !below.includes(layer.id);
    return layer.visible || below.includes(layer.id);
  }

  // Shows a layer. One whose px have changed is read anew behind the one that is seen, and then takes its place.
  showLayer(layer, index) {
    const version = this.model.get("versions")[layer.id] ?? 0;
    const known = this.shown.get(layer.id);
    const opacity = this.shows(layer) ? layer.opacity : 0;
    if (known?.version === version) {
      known.opacity = opacity;
      known.item?.setOpacity(opacity);
      return;
    }
    const record = { item: known?.item, version, opacity, clipped: known?.clipped };
    this.shown.set(layer.id, record);
    const { world } = this.osd;
    this.osd.addTiledImage({
      tileSource: new KernelTiles(this.kernel, layer, version, this.problem),
      width: 1,
      index: record.item ? world.getIndexOfItem(record.item) : index,
      opacity: record.item ? 0 : opacity,
      preload: true, // although nothing of it is seen yet
      success: ({ item }) => {
        let waits = true;
        const show = () => {
          if (!waits) return;
          waits = false;
          if (this.shown.get(layer.id) !== record) {
            world.removeItem(item); // it was replaced or removed meanwhile
            return;
          }
          if (record.item) world.removeItem(record.item);
          Object.assign(record, { item, clipped: "" });
          item.setPreload(false);
          item.setOpacity(record.opacity);
          this.open();
          this.divide();
        };
        if (!record.item || !record.opacity) {
          show();
          return;
        }
        item.addHandler("fully-loaded-change", ({ fullyLoaded }) => fullyLoaded && show());
        setTimeout(show, PATIENCE); // some tiles may never come
      },
    });
  }

  // ---- swipe: the uppermost visible map on the right of a line, those below it on the left; what is painted stays

  divide() {
    const on = this.model.get("swipe") && !this.model.get("side_by_side");
    this.divider.style.display = on ? "block" : "none";
    this.divider.style.left = `${this.share * 100}%`;
    const maps = on ? this.maps : [];
    for (const [id, record] of this.shown) {
      if (record.item) this.clip(record, maps.includes(id) ? (id === maps[0] ? "right" : "left") : "");
    }
  }

  // Clips a layer to one side of the line. A clip makes OpenSeadragon draw again, so it is set only if it has changed.
  clip(record, side) {
    const { item } = record;
    const { x: width, y: height } = item.getContentSize();
    const line = new OpenSeadragon.Point(this.share * this.element.clientWidth, 0);
    const at = Math.min(Math.max(item.viewerElementToImageCoordinates(line).x, 0), width);
    const [start, end] = { right: [at, width], left: [0, at], "": [0, width] }[side];
    const wanted = side ? `${start.toFixed(3)} ${end.toFixed(3)}` : "";
    if (wanted === (record.clipped ?? "")) return;
    record.clipped = wanted;
    item.setClip(side ? new OpenSeadragon.Rect(start, 0, end - start, height) : null);
  }

  drag(event) {
    event.stopPropagation();
    event.preventDefault();
    const move = (moved) => {
      const box = this.element.getBoundingClientRect();
      this.share = Math.min(Math.max((moved.clientX - box.left) / box.width, 0), 1);
      this.divide();
    };
    const end = () => {
      window.removeEventListener("pointermove", move);
      window.removeEventListener("pointerup", end);
    };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", end);
  }

  // ---- where one looks

  // Returns the point of the image at a point of the stage, or null outside of it.
  pointAt(position) {
    if (!this.world) return null;
    const at = this.world.viewerElementToImageCoordinates(position);
    const { x: width, y: height } = this.world.getContentSize();
    return at.x >= 0 && at.y >= 0 && at.x < width && at.y < height ? at : null;
  }

  // Returns a window of the image in the coordinates of overlays.
  rectangle([y0, x0, y1, x1]) {
    const { x: width } = this.world.getContentSize();
    return new OpenSeadragon.Rect(x0 / width, y0 / width, (x1 - x0) / width, (y1 - y0) / width);
  }

  look(view) {
    if (!this.world) return;
    if (view.length) this.osd.viewport.fitBounds(this.rectangle(view), true);
    else this.osd.viewport.goHome(true);
    this.drawBar();
  }

  // Returns the window in view, cut to the image, or null if it holds no px.
  view() {
    if (!this.world) return null;
    const { x, y, width, height } = this.world.viewportToImageRectangle(this.osd.viewport.getBounds(true));
    const { x: right, y: bottom } = this.world.getContentSize();
    const clip = (value, most) => Math.round(Math.min(Math.max(value, 0), most));
    const view = [clip(y, bottom), clip(x, right), clip(y + height, bottom), clip(x + width, right)];
    return view[0] < view[2] && view[1] < view[3] ? view : null;
  }

  drawBar() {
    if (!this.world) return;
    const zoom = this.world.viewportToImageZoom(this.osd.viewport.getZoom(true)); // px of the screen for one of the image
    const { size, unit } = this.model.get("pixel") ?? { size: 1, unit: "px" };
    const [length, words] = roundLength((BAR / zoom) * size, unit);
    this.bar.style.width = `${(length / size) * zoom}px`;
    this.bar.textContent = words;
    this.divide();
  }

  leave() {
    this.osd.destroy();
    this.element.remove();
  }
}
