"""The viewer in JupyterLab, in a real browser: what is on the screen is what the files hold."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.open import open_image
from fctl_napari.segmentation.store.store import Segmentation

pytestmark = [pytest.mark.gui, pytest.mark.slow]

SHAPE = (600, 800)
SHOW = """
import fctl_napari as fctl
viewer = fctl.show(fctl.open({scene!r}), {store!r}, height=450)
viewer
"""


@pytest.fixture
def files(tmp_path: Path, make_segmentation: Callable[..., Segmentation]) -> dict[str, str]:
    """A gray scene with a white square, and a map of it: red on the left, blue on the right, nothing at the bottom."""
    pixels = np.full((*SHAPE, 3), 120, np.uint8)
    pixels[100:200, 600:700] = 255
    scene = convert(pyramid_from_array(pixels, name="scene"), tmp_path / "scene.ome.zarr", chunk=256)
    labels = np.ones(SHAPE, np.uint8)
    labels[:, 400:] = 3
    labels[500:] = 0
    store = make_segmentation(labels, image=open_image(scene), path=tmp_path / "scene.made.fctl.ome.zarr")
    return {"scene": str(scene), "store": str(store.path)}


BACKGROUND = 0x11
"""Gray of the stage where there is no image."""


class Stage:
    """The part of the page with the image: colors and places in px of the image, which is shown whole."""

    def __init__(self, page: Any) -> None:
        self.page = page
        page.wait_for_selector(".fctl-stage canvas", timeout=90_000)
        self.element = page.query_selector(".fctl-stage")
        self.element.scroll_into_view_if_needed()
        box: dict[str, float] = {}
        while box != (box := self.element.bounding_box()):  # the notebook may still be moving
            page.wait_for_timeout(300)
        self.left, self.top, self.width, self.height = (box[name] for name in ("x", "y", "width", "height"))
        self.scale = min(self.width / SHAPE[1], self.height / SHAPE[0])

    def at(self, y: float, x: float) -> tuple[float, float]:
        """Place on the page of a px of the image, (x, y)."""
        return (
            self.left + self.width / 2 + (x - SHAPE[1] / 2) * self.scale,
            self.top + self.height / 2 + (y - SHAPE[0] / 2) * self.scale,
        )

    def color(self, y: float, x: float) -> np.ndarray:
        """Color that is seen at a px of the image."""
        picture = np.asarray(Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")).astype(int)
        column, row = self.at(y, x)
        found: np.ndarray = picture[round(row), round(column)]
        return found

    def measure_scale(self) -> None:
        """Take the scale from what is shown: a stage that became wider keeps the zoom that it had."""
        picture = np.asarray(Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")).astype(int)
        row = picture[round(self.top + self.height / 2), round(self.left) : round(self.left + self.width)]
        shown = np.flatnonzero(np.abs(row - BACKGROUND).max(1) > 20)
        self.scale = (shown[-1] - shown[0] + 1) / SHAPE[1]

    def until(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        for _ in range(int(seconds * 5)):
            if condition():
                return
            self.page.wait_for_timeout(200)
        assert condition()


def is_red(color: np.ndarray) -> bool:
    return bool(color[0] > color[2] + 40)


def is_blue(color: np.ndarray) -> bool:
    return bool(color[2] > color[0] + 40)


def is_gray(color: np.ndarray) -> bool:
    return bool(np.ptp(color) < 12 and abs(color.mean() - 120) < 12)


def run_cell(page: Any, number: int) -> str:
    """Run a cell again, and return what it prints."""
    cell = page.query_selector_all(".jp-Notebook .jp-CodeCell")[number]
    cell.scroll_into_view_if_needed()
    before = cell.query_selector(".jp-InputPrompt").inner_text()
    cell.query_selector(".jp-InputArea-editor").click()
    page.keyboard.press("Control+Enter")
    page.wait_for_function(
        "([number, before]) => { const text = document.querySelectorAll('.jp-Notebook .jp-CodeCell')[number]"
        ".querySelector('.jp-InputPrompt').innerText; return text !== before && !text.includes('*'); }",
        arg=[number, before],
        timeout=60_000,
    )
    found: str = cell.query_selector(".jp-OutputArea").inner_text()
    return found


def test_the_page_shows_what_the_files_hold(open_notebook: Callable[..., Any], files: dict[str, str]) -> None:
    page = open_notebook([SHOW.format(**files), "print(viewer.clicked, viewer.view)"])
    stage = Stage(page)
    stage.until(lambda: is_red(stage.color(300, 100)) and is_blue(stage.color(300, 500)))
    assert is_gray(stage.color(560, 100))  # nothing is computed there
    assert stage.color(150, 650).mean() > stage.color(300, 500).mean() + 20  # the white square below the map
    legend = page.query_selector(".fctl-legend").inner_text()
    assert "red" in legend
    assert "50.0 %" in legend

    # a click is known to the kernel, and so is the view
    page.mouse.click(*stage.at(250, 650))
    page.wait_for_timeout(500)
    told = run_cell(page, 1)
    clicked = [int(number) for number in told[told.index("[") + 1 : told.index("]")].split(",")]
    assert abs(clicked[0] - 250) <= 2
    assert abs(clicked[1] - 650) <= 2
    assert "[0, 0, 600, 800]" in told

    # the map is hidden by its box
    stage = Stage(page)
    page.click(".fctl-layer:has-text('made') input[type=checkbox]")
    stage.until(lambda: is_gray(stage.color(300, 100)) and is_gray(stage.color(300, 500)))
    page.click(".fctl-layer:has-text('made') input[type=checkbox]")
    stage.until(lambda: is_red(stage.color(300, 100)))

    # swipe: the map is on the right of the line only
    page.click(".fctl-layer:has-text('Swipe') input[type=checkbox]")
    stage.until(lambda: is_gray(stage.color(300, 100)) and is_blue(stage.color(300, 700)))
    page.mouse.move(*stage.at(300, 400))
    page.mouse.down()
    page.mouse.move(*stage.at(300, 100), steps=4)
    page.mouse.up()
    stage.until(lambda: is_gray(stage.color(300, 50)) and is_red(stage.color(300, 250)))


def test_nothing_is_fetched_from_a_network(open_notebook: Callable[..., Any], files: dict[str, str]) -> None:
    page = open_notebook([SHOW.format(**files)], "b")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    stage = Stage(page)
    stage.until(lambda: is_red(stage.color(300, 100)))
    page.mouse.move(*stage.at(300, 300))
    page.mouse.wheel(0, -400)  # finer tiles
    page.wait_for_timeout(1500)
    strangers = [url for url in asked if not url.startswith(("http://127.0.0.1", "ws://127.0.0.1", "blob:", "data:"))]
    assert strangers == []


def test_notebook_7_shows_it_too(open_notebook: Callable[..., Any], files: dict[str, str]) -> None:
    page = open_notebook([SHOW.format(**files), "print(viewer.clicked)"], "h", "notebooks")
    stage = Stage(page)
    stage.until(lambda: is_red(stage.color(300, 100)) and is_blue(stage.color(300, 500)))


def test_tiles_come_while_a_cell_computes(open_notebook: Callable[..., Any], files: dict[str, str]) -> None:
    cells = ["viewer.swipe = False", "import time; time.sleep(600)"]
    page = open_notebook([SHOW.format(**files), *cells], "i")
    stage = Stage(page)
    stage.until(lambda: is_red(stage.color(300, 100)))
    prompt = "document.querySelectorAll('.jp-Notebook .jp-CodeCell')[2].querySelector('.jp-InputPrompt').innerText"
    page.wait_for_function(f"{prompt}.includes('*')")
    page.click(".fctl-layer:has-text('confidence') input[type=checkbox]")  # all of its tiles are asked for now
    page.click(".fctl-layer:has-text('made') input[type=checkbox]")  # the map above it
    stage.until(lambda: not is_red(stage.color(300, 100)) and not is_gray(stage.color(300, 100)), 30)


DRAWINGS = """
() => {
  window.drawings = 0;
  const draw = CanvasRenderingContext2D.prototype.drawImage;
  CanvasRenderingContext2D.prototype.drawImage = function (...all) {
    window.drawings += 1;
    return draw.apply(this, all);
  };
}
"""


def test_the_view_is_told_and_then_the_page_rests(open_notebook: Callable[..., Any], files: dict[str, str]) -> None:
    page = open_notebook([SHOW.format(**files), "print(viewer.view)"], "j")
    stage = Stage(page)
    stage.until(lambda: is_red(stage.color(300, 100)))
    before = run_cell(page, 1)
    assert before.split() == ["[0,", "0,", "600,", "800]"]
    for swipe in (False, True):
        if swipe:
            page.click(".fctl-layer:has-text('Swipe') input[type=checkbox]")
        stage = Stage(page)
        page.mouse.move(stage.left + 0.3 * stage.width, stage.top + stage.height / 2)  # beside the line
        page.mouse.wheel(0, -300)
        page.wait_for_timeout(2000)
        page.evaluate(DRAWINGS)
        page.wait_for_timeout(1500)
        assert page.evaluate("window.drawings") == 0
        after = run_cell(page, 1)
        assert after != before
        before = after


def test_strokes_are_painted_undone_and_survive_the_kernel(
    open_notebook: Callable[..., Any], files: dict[str, str]
) -> None:
    page = open_notebook([SHOW.format(**files), "print(viewer.strokes)"], "c")
    stage = Stage(page)
    stage.until(lambda: is_red(stage.color(300, 100)))
    page.click("[data-tool=brush]")
    page.click(".fctl-class:has-text('blue')")
    stage = Stage(page)
    page.mouse.move(*stage.at(300, 100))
    page.mouse.down()
    page.mouse.move(*stage.at(300, 250), steps=6)
    page.mouse.up()
    stage.until(lambda: is_blue(stage.color(300, 180)))
    assert is_red(stage.color(200, 180))
    page.wait_for_timeout(1500)  # the stroke is on disk, and its layer is there
    page.click("button:has-text('Undo')")
    stage.until(lambda: is_red(stage.color(300, 180)))
    page.wait_for_timeout(1500)
    page.click("button:has-text('Redo')")
    stage.until(lambda: is_blue(stage.color(300, 180)))
    stage.until(lambda: run_cell(page, 1).split()[-1] == "1", 10)  # what is seen may be older

    painted = Corrections.open(Path(files["scene"]).with_name("scene.corrections.ome.zarr"))
    assert {name for name, area in painted.area_by_class().items() if area} == {"blue"}
    before = painted.read((0, 0, *SHAPE))
    page.keyboard.press("Escape")
    prompt = "document.querySelector('.jp-Notebook .jp-CodeCell .jp-InputPrompt').innerText"
    page.evaluate(f"{prompt} = ''")
    page.click("text=Kernel")
    page.click("text=Restart Kernel and Run All Cells…")
    page.click(".jp-Dialog-button.jp-mod-warn, .jp-Dialog-button:has-text('Restart')")
    page.wait_for_function(f"/\\d/.test({prompt})", timeout=90_000)  # the first cell is done anew
    page.wait_for_timeout(1000)
    stage = Stage(page)
    stage.until(lambda: is_blue(stage.color(300, 180)), 60)
    assert np.array_equal(Corrections.open(painted.path).read((0, 0, *SHAPE)), before)


ASKED = """
import fctl_napari as fctl
land = fctl.segment({scene!r}, {network!r}, {out!r}, region=(0, 0, 8, 8), device="cpu", progress=False)
viewer = fctl.show(land, height=450)
viewer
"""


def test_errors_are_reviewed_accepted_and_maps_are_seen_side_by_side(
    open_notebook: Callable[..., Any], files: dict[str, str], tmp_path: Path
) -> None:
    truth = np.zeros(SHAPE, np.uint8)
    truth[:, 400:] = 2
    truth[100:150, 100:150] = 1  # is green, and called red
    Image.fromarray(truth).save(tmp_path / "truth.png")
    shown = f"""
