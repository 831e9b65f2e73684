"""Pictures of a row of an ablation: the masks of its networks, and what one of them looked at."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fctl_napari.ablation.plan import AblationRequest
from fctl_napari.ablation.results import Result
from fctl_napari.ablation.run import network_of
from fctl_napari.exceptions import InputError
from fctl_napari.figures.explanation import explanation_figure
from fctl_napari.figures.masks import masks_figure
from fctl_napari.segmentation.jobs.explain import explain
from fctl_napari.training.data import Scene, open_scenes, read_ground_truth

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 80
"""Resolution of the pictures, px per inch."""


def measured_scene(request: AblationRequest) -> Scene:
    """Open the first scene of which a part is measured.

    Parameters
    ----------
    request : AblationRequest
        The request.

    Returns
    -------
    Scene
        Its image and ground truth.

    Raises
    ------
    InputError
        The data cannot be used, or nothing is held out to be measured.
    """
    scenes, _ = open_scenes(request.recipe.data, request.data_folder.absolute())
    for scene in scenes:
        if scene.test or scene.val:
            return scene
    raise InputError("nothing is held out to be measured; give test regions in the recipe.")


def row_pictures(table: Path, results: Sequence[Result], scene: Scene, pixel: tuple[float, float]) -> list[bytes]:
    """Draw the tile of a pixel as a row's networks see it.

    Parameters
    ----------
    table : Path
        The table of the results, in the folder where it was written.
    results : sequence of Result
        Results of one row, one for each seed.
    scene : Scene
        Image and ground truth.
    pixel : tuple of 2 float
        (y, x), full-resolution px.

    Returns
    -------
    list of bytes
        Two PNG files. The masks of all seeds with their errors. The attention and fusion weights of the first one.

    Raises
    ------
    InputError
        A network is gone, or the pixel lies outside the image.
    """
    explained = {f"seed {one.seed}": explain(scene.pyramid, network_of(table, one), pixel) for one in results}
    first = next(iter(explained.values()))
    masks = {title: one.labels - 1 for title, one in explained.items()}
    side = first.tile[2] - first.tile[0]
    ground_truth = read_ground_truth(scene.ground_truth, first.tile, side, (0, 0, *scene.pyramid.shape[:2]))
    return [
        _png(masks_figure(scene.pyramid.read(first.tile), masks, ground_truth, first.class_table)),
        _png(explanation_figure(first, scene.pyramid)),
    ]


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    return file.getvalue()
