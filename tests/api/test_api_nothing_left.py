"""Calls that fail: no folder, lock or half a result is left of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from helpers_commands import Fctl

import fctl_napari as fctl
from fctl_napari.exceptions import FctlError
from fctl_napari.segmentation.store.store_lock import lock_store


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A place in folders that are not there."""
    return tmp_path / "new" / "deep" / "out.ome.zarr"


@pytest.fixture
def damaged(tmp_path: Path, pixels: np.ndarray) -> Path:
    """An image that opens, and whose tiles cannot be decoded."""
    path = tmp_path / "damaged.tif"
    tifffile.imwrite(path, pixels, tile=(64, 64), compression="zlib", photometric="rgb")
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        spans = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    data = bytearray(path.read_bytes())
    for start, length in spans:
        data[start : start + length] = bytes(length)
    path.write_bytes(data)
    return path


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"image": "gone.png"},
        {"checkpoint": "gone.safetensors"},
        {"device": "moon"},
        {"device": "cuda:99"},  # only the worker knows that it is not there
        {"engine": "steam"},
        {"batch": 0},
        {"region": (900, 900, 950, 950)},
        {"precision": "fp64"},
        {"merge": "released", "maps": True},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
@pytest.mark.parametrize("array", [False, True])
def test_a_segmentation_that_cannot_start(
    scene: Path, pixels: np.ndarray, network: Path, out: Path, wrong: dict[str, Any], array: bool
) -> None:
    call = {"image": pixels if array else scene, "checkpoint": network, "device": "cpu", "progress": False} | wrong
    with pytest.raises(FctlError):
        fctl.segment(**call, out=out)
    assert left(out.parents[2]) == []


@pytest.mark.parametrize("merge", ["crop", "average"])
def test_a_damaged_image(damaged: Path, network: Path, out: Path, merge: str) -> None:
    with pytest.raises(FctlError, match=r"damaged\.tif"):
        fctl.segment(damaged, network, out, merge=merge, device="cpu", progress=False)
    assert left(out.parents[2]) == ["damaged.tif"]


def test_the_commands(command: Fctl, damaged: Path, scene: Path, network: Path, segmented: fctl.Map, out: Path) -> None:
    segment = ("segment", "--checkpoint", network, "--out")
    new = out.parent
    for words in (
        (*segment, out, damaged, "--device", "cpu"),
        (*segment, out, damaged.with_name("gone.tif")),
        (*segment, out, scene, "--device", "moon"),
        (*segment, new, scene, damaged, "--device", "moon"),
        ("refine", segmented.path, "--refiner", network, "--out", out),
        ("corrections", "import", out, damaged.with_name("gone.png"), "--image", scene, "--checkpoint", network),
        ("evaluate", segmented.path, damaged.with_name("gone.png"), "--json", new / "f.json"),
        ("errors", segmented.path, damaged.with_name("gone.png"), "--json", new / "f.json"),
        ("export", segmented.path, new / "a.gpkg", "--min-area", -1),
    ):
        assert command(*words).code != 0
        assert left(damaged.parent) == ["damaged.tif"], words


@pytest.mark.parametrize("name", ["a.geojson", "a.png", "a.ome.zarr"])
def test_an_export_that_is_stopped(segmented: fctl.Map, tmp_path: Path, name: str) -> None:
    class Stop(Exception):
        pass

    def stop(*_: object) -> None:
        raise Stop

    with pytest.raises(Stop):
        fctl.export(segmented, tmp_path / "new" / "deep" / name, progress=stop)
    assert left(tmp_path) == []


def test_corrections_that_cannot_be_made(
    scene: Path, network: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fctl_napari.correcting import correction_store

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(correction_store.ChunkCounts, "save", full)
    with pytest.raises((FctlError, OSError)):
        fctl.corrections(scene, classes=fctl.load_checkpoint(network), path=out)
    assert left(out.parents[2]) == []


def test_a_lock_that_others_wait_for_stays_one_lock(out: Path) -> None:
    first = lock_store(out)
    with pytest.raises(FctlError, match="in use"):
        lock_store(out, timeout=0)
    first.release()
    second = lock_store(out, timeout=0)
    with pytest.raises(FctlError, match="in use"):
        lock_store(out, timeout=0)
    out.mkdir()
    second.release()
    assert left(out.parents[2]) == [".out.ome.zarr.lock", "deep", "new", "out.ome.zarr"]
