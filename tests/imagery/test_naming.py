"""Where things of an image are kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import zarr

from fctl_napari.exceptions import InputError
from fctl_napari.imagery import naming
from fctl_napari.imagery.naming import CORRECTIONS_SUFFIX, corrections_path, paths_of


def test_corrections_lie_beside_their_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    (tmp_path / "images").mkdir()
    for name in ("scene.tif", "scene.ome.zarr", "scene.PNG"):
        image = tmp_path / "images" / name
        assert corrections_path(image, lambda: cache) == tmp_path / "images" / "scene.corrections.ome.zarr"
    monkeypatch.setattr(naming, "writable", lambda _: False)
    elsewhere = {corrections_path(tmp_path / folder / "scene.tif", lambda: cache) for folder in "ab"}
    assert len(elsewhere) == 2, "images of one name are told apart"
    assert all(path.parent == cache and path.name.endswith(".corrections.ome.zarr") for path in elsewhere)
    with pytest.raises(InputError, match=r"scene\.tif: nothing can be written beside it; give a path"):
        corrections_path(tmp_path / "scene.tif")


def test_of_an_address_they_lie_in_the_other_folder(tmp_path: Path) -> None:
    path = corrections_path("https://example.org/data/scene.ome.zarr", lambda: tmp_path)
    assert path.parent == tmp_path
    assert path.name.startswith("scene-")


@pytest.mark.parametrize(
    "name", ["scene.tif", "slide.svs#image=1", "scans.ome.zarr/1", "https://example.org/scene.png"]
)
@pytest.mark.parametrize("writable", [True, False])
def test_they_are_looked_for_where_they_are_kept(
    name: str, writable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zarr.create_group(tmp_path / "scans.ome.zarr")
    (tmp_path / "slide.svs").touch()
    image = name if "://" in name else tmp_path / name
    monkeypatch.setattr(naming, "writable", lambda _: writable)
    kept = corrections_path(image, lambda: tmp_path / "cache")
    for now in (True, False):  # the folder may have become writable, or read-only, since
        monkeypatch.setattr(naming, "writable", lambda _, now=now: now)
        assert kept in paths_of(image, CORRECTIONS_SUFFIX, tmp_path / "cache")
