"""Pyramids that the window makes: it says where and how large, and does not begin what has no room."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from helpers_window import errors

from fctl_napari.cache.clearing import clear_cache
from fctl_napari.cache.entries import entries

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("warm_engine")]

PIXELS = np.random.default_rng(0).integers(0, 255, (300, 4300, 3), np.uint8)


def test_place_and_size_are_said(
    open_window: Callable[..., Any], tmp_path: Path, until: Callable[..., None], notes: list[tuple[str, str]]
) -> None:
    tifffile.imwrite(tmp_path / "wide.tif", PIXELS)
    viewer = open_window()
    (layer,) = viewer.open(tmp_path / "wide.tif", plugin="fctl-napari")
    (message,) = [message for _, message in notes if "pyramid is made" in message]
    assert f"once, in {tmp_path}: at most 5 MB" in message
    until(lambda: layer.metadata["fctl_source"].job is None)
    assert (tmp_path / "wide.tif.pyramid.ome.zarr").is_dir()


def test_what_has_no_room_is_not_begun(
    open_scene: Callable[..., Any],
    cache: Path,
    until: Callable[..., None],
    notes: list[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FCTL_CACHE_LIMIT", "1 MB")
    viewer, widget = open_scene(None)
    viewer.add_image(PIXELS[:, :1100], name="plain", rgb=True)
    widget.form.where.setCurrentText("Whole image")
    widget.form.run.click()
    until(lambda: not widget.running)
    (message,) = errors(notes)
    assert "takes about 1 MB, and the cache may hold 1 MB" in message
    assert not list(cache.rglob("*.ome.zarr"))
    monkeypatch.setenv("FCTL_CACHE_LIMIT", "10 MB")
    widget.form.run.click()
    until(lambda: not widget.running)
    assert len(errors(notes)) == 1
    gc.collect()
    assert [entry.kind for entry in entries()] == ["array"]
    (kept,) = [one.kept for one in clear_cache()]
    assert kept == "results of it are there, and no file holds its image"


def test_a_pyramid_that_is_shown_stays(
    open_window: Callable[..., Any], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: Any
) -> None:
    from fctl_napari.api import locations

    monkeypatch.setattr(locations, "writable", lambda folder: False)  # as on a disk that is only read
    tifffile.imwrite(tmp_path / "wide.tif", PIXELS)
    viewer = open_window()
    (layer,) = viewer.open(tmp_path / "wide.tif", plugin="fctl-napari")
    until(lambda: layer.metadata["fctl_source"].job is None)
    (entry,) = entries()
    assert (entry.kind, entry.of) == ("pyramid", str(tmp_path / "wide.tif"))
    gc.collect()
    assert [one.kept for one in clear_cache()] == ["it is in use"]
    assert np.array_equal(np.asarray(layer.data[0][100:200, 4000:4300]), PIXELS[100:200, 4000:4300])
