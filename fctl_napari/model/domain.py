"""Domain of a network: facts of the data that it was trained on, kept in its model card (no torch)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from fctl_napari.windows import IntWindow


class SeenImage(BaseModel):
    """An image that a network was trained on.

    Attributes
    ----------
    name : str
        Name of the file.
    fingerprint : str
        Fingerprint of its pixels.
    regions : tuple of IntWindow or None
        Regions (y0, x0, y1, x1), px, that it was trained on: of corrections their boxes. None if that is not known.
    corrected : bool
        If True, it was fine-tuned on corrections of this image.
    held_out : tuple of IntWindow
        Boxes of corrections that were held out from it.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    fingerprint: str
    regions: tuple[IntWindow, ...] | None = None
    corrected: bool = False
    held_out: tuple[IntWindow, ...] = ()


class SeenColors(BaseModel):
    """Colors of training data, as the network reads them.

    Attributes
    ----------
    cells : tuple of tuple of float
        Colors that occur: value of each channel, 0..255, and the share of the px that it has in the image that shows
        it most. The largest share comes first.
    side : int
        Side of a cell of color space, levels, see ``color_cells``.
    usual : float
        Share of an image like those trained on whose colors are not among them, 0..1: of images that were left out
        one by one, or of the validation regions.
    """

    model_config = ConfigDict(frozen=True)

    cells: tuple[tuple[float, ...], ...]
    side: int
    usual: float

    @classmethod
    def of(cls, cells: NDArray[np.float64], side: int, usual: float) -> SeenColors:
        """Make it of an array, rounded as a card keeps it.

        Parameters
        ----------
        cells : ndarray of float64 [cells, channels + 1]
            Colors and their shares.
        side : int
            Side of a cell, levels.
        usual : float
            Share, see above.

        Returns
        -------
        SeenColors
            Colors of training data.
        """
        rows = tuple((*(round(value, 1) for value in row[:-1]), round(row[-1], 5)) for row in cells.tolist())
        return cls(cells=rows, side=side, usual=round(usual, 4))


class Confidence(BaseModel):
    """Confidence of a network on labeled data.

    Attributes
    ----------
    mean : float
        Mean confidence, 0..1.
    low : float
        Mean confidence of a tile, below which a tenth of the tiles lie.
    where : str
        The data: ``"its validation regions"``.
    """

    model_config = ConfigDict(frozen=True)

    mean: float
    low: float
    where: str


class Domain(BaseModel):
    """Facts of the data that a network was trained on.

    Attributes
    ----------
    images : tuple of SeenImage
        Images.
    pixel_size : tuple of 2 float or None
        Smallest and largest side of their px, m. None if their files do not say it.
    colors : SeenColors or None
        Their colors.
    confidence : Confidence or None
        The network's confidence on data like them.
    notes : tuple of str
        What a person has to know of these facts.
    """

    model_config = ConfigDict(frozen=True)

    images: tuple[SeenImage, ...] = ()
    pixel_size: tuple[float, float] | None = None
    colors: SeenColors | None = None
    confidence: Confidence | None = None
    notes: tuple[str, ...] = ()
