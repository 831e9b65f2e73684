"""``--region`` beyond the image, in every command that takes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest
import typer
from helpers_commands import Fctl
from PIL import Image

from fctl_napari.cli.app import app
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.segmentation.store.store import Segmentation

BEYOND, INSIDE, OUTSIDE = (10, -5, 4000, 50), "10 0 150 50", (0, 200, 10, 300)


def commands_with_regions() -> set[str]:
    """Names of all commands that take ``--region``."""
    found = set()

    def look(command: click.Command, name: str) -> None:
        if any("--region" in parameter.opts for parameter in command.params):
            found.add(name)
        for inner, other in getattr(command, "commands", {}).items():
            look(other, f"{name} {inner}".strip())

    look(typer.main.get_command(app), "")
    return found


@pytest.fixture
def calls(
    rgb_png: Path, tmp_path: Path, tiny_checkpoint: Path, make_segmentation: Callable[..., Segmentation]
) -> dict[str, list[object]]:
    """What is called for each command, but for the region."""
    from fctl_napari.imagery.open import open_image

    labels = np.ones((150, 200), np.uint8)
    labels[20:60, 20:90] = 2
    store = make_segmentation(labels, image=open_image(rgb_png), confidence=np.full((150, 200), 90))
    ground_truth = tmp_path / "truth.png"
    Image.fromarray(labels - 1).save(ground_truth)
    corrections = tmp_path / "c.ome.zarr"
    with Corrections.create(corrections, open_image(rgb_png), store.class_table) as there:
        there.write(30, 10, np.full((30, 80), 2, np.uint8), author="ann")
    return {
        "segment": [rgb_png, "--out", tmp_path / "s.ome.zarr", "--checkpoint", tiny_checkpoint, "--device", "cpu"],
        "export": [store.path, tmp_path / "out.tif"],
        "evaluate": [store.path, ground_truth],
        "errors": [store.path, ground_truth],
        "compare": [store.path, store.path],
        "refine": [store.path, "--refiner", tiny_checkpoint, "--out", tmp_path / "r.ome.zarr"],
        "corrections next": [store.path],
        "corrections export": [corrections, tmp_path / "c.tif"],
    }


def test_it_is_reported_that_a_region_was_cut(fctl: Fctl, calls: dict[str, list[object]]) -> None:
    assert set(calls) == commands_with_regions()
    for command, arguments in calls.items():
        _, _, err = fctl(*command.split(), *arguments, "--region", *BEYOND)
        words = "region 10 -5 4000 50 reaches beyond the 150 x 200 px image (height x width); it was cut to "
        assert f"{arguments[0]}: {words}{INSIDE}" in err, command
        code, _, err = fctl(*command.split(), *arguments, "--region", *INSIDE.split())
        assert "cut to" not in err, command
        assert code == 0 or command in ("refine", "corrections next"), err  # no refiner, and no entropy, are at hand
        outcome = fctl(*command.split(), *arguments, "--region", *OUTSIDE)
        assert "region 0 200 10 300 holds no pixel of the 150 x 200 px image" in outcome.sentence(), command
