"""Sample of File > Open Sample > FCtL: the Earth scene, written once into the cache folder."""

from __future__ import annotations

from pathlib import Path

from fctl_napari import __version__
from fctl_napari.api.locations import cache_folder
from fctl_napari.exceptions import FctlError
from fctl_napari.imagery.sample import write_sample
from fctl_napari.plugin.common.notify import report
from fctl_napari.plugin.io.reader import image_layers
from fctl_napari.plugin.layers.image_source import LayerData


def sample_folder() -> Path:
    """Return the Earth scene as an OME-Zarr pyramid in the cache folder, written on first use.

    Returns
    -------
    Path
        Path of the pyramid.

    Raises
    ------
    FctlError
        The scene is not installed, or the cache cannot be written.
    """
    # The version is in the name, so that a newer scene is written anew.
    return write_sample(cache_folder() / f"sample-{__version__}" / "earth.ome.zarr")


def earth_scene() -> list[LayerData]:
    """Return the image and its ground truth, which is hidden at first (napari's entry point).

    Errors become a notification.

    Returns
    -------
    list of LayerData
        Data, arguments and type of each layer; empty after an error.
    """
    try:
        layers = image_layers(sample_folder())
    except FctlError as error:
        report(error)
        return []
    return [(data, arguments | {"visible": kind == "image"}, kind) for data, arguments, kind in layers]
