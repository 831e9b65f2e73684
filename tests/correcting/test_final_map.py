"""Prediction and corrections, read as one map: what numpy composes, wherever and at whatever level it is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from helpers_corrections import SHAPE, blank
from helpers_final_map import NAMES, TABLE, composed, make_both, paint, random_labels, window_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.correcting.final_map import FinalMap, find_final_map
from fctl_napari.correcting.provenance import PROVENANCE, Provenance
from fctl_napari.evaluation.evaluation import evaluate
from fctl_napari.exceptions import InputError, OtherImageError
from fctl_napari.exporting.export import export
from fctl_napari.imagery.formats.mask_tags import names_text
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.imagery.open import open_image
from fctl_napari.model.classes import ClassInfo, ClassTable
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.model_card import Card, read_card, resolve_checkpoint
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.segmentation.tiling.grid import TileGrid

Make = Callable[..., Segmentation]
LABELS = random_labels(SHAPE, 3)


@pytest.fixture
def store(make_segmentation: Make) -> Segmentation:
    return make_segmentation(LABELS, names=NAMES, image=blank())


@given(seed=st.integers(0, 2**16), data=st.data())
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_is_what_numpy_composes(store: Segmentation, seed: int, data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        with Corrections.create(Path(folder) / "c.ome.zarr", blank(), TABLE) as corrections:
            paint(corrections, seed, strokes=data.draw(st.integers(0, 4)))
        final = FinalMap(store, Corrections.open(Path(folder) / "c.ome.zarr"))
        expected, provenance = composed(LABELS, final.corrections.read((0, 0, *SHAPE)))
        assert final.labels.level_shapes == [(1060, 540), (530, 270)]
        for level in range(2):
            step = 2**level
            sides = [st.integers(-50, side // step + 50) for side in SHAPE]
            (y0, y1), (x0, x1) = (sorted(data.draw(st.tuples(side, side))) for side in sides)
            window = y0, x0, y1, x1
            for read, array in (
                (final.labels.read, expected),
                (Provenance(final).read, provenance),
                (Provenance(final).labels.read, provenance + 1),
                (final.confidence.read, np.where((LABELS > 0) & (provenance != 2) & (provenance != 3), 200, 0)),
            ):
                # a coarser level is composed of the coarser levels of both: it is the reduced level 0
                np.testing.assert_array_equal(read(window, level), window_of(array[::step, ::step], window))


def test_classes_of_the_segmentation_come_first(store: Segmentation, tmp_path: Path) -> None:
    with Corrections.create(tmp_path / "c.ome.zarr", blank(), TABLE):
        pass
    table = FinalMap(store, Corrections.open(tmp_path / "c.ome.zarr")).class_table
    assert table.names == ("red", "green", "blue", "kelp", "ice")
    assert [info.color for info in table][:4] == [(255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 80, 80)]


def test_no_two_classes_have_one_color(make_segmentation: Make, tmp_path: Path) -> None:
    store = make_segmentation(np.ones((60, 70), np.uint8), names=NAMES)
    others = [("a", (0, 255, 0)), ("blue", (255, 0, 0)), ("b", (0, 255, 0)), ("c", (40, 40, 40)), ("d", (1, 2, 3))]
    table = ClassTable(classes=tuple(ClassInfo(name=name, color=color) for name, color in others))
    with Corrections.create(tmp_path / "c.ome.zarr", blank((60, 70)), table):
        pass
    joined = FinalMap(store, Corrections.open(tmp_path / "c.ome.zarr")).class_table
    assert joined.names == ("red", "green", "blue", "a", "b", "c", "d")
    assert len(set(joined.colors)) == 7
    assert joined.colors[:3] == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    assert joined.colors[5:] == [(40, 40, 40), (1, 2, 3)]


@pytest.mark.parametrize("checkpoint", ["earth", "aerial"])
@pytest.mark.parametrize("extra", [(), (ClassInfo(name="kelp", color=(226, 169, 41)),)])
def test_classes_have_the_shown_colors_of_the_prediction(
    make_segmentation: Make, tmp_path: Path, checkpoint: str, extra: tuple[ClassInfo, ...]
) -> None:
    """Ignored classes of a checkpoint too are classes of the corrections that were made with it."""
    table = read_card(resolve_checkpoint(checkpoint)).classes
    store = make_segmentation(np.ones((60, 70), np.uint8), table=table)
    painted = ClassTable(classes=(*table.scored, *extra, *(info for info in table if info.ignored)))
    with Corrections.create(tmp_path / "c.ome.zarr", blank((60, 70)), painted):
        pass
    joined = FinalMap(store, Corrections.open(tmp_path / "c.ome.zarr")).class_table
    shown = {info.name: info.color for info in joined.displayed()}
    assert len(set(shown.values())) == len(shown)
    for info in table.displayed().scored:
        assert shown[info.name] == info.color


def test_corrections_of_another_image_are_refused(store: Segmentation, tmp_path: Path) -> None:
    for name, image in (("seen", blank(seed=1)), ("small", blank((200, 300)))):
        with Corrections.create(tmp_path / f"{name}.ome.zarr", image, TABLE):
            pass
        with pytest.raises(OtherImageError, match=f"{name}.*of another image.*than .*made.ome.zarr; give those of"):
            FinalMap(store, Corrections.open(tmp_path / f"{name}.ome.zarr"))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".ome.zarr"])
def test_what_is_exported_is_what_is_read(make_segmentation: Make, tmp_path: Path, suffix: str) -> None:
    labels = random_labels((300, 400), 5)
    final = FinalMap(*make_both(tmp_path, blank((300, 400)), labels, make_segmentation))
    expected, provenance = composed(labels, final.corrections.read((0, 0, 300, 400)))
    for source, values, names in (
        (final, expected - np.uint8(1), final.class_table.names),
        (Provenance(final), provenance, PROVENANCE.names),
    ):
        found = open_ground_truth(export(source, tmp_path / f"out{suffix}"))
        assert found.class_names == names
        np.testing.assert_array_equal(found.read((0, 0, 300, 400)), values)
    part = open_ground_truth(export(final, tmp_path / f"part{suffix}", region=(30, 50, 250, 333)))
    whole = np.full_like(expected, 255)
    whole[30:250, 50:333] = expected[30:250, 50:333] - np.uint8(1)
    np.testing.assert_array_equal(
        part.read((0, 0, *part.shape)), whole if suffix == ".ome.zarr" else whole[30:250, 50:333]
    )


def test_all_of_a_prediction_alone_is_predicted(store: Segmentation) -> None:
    np.testing.assert_array_equal(Provenance(store).read((0, 0, *SHAPE)), LABELS > 0)


def test_figures_of_it(make_segmentation: Make, tmp_path: Path) -> None:
    labels = random_labels((300, 400), 7)
    store, corrections = make_both(tmp_path, blank((300, 400)), labels, make_segmentation, seed=2)
    final = FinalMap(store, corrections)
    expected, provenance = composed(labels, corrections.read((0, 0, 300, 400)))
    names = PngInfo()
    names.add_text("Classes", names_text(final.class_table.names))
    there = np.random.default_rng(0).integers(0, 5, (300, 400)).astype(np.uint8)
    Image.fromarray(there).save(tmp_path / "truth.png", pnginfo=names)
    ground_truth = open_ground_truth(tmp_path / "truth.png")
    found = evaluate(final, ground_truth, boundary_px=3)
    confusion = np.zeros((5, 6), int)
    np.add.at(confusion, (there, expected), 1)
    np.testing.assert_array_equal(found.confusion, confusion[:, 1:])
    # the network's confidence says nothing of what a person painted
    by_network = (expected > 0) & (provenance != 2) & (provenance != 3)
    assert found.calibration.pixels[1:].sum() == by_network.sum()
    # corrections do not get into the figures of the segmentation itself
    Image.fromarray(there % 3).save(tmp_path / "three.png")
    three = open_ground_truth(tmp_path / "three.png")
    alone = np.zeros((3, 4), int)
    np.add.at(alone, (there % 3, labels), 1)
    np.testing.assert_array_equal(evaluate(store, three, boundary_px=None).confusion, alone[:, 1:])


def test_numbers_of_a_ground_truth_are_classes_of_the_network(tmp_path: Path) -> None:
    """Also where the number of an ignored class is that of a class that only the corrections have."""
    shape = 60, 70
    classes = [("red", False), ("green", False), ("cloud", True)]
    table = ClassTable(classes=tuple(ClassInfo(name=n, color=(k, 0, 0), ignored=i) for k, (n, i) in enumerate(classes)))
    config = FCtLConfig(encoder="efficientnet_lite0", tile_size=64, classes=2, contexts=(), ale="none")
    store = Segmentation.create(
        tmp_path / "s.ome.zarr",
        image=blank(shape),
        grid=TileGrid(shape, 256, 64),
        card=Card(name="m", config=config, classes=table),
        checkpoint_hash="0" * 64,
        settings={},
    )
    store.labels.write(0, 0, np.ones(shape, np.uint8))
    with Corrections.create(tmp_path / "c.ome.zarr", blank(shape), TABLE) as corrections:
        corrections.write(0, 0, np.full((10, 70), 2, np.uint8), author="ann")
    final = FinalMap(store, Corrections.open(tmp_path / "c.ome.zarr"))
    assert [info.name for info in final.class_table] == ["red", "green", "blue", "kelp", "ice", "cloud"]
    values = np.zeros(shape, np.uint8)
    values[5:30] = 2
    Image.fromarray(values).save(tmp_path / "truth.png")
    found = evaluate(final, open_ground_truth(tmp_path / "truth.png"))
    expected = np.zeros((5, 5), int)
    expected[0, 0], expected[0, 3] = 30 * 70, 5 * 70  # 25 rows are cloud
    np.testing.assert_array_equal(found.confusion, expected)
    Image.fromarray(values + np.uint8(1)).save(tmp_path / "truth.png")
    for source in (store, final):
        with pytest.raises(InputError, match="class index 3, but there are 3 classes"):
            evaluate(source, open_ground_truth(tmp_path / "truth.png"))


def test_corrections_are_found_beside_the_image(make_segmentation: Make, make_rgb: Callable, tmp_path: Path) -> None:
    folder, results = tmp_path / "images", tmp_path / "results"
    for each in (folder, results):
        each.mkdir()
    Image.fromarray(make_rgb(300, 400)).save(folder / "scene.png")
    image = open_image(folder / "scene.png")
    store = make_segmentation(random_labels((300, 400), 1), names=NAMES, path=results / "land.ome.zarr", image=image)
    assert find_final_map(store) is None
    usual = folder / "scene.corrections.ome.zarr"
    with Corrections.create(usual, image, TABLE) as corrections:
        assert find_final_map(store) is None  # nothing is painted
        paint(corrections, 0)
    found = find_final_map(store)
    assert found is not None
    assert found.corrections.path == usual
    (folder / "scene.png").unlink()  # the fingerprints are in both
    assert find_final_map(store) is not None
    folder.rename(tmp_path / "moved")
    assert find_final_map(store) is None
    (tmp_path / "moved" / usual.name).rename(results / usual.name)  # beside the result, as its image may lie
    assert find_final_map(store) is not None


def test_what_is_no_corrections_is_refused(store: Segmentation) -> None:
    with pytest.raises(InputError, match="holds no corrections"):
        FinalMap(store, Corrections.open(store.path))
