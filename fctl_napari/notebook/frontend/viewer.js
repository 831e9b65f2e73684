// Viewer of large images in a notebook cell: OpenSeadragon, fed tile by tile through the kernel's own channel.
//
// The kernel describes the layers in the trait "layers" (bottom first). A tile is asked for by a message and comes back
// as the bytes of a picture, so nothing is fetched from any network. Positions are (y, x) px of full resolution.

import OpenSeadragon from "openseadragon";

const TILE = 256; // side of a tile, px
const NICE = [1, 2, 5]; // first digits of the lengths of the scale bar
const BAR = 160; // greatest length of the scale bar, px of the screen
const NOT_SURE = 255; // value of px that are neither learned from nor scored
const TOOLS = {
  look: ["Look", "Pan by dragging, zoom with the wheel. A click is told to the notebook."],
  ask: ["Ask", "Click a pixel: what it attended to in each context, and its probabilities."],
  brush: ["Brush", "Paint the chosen class by dragging."],
  polygon: ["Polygon", "Paint the chosen class inside of what is drawn by dragging."],
  erase: ["Erase", "Take away what was painted, by dragging."],
};

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
  constructor(kernel, layer, version) {
    super({ width: layer.width, height: layer.height, tileSize: TILE, tileOverlap: 0, ready: true });
    this.kernel = kernel;
    this.layer = layer;
    this.version = version;
  }

  getTileUrl(level, x, y) {
    return `fctl://${this.layer.id}/${this.version}/${level}/${x}/${y}`; // a name for the cache, not an address
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
    this.tools = element("div", "fctl-tools", this.panel);
    this.list = element("div", "fctl-layers", this.panel);
    this.legend = element("div", "fctl-legend", this.panel);
    this.why = element("div", "fctl-why", this.panel);
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
    this.drawing = element("canvas", "fctl-drawing", this.stage);
    this.tool = "look";
    this.value = 1;
    this.listen();
    this.showTools();
    this.showLayers();
    this.showLegend();
  }

  listen() {
    const { model, osd } = this;
    this.handlers = {
      "change:layers": () => this.showLayers(),
      "change:versions": () => this.showLayers(),
      "change:problem": () => (this.problem.textContent = model.get("problem")),
      "change:live": () => this.live && (this.live.checked = model.get("live")),
      "change:legend": () => this.showLegend(),
      "change:view": () => this.follow(),
      "change:swipe": () => this.divide(),
      "change:height": () => (this.stage.style.height = `${model.get("height")}px`),
    };
    for (const [name, act] of Object.entries(this.handlers)) model.on(name, act);
    osd.addHandler("canvas-click", (event) => {
      if (!event.quick) return;
      const at = this.pointAt(event.position);
      if (!at) return;
      this.set("clicked", [Math.floor(at.y), Math.floor(at.x)]);
      if (this.tool === "ask") this.ask({ y: Math.floor(at.y), x: Math.floor(at.x) });
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
    this.drawing.addEventListener("pointerdown", (event) => this.paint(event));
    this.told = (content, buffers) => {
      if (content.kind === "asked") this.answer(content, buffers);
      if (content.kind !== "painted") return;
      this.problem.textContent = content.error ?? "";
      const drawing = this.drawing.getContext("2d");
      drawing.clearRect(0, 0, this.drawing.width, this.drawing.height);
    };
    model.on("msg:custom", this.told);
  }

  // ---- painting

  showTools() {
    this.problem = element("div", "fctl-problem");
    if (this.model.get("paints")) {
      for (const [name, [title, tip]] of Object.entries(TOOLS)) {
        const button = element("button", "", this.tools, title);
        button.title = tip;
        button.addEventListener("click", () => this.choose(name));
        button.dataset.tool = name;
      }
      for (const kind of ["undo", "redo"]) {
        const button = element("button", "", this.tools, kind === "undo" ? "Undo" : "Redo");
        button.title = `${button.textContent} the latest stroke of yours.`;
        button.addEventListener("click", () => this.model.send({ kind }));
      }
      const live = element("label", "fctl-layer", this.tools);
      live.title = "Compute the tiles in view, and see them as they come.";
      this.live = element("input", "", live);
      this.live.type = "checkbox";
      this.live.checked = this.model.get("live");
      this.live.addEventListener("change", () => this.set("live", this.live.checked));
      element("span", "", live, "Live");
      const row = element("label", "fctl-layer", this.tools, "Radius");
      this.radius = element("input", "", row);
      Object.assign(this.radius, { type: "range", min: 1, max: 100, value: 12, title: "Radius of the brush, px of the screen." });
    }
    this.panel.insertBefore(this.problem, this.list);
    this.choose("look");
  }

  choose(tool) {
    this.tool = tool;
    this.drawing.style.pointerEvents = ["look", "ask"].includes(tool) ? "none" : "auto";
    if (tool !== "ask") this.forget();
    for (const button of this.tools.querySelectorAll("[data-tool]")) {
      button.classList.toggle("fctl-chosen", button.dataset.tool === tool);
    }
  }

  // ---- why

  ask({ y, x }) {
    this.forget();
    this.why.textContent = "Asking the network…";
    const { x: width } = this.world.getContentSize();
    const location = new OpenSeadragon.Point((x + 0.5) / width, (y + 0.5) / width);
    this.mark = element("div", "fctl-mark");
    this.osd.addOverlay({ element: this.mark, location, placement: OpenSeadragon.Placement.CENTER, checkResize: false });
    this.model.send({ kind: "ask", y, x });
  }

  // Shows probabilities, and the attention over each context as a picture where it lies.
  answer({ error, pixel, classes, contexts }, buffers) {
    this.why.replaceChildren();
    if (error) {
      this.why.textContent = error;
      return;
    }
    element("div", "", this.why, `Pixel y ${pixel[0]}, x ${pixel[1]}`);
    for (const { name, probability } of [...classes].sort((a, b) => b.probability - a.probability)) {
      const row = element("div", "fctl-class", this.why);
      element("span", "", row, name);
      element("span", "fctl-note", row, probability.toFixed(2));
    }
    const { x: width } = this.world.getContentSize();
    contexts.forEach(({ name, weight, window: [y0, x0, , x1] }, index) => {
      const row = element("label", "fctl-layer", this.why);
      const box = element("input", "", row);
      box.type = "checkbox";
      box.checked = index === 0;
      element("span", "", row, `attention in ${name}`);
      element("span", "fctl-note", row, weight.toFixed(2));
      row.title = "The note is the mean weight of the context in the fusion.";
      const url = URL.createObjectURL(new Blob([buffers[index]], { type: "image/png" }));
      this.osd.addSimpleImage({
        url,
        x: x0 / width,
        y: y0 / width,
        width: (x1 - x0) / width,
        opacity: box.checked ? 1 : 0,
        success: ({ item }) => {
          this.attention.push({ item, url });
          box.addEventListener("change", () => item.setOpacity(box.checked ? 1 : 0));
        },
      });
    });
  }

  // Takes the last answer away.
  forget() {
    for (const { item, url } of this.attention ?? []) {
      this.osd.world.removeItem(item);
      URL.revokeObjectURL(url);
    }
    this.attention = [];
    if (this.mark) this.osd.removeOverlay(this.mark);
    this.mark = null;
    this.why.replaceChildren();
  }

  // Follows the pointer until it is let go, and sends the stroke, which is saved before it is answered.
  paint(event) {
    event.preventDefault();
    const { drawing, tool, stage } = this;
    const box = stage.getBoundingClientRect();
    Object.assign(drawing, { width: box.width, height: box.height });
    const context = drawing.getContext("2d");
    const color = this.model.get("legend")[this.value - 1]?.color ?? [255, 255, 255];
    const style = `rgba(${tool === "erase" ? "0, 0, 0" : color.join()}, 0.7)`;
    const radius = tool === "polygon" ? 0 : Number(this.radius.value);
    Object.assign(context, { strokeStyle: style, fillStyle: style, lineCap: "round", lineJoin: "round", lineWidth: 2 * radius || 2 });
    const places = [];
    const add = (moved) => {
      const place = new OpenSeadragon.Point(moved.clientX - box.left, moved.clientY - box.top);
      places.push(place);
      context.clearRect(0, 0, drawing.width, drawing.height);
      context.beginPath();
      places.forEach((each, index) => (index ? context.lineTo(each.x, each.y) : context.moveTo(each.x, each.y)));
      if (tool === "polygon") context.fill();
      else context.lineTo(place.x + 0.01, place.y);
      context.stroke();
    };
    const end = () => {
      drawing.removeEventListener("pointermove", add);
      drawing.removeEventListener("pointerup", end);
      const points = places.map((place) => this.world.viewerElementToImageCoordinates(place)).map(({ x, y }) => [y, x]);
      this.model.send({
        kind: "stroke",
        tool: tool === "polygon" ? "polygon" : "brush",
        points,
        radius: radius / this.world.viewportToImageZoom(this.osd.viewport.getZoom(true)),
        value: tool === "erase" ? 0 : this.value,
      });
    };
    drawing.setPointerCapture(event.pointerId);
    drawing.addEventListener("pointermove", add);
    drawing.addEventListener("pointerup", end);
    add(event);
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
    const version = this.model.get("versions")[layer.id] ?? 0; // another one when its px have changed
    const known = this.shown.get(layer.id);
    const opacity = layer.visible ? layer.opacity : 0;
    if (known && known.version === version) {
      known.item.setOpacity(opacity);
      return;
    }
    const record = { item: known?.item, version };
    this.shown.set(layer.id, record);
    this.osd.addTiledImage({
      tileSource: new KernelTiles(this.kernel, layer, version),
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
    const classes = this.model.get("legend");
    const entries = classes.map((each, index) => ({ ...each, value: index + 1 }));
    if (this.model.get("paints")) entries.push({ name: "not sure", color: [255, 255, 255], note: "", value: NOT_SURE });
    for (const { name, color, note, value } of entries) {
      const row = element("div", "fctl-class", this.legend);
      row.classList.toggle("fctl-chosen", this.model.get("paints") && value === this.value);
      row.title = this.model.get("paints") ? `Paint ${name}.` : "";
      row.addEventListener("click", () => {
        this.value = value;
        this.showLegend();
      });
      element("span", "fctl-swatch", row).style.background = `rgb(${color.join()})`;
      element("span", "", row, name);
      element("span", "fctl-note", row, note);
    }
  }

  // ---- swipe: the uppermost visible map is shown on the right of a line only; what is painted stays

  divide() {
    const on = this.model.get("swipe");
    const top = [...this.model.get("layers")].reverse().find((layer) => layer.visible && layer.id !== "corrections");
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
    const place = this.model.get("location");
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
    if (this.shownView === JSON.stringify(view) || !this.world || !view.length) return;
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
    this.shownView = JSON.stringify(view);
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
    this.model.off("msg:custom", this.told);
    this.kernel.leave();
    this.osd.destroy();
  }
}

function render({ model, el }) {
  const viewer = new Viewer(model, el);
  return () => viewer.leave();
}

export default { render };
