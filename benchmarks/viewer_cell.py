"""The viewer in a notebook cell beside napari's window, on a huge image: seconds of steps, memory.

``python benchmarks/viewer_cell.py [--side 100000] [--rounds 3]`` (needs jupyterlab, playwright, chromium, and a display
for the window; ``xvfb-run -a`` will do). A sparse OME-Zarr is made as in ``on_demand.py``. It is shown by ``fctl.show``
in JupyterLab in a real browser, and in napari's window, and both are looked at by the same steps. Prints one table.

Of a step in the page there are three times: the first change of what is on the screen, the last tile that the kernel
sent, and the last change. In the window there are the next frame, and the first one with all layers loaded.
OpenSeadragon moves what is seen to where it was dragged in 0.25 s, so that the last change comes no earlier.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from on_demand import SAMPLED_POSITIONS, make_image, megabytes

sys.path.append(str(Path(__file__).parents[1] / "scripts"))
from jupyter_in_browser import chromium, jupyterlab, open_notebook

QUIET = 600
"""Time without a message or a change after which a step is over, ms."""

PANS = 8
SHIFT = (120, -160)
"""Shift of a pan, (y, x) px of the screen."""

PROBE = """
(() => {
  const probe = (window.probe = { begun: 0, asked: new Map(), answered: new Map(), changes: [], last: null, bytes: 0 });
  const ASKED = /"id":\\s*(\\d+),\\s*"kind":\\s*"tile"/;
  const ANSWERED = /"id":\\s*(\\d+),\\s*"type":\\s*"image/;
  const note = (data, seen) => {
    const buffer = data instanceof ArrayBuffer ? data : data?.buffer;
    const bytes = buffer ? new Uint8Array(buffer) : null;
    const text = bytes ? new TextDecoder("latin1").decode(bytes.subarray(0, 6000)) : String(data).slice(0, 6000);
    const found = (seen === probe.asked ? ASKED : ANSWERED).exec(text);
    if (!found) return;
    seen.set(found[1], performance.now());
    if (seen === probe.answered) probe.bytes += bytes ? bytes.length : data.length;
  };
  window.WebSocket = class extends WebSocket {
    constructor(...all) {
      super(...all);
      this.addEventListener("message", (event) => note(event.data, probe.answered));
    }
    send(data) {
      note(data, probe.asked);
      super.send(data);
    }
  };
  for (const kind of ["pointermove", "keydown"]) {
    window.addEventListener(kind, () => (probe.begun = performance.now()), true);
  }
  window.addEventListener("wheel", () => (probe.begun ||= performance.now()), true);
  const small = new OffscreenCanvas(96, 64).getContext("2d", { willReadFrequently: true });
  const look = () => {
    const canvas = document.querySelector(".fctl-stage canvas");
    if (canvas && canvas.width) {
      small.clearRect(0, 0, 96, 64);
      small.drawImage(canvas, 0, 0, 96, 64);
      const now = new Uint32Array(small.getImageData(0, 0, 96, 64).data.buffer).join();
      if (now !== probe.last) probe.changes.push(performance.now());
      probe.last = now;
    }
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
  probe.reset = () => {
    Object.assign(probe, { begun: 0, changes: [], bytes: 0 });
    probe.asked.clear();
    probe.answered.clear();
  };
  probe.over = (quiet, least) => {
    const { begun, asked, answered, changes } = probe;
    if (!begun || answered.size < least || [...asked.keys()].some((id) => !answered.has(id))) return false;
    return performance.now() - Math.max(begun, ...changes, ...answered.values()) > quiet;
  };
  probe.told = () => {
    const { begun, asked, answered, changes, bytes } = probe;
    const waits = [...answered].filter(([id]) => asked.has(id)).map(([id, at]) => at - asked.get(id));
    return {
      moved: changes.length ? changes[0] - begun : null,
      tiles: answered.size ? Math.max(...answered.values()) - begun : null,
      rest: changes.length ? changes.at(-1) - begun : null,
      count: answered.size,
      wait: waits.length ? waits.sort((a, b) => a - b)[waits.length >> 1] : null,
      bytes,
    };
  };
})();
"""
Told = dict[str, float]


class Page:
    """A notebook in a browser, whose cells are run by hand."""

    def __init__(self, browser: Any, address: str, folder: Path, name: str, cells: list[str]) -> None:
        before = set(kernels())
        self.page = browser.new_page(viewport={"width": 1500, "height": 1200})
        self.page.add_init_script(PROBE)
        open_notebook(self.page, address, folder, name, cells)
        self.page.wait_for_timeout(2000)
        (self.kernel,) = set(kernels()) - before

    def begin(self, number: int) -> None:
        """Begin a cell by its key."""
        cell = self.page.query_selector_all(".jp-Notebook .jp-CodeCell")[number]
        cell.query_selector(".jp-InputArea-editor").click()
        self.page.evaluate("probe.reset()")
        self.page.keyboard.press("Control+Enter")

    def computes(self, number: int) -> bool:
        """Return whether a cell is not done."""
        cell = self.page.query_selector_all(".jp-Notebook .jp-CodeCell")[number]
        return "*" in cell.query_selector(".jp-InputPrompt").inner_text()

    def cell(self, number: int) -> float:
        """Run a cell, and return the seconds until it is done."""
        cell = f"document.querySelectorAll('.jp-Notebook .jp-CodeCell')[{number}]"
        self.page.evaluate(f"{cell}.querySelector('.jp-InputPrompt').innerText = ''")
        self.begin(number)
        prompt = f"{cell}.querySelector('.jp-InputPrompt').innerText"
        self.page.wait_for_function(f"/\\d/.test({prompt})", timeout=300_000, polling="raf")
        seconds: float = self.page.evaluate("(performance.now() - probe.begun) / 1000")
        return seconds

    def step(self, do: Callable[[], object], least: int = 0) -> Told:
        """Do something, wait until the page rests, and return what was seen."""
        self.page.evaluate("probe.reset()")
        do()
        return self.told(least)

    def told(self, least: int = 0) -> Told:
        """Wait until the page rests, and return what was seen since the last event, ms."""
        self.page.wait_for_function(f"probe.over({QUIET}, {least})", timeout=300_000, polling=50)
        found: Told = self.page.evaluate("probe.told()")
        return found

    def pan(self) -> None:
        """Drag what is seen, in one movement."""
        box = self.page.query_selector(".fctl-stage").bounding_box()
        y, x = box["y"] + box["height"] / 2, box["x"] + box["width"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + SHIFT[1], y + SHIFT[0])
        self.page.mouse.up()

    def zoom(self, notches: int) -> None:
        """Turn the wheel."""
        for _ in range(abs(notches)):
            self.page.mouse.wheel(0, -100 if notches > 0 else 100)


def kernels() -> list[psutil.Process]:
    """List the processes of the kernels."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # those of the browser come and go
            if "ipykernel_launcher" in " ".join(child.cmdline()):
                found.append(child)
    return found


def notebooks(image: Path, store: Path, side: int) -> tuple[list[str], ...]:
    """Return the cells of three notebooks: a part of the image, the whole of it, and a map that is computed."""
    y, x = (int(part * side) + 900 for part in SAMPLED_POSITIONS[1])
    view = (y, x, y + 700, x + 1100)
    region = f"({y - 2000}, {x - 2000}, {y + 3000}, {x + 3000})"
    segment = f"fctl.segment({str(image)!r}, out={str(store)!r}, progress=False, region="
    begin = "import fctl_napari as fctl\n"
    return (
        [f"{begin}viewer = fctl.show({str(image)!r}, view={view})\nviewer"],
        [f"{begin}fctl.show({str(image)!r})"],
        [
            f"{begin}viewer = fctl.show({segment}(0, 0, 8, 8)), view={view})\nviewer",
            "viewer.live = True",
            "1 + 1",
            "viewer.live = False",
            f"{segment}{region})",
        ],
    )


def in_the_page(image: Path, folder: Path, side: int) -> dict[str, Any]:
    """Go through all steps in JupyterLab."""
    found: dict[str, Any] = {}
    looked, whole, computed = notebooks(image, folder / "large.earth.fctl.ome.zarr", side)
    with jupyterlab(folder) as address, chromium() as browser:
        page = Page(browser, address, folder, "looked", looked)
        found["kernel before"] = megabytes(page.kernel.pid, "VmRSS")
        found["first picture"] = page.step(lambda: page.begin(0), 4)
        found["pans"] = [page.step(page.pan) for _ in range(PANS)]
        found["zooms"] = [page.step(lambda notches=notches: page.zoom(notches)) for notches in (3, -3, -6, 6)]
        found["first picture, again"] = page.step(lambda: page.begin(0), 4)
        found["kernel, images only"] = megabytes(page.kernel.pid, "VmHWM")
        page.page.close()

        page = Page(browser, address, folder, "whole", whole)
        found["whole image"] = page.step(lambda: page.begin(0), 1)
        page.page.close()

        page = Page(browser, address, folder, "computed", computed)
        page.step(lambda: page.begin(0), 4)
        page.cell(1)
        found["cells while live computes"], found["pans while live computes"] = [], []
        for _ in range(PANS // 2):
            found["cells while live computes"].append(1000 * page.cell(2))
            found["pans while live computes"].append(page.step(page.pan))
        page.cell(3)
        page.begin(4)
        page.page.wait_for_timeout(1500)
        found["pans while a cell computes"] = [page.step(page.pan) for _ in range(PANS // 2)]
        found["the cell still computed"] = page.computes(4)
        found["kernel"] = megabytes(page.kernel.pid, "VmHWM")
        page.page.close()
    return found


def in_the_window(image: Path, side: int) -> dict[str, Any]:
    """Go through the same steps in napari's window."""
    import napari
    import numpy as np
    from on_demand import Draws, Live, Ticks, look_at, spin

    from fctl_napari.plugin.dock.dock import open_tab

    found: dict[str, Any] = {}
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1500, 940)
    draws, ticks = Draws(viewer), Ticks()
    spin(lambda: False, 2)

    def step(do: Callable[[], object]) -> Told:
        """Do something, and return the times of the next frame and of the first one with everything loaded, ms."""
        begun, before = time.perf_counter(), draws.count
        do()
        draws.wait(before)
        moved = time.perf_counter()
        spin(lambda: all(layer.loaded for layer in viewer.layers), 30)
        return {"moved": 1000 * (moved - begun), "rest": 1000 * (time.perf_counter() - begun)}

    def pan() -> None:
        shift = np.array(SHIFT) / viewer.scene.camera.zoom
        viewer.scene.camera.center = (0, *(np.array(viewer.scene.camera.center[1:]) - shift))

    found["first picture"] = step(lambda: viewer.open(image, plugin="fctl-napari"))
    y, x = (int(part * side) + 900 for part in SAMPLED_POSITIONS[1])
    look_at(viewer, y + 350, x + 550, 800)
    spin(lambda: False, 1)
    found["pans"] = [step(pan) for _ in range(PANS)]
    found["zooms"] = [
        step(lambda factor=factor: setattr(viewer.scene.camera, "zoom", viewer.scene.camera.zoom * factor))
        for factor in (1.7, 1 / 1.7, 1 / 3, 3)
    ]
    found["images only"] = megabytes(os.getpid(), "VmHWM")
    widget = open_tab(viewer, "Segment")
    widget.form.checkpoint.setCurrentText("earth")
    spin(lambda: False, 1)
    live = Live(widget)
    look_at(viewer, y, x, 1500)
    live.first_tile()
    begun = time.perf_counter()
    found["pans while live computes"] = [step(pan) for _ in range(PANS // 2)]
    found["event loop while live computes"] = [float(gap) for gap in ticks.gaps(begun, time.perf_counter())]
    live.stop()
    found["window"] = megabytes(os.getpid(), "VmHWM")
    viewer.close()
    return found


def figures(steps: list[Told], name: str) -> str:
    """Return the median and the longest of a figure of some steps, in words."""
    values = [step[name] for step in steps if step[name] is not None]
    return f"{statistics.median(values):.0f} ms, longest {max(values):.0f} ms" if values else "no change"


def print_table(pages: list[dict[str, Any]], windows: list[dict[str, Any]]) -> None:
    """Print the table."""

    def both(name: str, parts: list[dict[str, Any]]) -> list[Told]:
        return [step for part in parts for step in (part[name] if isinstance(part[name], list) else [part[name]])]

    print("| | in a cell | goal | in napari's window |\n|---|---|---|---|")
    for title, name, key, goal in (
        ("first picture, with all imports: something is seen", "first picture", "moved", "< 1 s"),
        ("first picture, with all imports: all of it", "first picture", "rest", ""),
        ("first picture, again: something is seen", "first picture, again", "moved", ""),
        ("first picture, again: all of it", "first picture, again", "rest", ""),
        ("the whole image, with all imports", "whole image", "rest", ""),
        ("a pan: it moves", "pans", "moved", "< 150 ms"),
        ("a pan: the last tile came", "pans", "tiles", "< 150 ms"),
        ("a pan: it rests", "pans", "rest", ""),
        ("a zoom: it moves", "zooms", "moved", ""),
        ("a zoom: the last tile came", "zooms", "tiles", ""),
        ("a zoom: it rests", "zooms", "rest", ""),
        ("a pan while live computes: it moves", "pans while live computes", "moved", ""),
        ("a pan while live computes: a tile's wait", "pans while live computes", "wait", ""),
        ("a pan while a cell computes: the last tile came", "pans while a cell computes", "tiles", ""),
    ):
        window = figures(both(name, windows), key) if name in windows[0] and key in ("moved", "rest") else ""
        print(f"| {title} | {figures(both(name, pages), key)} | {goal} | {window} |")
    cells = [ms for part in pages for ms in part["cells while live computes"]]
    gaps = [ms for part in windows for ms in part["event loop while live computes"]]
    print(
        f"| `1 + 1` while live computes; the event loop meanwhile | {statistics.median(cells):.0f} ms, longest "
        f"{max(cells):.0f} ms | | {statistics.median(gaps):.0f} ms, longest {max(gaps):.0f} ms |"
    )
    pans = both("pans", pages)
    count, wait = (statistics.median(step[key] for step in pans if step[key] is not None) for key in ("count", "wait"))
    kilobytes = statistics.median(step["bytes"] / 1e3 for step in pans)
    print(f"| tiles of a pan, one tile's wait, sent | {count:.0f}, {wait:.0f} ms, {kilobytes:.0f} kB | | |")
    memory = [max(part[name] for part in pages) for name in ("kernel before", "kernel, images only", "kernel")]
    window = [max(part[name] for part in windows) for name in ("images only", "window")]
    print(
        f"| peak memory of the kernel: images, then live and computing too | {memory[1]:.0f} MB, {memory[2]:.0f} MB "
        f"(idle {memory[0]:.0f} MB) | < 1000 MB | {window[0]:.0f} MB, {window[1]:.0f} MB |"
    )
    sure = all(part["the cell still computed"] for part in pages)
    print(f"\nThe cell was {'' if sure else 'NOT '}computing still when the last pan in it was over.")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=100_000, help="px")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--window", type=Path, metavar="IMAGE", help=argparse.SUPPRESS)  # a round in the window
    options = parser.parse_args()
    if options.window is not None:
        print(json.dumps(in_the_window(options.window, options.side)))
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {options.side:,} px a side\n")
    pages, windows = [], []
    with tempfile.TemporaryDirectory() as made:
        image = Path(made) / "large.ome.zarr"
        make_image(image, options.side)
        for number in range(options.rounds):
            folder = Path(made) / f"round{number}"
            folder.mkdir()
            pages.append(in_the_page(image, folder, options.side))
            command = [sys.executable, __file__, "--side", str(options.side), "--window", str(image)]
            environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            windows.append(json.loads(done.stdout.splitlines()[-1]))
    print_table(pages, windows)


if __name__ == "__main__":
    main()
