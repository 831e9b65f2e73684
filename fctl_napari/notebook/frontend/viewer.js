// Viewer of large images in a notebook cell: OpenSeadragon, fed tile by tile through the kernel's own channel.
//
// The kernel describes the layers in the trait "layers" (bottom first). A tile is asked for by a message and comes back
// as the bytes of a picture, so nothing is fetched from any network. Positions are (y, x) px of full resolution.

import OpenSeadragon from "openseadragon";

const TILE = 256; // side of a tile, px
const NICE = [1, 2, 5]; // first digits of the lengths of the scale bar
const BAR = 160; // greatest length of the scale bar, px of the screen

// ---- tiles

// Asks the kernel for tiles, and gives its answers to those who wait for them.
class Kernel {
  constructor(model) {
    this.model = model;
    this.waiting = new Map();
    this.next = 0;
    this.receive = (content, buffers) => {
      if (content.kind !== "tile") return;
      const waits = this.waiting.get(content.id);
      this.waiting.delete(content.id);
      if (!waits) return; // nobody wants it any more
      if (content.error) waits.fail(content.error);
      else waits.finish(new Blob([buffers[0]], { type: content.type }));
    };
    model.on("msg:custom", this.receive);
  }

  ask(what, waits) {
    const id = this.next++;
    this.waiting.set(id, waits);
    this.model.send({ kind: "tile", id, ...what });
    return id;
  }

  drop(id) {
    this.waiting.delete(id);
  }

  leave() {
    this.model.off("msg:custom", this.receive);
    this.waiting.clear();
  }
}

// The tiles of one layer as OpenSeadragon wants them.
class KernelTiles extends OpenSeadragon.TileSource {
  constructor(kernel, layer) {
    super({ width: layer.width, height: layer.height, tileSize: TILE, tileOverlap: 0, ready: true });
    this.kernel = kernel;
    this.layer = layer;
  }

  getTileUrl(level, x, y) {
    return `fctl://${this.layer.id}/${this.layer.version}/${level}/${x}/${y}`; // a name for the cache, not an address
  }

  hasTransparency() {
    return this.layer.kind !== "image";
  }

  downloadTileStart(context) {
    const { level, x, y } = context.tile;
    const scale = 2 ** (this.maxLevel - level);
    context.userData.id = this.kernel.ask(
      { layer: this.layer.id, scale, x, y },
      {
        finish: (blob) => context.finish(blob, null, "rasterBlob"),
        fail: (error) => context.fail(error, null),
      },
    );
  }

  downloadTileAbort(context) {
    this.kernel.drop(context.userData.id);
  }
}

// ---- parts of the page

function element(tag, name, parent, text = "") {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text) made.textContent = text;
  if (parent) parent.appendChild(made);
  return made;
}

// Returns a round length of at most so much, and what it is called: 200 m, 5 px.
function roundLength(most, unit) {
  const power = 10 ** Math.floor(Math.log10(most));
  const length = power * Math.max(...NICE.filter((digit) => digit * power <= most));
  const units = [["km", 1000], ["m", 1], ["cm", 0.01], ["mm", 1e-3], ["µm", 1e-6], ["nm", 1e-9]];
  if (unit !== "m") return [length, `${length >= 1 ? length.toLocaleString("en") : length} ${unit}`];
  const [name, size] = units.find(([, each]) => length >= each * 0.9999) ?? units.at(-1);
  return [length, `${Math.round((length / size) * 100) / 100} ${name}`];
}

// ---- the viewer