import fctl_napari as fctl
viewer = fctl.show({files["store"]!r}, ground_truth={str(tmp_path / "truth.png")!r}, height=450)
viewer
"""
    page = open_notebook([shown, "print(viewer.region, viewer.strokes)"], "e")
    stage = Stage(page)
    stage.until(lambda: is_red(stage.color(300, 100)))
    page.click("summary:has-text('Review')")
    page.click("button:has-text('Next')")
    page.wait_for_selector("text=is green, called red", timeout=60_000)
    page.wait_for_selector(".fctl-region")
    page.click("button:has-text('Truth is wrong')")
    page.wait_for_selector("text=marked: truth is wrong")
    page.click(".fctl-fold button:has-text('Accept')")
    page.wait_for_selector("[data-accepted=yes]")
    assert "[100, 100, 150, 150] 1" in run_cell(page, 1)
    assert Corrections.open(Path(files["scene"]).with_name("scene.corrections.ome.zarr")).area_by_class()["red"] == 2500

    # side by side: the image on the left, the map on the right
    page.click(".fctl-layer:has-text('Side by side') input[type=checkbox]")
    page.wait_for_function("document.querySelectorAll('.fctl-stage').length === 2")
    left, right = (each.bounding_box() for each in page.query_selector_all(".fctl-stage"))
    assert right["x"] > left["x"] + left["width"] / 2
    picture = lambda: np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(int)  # noqa: E731

    def middle(box: dict[str, float]) -> np.ndarray:
        found: np.ndarray = picture()[round(box["y"] + box["height"] * 0.9), round(box["x"] + box["width"] / 2)]
        return found

    stage.until(lambda: is_gray(middle(left)) and is_red(middle(right)))


def test_a_class_is_picked_from_the_map(open_notebook: Callable[..., Any], files: dict[str, str]) -> None:
    page = open_notebook([SHOW.format(**files)], "f")
    stage = Stage(page)
    stage.until(lambda: is_red(stage.color(300, 100)))
    page.click("[data-tool=pick]")
    stage = Stage(page)
    page.mouse.click(*stage.at(300, 600))
    page.wait_for_selector(".fctl-class.fctl-chosen:has-text('blue')")


def test_a_pixel_is_asked_about_and_the_map_grows_live(
    open_notebook: Callable[..., Any], files: dict[str, str], awake_checkpoint: Path, tmp_path: Path
) -> None:
    network = Path(shutil.copy(awake_checkpoint, tmp_path / "awake.safetensors"))
    out = tmp_path / "scene.awake.fctl.ome.zarr"
    page = open_notebook([ASKED.format(scene=files["scene"], network=str(network), out=str(out))], "d")
    stage = Stage(page)
    stage.until(lambda: is_gray(stage.color(300, 300)), 60)
    page.click(".fctl-layer:has-text('Live') input[type=checkbox]")
    stage.until(lambda: not is_gray(stage.color(300, 300)), 90)
    stage.until(lambda: bool(Segmentation.open(out).done().all()), 90)
    page.click("[data-tool=ask]")
    stage = Stage(page)
    stage.measure_scale()
    page.mouse.click(*stage.at(300, 300))
    page.wait_for_selector("text=attention in large", timeout=60_000)
    told = page.query_selector(".fctl-why").inner_text()
    y, x = map(int, re.search(r"Pixel y (\d+), x (\d+)", told).groups())
    assert abs(y - 300) <= 1 / stage.scale + 1
    assert abs(x - 300) <= 1 / stage.scale + 1
    assert all(name in told for name in ("red", "green", "blue"))
    large = page.query_selector_all(".fctl-overlay")[2].bounding_box()  # the context large is the whole image here
    assert abs(large["width"] - SHAPE[1] * stage.scale) < 2
    assert abs(large["height"] - SHAPE[0] * stage.scale) < 2
    page.select_option(".fctl-why select", "large")
    page.wait_for_selector("text=of the tile changes", timeout=60_000)
    assert "→" in page.query_selector(".fctl-why").inner_text()


TUNED = """
import numpy as np
import fctl_napari as fctl
land = fctl.segment({scene!r}, {network!r}, device="cpu", progress=False)
with fctl.corrections(land) as painted:
    for y, x, value in ((10, 10, 2), (400, 600, 1), (10, 600, 2), (400, 10, 1)):
        painted.write(y, x, np.full((60, 90), value, np.uint8), author="ann")
