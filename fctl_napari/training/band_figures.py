"""Ranges, means and standard deviations of a network's bands, measured on the training regions (no torch)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.band_matching import find_bands
from fctl_napari.imagery.band_meanings import canonical_names
from fctl_napari.imagery.measured import PERCENTILES, outside
from fctl_napari.model.bands import RGB, Band
from fctl_napari.model.config import FCtLConfig
from fctl_napari.training.data import Scene
from fctl_napari.windows import IntWindow

REGIONS, BLOCKS, SIDE = 64, 16, 128
"""Number of regions that are sampled, evenly chosen, of blocks in each, and the side of a block, px."""


def with_band_figures(config: FCtLConfig, scenes: Sequence[Scene], parent: FCtLConfig | None = None) -> FCtLConfig:
    """Complete the bands of a network.

    They get the names by which bands are compared (``"B08"`` is ``"nir"``), as weights are matched by them. What they
    state else stays, and a range that is stated for the data is that of all bands. Bands that the parent has keep
    its figures else, as its weights were learned with them. Others have values of 8 bits as they are, or the 0.1 and
    99.9 percentiles. Red, green and blue are normalized as the encoder's weights expect them, other bands by their own
    mean and standard deviation.

    Parameters
    ----------
    config : FCtLConfig
        Settings of the network.
    scenes : sequence of Scene
        The scenes. Their training regions are sampled.
    parent : FCtLConfig or None, optional
        Settings of the network that it starts from.

    Returns
    -------
    FCtLConfig
        The settings with complete bands; the same for a network of red, green and blue.

    Raises
    ------
    InputError
        An image lacks a band or is damaged, no training region holds data, the images hold values of several types, or
        values that lie outside of the parent's ranges.
    """
    if not config.bands:
        return config
    image = scenes[0].pyramid
    others = [scene.pyramid for scene in scenes if scene.pyramid.dtype != image.dtype]
    if others and image.value_range is None:
        raise InputError(
            f"{others[0].path}: holds {others[0].dtype} values where {image.path} holds {image.dtype}; convert one of "
            "them to the values of the other."
        )
    names = [str(name) for name in canonical_names(config.band_names)]
    known = {} if parent is None else dict(zip(canonical_names(parent.band_names), parent.bands, strict=False))
    values = _sample(config, scenes)
    bytes_as_they_are = (0.0, 255.0) if image.dtype == np.uint8 else None
    bands = []
    for index, (name, band) in enumerate(zip(names, config.bands, strict=True)):
        stated = image.value_range
        if stated is not None and band.value_range is None:
            band = band.model_copy(update={"value_range": stated})
        own = _from(known.get(name), band)
        low, high = value_range = own.value_range or bytes_as_they_are or _range(values[:, index])
        if outside(values[:, index], value_range):
            raise InputError(
                f"{image.path}: its values of {band.name} ({_span(values[:, index])}) are not those that "
                f"{low:g} .. {high:g} is the range of; state theirs with --range LO HI (in Python: "
                'settings={"data.value_range": [LO, HI]}), or scale the images.'
            )
        scaled = np.clip((values[:, index] - low) * (255 / (high - low)), 0, 255)
        figures = {} if name in RGB else {"mean": _rounded(scaled.mean()), "std": max(_rounded(scaled.std()), 1.0)}
        kept = {key: value for key, value in own.model_dump().items() if value is not None}
        bands.append(Band.model_validate({**figures, "value_range": value_range, **kept, "name": name}))
    return config.model_copy(update={"bands": tuple(bands)})


def _from(known: Band | None, band: Band) -> Band:
    """Return a band with what it does not state itself from the band of that name of the parent."""
    if known is None:
        return band
    stated = {key: value for key, value in band.model_dump().items() if value is not None}
    return known.model_copy(update=stated)


def _span(values: NDArray[np.float64]) -> str:
    first, last = np.percentile(values, (1, 99))
    return f"{first:g} .. {last:g}"


def _range(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(values, PERCENTILES)
    return _rounded(low), max(_rounded(high), _rounded(low) + 1e-6)


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def _sample(config: FCtLConfig, scenes: Sequence[Scene]) -> NDArray[np.float64]:
    """Read values of the bands, [n, bands], of px that hold data in blocks of the training regions."""
    regions = [(scene, region) for scene in scenes for region in scene.train]
    chosen = np.linspace(0, len(regions) - 1, min(REGIONS, len(regions))).round().astype(int)
    found = []
    for scene, region in (regions[i] for i in chosen):
        bands = list(find_bands(scene.pyramid, config.band_names))
        for block in _blocks(region):
            values = scene.pyramid.read_native(block)[..., bands].astype(np.float64)
            found.append(values[scene.pyramid.read_valid(block) & np.isfinite(values).all(2)])
    values = np.concatenate(found) if found else np.empty((0, config.in_channels))
    if not len(values):
        raise InputError("no training region holds data, so the range of no band is known; check the scenes.")
    return values


def _blocks(region: IntWindow) -> list[IntWindow]:
    """Choose blocks of a region on a regular grid."""
    y0, x0, y1, x1 = region
    count = math.isqrt(BLOCKS)
    height, width = min(SIDE, y1 - y0), min(SIDE, x1 - x0)
    tops = np.linspace(y0, y1 - height, count).astype(int).tolist()
    lefts = np.linspace(x0, x1 - width, count).astype(int).tolist()
    return sorted({(top, left, top + height, left + width) for top in tops for left in lefts})