class Viewer {
  constructor(model, el) {
    this.model = model;
    this.kernel = new Kernel(model);
    this.shown = new Map(); // id of a layer: { item, version }
    this.root = element("div", "fctl", el);
    this.stage = element("div", "fctl-stage", this.root);
    this.stage.style.height = `${model.get("height")}px`;
    this.panel = element("div", "fctl-panel", this.root);
    this.list = element("div", "fctl-layers", this.panel);
    this.legend = element("div", "fctl-legend", this.panel);
    this.status = element("div", "fctl-status", this.panel);
    this.osd = OpenSeadragon({
      element: this.stage,
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
    this.bar = element("div", "fctl-bar", this.stage);
    this.divider = element("div", "fctl-divider", this.stage);
    this.listen();
    this.showLayers();
    this.showLegend();
  }

  listen() {
    const { model, osd } = this;
    this.handlers = {
      "change:layers": () => this.showLayers(),
      "change:legend": () => this.showLegend(),
      "change:view": () => this.follow(),
      "change:swipe": () => this.divide(),
      "change:height": () => (this.stage.style.height = `${model.get("height")}px`),
    };
    for (const [name, act] of Object.entries(this.handlers)) model.on(name, act);
    osd.addHandler("canvas-click", (event) => {
      if (!event.quick) return;
      const at = this.pointAt(event.position);
      if (at) this.set("clicked", [Math.floor(at.y), Math.floor(at.x)]);
    });
    osd.addHandler("animation", () => this.drawBar());
    osd.addHandler("animation-finish", () => this.tellView());
    osd.addHandler("resize", () => (this.drawBar(), this.divide()));
    osd.addHandler("open", () => (this.drawBar(), this.tellView()));
    this.stage.addEventListener("pointermove", (event) => {
      const box = this.stage.getBoundingClientRect();
      const at = this.pointAt(new OpenSeadragon.Point(event.clientX - box.left, event.clientY - box.top));
      this.status.textContent = at ? this.position(Math.floor(at.y), Math.floor(at.x)) : "";
    });
    this.stage.addEventListener("pointerleave", () => (this.status.textContent = ""));
    this.divider.addEventListener("pointerdown", (event) => this.drag(event));
  }

  set(name, value) {
    this.model.set(name, value);
    this.model.save_changes();
  }

  // ---- layers

  get world() {
    return this.osd.world.getItemAt(0);
  }

  showLayers() {
    const layers = this.model.get("layers");
    const there = new Set(layers.map((layer) => layer.id));
    for (const [id, { item }] of this.shown) {
      if (!there.has(id)) {
        this.osd.world.removeItem(item);
        this.shown.delete(id);
      }
    }
    layers.forEach((layer, index) => this.showLayer(layer, index));
    this.showList(layers);
    this.divide();
  }

  showLayer(layer, index) {
    const known = this.shown.get(layer.id);
    const opacity = layer.visible ? layer.opacity : 0;
    if (known && known.version === layer.version) {
      known.item.setOpacity(opacity);
      return;
    }
    const record = { item: known?.item, version: layer.version };
    this.shown.set(layer.id, record);
    this.osd.addTiledImage({
      tileSource: new KernelTiles(this.kernel, layer),
      width: 1,
      index: known ? undefined : index,
      opacity,
      replace: Boolean(known),
      ...(known ? { index: this.osd.world.getIndexOfItem(known.item) } : {}),
      success: ({ item }) => {
        record.item = item;
        if (this.osd.world.getItemCount() === 1) this.home();
        this.divide();
      },
    });
  }

  showList(layers) {
    this.list.replaceChildren();
    for (const layer of [...layers].reverse()) {
      const row = element("label", "fctl-layer", this.list);
      const box = element("input", "", row);
      box.type = "checkbox";
      box.checked = layer.visible;
      box.addEventListener("change", () => this.change(layer.id, { visible: box.checked }));
      element("span", "", row, layer.name);
      const slider = element("input", "", row);
      Object.assign(slider, { type: "range", min: 0, max: 1, step: 0.05, value: layer.opacity, title: "Opacity" });
      slider.addEventListener("input", () => this.change(layer.id, { opacity: Number(slider.value) }));
    }
    const swipe = element("label", "fctl-layer", this.list);
    const box = element("input", "", swipe);
    box.type = "checkbox";
    box.checked = this.model.get("swipe");
    box.addEventListener("change", () => this.set("swipe", box.checked));
    element("span", "", swipe, "Swipe");
  }

  change(id, values) {
    const layers = this.model.get("layers").map((layer) => (layer.id === id ? { ...layer, ...values } : layer));
    this.set("layers", layers);
  }

  showLegend() {
    this.legend.replaceChildren();
    for (const { name, color, note } of this.model.get("legend")) {
      const row = element("div", "fctl-class", this.legend);
      element("span", "fctl-swatch", row).style.background = `rgb(${color.join()})`;
      element("span", "", row, name);
      element("span", "fctl-note", row, note);
    }
  }

  // ---- swipe: the uppermost visible layer is shown on the right of a line only

  divide() {
    const on = this.model.get("swipe");
    const top = [...this.model.get("layers")].reverse().find((layer) => layer.visible);
    this.divider.style.display = on ? "block" : "none";
    this.share ??= 0.5;
    this.divider.style.left = `${this.share * 100}%`;
    for (const [id, { item }] of this.shown) {
      if (!item) continue;
      if (!on || id !== top?.id) {
        item.setClip(null);
        continue;
      }
      const left = item.viewerElementToImageCoordinates(new OpenSeadragon.Point(this.share * this.stage.clientWidth, 0)).x;
      const { x: width, y: height } = item.getContentSize();
      const start = Math.min(Math.max(left, 0), width);
      item.setClip(new OpenSeadragon.Rect(start, 0, width - start, height));
    }
  }

  drag(event) {
    event.stopPropagation();
    event.preventDefault();
    const move = (moved) => {
      const box = this.stage.getBoundingClientRect();
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

  position(y, x) {
    const place = this.model.get("place");
    const pixel = `y ${y}, x ${x}`;
    if (!place) return pixel;
    const [a, b, c, d, e, f] = place.transform;
    const [east, north] = [a * (x + 0.5) + b * (y + 0.5) + c, d * (x + 0.5) + e * (y + 0.5) + f];
    return `${pixel}   ${place.axes[0]} ${east.toFixed(place.digits)}, ${place.axes[1]} ${north.toFixed(place.digits)} (${place.crs})`;
  }

  home() {
    const view = this.model.get("view");
    if (view.length) this.look(view);
    else this.osd.viewport.goHome(true);
    this.drawBar();
    this.tellView();
  }

  look([y0, x0, y1, x1]) {
    const box = this.world.imageToViewportRectangle(x0, y0, x1 - x0, y1 - y0);
    this.osd.viewport.fitBounds(box, true);
    this.drawBar();
  }

  follow() {
    const view = this.model.get("view");
    if (this.told === JSON.stringify(view) || !this.world || !view.length) return;
    this.look(view);
  }

  tellView() {
    if (!this.world) return;
    const bounds = this.world.viewportToImageRectangle(this.osd.viewport.getBounds(true));
    const { x: width, y: height } = this.world.getContentSize();
    const clip = (value, most) => Math.round(Math.min(Math.max(value, 0), most));
    const view = [
      clip(bounds.y, height),
      clip(bounds.x, width),
      clip(bounds.y + bounds.height, height),
      clip(bounds.x + bounds.width, width),
    ];
    this.told = JSON.stringify(view);
    this.set("view", view);
    this.divide();
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
    for (const [name, act] of Object.entries(this.handlers)) this.model.off(name, act);
    this.kernel.leave();
    this.osd.destroy();
  }
}

function render({ model, el }) {
  const viewer = new Viewer(model, el);
  return () => viewer.leave();
}

export default { render };
