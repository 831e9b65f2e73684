// Painting: what is drawn by dragging is sent as a stroke, and stays until it is on disk.

import OpenSeadragon from "openseadragon";

import { element } from "./page.js";

const ZOOM = 1.2; // of a notch of the wheel
const OUTLINED = ["polygon", "accept"]; // tools that paint inside of what is drawn

export class Painting {
  constructor(viewer) {
    this.viewer = viewer;
    this.canvas = element("canvas", "fctl-drawing", viewer.stage.element);
    this.canvas.addEventListener("pointerdown", (event) => {
      if (event.button === 0 && !event.shiftKey) this.draw(event);
      else if (event.button === 1 || event.shiftKey) this.pan(event);
    });
    this.canvas.addEventListener("wheel", (event) => this.zoom(event), { passive: false });
  }

  // Zooms about the pointer, as the wheel does with the other tools.
  zoom(event) {
    event.preventDefault();
    const { viewport } = this.viewer.stage.osd;
    const box = this.canvas.getBoundingClientRect();
    const place = new OpenSeadragon.Point(event.clientX - box.left, event.clientY - box.top);
    viewport.zoomBy(event.deltaY < 0 ? ZOOM : 1 / ZOOM, viewport.pointFromPixel(place, true));
    viewport.applyConstraints();
  }

  // Pans with the pointer until it is let go.
  pan(event) {
    event.preventDefault();
    const { viewport } = this.viewer.stage.osd;
    let last = event;
    this.follow(event, (moved) => {
      const by = new OpenSeadragon.Point(last.clientX - moved.clientX, last.clientY - moved.clientY);
      viewport.panBy(viewport.deltaPointsFromPixels(by), true);
      last = moved;
    });
  }

  // Calls `move` with each movement of the pointer, and `end` when it is let go.
  follow(event, move, end = () => {}) {
    const { canvas } = this;
    const done = () => {
      canvas.removeEventListener("pointermove", move);
      canvas.removeEventListener("pointerup", done);
      canvas.removeEventListener("pointercancel", done);
      end();
    };
    canvas.setPointerCapture(event.pointerId);
    canvas.addEventListener("pointermove", move);
    canvas.addEventListener("pointerup", done);
    canvas.addEventListener("pointercancel", done);
  }

  // Takes the pointer for a tool, or leaves it to the stage.
  choose(tool) {
    this.tool = tool;
    this.canvas.style.pointerEvents = ["brush", "polygon", "erase", "accept"].includes(tool) ? "auto" : "none";
  }

  // Follows the pointer until it is let go.
  draw(event) {
    event.preventDefault();
    const { canvas, tool, viewer } = this;
    const stage = viewer.stage;
    const box = stage.element.getBoundingClientRect();
    Object.assign(canvas, { width: box.width, height: box.height });
    const context = canvas.getContext("2d");
    const color = viewer.model.get("legend")[viewer.value - 1]?.color ?? [255, 255, 255];
    const style = { erase: "rgba(0, 0, 0, 0.7)", accept: "rgba(255, 255, 255, 0.4)" }[tool] ?? `rgba(${color.join()}, 0.7)`;
    const radius = OUTLINED.includes(tool) ? 0 : viewer.radius;
    Object.assign(context, { strokeStyle: style, fillStyle: style, lineCap: "round", lineJoin: "round", lineWidth: 2 * radius || 2 });
    const places = [];
    const add = (moved) => {
      const place = new OpenSeadragon.Point(moved.clientX - box.left, moved.clientY - box.top);
      places.push(place);
      context.clearRect(0, 0, canvas.width, canvas.height);
      context.beginPath();
      places.forEach((each, index) => (index ? context.lineTo(each.x, each.y) : context.moveTo(each.x, each.y)));
      if (OUTLINED.includes(tool)) context.fill();
      else context.lineTo(place.x + 0.01, place.y);
      context.stroke();
    };
    const end = () => {
      const points = places.map((place) => stage.world.viewerElementToImageCoordinates(place)).map(({ x, y }) => [y, x]);
      this.send({
        kind: "stroke",
        tool: tool === "erase" ? "brush" : tool,
        points,
        radius: radius / stage.world.viewportToImageZoom(stage.osd.viewport.getZoom(true)),
        value: tool === "erase" ? 0 : viewer.value,
      });
    };
    this.follow(event, add, end);
    add(event);
  }

  // Has a stroke saved, or one taken back.
  async send(message) {
    await this.viewer.tell(message);
    this.canvas.getContext("2d").clearRect(0, 0, this.canvas.width, this.canvas.height);
  }

  // Chooses the class that a px of the map has.
  async pick({ y, x }) {
    const told = await this.viewer.tell({ kind: "pick", y, x });
    if (told?.value) this.viewer.chooseValue(told.value);
  }
}
