"""Record of the locations that decide the labels of made scenes, which lies beside them as ``far_labels.json``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy.spatial import cKDTree

from fctl_napari.exceptions import InputError
from fctl_napari.windows import IntWindow

Kind = Literal["markers", "outlines", "waters", "sizes"]
RECORD = "far_labels.json"


class Decision(BaseModel):
    """Decision on the labels of a part of a scene.

    Attributes
    ----------
    box : IntWindow
        Window whose labeled px are decided, px.
    locations : tuple of tuple of 2 float
        Places (y, x) that decide, px. The nearest one is enough.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    box: IntWindow
    locations: tuple[tuple[float, float], ...] = Field(min_length=1)


class FarLabels(BaseModel):
    """Record of a data set of far labels.

    Attributes
    ----------
    kind : {"markers", "outlines", "waters", "sizes"}
        Kind of the scenes.
    distance : float
        Largest distance between a labeled px and the location that decides it, tiles.
    tile : int
        Side of a tile, px.
    seed : int
        Seed of the scenes.
    radius : float
        How far what is seen of a location reaches around it, px.
    scenes : dict of str to tuple of Decision
        Decisions of each scene, by its name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    distance: float
    tile: int
    seed: int
    radius: float
    scenes: dict[str, tuple[Decision, ...]]

    def blind(self, name: str, mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Find the labeled px of a scene that no tile around them decides.

        Parameters
        ----------
        name : str
            Name of the scene.
        mask : ndarray of uint8 [H, W]
            Its mask; 255 is not labeled.

        Returns
        -------
        ndarray of bool [H, W]
            True where every tile that holds the px, wherever it lies, shows nothing of a location that decides it.
        """
        reach = nearest_locations(self.scenes[name], mask.shape, metric=np.inf)[0]
        return np.asarray((mask != 255) & (reach >= self.tile + self.radius))


def nearest_locations(
    decisions: Sequence[Decision], shape: tuple[int, ...], *, metric: float = 2
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Find the nearest location that decides each px.

    Parameters
    ----------
    decisions : sequence of Decision
        Decisions of a scene.
    shape : tuple of 2 int
        (height, width) of the scene, px.
    metric : float, optional
        2 for Euclid's distance, infinity for the larger one of the distances along y and x.

    Returns
    -------
    distance : ndarray of float32 [H, W]
        Distance, px; infinite where nothing is decided.
    location : ndarray of float32 [H, W, 2]
        (y, x) of the location, px; NaN where nothing is decided.
    """
    distance = np.full(shape, np.inf, np.float32)
    location = np.full((*shape, 2), np.nan, np.float32)
    for decision in decisions:
        y0, x0, y1, x1 = decision.box
        points = np.moveaxis(np.mgrid[y0:y1, x0:x1], 0, -1) + 0.5
        locations = np.array(decision.locations)
        found, index = cKDTree(locations).query(points.reshape(-1, 2), p=metric)
        distance[y0:y1, x0:x1] = found.reshape(points.shape[:2])
        location[y0:y1, x0:x1] = locations[index].reshape(points.shape)
    return distance, location


def read_far_labels(folder: Path | str) -> FarLabels:
    """Read the record of a data set of far labels.

    Parameters
    ----------
    folder : Path or str
        Folder of the data set.

    Returns
    -------
    FarLabels
        The record.

    Raises
    ------
    InputError
        There is no record, or it is damaged.
    """
    path = Path(folder) / RECORD
    try:
        return FarLabels.model_validate_json(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise InputError(f"{path}: is not the record of a data set of far labels; make the data set anew.") from error
