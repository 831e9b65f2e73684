"""``fctl weights check``: what files are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fctl_napari.exceptions import CheckpointError
from fctl_napari.model.build import make_network
from fctl_napari.model.checkpoint import save_checkpoint
from fctl_napari.model.classes import ClassInfo, ClassTable
from fctl_napari.model.model_card import BUILTIN_FOLDER, Card
from fctl_napari.model.presets import preset
from fctl_napari.model.weight_files import identify

from . import helpers_published


def test_vgg16(tmp_path: Path) -> None:
    path = tmp_path / "vgg16.pth"
    torch.save(helpers_published.vgg16(), path)
    found = identify(path)
    assert found.what == "weights for the encoder vgg16"
    assert found.presets == ("fctl_vgg16", "fcn8s")


def test_own_checkpoints() -> None:
    found = identify(BUILTIN_FOLDER / "earth.safetensors")
    assert found.what == "a checkpoint of this project, 'earth': fctl, efficientnet_lite0, 5 classes"
    assert "init_from" in found.use


def test_a_refiner_is_for_refining(tmp_path: Path) -> None:
    path = tmp_path / "r.safetensors"
    config = preset("refiner", tile_size=64, classes=2)
    classes = ClassTable(classes=tuple(ClassInfo(name=name, color=(0, 0, 0)) for name in "ab"))
    save_checkpoint(path, make_network(config), Card(name="r", config=config, classes=classes))
    assert identify(path).use.startswith("fctl refine --refiner")


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        (("module.output.0.weight", "module.pool3.0.weight"), "the tile's file"),
        (("module.output.0.weight", "module.big_pool3.0.weight"), "a context's file"),
        (("vgg.features.0.weight", "big_pool3.0.weight"), "a context's file"),
    ],
)
def test_released_files(keys: tuple[str, ...], what: str, tmp_path: Path) -> None:
    path = tmp_path / "file.pth"
    torch.save({key: torch.zeros(1) for key in keys}, path)
    found = identify(path)
    assert what in found.what
    assert found.presets == ("lcc_released",)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1), "b": torch.zeros(2)}, path)
    with pytest.raises(
        CheckpointError, match=r"other\.safetensors: 2 arrays in it \(a, b, \.\.\.\) fit no encoder here"
    ):
        identify(path)
    with pytest.raises(CheckpointError, match="there is no such weights file"):
        identify(tmp_path / "none.pth")
