"""Explanation of a pixel for notebooks and scripts, in the calling process and the same as the window's."""

from __future__ import annotations

from pathlib import Path

from fctl_napari.imagery.band_names import Bands
from fctl_napari.imagery.formats.remote import is_url
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.feature_ablation import WHOLE, Without
from fctl_napari.segmentation.jobs import worker
from fctl_napari.segmentation.jobs.explain_client import network_of
from fctl_napari.segmentation.jobs.explanation import ExplainRequest, TileExplanation


def explain(
    image: str | Path | Pyramid,
    checkpoint: str | Path,
    pixel: tuple[float, float],
    *,
    overlap: int | None = None,
    device: str = "auto",
    precision: str = "auto",
    exact_contexts: bool = False,
    value_range: tuple[float, float] | None = None,
    bands: Bands | None = None,
    channel: int | None = None,
    without: Without = WHOLE,
) -> TileExplanation:
    """Explain a network's prediction for a pixel, with the tile and contexts of a segmentation.

    Network and tile are kept: another pixel of the same tile costs no more than its rows of the attention.

    Parameters
    ----------
    image : str, Path or Pyramid
        File, folder or address of the image; or an opened image, with its own range and bands.
    checkpoint : str or Path
        Built-in name or file of the checkpoint.
    pixel : tuple of 2 float
        (y, x), full-resolution px; pixel i covers [i, i + 1).
    overlap : int or None, optional
        Overlap of the tiles, px, as in ``ExplainRequest``. None means about a quarter of the tile.
    device : str, optional
        Device, as for ``Predictor``.
    precision : str, optional
        Precision, as for ``Predictor``.
    exact_contexts : bool, optional
        If True, contexts are resampled from full resolution.
    value_range : tuple of 2 float or None, optional
        Range of values, as for ``open_image``.
    bands : Bands or None, optional
        Bands, as for ``open_image``.
    channel : int or None, optional
        Channel of the fusion weights, from 0. None means their mean over channels.
    without : Without, optional
        Parts of the network that are left out in a second explanation.

    Returns
    -------
    TileExplanation
        Arrays with windows in image px; ``Engine.explain`` returns the same. Draw it with ``explanation_figure``.

    Raises
    ------
    InputError
        The pixel lies outside the image, or the image cannot be read.
    ConfigError
        The network has no such parts or channel, or there is no such device.
    CheckpointError
        There is no such checkpoint.

    Examples
    --------
    >>> explained = explain("scene.tif", "earth", (1200, 3400), without=Without.named(["large"]))  # doctest: +SKIP
    >>> explained.contexts[0].combined  # doctest: +SKIP
    """
    opened = image if isinstance(image, Pyramid) else None
    if isinstance(image, Pyramid):
        location = image.path or image.name
        value_range, bands = image.value_range, image.bands
    else:
        location = str(image) if is_url(str(image)) else str(Path(image).absolute())
    request = ExplainRequest(
        location,
        str(checkpoint),
        pixel,
        overlap=overlap,
        device=device,
        precision=precision,
        exact_contexts=exact_contexts,
        value_range=value_range,
        bands=bands,
        channel=channel,
        without=without,
    )
    import torch

    threads = torch.get_num_threads()  # as this process has them, in which others compute too
    return worker.explain(network_of(request, threads), request, opened)
