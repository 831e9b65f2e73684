"""Places named after an image: found again by its pixels, never another image's."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from platformdirs import user_cache_path

from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.naming import corrections_path
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.segmentation.store.identity import image_facts
from fctl_napari.segmentation.store.result_paths import (
    is_another_file,
    named_path,
    own_corrections,
    own_path,
    result_in,
    usual_corrections,
)
from fctl_napari.segmentation.store.store import ATTRIBUTE, Segmentation
from fctl_napari.segmentation.store.stored_image import stored_image

LABELS = np.ones((60, 80), np.uint8)

Make = Callable[..., Segmentation]


@pytest.fixture
def images(tmp_path: Path, make_rgb: Callable[..., np.ndarray]) -> list[Pyramid]:
    """Two files of one size."""
    for seed in (0, 1):
        Image.fromarray(make_rgb(60, 80, seed=seed)).save(tmp_path / f"{seed}.png")
    return [open_image(tmp_path / f"{seed}.png") for seed in (0, 1)]


def test_the_usual_place_is_taken_unless_it_is_anothers(
    images: list[Pyramid], make_segmentation: Make, tmp_path: Path
) -> None:
    usual = tmp_path / "x.tiny.fctl.ome.zarr"
    assert own_path(usual, images[0]) == usual
    make_segmentation(LABELS, path=usual, image=images[0])
    assert own_path(usual, images[0]) == usual
    other = own_path(usual, images[1])
    assert other != usual
    assert other.name.startswith("x.tiny.")
    assert other.name.endswith(".fctl.ome.zarr")
    assert other == own_path(usual, images[1])


def test_maps_lie_beside_the_result_they_go_with(images: list[Pyramid], tmp_path: Path) -> None:
    from fctl_napari.api.locations import maps_beside

    result = named_path(tmp_path / "x.tiny.fctl.ome.zarr", images[0])
    assert maps_beside(result) == named_path(tmp_path / "x.tiny.maps.fctl.ome.zarr", images[0])


def test_corrections_are_found_where_they_lie(images: list[Pyramid], make_segmentation: Make, tmp_path: Path) -> None:
    usual = tmp_path / "x.corrections.ome.zarr"
    assert own_corrections(usual, images[1]) == usual
    make_segmentation(LABELS, path=usual, image=images[0])  # stands for corrections: both say of which image they are
    assert own_corrections(usual, images[0]) == usual
    named = named_path(usual, images[1])
    assert own_corrections(usual, images[1]) == named  # the other file is there still
    Path(str(images[0].path)).unlink()
    assert own_corrections(usual, images[1]) == usual  # whose they are now, people have to say
    make_segmentation(LABELS, path=named, image=images[1])
    assert own_corrections(usual, images[1]) == named
    usual.rename(tmp_path / "elsewhere.ome.zarr")
    assert own_corrections(usual, images[1]) == named


def test_corrections_follow_a_file_that_is_renamed(
    images: list[Pyramid], make_segmentation: Make, tmp_path: Path
) -> None:
    """By its pixels; those of a copy, which is there beside its original, are its own."""
    left = tmp_path / "0.corrections.ome.zarr"
    store = make_segmentation(LABELS, path=left, image=images[0])  # stands for corrections
    copy = open_image(shutil.copy(tmp_path / "0.png", tmp_path / "copy.png"))
    usual = corrections_path(str(copy.path))
    assert own_corrections(usual, copy) == usual
    renamed = open_image((tmp_path / "0.png").rename(tmp_path / "renamed.png"))
    usual = corrections_path(str(renamed.path))
    assert usual != left
    for _ in range(2):
        assert own_corrections(usual, renamed) == left
        assert usual_corrections(image_facts(renamed), tmp_path / "land.ome.zarr") == [left]
        # from now on they say so themselves, and are that file's
        store.labels.set_attributes({ATTRIBUTE: {**store.facts, "image": image_facts(renamed)}})
    assert own_corrections(corrections_path(str(copy.path)), copy) == corrections_path(str(copy.path))
    other = corrections_path(str(images[1].path))
    assert own_corrections(other, images[1]) == other
    make_segmentation(LABELS, path=usual, image=renamed)
    assert own_corrections(usual, renamed) == usual


def test_corrections_that_are_being_removed_are_nobodys(
    images: list[Pyramid], make_segmentation: Make, tmp_path: Path
) -> None:
    make_segmentation(LABELS, path=tmp_path / ".0.corrections.ome.zarr", image=images[0])
    renamed = open_image((tmp_path / "0.png").rename(tmp_path / "renamed.png"))
    usual = corrections_path(str(renamed.path))
    assert own_corrections(usual, renamed) == usual


@pytest.mark.parametrize("kind", ["beside", "of the pyramid's file", "beside the store", "in the cache"])
def test_corrections_at_the_usual_paths_of_a_store(
    images: list[Pyramid], make_segmentation: Make, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cache = user_cache_path("fctl-napari")
    image = {**image_facts(images[0]), "path": str(tmp_path / "0.png")}
    store = tmp_path / "results" / "land.ome.zarr"
    usual = tmp_path / "0.corrections.ome.zarr"
    if kind == "of the pyramid's file":
        cache.mkdir(parents=True)
        convert(images[0], cache / "0-pyramid.ome.zarr")
        image["path"] = str(cache / "0-pyramid.ome.zarr")
    elif kind == "beside the store":
        image["path"] = "/nowhere/0.png"
        usual = store.with_name("0.corrections.ome.zarr")
    elif kind == "in the cache":
        image["path"] = "https://example.org/data/0.png"
        usual = corrections_path(image["path"], lambda: cache)
    assert usual_corrections(image, store) == []
    make_segmentation(LABELS, path=usual, image=images[1])  # stands for corrections
    named = named_path(usual, images[0])
    make_segmentation(LABELS, path=named, image=images[0])
    assert usual_corrections(image, store) == [usual, named]


def test_what_is_not_whole_says_of_no_image(images: list[Pyramid], make_segmentation: Make, tmp_path: Path) -> None:
    assert stored_image(tmp_path / "nothing") is None
    store = make_segmentation(LABELS, path=tmp_path / "s.ome.zarr", image=images[0])
    assert stored_image(store.path) is not None
    assert not is_another_file(store.facts["image"], images[0])
    assert is_another_file(store.facts["image"], images[1])
    store.labels.set_attributes({"fctl": {**store.facts, "complete": False}})
    assert stored_image(store.path) is None


def test_results_of_several_images_lie_in_one_folder(
    images: list[Pyramid], make_segmentation: Make, tmp_path: Path
) -> None:
    """Names that are taken are followed by numbers, and each image finds its own again, in any order."""
    out = tmp_path / "out"
    (tmp_path / "b").mkdir()
    copy = tmp_path / "b" / "0.png"
    copy.write_bytes((tmp_path / "0.png").read_bytes())  # a blank tile, say, is the same as many others
    other = tmp_path / "c" / "0.png"
    other.parent.mkdir()
    other.write_bytes((tmp_path / "1.png").read_bytes())
    files = [tmp_path / "0.png", copy, other, tmp_path / "1.png"]
    taken: list[Path] = []
    for file in files:
        taken.append(result_in(out, open_image(file), str(file), "/x/net.safetensors", taken=taken))
    assert [path.name for path in taken] == [f"{n}.net.fctl.ome.zarr" for n in ("0", "0-2", "0-3", "1")]
    for file, path in zip(files, taken, strict=True):
        make_segmentation(LABELS, path=path, image=open_image(file))
    for file, path in list(zip(files, taken, strict=True))[::-1]:
        assert result_in(out, open_image(file), str(file), "net") == path
    Image.fromarray(np.zeros((60, 80, 3), np.uint8)).save(copy)
    assert result_in(out, open_image(copy), str(copy), "net") == taken[1], "the file that was changed is refused there"
    maps = result_in(out, images[0], "http://host/0.png", "net", maps=True)
    assert maps.name == "0.net.maps.fctl.ome.zarr"


def test_a_folder_of_images_that_moved_finds_its_results(
    images: list[Pyramid], make_segmentation: Make, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    make_segmentation(LABELS, path=out / "0.net.fctl.ome.zarr", image=images[0])
    (tmp_path / "moved").mkdir()
    moved = (tmp_path / "0.png").rename(tmp_path / "moved" / "0.png")
    assert result_in(out, open_image(moved), str(moved), "net") == out / "0.net.fctl.ome.zarr"
