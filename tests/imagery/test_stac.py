"""STAC items: the image of their asset opens, and is known by its own location."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from helpers_commands import Fctl

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.formats.stac import asset_location, is_item
from fctl_napari.imagery.open import open_image

TIFF = "image/tiff; application=geotiff; profile=cloud-optimized"


def item(path: Path, assets: dict[str, dict[str, Any]], **members: Any) -> Path:
    document = {"type": "Feature", "stac_version": "1.0.0", "id": "scene", "links": [], "assets": assets, **members}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """An item with an image beside and one below it, a thumbnail and metadata."""
    (tmp_path / "bands").mkdir()
    for name in ("tci.tif", "bands/B08 (1).tif"):
        tifffile.imwrite(tmp_path / name, np.full((64, 80, 3), len(name), np.uint8), tile=(32, 32))
    assets = {
        "thumbnail": {"href": "small.png", "type": "image/png", "roles": ["thumbnail"]},
        "visual": {"href": "./tci.tif", "type": TIFF, "roles": ["visual"]},
        "nir": {"href": "bands/B08%20(1).tif", "type": TIFF, "roles": ["data"]},
        "mtl": {"href": "mtl.xml", "type": "application/xml", "roles": ["metadata"]},
    }
    return item(tmp_path / "item.json", assets)


@pytest.mark.parametrize(("asset", "name"), [("#visual", "tci.tif"), ("", "tci.tif"), ("#nir", "bands/B08 (1).tif")])
def test_an_asset_of_a_file_opens(scene: Path, asset: str, name: str) -> None:
    image = open_image(f"{scene}{asset}")
    assert image.path == str(scene.parent / name)
    assert image.name == Path(name).stem
    assert int(image.levels[0][0, 0, 0]) == len(name)
    assert open_image(Path(f"{scene}{asset}")).path == image.path


def test_an_asset_at_an_address_opens(scene: Path, serve: Callable[[Path], Any]) -> None:
    server = serve(scene.parent)
    for asset, name in (("#visual", "tci.tif"), ("", "tci.tif"), ("#nir", "bands/B08%20(1).tif")):
        image = open_image(f"{server.url}/item.json{asset}")
        assert image.path == f"{server.url}/{name}"
        assert image.shape == (64, 80)
    alone = item(scene.parent / "elsewhere" / "item.json", {"data": {"href": "../tci.tif"}})
    document = json.loads(alone.read_text()) | {"links": [{"rel": "self", "href": f"{server.url}/sub/item.json"}]}
    document["assets"]["data"]["href"] = "../bands/../tci2.tif"
    alone.write_text(json.dumps(document))
    assert asset_location(alone) == f"{server.url}/tci2.tif"
    with pytest.raises(InputError, match="there is nothing at this address"):
        open_image(f"{server.url}/none.json#visual")


@pytest.mark.parametrize(
    ("href", "location"),
    [
        ("https://example.org/a/b.tif?sig=1", "https://example.org/a/b.tif?sig=1"),
        ("s3://bucket/b.tif", "s3://bucket/b.tif"),
        ("/vsicurl/https://example.org/b.tif", "/vsicurl/https://example.org/b.tif"),
        ("file:///data/my%20image.tif", "/data/my image.tif"),
        ("/data/b.tif", "/data/b.tif"),
    ],
)
def test_absolute_addresses_stay(tmp_path: Path, href: str, location: str) -> None:
    path = item(tmp_path / "item.json", {"data": {"href": href, "type": TIFF}})
    assert str(asset_location(path)) == location
    assert is_item(f"{path}#data")


def test_what_is_not_clear_is_one_sentence(tmp_path: Path, scene: Path) -> None:
    several = item(tmp_path / "b.json", {name: {"href": f"{name}.tif"} for name in ("red", "green")})
    for location, words in (
        (several, r"has several images; choose one of red, green, as in .*b\.json#red"),
        (f"{scene}#swir", r"has no asset swir; choose one of visual, nir"),
        (item(tmp_path / "c.json", {"meta": {"href": "a.xml"}}), "has no asset that is an image; its assets are meta"),
        (item(tmp_path / "d.json", {}, type="Collection"), "is a STAC Collection; give an item"),
        (f"{tmp_path / 'none.json'}#visual", "there is no such file"),
    ):
        with pytest.raises(InputError, match=words):
            open_image(location)
    (tmp_path / "e.json").write_text("{")
    with pytest.raises(InputError, match="is no STAC item, or is damaged"):
        open_image(f"{tmp_path / 'e.json'}#a")
    (tmp_path / "f.json").write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(InputError, match="is no STAC item; give an item"):
        open_image(f"{tmp_path / 'f.json'}#a")
    assert asset_location(tmp_path / "f.json") == tmp_path / "f.json"
    assert not is_item(tmp_path / "f.json")
    tifffile.imwrite(tmp_path / "odd.json#a.tif", np.zeros((40, 40, 3), np.uint8))
    assert open_image(tmp_path / "odd.json#a.tif").shape == (40, 40)


def test_commands_take_items(fctl: Fctl, scene: Path, tmp_path: Path) -> None:
    code, out, err = fctl("info", f"{scene}#visual")
    assert code == 0, err
    assert "tci" in out
    store = tmp_path / "s.ome.zarr"
    assert fctl("segment", f"{scene}#visual", "--out", store, "--device", "cpu")[0] == 0
    assert str(scene.parent / "tci.tif") in fctl("info", store)[1]
    assert fctl("convert", scene, tmp_path / "c.ome.zarr")[0] == 0
    code, _, err = fctl("info", f"{scene}#red")
    assert (code, err.count("\n")) == (2, 1)
