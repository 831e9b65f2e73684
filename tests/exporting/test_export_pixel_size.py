"""What exports of images without georeference say of the size of a px."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers_commands import Fctl
from PIL import Image

from fctl_napari.exporting.export import export
from fctl_napari.exporting.losses import ExportLosses
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.imagery.open import open_image
from fctl_napari.segmentation.store.store import Segmentation

LABELS = np.ones((60, 80), np.uint8)


def made(make: Callable[..., Segmentation], unit: str | None, size: tuple[float, float]) -> Segmentation:
    image = pyramid_from_array(np.zeros((60, 80, 3), np.uint8))
    image.unit, image.pixel_size = unit, size
    return make(LABELS, image=image)


@pytest.mark.parametrize(
    ("unit", "size", "micrometers"),
    [
        ("micrometer", (0.5, 0.25), (0.5, 0.25)),
        ("nanometer", (250, 250), (0.25, 0.25)),
        ("meter", (2e-6, 2e-6), (2, 2)),
    ],
)
def test_they_keep_the_size(
    make_segmentation: Callable[..., Segmentation],
    tmp_path: Path,
    unit: str,
    size: tuple[float, float],
    micrometers: tuple[float, float],
) -> None:
    segmentation = made(make_segmentation, unit, size)
    losses = ExportLosses()
    for name in ("m.tif", "m.png", "m.ome.zarr", "m.geojson", "m.coco.json"):
        export(segmentation, tmp_path / name, losses=losses)
        words = f"a px is {size[1]:g} x {size[0]:g} {unit} (width x height)"
        assert losses.sentences() == [f"without georeference, since the image has none; {words}"]
    tiff = open_image(tmp_path / "m.tif")
    assert (tiff.unit, tiff.pixel_size) == ("micrometer", pytest.approx(micrometers))
    per_inch = Image.open(tmp_path / "m.png").info["dpi"]
    assert [25400 / density for density in per_inch] == pytest.approx(list(micrometers[::-1]))


def test_what_has_neither_says_so(fctl: Fctl, make_segmentation: Callable[..., Segmentation], tmp_path: Path) -> None:
    segmentation = made(make_segmentation, None, (1.0, 1.0))
    said = fctl("export", segmentation.path, tmp_path / "m.tif")
    assert said.err.strip().splitlines()[-1] == "without georeference, since the image has none"
    assert open_image(tmp_path / "m.tif").unit is None


def test_what_has_a_georeference_says_nothing(make_segmentation: Callable[..., Segmentation], tmp_path: Path) -> None:
    place = Georeference("EPSG:32640", (0.5, 0.0, 326000.0, 0.0, -0.5, 2790000.0))
    losses = ExportLosses()
    export(make_segmentation(LABELS, georeference=place), tmp_path / "m.png", losses=losses)
    assert losses.sentences() == []
