"""The option ``--region`` of all commands that work on a part of an image."""

from __future__ import annotations

from pathlib import Path

from fctl_napari.windows import IntWindow, require_region


def region_inside(region: IntWindow | None, shape: tuple[int, int], path: Path | str | None) -> IntWindow | None:
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
    inside = require_region(region, shape, path)
    if inside != region:
        height, width = shape
        asked, cut = (" ".join(map(str, window)) for window in (region, inside))
        err.print(
            f"{path}: region {asked} reaches beyond the {height} x {width} px image (height x width); it was cut to "
            f"{cut}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    return inside