viewer = fctl.show(land, height=450)
viewer
"""


def test_a_network_learns_and_is_kept(
    open_notebook: Callable[..., Any], files: dict[str, str], awake_checkpoint: Path, tmp_path: Path
) -> None:
    network = Path(shutil.copy(awake_checkpoint, tmp_path / "awake.safetensors"))
    page = open_notebook([TUNED.format(scene=files["scene"], network=str(network)), "print(viewer.candidate)"], "g")
    Stage(page)
    page.click("summary:has-text('Fine-tune')")
    page.fill(".fctl-fold input[type=number]", "3")
    page.click(".fctl-fold button:has-text('Start')")
    page.wait_for_selector(".fctl-told:has-text('the gate advises')", timeout=120_000)
    page.wait_for_selector(".fctl-plot svg polyline", state="attached")
    page.wait_for_selector(".fctl-told:has-text('is called otherwise')", timeout=60_000)
    assert "awake-1" in run_cell(page, 1)
    assert page.is_checked(".fctl-layer:has-text('Swipe') input[type=checkbox]")
    page.click(".fctl-fold button:has-text('Keep')")
    page.wait_for_selector(".fctl-told:has-text('is kept beside the image')", timeout=60_000)
    assert (tmp_path / "awake-1.safetensors").exists()
