"""The panel of the ablation notebooks: rows are trained for real, and their pictures are of their networks."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_ablation import recipe, train_baseline, write_scene
from ipywidgets import Image as Picture
from PIL import Image

from fctl_napari.ablation.plan import AblationRequest
from fctl_napari.ablation.results import read_results
from fctl_napari.exceptions import ConfigError
from fctl_napari.notebook.ablation_panel import AblationPanel

SECONDS = 120
CELLS = [
    """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from helpers_ablation import recipe
from fctl_napari.ablation.plan import AblationRequest
from fctl_napari.notebook.ablation_panel import AblationPanel
folder = Path({folder!r})
request = AblationRequest((3,), recipe=recipe(), out=folder / "lab", data_folder=folder, seeds=1, steps=1, device="cpu",
    frozen_encoders=folder / "baseline" / "blocks.safetensors", tiles=4, workers=1)
panel = AblationPanel(request, (100, 230))
panel
""",
    "print('rows', 'of', len(panel.names), 'while it', 'runs')",
]


@pytest.fixture(scope="module")
def request_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., AblationRequest]:
    """Requests on a small scene, with frozen encoders."""
    folder = tmp_path_factory.mktemp("panel")
    write_scene(folder)
    baseline = train_baseline(folder)

    def make(out: str, *tables: int, **fields: object) -> AblationRequest:
        usual = {"recipe": recipe(), "out": folder / out, "data_folder": folder, "seeds": 1, "steps": 1}
        usual |= {"device": "cpu", "frozen_encoders": baseline, "tiles": 4, "workers": 1}
        return AblationRequest(tables, **(usual | fields))

    return make


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def choose(panel: AblationPanel, *rows: str) -> None:
    for name, box in panel.chosen.items():
        box.value = name in rows


def test_rows_are_those_of_the_tables_and_contexts(request_of: Callable[..., AblationRequest]) -> None:
    panel = AblationPanel(request_of("rows", 3, 4))
    assert len([name for name in panel.names if name.startswith("table3-")]) == 9
    assert [name for name in panel.names if name.startswith("table4-")] == [
        f"table4-inria-{sizes}"
        for sizes in ("508-762-1524", "508-1016-1270", "508-1016-1524", "508-1270-1524", "508-1016-2032")
    ] + ["table4-inria-762-1016-1524"]
    choose(panel, "table3-none", "table4-inria-508-762-1524")
    panel.contexts.value = "deepglobe"
    assert len([name for name in panel.names if name.startswith("table4-deepglobe")]) == 5
    chosen = {name for name, box in panel.chosen.items() if box.value and name.startswith("table3")}
    assert chosen == {"table3-none"}, "what was chosen stays so"
    assert ">71.84<" in panel.figures["table3-none"].value
    assert ">69.08<" in panel.figures["table3-none"].value
    panel.seeds.value, panel.steps.value = 2, 7
    request = panel.request
    assert (request.contexts, request.seeds, request.steps) == ("deepglobe", 2, 7)
    assert request.only[0] == "table3-none"
    panel.chosen["table3-none"].value = False
    for box in panel.chosen.values():
        box.value = False
    panel.run.click()
    assert "tick one" in panel.problem.value
    assert not panel.job.running


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_chosen_rows_are_trained_and_looked_at(request_of: Callable[..., AblationRequest]) -> None:
    panel = AblationPanel(request_of("trained", 3), pixel=(100, 230))
    panel.show_row("table3-local")
    until(lambda: "not trained yet" in panel.problem.value)
    choose(panel, "table3-none", "table3-local")
    panel.run.click()
    assert panel.run.description == "Stop"
    panel.job.wait(SECONDS)
    assert (panel.job.error, panel.run.description) == (None, "Run")
    results = {result.row: result for result in read_results(panel.request.out / "results.csv")}
    assert results.keys() == {"table3-none", "table3-local"}
    assert f">{100 * results['table3-local'].miou:.2f}<" in panel.figures["table3-local"].value
    gain = 100 * (results["table3-local"].miou - results["table3-none"].miou)
    assert f">{gain:+.2f}<" in panel.figures["table3-local"].value
    assert panel.figures["table3-large"].value.count("><") > 3, "nothing is known of others"

    panel.names["table3-local"].click()
    until(lambda: [type(part) for part in panel.pictures.children] == [Picture, Picture])
    assert panel.names["table3-local"].button_style == "info"
    masks, maps = (Image.open(io.BytesIO(part.value)).convert("RGB") for part in panel.pictures.children)
    assert min(masks.size) > 100
    panel.names["table3-none"].click()
    until(lambda: len(panel.pictures.children) == 2 and panel.pictures.children[1].value and shows_other(panel, maps))
    assert panel.problem.value == ""

    panel.steps.value = 2
    assert ">0.0 %<" not in panel.figures["table3-local"].value, "results of another budget are not this table's"
    panel.steps.value = 1
    again = AblationPanel(request_of("trained", 3))
    assert again.figures["table3-local"].value == panel.figures["table3-local"].value


def shows_other(panel: AblationPanel, before: Image.Image) -> bool:
    """True if the maps are other ones: without contexts there is no attention, so that the picture is lower."""
    now = np.asarray(Image.open(io.BytesIO(panel.pictures.children[1].value)).convert("RGB"))
    return now.shape[0] < before.height


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_run_is_stopped_and_what_is_done_stays(request_of: Callable[..., AblationRequest]) -> None:
    panel = AblationPanel(request_of("stopped", 5, steps=400))
    panel.run.click()
    until(lambda: panel.job.done > 2)
    panel.run.click()
    panel.job.wait(SECONDS)
    assert not panel.job.running
    assert panel.job.error is None
    assert "Stopped" in panel.job.note
    assert "table5-adaptive" not in {result.row for result in read_results(panel.request.out / "results.csv")}
    assert (panel.request.out / "features").exists(), "what was computed stays"


@pytest.mark.gui
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_page_runs_rows_beside_its_cells(
    request_of: Callable[..., AblationRequest], open_notebook: Callable[..., Any], tmp_path: Path
) -> None:
    folder = str(request_of("lab", 3).data_folder)
    page = open_notebook([cell.format(folder=folder, tests=str(Path(__file__).parents[1])) for cell in CELLS])
    page.wait_for_selector("text=rows of 9 while it runs", timeout=60_000)
    for box in page.query_selector_all("input[type=checkbox]")[1:]:
        box.uncheck()
    page.click(".jp-OutputArea button:has-text('Run')")
    page.wait_for_selector("text=All chosen rows are trained.", timeout=90_000)
    page.click(".jp-OutputArea button:has-text('no contexts')")
    page.wait_for_function("document.querySelectorAll('.jp-OutputArea img').length == 2", timeout=60_000)
    page.screenshot(path=tmp_path / "panel.png")
    shown = np.asarray(Image.open(tmp_path / "panel.png"))
    assert len(np.unique(shown.reshape(-1, shown.shape[-1]), axis=0)) > 100


def test_what_cannot_be_trained_is_said_in_the_panel(
    request_of: Callable[..., AblationRequest], tmp_path: Path
) -> None:
    panel = AblationPanel(request_of("refused", 3))
    panel._request = request_of("refused", 3, frozen_encoders=tmp_path / "gone.safetensors")
    panel.run.click()
    panel.job.wait(SECONDS)
    assert "gone.safetensors" in panel.problem.value
    assert panel.run.description == "Run"


def test_a_row_that_is_none_of_the_tables_is_refused(request_of: Callable[..., AblationRequest]) -> None:
    assert [row.name for row in request_of("a", 3, only=("table3-medium",)).rows()] == ["table3-medium"]
    with pytest.raises(ConfigError, match=r"no row 'table5-average' in these tables.* choose among table3-none, "):
        request_of("a", 3, only=("table5-average",)).rows()
