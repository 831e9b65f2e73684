// The kernel, which is asked by messages and answers by their numbers, and the tiles that it draws.

import OpenSeadragon from "openseadragon";

const TILE = 512; // side of a tile, px
const GONE = "The kernel of this viewer has gone, and what was not answered is not saved; run the cell again.";

// Asks the kernel, and gives its answers to those who wait for them.
export class Kernel {
  constructor(model) {
    this.model = model;
    this.waiting = new Map();
    this.next = 0;
    this.receive = (content, buffers) => {
      const waits = this.waiting.get(content.id);
      if (!waits) return; // nobody wants it any more
      if (content.total !== undefined && content.done !== undefined) {
        waits.progress?.(content.done, content.total);
        return;
      }
      this.waiting.delete(content.id);
      if (content.error) waits.fail(content.error);
      else waits.finish(content, buffers);
    };
    this.lose = () => {
      for (const waits of this.waiting.values()) waits.fail(GONE);
      this.waiting.clear();
    };
    model.on("msg:custom", this.receive);
    model.on("comm_live_update", this.lose);
  }

  // Sends a message for which `waits` is called: finish(content, buffers), fail(sentence), progress(done, total).
  send(message, waits) {
    const id = this.next++;
    this.waiting.set(id, waits);
    try {
      this.model.send({ id, ...message });
    } catch {
      this.waiting.delete(id);
      waits.fail(GONE);
    }
    return id;
  }

  // Sends a message, and returns the promise of { content, buffers }; it fails with an Error that has the sentence.
  ask(message, progress) {
    return new Promise((resolve, reject) => {
      const finish = (content, buffers) => resolve({ content, buffers });
      this.send(message, { finish, fail: (sentence) => reject(new Error(sentence)), progress });
    });
  }

  drop(id) {
    this.waiting.delete(id);
  }

  leave() {
    this.model.off("msg:custom", this.receive);
    this.model.off("comm_live_update", this.lose);
    this.waiting.clear();
  }
}

// The tiles of one layer as OpenSeadragon wants them.
export class KernelTiles extends OpenSeadragon.TileSource {
  // `problem` is called with the sentence of a tile that could not be drawn.
  constructor(kernel, layer, version, problem) {
    super({ width: layer.width, height: layer.height, tileSize: TILE, tileOverlap: 0, ready: true });
    this.kernel = kernel;
    this.layer = layer;
    this.version = version;
    this.problem = problem;
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
    context.userData.id = this.kernel.send(
      { kind: "tile", layer: this.layer.id, scale, x, y },
      {
        finish: ({ type }, buffers) => context.finish(new Blob([buffers[0]], { type }), null, "rasterBlob"),
        fail: (error) => {
          this.problem(error);
          context.fail(error, null);
        },
      },
    );
  }

  downloadTileAbort(context) {
    this.kernel.drop(context.userData.id);
  }
}
