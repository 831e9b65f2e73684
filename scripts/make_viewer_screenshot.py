"""Make a picture of the viewer in a notebook cell, in JupyterLab in a real browser: ``OUT/viewer.jpg``.

    python scripts/make_viewer_screenshot.py docs

The sample scene is segmented in a temporary folder; a pixel of it is asked about.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

from jupyter_in_browser import chromium, jupyterlab, open_notebook, run_all
from PIL import Image

SIZE = {"width": 1320, "height": 860}
REGION = (700, 1890, 1400, 2160)
CELL = """import fctl_napari as fctl

image = fctl.sample("scene")
land = fctl.segment(image, "earth", region={region}, progress=False)
viewer = fctl.show(land, ground_truth="scene/earth.ome.zarr/labels/truth", view={region}, height=560)
viewer"""


def main() -> None:
    """Make the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as made, jupyterlab(Path(made)) as address, chromium() as browser:
        page = browser.new_page(viewport=SIZE)
        open_notebook(page, address, Path(made), "viewer", [CELL.format(region=REGION)])
        run_all(page)
        page.wait_for_selector(".fctl-stage canvas", timeout=240_000)
        page.wait_for_timeout(3000)
        page.click("[data-tool=ask]")
        box = page.query_selector(".fctl-stage").bounding_box()
        page.mouse.click(box["x"] + 0.45 * box["width"], box["y"] + 0.5 * box["height"])
        page.wait_for_selector("text=attention in", timeout=60_000)
        page.keyboard.press("Control+B")  # without the list of files
        page.wait_for_timeout(2500)
        page.evaluate("document.querySelector('.Toastify')?.remove()")  # a question of JupyterLab's
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        picture.save(out / "viewer.jpg", quality=85, optimize=True)


if __name__ == "__main__":
    main()
