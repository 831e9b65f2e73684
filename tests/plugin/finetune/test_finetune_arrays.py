"""Fine-tuning on image layers without a file: their copies have the corrections, the result and the candidate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
from helpers_finetune import OpenFinetune, Until, learn

from fctl_napari.api.locations import cache_folder
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.imagery.naming import corrections_path
from fctl_napari.model.model_card import read_card
from fctl_napari.plugin.layers.on_disk import OnDisk, known_source
from fctl_napari.segmentation.store.result_paths import own_corrections

pytestmark = pytest.mark.gui


def lazy(pixels: np.ndarray) -> Any:
    return dask.array.from_array(pixels, chunks=(128, 128, 3))


@pytest.mark.parametrize("made", [np.asarray, lazy])
def test_what_was_painted_on_an_array_is_learned_and_reviewed(
    made: Callable[[np.ndarray], Any],
    open_finetune: OpenFinetune,
    until: Until,
    earth_crop: np.ndarray,
    parent: Path,
) -> None:
    viewer, widget = open_finetune(image=False, steps=2)
    layer = viewer.add_image(made(earth_crop[:192, 300:748]), rgb=True, name="array")
    assert known_source(layer) is None
    file = OnDisk(layer, "painting")  # as the tab Correct does
    file.start()
    until(lambda: known_source(layer) is not None)
    source = known_source(layer)
    assert source is not None
    image = source.open()
    path = own_corrections(corrections_path(source.original, cache_folder), image)
    with Corrections.create(path, image, read_card(parent).classes) as corrections:
        for k in range(12):
            block = np.full((24, 24), k % 3 + 1, np.uint8)
            corrections.write(8 + k // 6 * 56, 20 + k % 6 * 70, block, author="ann")
    widget.look()
    until(lambda: widget.form.corrections.text().startswith("6,912 px"))
    learn(widget, until)
    assert widget.form.gate_report.isVisible()
    widget.form.gate_report.roll_back.click()
    until(lambda: widget.candidate_review is None)
