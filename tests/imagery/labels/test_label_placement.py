"""Labels of an OME-Zarr are read in its px, where they lie by their metadata, or refused; never stretched."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_commands import Fctl
from helpers_ngff import write_image, write_labels
from hypothesis import given, settings
from hypothesis import strategies as st

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.labels.color_key import NO_CLASS
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.imagery.labels.label_placement import LabelPlacement, over_image
from fctl_napari.imagery.open import open_image

SIDE = 64
Y, X = np.mgrid[:SIDE, :SIDE]
DISC = (np.hypot(Y - 34, X - 26) < 14).astype(np.int32)
PX = 0.5


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    rgb = np.where(DISC, 230, 60)[None].repeat(3, 0).astype(np.uint8)
    write_image(tmp_path / "scene.ome.zarr", rgb, size=PX, unit="micrometer", shapes=2)
    return tmp_path / "scene.ome.zarr"


def classes(path: Path) -> np.ndarray:
    return open_ground_truth(path).read((0, 0, SIDE, SIDE))


def expected(values: np.ndarray) -> np.ndarray:
    return np.where(values == 0, NO_CLASS, values - 1).astype(np.uint8)


WHERE: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    "same": (DISC, {"size": PX}),
    "half": (DISC[::2, ::2], {"size": 2 * PX}),
    "quarter in nanometers": (DISC[::4, ::4], {"size": 4000 * PX, "unit": "nanometer"}),
    "double": (DISC.repeat(2, 0).repeat(2, 1), {"size": PX / 2}),
    "half, nothing stated": (DISC[::2, ::2], {"size": None, "unit": None}),
    "half, 1 stated": (DISC[::2, ::2], {"size": 1.0, "unit": None}),
    "crop": (DISC[20:50, 10:60], {"size": PX, "translation": (20 * PX, 10 * PX)}),
    "crop of a half": (DISC[20:50:2, 10:60:2], {"size": 2 * PX, "translation": (20 * PX, 10 * PX)}),
    "crop of a mean": (DISC[20:50:2, 10:60:2], {"size": 2 * PX, "translation": (20.5 * PX, 10.5 * PX)}),
    "beyond": (np.pad(DISC, 9), {"size": PX, "translation": (-9 * PX, -9 * PX)}),
    "planes": (DISC[None, None, 20:50, 10:60], {"size": PX, "translation": (20 * PX, 10 * PX), "axes": "tzyx"}),
}


@pytest.mark.parametrize("name", WHERE)
def test_they_lie_where_they_belong(scene: Path, name: str) -> None:
    values, options = WHERE[name]
    step = {"h": 2, "q": 4}.get(name[0], 2 if name in ("crop of a half", "crop of a mean") else 1)
    nearest = np.minimum(np.ceil(np.arange(SIDE) / step - 0.5).astype(int), SIDE // step)
    whole = np.pad(DISC[::step, ::step], (0, 1))[np.ix_(nearest, nearest)]
    if "crop" in name or name == "planes":
        inside = np.zeros_like(whole)
        inside[20:50, 10:60] = whole[20:50, 10:60]
        whole = inside
    path = write_labels(scene, "disc", values, **{"unit": "micrometer", **options})
    np.testing.assert_array_equal(classes(path), expected(whole))
    np.testing.assert_array_equal(classes(scene), expected(whole))  # its only label


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        (DISC, {"size": PX, "translation": (10.2 * PX, 0)}, "lie between those of its image"),
        (DISC[:40, :40], {"size": 1.6 * PX}, "lie between those of its image"),
        (DISC[:20, :50], {"size": None}, "lie between those of its image"),
        (DISC[:20, :20], {"size": PX, "translation": (200 * PX, 0)}, "lies beside its image"),
        (DISC[:20, :20], {"size": PX, "unit": "parsec"}, "measured in parsec"),
    ],
)
def test_what_does_not_lie_on_the_grid_is_refused(
    scene: Path, values: np.ndarray, options: dict[str, Any], words: str
) -> None:
    path = write_labels(scene, "disc", values, **{"unit": "micrometer", **options})
    with pytest.raises(InputError, match=words) as raised:
        open_ground_truth(scene)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


def test_labels_without_the_translation_of_their_image_are_its_px(tmp_path: Path) -> None:
    """So exports of earlier versions were written."""
    scene = tmp_path / "s.ome.zarr"
    write_image(scene, DISC[None].astype(np.uint8), size=PX, translation=(1000, 2000), unit="micrometer")
    path = write_labels(scene, "disc", DISC, size=PX, unit="micrometer")
    np.testing.assert_array_equal(classes(path), expected(DISC))


@pytest.mark.parametrize("name", ["half", "crop"])
def test_commands_compare_them_where_they_lie(
    scene: Path, tmp_path: Path, name: str, make_segmentation: Callable[..., Any], fctl: Fctl
) -> None:
    store = make_segmentation((2 - DISC).astype(np.uint8), image=open_image(scene)).path
    values, options = WHERE[name]
    path = write_labels(scene, name, 2 - values, unit="micrometer", **options)
    for truth in (path, scene):
        assert fctl("evaluate", store, truth, "--json", tmp_path / "e.json").code == 0
        accuracy = json.loads((tmp_path / "e.json").read_text())["accuracy"]
        assert accuracy > (0.97 if name == "half" else 0.9999)
        assert fctl("errors", store, truth, "--json", tmp_path / "r.json").code == 0
        wrong = json.loads((tmp_path / "r.json").read_text())["pixels"]
        assert wrong < 0.03 * SIDE**2 if name == "half" else wrong == 0
        assert fctl("compare", store, store, truth).code == 0
    write_labels(scene, "aside", 2 - DISC, size=PX, unit="micrometer", translation=(0.1, 0))
    for command in ("evaluate", "errors"):
        assert "lie between those of its image" in fctl(command, store, scene / "labels" / "aside").sentence()


def test_no_class_is_beside_labels_whose_0_is_a_class(scene: Path) -> None:
    properties = [{"label-value": 0, "name": "land"}, {"label-value": 1, "name": "disc"}]
    path = write_labels(
        scene,
        "d",
        DISC[20:50, 10:60],
        size=PX,
        translation=(20 * PX, 10 * PX),
        **{"image-label": {"properties": properties}},
    )
    found = classes(path)
    np.testing.assert_array_equal(found[20:50, 10:60], DISC[20:50, 10:60])
    assert (found[:20] == NO_CLASS).all()


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([1, 2, 3, 4, 1 / 2, 1 / 3]), st.integers(-20, 20), st.booleans())
def test_each_px_has_the_nearest_label(step: float, start: int, from_corners: bool) -> None:
    begin = start + (step - 1) / 2 if from_corners else float(start)
    values = np.arange(1, 21, dtype=np.int32)
    placement = LabelPlacement((step, step), (begin, begin), (20, 20), (40, 40))
    try:
        found = over_image(np.outer(values, values), "yx", placement, "labels", fill=0)[:, :]
    except InputError:
        found = np.zeros((40, 40), np.int32)
    for px in range(40):
        distance = np.abs(begin + step * np.arange(20) - px)
        near = distance.min() < step / 2 - 1e-9
        value = values[int(np.argmin(distance.round(9)))]
        if near:
            assert found[px, px] == value**2
        elif distance.min() > step / 2 + 1e-9:
            assert found[px, px] == 0
