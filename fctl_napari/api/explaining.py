"""Explanation of a prediction."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Literal

from fctl_napari.api.checked import checked
from fctl_napari.api.checkpoints import CheckpointLike, load_checkpoint
from fctl_napari.api.forms import Names, Number, Point
from fctl_napari.api.maps import Map
from fctl_napari.api.opening import ImageLike, image_and_map
from fctl_napari.model.feature_ablation import Without
from fctl_napari.segmentation.jobs.explanation import TileExplanation
from fctl_napari.segmentation.jobs.parameters import DEVICE, PRECISION

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Explanation:
    """Contributions of the contexts to the class of a pixel.

    ``fctl.explain`` makes it.

    Parameters
    ----------
    explained : TileExplanation
        Attention, weights, probabilities, with windows in px of the image.

    Attributes
    ----------
    explained : TileExplanation
        Attention, weights, probabilities, with windows in px of the image.
    """

    def __init__(self, explained: TileExplanation) -> None:
        self.explained = explained

    @property
    def probabilities(self) -> dict[str, float]:
        """Probability of each class at the pixel."""
        one = self.explained
        return {name: float(value) for name, value in zip(one.class_table.names, one.probabilities, strict=True)}

    @property
    def weights(self) -> dict[str, float]:
        """Mean weight of each context in the fusion of the tile (MCF)."""
        return {context.name: float(context.weight.mean()) for context in self.explained.contexts}

    @checked
    def figure(
        self,
        *,
        part: Literal["combined", "content", "positional"] = "combined",
        limits: Literal["shared", "each"] = "shared",
    ) -> Figure:
        """Draw tile and contexts with attention and weights.

        Parameters
        ----------
        part : {"combined", "content", "positional"}, optional
            Part of the attention.
        limits : {"shared", "each"}, optional
            Limits of the colors over all contexts, or of each map.

        Returns
        -------
        matplotlib.figure.Figure
            The figure.
        """
        from fctl_napari.figures.explanation import explanation_figure

        return explanation_figure(self.explained, limits=limits, part=part)

    def __repr__(self) -> str:
        """Return pixel and class in a line."""
        best = max(self.probabilities, key=lambda name: self.probabilities[name])
        y, x = self.explained.pixel
        return f"<Explanation of pixel ({y}, {x}): {best}, {self.probabilities[best]:.2f}>"

    def _repr_png_(self) -> bytes:
        """Return the figure for a notebook."""
        file = io.BytesIO()
        self.figure().savefig(file, format="png", dpi=80)
        return file.getvalue()


@checked
def explain(
    image: ImageLike | Map,
    pixel: Point,
    checkpoint: CheckpointLike | None = None,
    *,
    without: Names = (),
    channel: Number | None = None,
    overlap: Number | None = None,
    exact_contexts: bool = False,
    device: str = DEVICE.default,
    precision: str = PRECISION.default,
) -> Explanation:
    """Say what each context contributed to the class of a pixel, and what changes without a part of the network.

    Network and tile are kept: another pixel of the same tile costs only its rows of the attention.

    Parameters
    ----------
    image : Image, Map, str, Path or array
        The image; or a map, whose image and network are taken.
    pixel : tuple of 2 float
        (y, x), full-resolution px; pixel i covers [i, i + 1).
    checkpoint : Checkpoint, str, Path or None, optional
        The network. None takes that of the map, or ``"earth"`` for an image.
    without : str or sequence of str, optional
        Parts that are left out in a second explanation: names of contexts, ``"gpe"``, ``"ale"``.
    channel : int or None, optional
        Channel of the fusion weights. None is their mean over channels.
    overlap : int or None, optional
        Overlap of the tiles, px, as when segmenting.
    exact_contexts : bool, optional
        If True, contexts are resampled from full resolution.
    device, precision : str, optional
        As for ``fctl.segment``.

    Returns
    -------
    Explanation
        Attention, weights and probabilities.

    Raises
    ------
    FctlError
        The pixel lies outside, or the network has no such part; the sentence says what to do.

    Examples
    --------
    >>> import fctl_napari as fctl
    >>> scene = fctl.sample("data")
    >>> land = fctl.segment(scene, "earth", region=(500, 2700, 900, 3100))
    >>> why = fctl.explain(land, (700, 2900))
    >>> sorted(why.weights)  # of the contexts, at this pixel
    ['large', 'local', 'medium']
    """
    from fctl_napari.segmentation.jobs.explain import explain as explain_pixel

    found, known = image_and_map(image)
    network = checkpoint or ("earth" if known is None else known.network())
    explained = explain_pixel(
        found.pyramid,
        load_checkpoint(network).path,
        pixel,
        overlap=overlap,
        device=device,
        precision=precision,
        exact_contexts=exact_contexts,
        channel=channel,
        without=Without.named([without] if isinstance(without, str) else without),
    )
    return Explanation(explained)
