"""The public functions on real files with the real worker; each agrees with the command or the parts it stands on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers_commands import Fctl
from PIL import Image

import fctl_napari as fctl
from fctl_napari.api.lazy_array import MOST_PX, require_small
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.exceptions import CheckpointError, InputError
from fctl_napari.segmentation.store.store import Segmentation


def test_an_image_says_what_it_is(scene: Path, pixels: np.ndarray) -> None:
    image = fctl.open(scene)
    assert isinstance(image, fctl.Image)
    assert image.shape == pixels.shape[:2]
    assert np.array_equal(image.read(), pixels)
    assert np.array_equal(np.asarray(image), pixels)
    assert np.array_equal(image.read((10, 20, 40, 90)), pixels[10:40, 20:90])
    assert image.read(side=80).shape == (32, 80, 3)
    assert "320 x 128 px" in repr(image)
    assert "data:image/png;base64," in image._repr_html_()


def test_a_map_is_kept_beside_the_image_where_the_window_looks_for_it(segmented: fctl.Map, scene: Path) -> None:
    assert segmented.path == scene.with_name("scene.awake.fctl.ome.zarr")
    assert segmented.done == 1
    store = Segmentation.open(segmented.path)
    stored = store.labels.read((0, 0, *segmented.shape))
    assert np.array_equal(np.asarray(segmented), stored.astype(int) - 1)
    assert np.asarray(segmented).dtype == np.uint8
    assert np.allclose(segmented.confidence(), store.confidence.read((0, 0, *segmented.shape)) / 255)
    assert segmented.read((-2, 0, 3, 4))[0].tolist() == [255] * 4  # outside the image
    assert "red" in segmented._repr_html_()
    again = fctl.open(segmented.path)
    assert isinstance(again, fctl.Map)
    assert repr(again) == repr(segmented)


def test_a_region_is_the_whole_image_s(scene: Path, network: Path, segmented: fctl.Map, tmp_path: Path) -> None:
    window = (0, 100, 128, 220)
    part = fctl.segment(scene, network, tmp_path / "part.ome.zarr", region=window, device="cpu", progress=False)
    assert part.done < 1
    assert np.array_equal(part.read(window), segmented.read(window))


def test_the_network_of_a_map_is_found_where_it_lay(
    scene: Path, awake_checkpoint: Path, truth: Path, tmp_path: Path, command: Fctl
) -> None:
    (tmp_path / "networks").mkdir()
    own = Path(shutil.copy(awake_checkpoint, tmp_path / "networks" / "own.safetensors"))
    image = shutil.copytree(scene, tmp_path / "scene.ome.zarr")  # no network lies beside it
    window = (0, 0, 64, 64)
    land = fctl.segment(image, own, tmp_path / "land.ome.zarr", region=window, device="cpu", progress=False)
    assert land.network().path == own
    done = command("evaluate", land.path, truth, "--json", tmp_path / "figures.json")
    assert "not at hand" not in done.err
    assert json.loads((tmp_path / "figures.json").read_text())["context_reliance"] is not None
    moved = own.rename(tmp_path / "networks" / "moved.safetensors")
    with pytest.raises(CheckpointError, match="not at hand"):
        land.network()
    again = fctl.segment(image, moved, land.path, region=window, device="cpu", progress=False)
    assert again.network().path == moved
    shutil.copy(fctl.load_checkpoint("earth").path, moved)  # another one there now
    with pytest.raises(CheckpointError, match="not at hand"):
        again.network()


@pytest.mark.parametrize("kind", ["numpy", "dask"])
def test_arrays_are_segmented_as_files_are(
    kind: str, pixels: np.ndarray, network: Path, segmented: fctl.Map, tmp_path: Path
) -> None:
    import dask.array

    array = pixels if kind == "numpy" else dask.array.from_array(pixels, chunks=(64, 64, 3))
    found = fctl.segment(array, network, tmp_path / "array.ome.zarr", device="cpu", progress=False)
    assert np.array_equal(np.asarray(found), np.asarray(segmented))
    assert found.image is not None
    with pytest.raises(InputError, match="name one with out"):
        fctl.segment(array, network, progress=False)


def test_figures_are_those_of_the_command(segmented: fctl.Map, truth: Path, tmp_path: Path, command: Fctl) -> None:
    figures = fctl.evaluate(segmented, truth, progress=False)
    command("evaluate", segmented.path, truth, "--json", tmp_path / "figures.json")
    told = json.loads((tmp_path / "figures.json").read_text())
    assert figures.miou == pytest.approx(told["miou"])
    assert figures.accuracy == pytest.approx(told["accuracy"])
    assert figures.evaluation.scores.pixels == 128 * 300
    assert f"{figures.miou:.4f}" in figures._repr_html_()
    assert figures.figure() is not None


def test_errors_are_those_of_the_command(segmented: fctl.Map, truth: Path, tmp_path: Path, command: Fctl) -> None:
    found = fctl.errors(segmented, truth, progress=False)
    command("errors", segmented.path, truth, "--json", tmp_path / "errors.json", "--most", "1000")
    told = json.loads((tmp_path / "errors.json").read_text())
    assert [list(one.window) for one in found.regions] == [one["window"] for one in told["regions"]]
    assert len(found) == len(told["regions"])
    assert found[0].pixels == told["regions"][0]["pixels"]
    assert "regions of errors" in found._repr_html_()
    assert "doubts" in repr(fctl.errors(segmented, progress=False))


def test_a_pixel_is_explained_from_the_map(segmented: fctl.Map, scene: Path, network: Path) -> None:
    explained = fctl.explain(segmented, (60.0, 200.0), device="cpu")
    assert sum(explained.probabilities.values()) == pytest.approx(1, abs=1e-3)
    best = max(explained.probabilities, key=lambda name: explained.probabilities[name])
    assert segmented.classes.names[int(segmented.read((60, 200, 61, 201))[0, 0])] == best
    same = fctl.explain(scene, (60.0, 200.0), network, device="cpu")
    assert same.probabilities == explained.probabilities
    assert set(explained.weights) == {"local", "medium", "large"}
    assert explained._repr_png_().startswith(b"\x89PNG")
    one, listed = (fctl.explain(segmented, (60.0, 200.0), without=named, device="cpu") for named in ("gpe", ["gpe"]))
    assert repr(one) == repr(listed)


def test_corrections_are_part_of_the_map_and_of_the_window_s_file(
    segmented: fctl.Map, scene: Path, tmp_path: Path
) -> None:
    before = segmented.read()
    with fctl.corrections(segmented) as painted:
        assert painted.path == scene.with_name("scene.corrections.ome.zarr")
        painted.write(10, 20, np.full((30, 40), 3, np.uint8), author="ann")
    after = fctl.open(segmented.path)
    assert isinstance(after, fctl.Map)
    assert after.corrected
    assert (after.read((10, 20, 40, 60)) == 2).all()
    assert np.array_equal(after.prediction.read(), before)
    assert isinstance(fctl.open(painted.path), Corrections)
    with fctl.corrections(scene, write=False) as read, pytest.raises(InputError, match="not open for writing"):
        read.write(0, 0, np.ones((2, 2), np.uint8), author="ann")
    with fctl.corrections(scene) as painted:
        painted.undo()
    assert np.array_equal(np.asarray(fctl.open(segmented.path)), before)


def test_corrections_with_classes_of_one_s_own_keep_them(segmented: fctl.Map, scene: Path, tmp_path: Path) -> None:
    table = tmp_path / "own.csv"
    table.write_text("name,color\nreef,#0058ff\nsand,#ff2200\n")
    path = tmp_path / "c.ome.zarr"
    with fctl.corrections(scene, path, classes=table) as painted:
        assert (painted.own_classes, painted.class_table.names) == (True, ("reef", "sand"))
    with fctl.corrections(segmented, path) as painted:
        assert painted.class_table.names == ("reef", "sand"), "the map's take no part"
        painted.write(10, 20, np.full((30, 40), 2, np.uint8), author="ann")
    with fctl.corrections(segmented, path, classes="inria") as painted:
        assert painted.class_table.names == ("reef", "sand", "background", "building")
        assert painted.area_by_class()["sand"] == 1200


@pytest.mark.parametrize("write", [False, True])
def test_corrections_follow_an_image_that_is_renamed(
    pixels: np.ndarray, segmented: fctl.Map, tmp_path: Path, write: bool
) -> None:
    first = tmp_path / "a.png"
    Image.fromarray(pixels).save(first)
    with fctl.corrections(first, classes=segmented) as painted:
        painted.write(10, 20, np.full((30, 40), 3, np.uint8), author="ann")
    renamed = first.rename(tmp_path / "b.png")
    for _ in range(2):
        with fctl.corrections(renamed, classes=segmented, write=write) as found:
            assert found.path == tmp_path / "a.corrections.ome.zarr"
            assert found.area_by_class()[segmented.classes.names[2]] == 1200
    land = fctl.segment(renamed, segmented.network(), tmp_path / "land.ome.zarr", device="cpu", progress=False)
    assert land.corrected
    assert (land.read((10, 20, 40, 60)) == 2).all()
    assert [path.name for path in tmp_path.glob("*.corrections.ome.zarr")] == ["a.corrections.ome.zarr"]


def test_exports_are_those_of_the_command(segmented: fctl.Map, tmp_path: Path, command: Fctl) -> None:
    ours = fctl.export(segmented, tmp_path / "ours.png", progress=False)
    command("export", segmented.path, tmp_path / "theirs.png")
    assert ours.read_bytes() == (tmp_path / "theirs.png").read_bytes()


def test_exports_of_corrections_are_those_of_the_command(segmented: fctl.Map, tmp_path: Path, command: Fctl) -> None:
    with fctl.corrections(segmented, tmp_path / "c.ome.zarr") as painted:
        painted.write(10, 20, np.full((30, 40), 3, np.uint8), author="ann")
        painted.write(60, 20, np.full((30, 40), 255, np.uint8), author="ann")  # not sure
    command("corrections", "export", painted.path, tmp_path / "theirs.png")
    for name, source in (("path.png", painted.path), ("open.png", fctl.open(painted.path))):
        ours = fctl.export(source, tmp_path / name, progress=False)  # type: ignore[arg-type]
        assert ours.read_bytes() == (tmp_path / "theirs.png").read_bytes()
    assert (np.asarray(Image.open(tmp_path / "theirs.png")) != 255).sum() == 30 * 40
    with pytest.raises(InputError, match="provenance is of a map"):
        fctl.export(painted.path, tmp_path / "who.tif", kind="provenance")


def test_a_network_learns_from_corrections_and_waits_for_a_decision(scene: Path, network: Path, tmp_path: Path) -> None:
    table = fctl.load_checkpoint(network).classes
    with fctl.corrections(scene, tmp_path / "c.ome.zarr", classes=table) as painted:
        for k in range(8):
            painted.write(8 + k // 4 * 56, 20 + k % 4 * 70, np.full((24, 24), k % 3 + 1, np.uint8), author="ann")
    counts: list[tuple[int, int]] = []
    candidate = fctl.finetune(
        scene,
        network,
        tmp_path / "new.safetensors",
        corrections=tmp_path / "c.ome.zarr",
        steps=2,
        device="cpu",
        progress=lambda done, total: counts.append((done, total)),
    )
    assert counts
    assert not candidate.out.exists()
    assert ("advises to keep" in candidate._repr_html_()) == candidate.better
    if not candidate.better:
        with pytest.raises(CheckpointError, match="no better"):
            candidate.keep()
    kept = candidate.keep(anyway=True)
    assert kept.path == tmp_path / "new.safetensors"
    assert kept.classes.names == table.names
    assert kept.card.provenance["parent"]["hash"] == fctl.load_checkpoint(network).hash


def test_large_maps_are_no_arrays() -> None:
    require_small("x", (1 << 14, 1 << 14))
    with pytest.raises(InputError, match=r"to_xarray\(\)"):
        require_small("x", (1 << 14, MOST_PX >> 13))


def test_what_is_wrong_is_one_sentence(tmp_path: Path, scene: Path, segmented: fctl.Map) -> None:
    for call in (
        lambda: fctl.open(tmp_path / "none.tif"),
        lambda: fctl.segment(tmp_path / "none.tif", progress=False),
        lambda: fctl.segment(segmented.path, progress=False),
        lambda: fctl.evaluate(scene, scene, progress=False),
        lambda: fctl.explain(scene, (1e6, 0.0)),
        lambda: fctl.load_checkpoint("nothing"),
        lambda: fctl.open(np.zeros((2, 3, 4, 5))),
        lambda: fctl.corrections(scene.with_name("nowhere.png")),
    ):
        with pytest.raises((InputError, CheckpointError)) as caught:
            call()
        assert str(caught.value).endswith(".")


def test_what_is_painted_later_is_part_of_a_map_that_is_open(scene: Path, network: Path, tmp_path: Path) -> None:
    own = shutil.copytree(scene, tmp_path / "scene.ome.zarr")
    land = fctl.segment(own, shutil.copy(network, tmp_path), region=(0, 0, 32, 32), device="cpu", progress=False)
    before = int(land.read((5, 5, 6, 6))[0, 0])
    other = (before + 1) % len(land.classes)
    assert not land.corrected
    with fctl.corrections(land) as painted:
        painted.write(0, 0, np.full((20, 20), other + 1, np.uint8), author="ann")
        assert land.read((5, 5, 6, 6))[0, 0] == other
        painted.undo("ann")
        assert land.read((5, 5, 6, 6))[0, 0] == before
        painted.redo("ann")
    assert land.corrected
    assert any("400 corrected px" in note for note in land.notes)
    written = fctl.export(land, tmp_path / "land.png", progress=False)
    assert np.asarray(Image.open(written))[5, 5] == other
    assert land.prediction.read((5, 5, 6, 6))[0, 0] == before
