"""Why this class here? The same as the window's, for notebooks and scripts, in the process that asks."""

from __future__ import annotations

from pathlib import Path

from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.imagery.remote import is_url
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
    bands: tuple[int, int, int] | None = None,
    channel: int | None = None,
    without: Without = WHOLE,
) -> TileExplanation:
    """Explain what a network says of a pixel, with the tile and the contexts that a segmentation would give it.

    Network and tile are kept: another pixel of the same tile costs no more than its rows of the attention.

    Parameters
    ----------
    image
        Its file, folder or address; or opened, with its own range and bands.
    checkpoint
        A built-in name or a file.
    pixel
        (y, x), full-resolution px; pixel i covers [i, i + 1).
    overlap, device, precision, exact_contexts, value_range, bands, channel, without
        As in ``ExplainRequest``.

    Returns
    -------
    TileExplanation
        Arrays with windows in image px; ``Engine.explain`` gives the same. Draw it with ``explanation_figure``.

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
    >>> told = explain("scene.tif", "earth", (1200, 3400), without=Without.named(["large"]))  # doctest: +SKIP
    >>> told.contexts[0].combined  # doctest: +SKIP
    """
    opened = image if isinstance(image, Pyramid) else None
    if isinstance(image, Pyramid):
        place = image.path or image.name
        value_range, bands = image.value_range, image.bands
    else:
        place = str(image) if is_url(str(image)) else str(Path(image).absolute())
    request = ExplainRequest(
        place,
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
    return worker.explain(network_of(request), request, opened)
