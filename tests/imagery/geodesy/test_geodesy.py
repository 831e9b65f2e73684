"""Conversions between pixels and coordinates on the ground."""

from __future__ import annotations

import pytest

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.georeference import Georeference

pytest.importorskip("rasterio")

from fctl_napari.imagery.geodesy.ground import Ground


def test_an_unknown_crs_is_one_sentence() -> None:
    with pytest.raises(InputError, match="EPSG:999999: is no coordinate reference system that is known"):
        Ground(Georeference("EPSG:999999", (1, 0, 0, 0, -1, 0)))
