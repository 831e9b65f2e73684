"""Made scenes whose labels are decided far away: what decides, how far away, and that nothing nearer tells."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import maximum_filter, uniform_filter
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import balanced_accuracy_score

from fctl_napari.datasets.check import check_data_set
from fctl_napari.datasets.far_labels.data_set import make_far_labels
from fctl_napari.datasets.far_labels.record import FarLabels, nearest_locations, read_far_labels
from fctl_napari.datasets.far_labels.scenes import BLUE, CLASSES, RED, FarScene, draw_scene
from fctl_napari.datasets.layouts import find_data_set
from fctl_napari.exceptions import Cancelled, ConfigError, InputError, OutputError

TILE = 32
KINDS = list(CLASSES)
SCENES = st.builds(
    draw_scene,
    st.sampled_from(KINDS),
    st.sampled_from([0.5, 1.0, 1.7, 2.5, 4.0]),
    st.just(TILE),
    st.integers(0, 2**31),
    st.integers(0, 99),
)


def blind(scene: FarScene) -> NDArray[np.bool_]:
    record = FarLabels(
        kind="markers", distance=1, tile=TILE, seed=0, radius=scene.radius, scenes={"a": scene.decisions}
    )
    return record.blind("a", scene.mask)


@settings(max_examples=40, deadline=None)
@given(kind=st.sampled_from(KINDS), distance=st.floats(0.5, 5), seed=st.integers(0, 2**31))
def test_labels_are_decided_at_the_stated_distance(kind: str, distance: float, seed: int) -> None:
    scene = draw_scene(kind, distance, TILE, seed, 0)  # type: ignore[arg-type]
    found = nearest_locations(scene.decisions, scene.mask.shape)[0][scene.mask != 255] / TILE
    assert 0.85 * distance - 0.1 <= found.max() <= 1.05 * distance + 1e-6
    assert set(np.unique(scene.mask)) == {0, 1, 255} or set(np.unique(scene.mask)) == {0, 1}
    shares = np.bincount(scene.mask[scene.mask != 255]) / np.count_nonzero(scene.mask != 255)
    assert shares.min() > 0.35  # neither class is the answer of who knows nothing


@settings(max_examples=20, deadline=None)
@given(scene=SCENES)
def test_no_tile_around_a_blind_pixel_holds_a_location_that_decides_it(scene: FarScene) -> None:
    found, (height, width) = blind(scene), scene.mask.shape
    assert not (found & (scene.mask == 255)).any()
    for decision in scene.decisions:
        held = np.zeros((height, width), bool)
        for y, x in decision.locations:
            held[min(int(y), height - 1), min(int(x), width - 1)] = True
        y0, x0, y1, x1 = decision.box
        around = maximum_filter(held, 2 * TILE - 1, mode="constant")  # the union of all tiles that hold the px
        assert not (found & around)[y0:y1, x0:x1].any()


@settings(max_examples=10, deadline=None)
@given(distance=st.floats(2, 5), seed=st.integers(0, 2**31))
def test_no_tile_around_a_blind_pixel_shows_any_of_a_marker(distance: float, seed: int) -> None:
    scene = draw_scene("markers", distance, TILE, seed, 0)
    marker = np.min([np.abs(scene.image.astype(int) - color).sum(-1) for color in (RED, BLUE)], 0) < 110
    assert marker.any()
    assert blind(scene).any()
    assert not (blind(scene) & maximum_filter(marker, 2 * TILE - 1, mode="constant")).any()


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_tile_shows_around_a_blind_pixel_does_not_tell_its_class(kind: str) -> None:
    rng = np.random.default_rng(0)
    parts: list[tuple[NDArray[np.float64], NDArray[np.uint8]]] = []
    for number in range(24):
        scene = draw_scene(kind, 3.0, TILE, 5, number)  # type: ignore[arg-type]
        gray = scene.image.astype(float)
        maps = [gray, *(uniform_filter(gray, (w, w, 0)) for w in (3, 9, 17, TILE - 1))]
        maps += [uniform_filter(gray**2, (w, w, 0)) - uniform_filter(gray, (w, w, 0)) ** 2 for w in (9, TILE - 1)]
        half = TILE // 2
        inner = blind(scene)
        inner[:half], inner[-half:], inner[:, :half], inner[:, -half:] = False, False, False, False
        for k in (0, 1):
            chosen = rng.choice(np.flatnonzero(inner & (scene.mask == k)), 60)
            parts.append((np.concatenate(maps, -1).reshape(inner.size, -1)[chosen], np.full(60, k, np.uint8)))
    half = len(parts) // 2
    seen, labels = (np.concatenate([part[i] for part in parts[:half]]) for i in (0, 1))
    unseen, wanted = (np.concatenate([part[i] for part in parts[half:]]) for i in (0, 1))
    trees = HistGradientBoostingClassifier(max_iter=40).fit(seen, labels)
    assert balanced_accuracy_score(wanted, trees.predict(unseen)) < 0.6


@settings(max_examples=15, deadline=None)
@given(distance=st.floats(0.5, 4), seed=st.integers(0, 2**31))
def test_the_record_of_markers_agrees_with_the_mask(distance: float, seed: int) -> None:
    scene = draw_scene("markers", distance, TILE, seed, 0)
    location = nearest_locations(scene.decisions, scene.mask.shape)[1]
    y, x = np.moveaxis(location, -1, 0).astype(int)
    red = np.abs(scene.image.astype(int) - RED).sum(-1) < 150
    labeled = scene.mask != 255
    assert (red[y, x] == (scene.mask == 0))[labeled].all()


@settings(max_examples=15, deadline=None)
@given(distance=st.floats(1, 4), seed=st.integers(0, 2**31))
def test_the_record_of_waters_agrees_with_the_mask(distance: float, seed: int) -> None:
    scene = draw_scene("waters", distance, TILE, seed, 0)
    height, width = scene.mask.shape
    for decision in scene.decisions:
        y0, x0, y1, x1 = decision.box
        labels = scene.mask[y0:y1, x0:x1]
        (k,) = set(np.unique(labels)) - {255}
        ends = [min(y, height - y, x, width - x) for y, x in decision.locations]
        assert all(end <= 0 for end in ends) if CLASSES["waters"][k][0] == "river" else all(end > 0 for end in ends)


@settings(max_examples=15, deadline=None)
@given(distance=st.floats(1, 4), seed=st.integers(0, 2**31))
def test_the_record_of_sizes_and_outlines_agrees_with_the_image(distance: float, seed: int) -> None:
    sizes = draw_scene("sizes", distance, TILE, seed, 0)
    roof = sizes.image.astype(int)[..., 1] < sizes.image.astype(int)[..., 2]  # the ground is yellow
    for decision in sizes.decisions:
        y0, x0, _, _ = decision.box
        small = sizes.mask[y0, x0] == 0
        for y, x in decision.locations:
            around = roof[int(y) - 3 : int(y) + 3, int(x) - 3 : int(x) + 3].mean()
            assert (around < 0.75) == small  # there its far edge is, or is not
    outlines = draw_scene("outlines", distance, TILE, seed, 0)
    for y, x in outlines.decisions[0].locations:
        assert outlines.mask[int(y), int(x)] == 255


def test_a_data_set_is_read_as_pairs_and_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    counts: list[tuple[int, int]] = []
    first = make_far_labels(
        tmp_path / "a", "waters", distance=1, tile=TILE, scenes=9, progress=lambda *at: counts.append(at)
    )
    assert counts == [(n, 9) for n in range(10)]
    data = find_data_set(first, layout="pairs")
    assert [len(data.split.part(part)) for part in ("train", "val", "test")] == [6, 1, 2]  # type: ignore[arg-type]
    report = check_data_set(data)
    assert not report.problems
    assert report.sound == 6
    assert data.table.names == ("river", "lake")
    record = read_far_labels(first)
    assert (record.kind, record.distance, record.tile, record.seed) == ("waters", 1, TILE, 0)
    assert list(record.scenes) == [pair.short for pair in data.pairs]
    again = make_far_labels(tmp_path / "b", "waters", distance=1, tile=TILE, scenes=9)
    other = make_far_labels(tmp_path / "c", "waters", distance=1, tile=TILE, scenes=9, seed=1)
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert all((first / path).read_bytes() == (again / path).read_bytes() for path in files)
    for path in sorted((first / "images").iterdir()):
        assert (np.asarray(Image.open(path)) != np.asarray(Image.open(other / "images" / path.name))).any()


def test_a_folder_is_whole_or_is_not_there(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        make_far_labels(tmp_path / "data", "sizes", distance=1, tile=TILE, scenes=4, progress=stop)
    assert not list(tmp_path.iterdir())
    (tmp_path / "data").mkdir()
    make_far_labels(tmp_path / "data", "sizes", distance=1, tile=TILE, scenes=3)
    with pytest.raises(OutputError, match="is not an empty folder; choose a new one"):
        make_far_labels(tmp_path / "data", "sizes", distance=1, tile=TILE, scenes=3)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_what_does_not_do_is_said(tmp_path: Path) -> None:
    for fields, words in (
        ({"kind": "stars"}, "no kind 'stars'"),
        ({"distance": 0.1}, "distance is 0.1; choose a number from 0.5 to 16"),
        ({"distance": float("nan")}, "distance is nan"),
        ({"tile": 8}, "tile is 8"),
        ({"scenes": 2}, "scenes is 2; choose a number from 3"),
        ({"distance": 9, "tile": 128}, "9 tiles of 128 px, 1152 px; choose 1024 px or less in all"),
    ):
        with pytest.raises(ConfigError, match=words):
            make_far_labels(tmp_path / "data", **({"kind": "sizes"} | fields))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"far_labels\.json: is not the record"):
        read_far_labels(tmp_path)
    (tmp_path / "far_labels.json").write_text(json.dumps({"kind": "stars"}))
    with pytest.raises(InputError, match=r"far_labels\.json: is not the record"):
        read_far_labels(tmp_path)
