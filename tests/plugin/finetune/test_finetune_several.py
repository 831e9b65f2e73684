"""Fine-tuning on the corrections of all images of a list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_finetune import OpenFinetune, Until, dock, learn

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.open import open_image
from fctl_napari.model.model_card import read_card
from fctl_napari.plugin.dock.dock import open_images
from fctl_napari.plugin.finetune.choices import further_pairs
from fctl_napari.plugin.layers.image_source import ImageSource

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("warm_engine")]


@pytest.fixture
def others(scene: Path, earth_crop: np.ndarray, parent: Path) -> list[str]:
    """Further images beside the scene: a corrected one, its copy, one without corrections, a damaged one."""
    table = read_card(parent).classes
    found = []
    for name, rows in (("x", 100), ("y", 100), ("z", 90)):
        path = convert(pyramid_from_array(earth_crop[:rows, 600:900], name=name), scene.with_name(f"{name}.ome.zarr"))
        found.append(str(path))
        if name != "z":
            corrections = scene.with_name(f"{name}.corrections.ome.zarr")
            with Corrections.create(corrections, open_image(path), table) as made:
                for k in range(8):
                    made.write(4 + k // 4 * 48, 10 + k % 4 * 70, np.full((30, 50), k % 3 + 1, np.uint8), author="ann")
    damaged = scene.with_name("w.png")
    damaged.write_bytes(b"\x89PNG\r\n\x1a\n")
    return [*found, str(damaged)]


def test_only_corrected_images_are_learned_from_each_once(scene: Path, others: list[str]) -> None:
    source = ImageSource(str(scene), str(scene))
    pairs = further_pairs(source, [str(scene), *others])
    assert [Path(image).name for image, _ in pairs] == ["x.ome.zarr"]
    assert Path(pairs[0][1]).name == "x.corrections.ome.zarr"
    assert further_pairs(source, []) == ()


def test_the_corrected_images_of_the_list_are_learned_from_together(
    open_finetune: OpenFinetune, others: list[str], scene: Path, until: Until, corrected: Any
) -> None:
    viewer, widget = open_finetune(steps=2)
    assert not widget.form.others.isVisible()
    images = open_images(viewer, scene.parent)
    until(lambda: bool(images.rows) and not images.busy)
    dock(viewer, "Segment")
    dock(viewer, "Fine-tune")
    assert widget.form.others.isVisible()
    widget.form.others.setChecked(True)
    learn(widget, until)
    learned = widget.candidate_review.waiting.card.provenance["finetuning"]
    assert [one["name"] for one in learned["further_images"]] == ["x"]
    images.step(1)
    assert "fine-tuning is not over" in images.problem
