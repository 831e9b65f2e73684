"""The option ``--region`` of all commands that work on a part of an image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fctl_napari.errors import InputError

Region = tuple[int, int, int, int]

RegionOption = Annotated[
    Region | None,
    typer.Option(metavar="Y0 X0 Y1 X1", help="Only this part, px; half open. What lies beyond the image is cut off."),
]


def region_inside(region: Region | None, shape: tuple[int, int], path: Path | str | None) -> Region | None:
    """Cut a region to an image, and say so on stderr if it reached beyond.

    Parameters
    ----------
    region
        (y0, x0, y1, x1) px; None: the whole image.
    shape
        (height, width) of the image, px.
    path
        The image, or what is of it.

    Raises
    ------
    InputError
        The region holds no pixel of the image.
    """
    from fctl_napari.cli.output import err

    if region is None:
        return None
    height, width = shape
    y0, x0, y1, x1 = region
    inside = max(y0, 0), max(x0, 0), min(y1, height), min(x1, width)
    if inside[2] <= inside[0] or inside[3] <= inside[1]:
        raise InputError(
            f"{path}: region {y0} {x0} {y1} {x1} holds no pixel of the {height} x {width} px image (height x width); "
            "give Y0 X0 Y1 X1 with Y0 < Y1 and X0 < X1."
        )
    if inside != region:
        cut = " ".join(map(str, inside))
        err.print(
            f"{path}: region {y0} {x0} {y1} {x1} reaches beyond the {height} x {width} px image (height x width); it "
            f"was cut to {cut}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    return inside
