"""``fctl fit-head``, and what its head is used for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers_commands import Fctl
from PIL import Image

import fctl_napari as fctl_api
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.model.model_card import checkpoint_hash, read_card
from fctl_napari.segmentation.store.store import Segmentation


@pytest.fixture
def locations(tmp_path: Path, make_rgb: Callable[..., np.ndarray]) -> tuple[Path, Path]:
    """An image and strokes of two classes that no checkpoint knows, two regions of each."""
    Image.fromarray(make_rgb(200, 320, seed=2)).save(tmp_path / "picture.png")
    values = np.zeros((200, 320), np.uint8)
    values[10:30, 10:40], values[150:170, 250:300] = 1, 2
    values[10:30, 110:140], values[150:170, 150:180] = 1, 2
    classes = [{"name": n, "color": (k, 0, 9)} for k, n in enumerate(("reef", "sand", "wreck"))]
    labels = LabelPyramid.create(tmp_path / "picture.corrections.ome.zarr", values.shape, classes=classes)
    labels.write(0, 0, values)
    return tmp_path / "picture.png", labels.path


def test_a_head_is_learned_segments_and_explains(
    fctl: Fctl, locations: tuple[Path, Path], awake_checkpoint: Path, tmp_path: Path
) -> None:
    head = tmp_path / "head.safetensors"
    fast = ("--device", "cpu", "--precision", "fp32")
    call = ("fit-head", *locations, "--checkpoint", awake_checkpoint, "--out", head, *fast)
    code, out, err = fctl(*call, "--held-out", 0.5)
    assert code == 0, err
    assert "reef, sand, wreck" in out
    assert "2 held-out regions of picture.png" in out
    assert "Not painted, and never predicted: wreck." in err
    assert "accuracy that each context's own features are worth: medium" in out
    assert set(read_card(head).figures["context_importance"]) == {"medium", "large"}
    assert read_card(head).provenance["parent"]["hash"] == checkpoint_hash(awake_checkpoint)
    assert "exists already" in fctl(*call).sentence()
    result = tmp_path / "result.ome.zarr"
    code, _, err = fctl("segment", locations[0], "--checkpoint", head, "--out", result, *fast)
    assert code == 0, err
    store = Segmentation.open(result)
    assert store.class_table.names == ("reef", "sand", "wreck")
    values = store.labels.read((0, 0, 200, 320))
    assert set(np.unique(values)) <= {1, 2}
    strokes = LabelPyramid.open(locations[1]).read((0, 0, 200, 320))
    assert (values == strokes)[strokes > 0].mean() > 0.9
    shown = fctl_api.explain(fctl_api.open(locations[0]), (20, 20), head, device="cpu")
    assert set(shown.weights) == {"local", "medium", "large"}


def test_what_is_painted_where_there_is_no_data_is_said(
    fctl: Fctl, locations: tuple[Path, Path], awake_checkpoint: Path, tmp_path: Path
) -> None:
    pixels = np.asarray(Image.open(locations[0]))
    mask = np.full((200, 320, 1), 255, np.uint8)
    mask[:, 240:] = 0
    Image.fromarray(np.concatenate([pixels, mask], 2)).save(tmp_path / "masked.png")
    values = np.zeros((200, 320), np.uint8)
    values[10:30, 10:40], values[60:80, 10:40], values[150:170, 250:300] = 1, 2, 3
    classes = [{"name": n, "color": (k, 0, 9)} for k, n in enumerate(("reef", "sand", "wreck"))]
    labels = LabelPyramid.create(tmp_path / "masked.corrections.ome.zarr", values.shape, classes=classes)
    labels.write(0, 0, values)
    call = ("fit-head", tmp_path / "masked.png", labels.path, "--checkpoint", awake_checkpoint, "--device", "cpu")
    code, out, err = fctl(*call, "--out", tmp_path / "head.safetensors")
    assert code == 0, err
    assert "Painted only where the image holds no data, and never predicted: wreck." in err
    assert "Too few regions are held out to measure the head" in err
    assert "mIoU" not in out


def test_python_learns_the_same_head(
    fctl: Fctl, locations: tuple[Path, Path], awake_checkpoint: Path, tmp_path: Path
) -> None:
    call = ("fit-head", *locations, "--checkpoint", awake_checkpoint, "--out", tmp_path / "a.safetensors")
    assert fctl(*call, "--device", "cpu", "--precision", "fp32", "--no-contexts")[0] == 0
    settings = {"device": "cpu", "precision": "fp32", "contexts": False, "progress": False}
    (tmp_path / "b").mkdir()
    head = fctl_api.fit_head(
        locations[0], awake_checkpoint, tmp_path / "b" / "a.safetensors", corrections=locations[1], **settings
    )
    assert Path(head.path).read_bytes() == (tmp_path / "a.safetensors").read_bytes()


def test_strokes_of_one_class_are_too_few(
    fctl: Fctl, locations: tuple[Path, Path], awake_checkpoint: Path, tmp_path: Path
) -> None:
    labels = LabelPyramid.create(
        tmp_path / "one.ome.zarr", (200, 320), classes=[{"name": n, "color": (1, 1, 1)} for n in ("a", "b")]
    )
    labels.write(0, 0, np.full((20, 20), 2, np.uint8))
    call = (
        "fit-head",
        locations[0],
        labels.path,
        "--checkpoint",
        awake_checkpoint,
        "--out",
        tmp_path / "x.safetensors",
    )
    assert "paint a second one" in fctl(*call).sentence()
    assert "decoder" in fctl(*call, "--decoder", "tree").sentence()
