"""Image as a network reads it: its bands, found by their names, in the network's ranges (no torch)."""

from __future__ import annotations

import numpy as np

from fctl_napari.exceptions import ConfigError, InputError
from fctl_napari.imagery.band_matching import find_bands
from fctl_napari.imagery.band_names import Bands, band_names_in
from fctl_napari.imagery.measured import outside, sampled_values
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.bands import RGB
from fctl_napari.model.config import FCtLConfig


def network_image(image: Pyramid, config: FCtLConfig) -> Pyramid:
    """Return an image as a network reads it.

    Parameters
    ----------
    image : Pyramid
        Image.
    config : FCtLConfig
        Settings of the network.

    Returns
    -------
    Pyramid
        The image itself for a network of red, green and blue. Otherwise the same image, of which reads have one channel
        for each of the network's bands, in the ranges that it learned with.

    Raises
    ------
    InputError
        The image lacks a band, cannot be read as RGB, or no range of its values is known.
    """
    if not config.bands:
        image.require_rgb()
        return image
    return image.with_bands(find_bands(image, config.band_names), [band.value_range for band in config.bands])


def check_units(image: Pyramid, config: FCtLConfig) -> None:
    """Refuse an image whose values are of other units than those that a network learned with.

    Parameters
    ----------
    image : Pyramid
        Image as the network reads it, see :func:`network_image`.
    config : FCtLConfig
        Settings of the network.

    Raises
    ------
    InputError
        The values of all bands lie at one end of their ranges or beyond, or the file is damaged.
    """
    ranges = [band.value_range or (0.0, 255.0) for band in config.bands]
    if not ranges:
        return
    values = sampled_values(image, image.read_channels)
    if len(values) and all(outside(values[:, index], own) for index, own in enumerate(ranges)):
        found = ", ".join(f"{value:g}" for value in np.median(values, axis=0))
        learned = ", ".join(f"{low:g} .. {high:g}" for low, high in ranges)
        raise InputError(
            f"{image.path or image.name}: its values ({found} in the middle) are of other units than those of the "
            f"network's bands ({learned}); scale the image as the training data were."
        )


def check_image_options(config: FCtLConfig, value_range: tuple[float, float] | None, bands: Bands | None) -> None:
    """Refuse what a user says of an image if a network with bands of its own does not heed it.

    Parameters
    ----------
    config : FCtLConfig
        Settings of the network.
    value_range : tuple of 2 float or None
        Range of values for all bands.
    bands : Bands or None
        Red, green and blue, or the names of all bands.

    Raises
    ------
    ConfigError
        The network finds its bands by their names, or has ranges of its own.
    """
    if not config.bands:
        return
    names = ", ".join(config.band_names)
    if bands is not None and band_names_in(bands) is None:
        raise ConfigError(
            f"--bands: the network finds its bands ({names}) by their names; leave it out, or name the image's bands "
            "with --band-names (in Python: both with bands)."
        )
    if value_range is not None and any(band.value_range is not None for band in config.bands):
        raise ConfigError(
            f"--range: the network reads its bands ({names}) in ranges of its own; leave it out (in Python: "
            "value_range)."
        )


def shown_image(image: Pyramid, config: FCtLConfig) -> Pyramid:
    """Return an image as it is drawn beside a network's result.

    Parameters
    ----------
    image : Pyramid
        Image.
    config : FCtLConfig
        Settings of the network.

    Returns
    -------
    Pyramid
        The image itself for a network of red, green and blue. Otherwise the same image in three of the network's bands:
        red, green and blue if they are among them, else the first ones.

    Raises
    ------
    InputError
        See ``network_image``.
    """
    if not config.bands:
        return image
    own = {band.name: band for band in config.bands}
    names = RGB if set(RGB) <= set(own) else (tuple(own) * 3)[:3]
    return image.with_bands(find_bands(image, names), [own[name].value_range for name in names])
