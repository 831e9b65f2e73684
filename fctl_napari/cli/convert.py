"""Conversion to OME-Zarr: ``fctl convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fctl_napari.cli.options import (
    BandNamesOption,
    BandsOption,
    ImageNumberOption,
    RangeOption,
    image_location,
    stated_bands,
)
from fctl_napari.files import local_path


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command()(convert)


def convert(
    source: Annotated[
        str,
        typer.Argument(parser=image_location, metavar="IN", help="Any image that can be opened, or its http address."),
    ],
    target: Annotated[
        Path,
        typer.Argument(parser=local_path, metavar="OUT.ome.zarr", help="The pyramid to write; resumes if cut short."),
    ],
    value_range: RangeOption = None,
    bands: BandsOption = None,
    band_names: BandNamesOption = None,
    image_number: ImageNumberOption = None,
) -> None:
    """Turn an image into an OME-Zarr pyramid, block by block."""
    from fctl_napari.cache.limit import make_room
    from fctl_napari.cache.use import use
    from fctl_napari.cli.facts import say_images
    from fctl_napari.cli.output import counting, out
    from fctl_napari.imagery.convert import convert as convert_image
    from fctl_napari.imagery.numbered import with_number
    from fctl_napari.imagery.open import open_image
    from fctl_napari.imagery.pyramid_size import estimated_bytes
    from fctl_napari.words import size_of

    pyramid = open_image(
        with_number(source, image_number), value_range=value_range, bands=stated_bands(bands, band_names)
    )
    say_images(pyramid)
    size = estimated_bytes(pyramid)
    made = use(target)  # so that nobody clears it away while it is made
    make_room(target, size)
    with counting(f"Converting to {target.name}, about {size_of(size)}") as report:
        written = convert_image(pyramid, target, progress=report)
    if made is not None:
        made.end()
    out.print(str(written), highlight=False, soft_wrap=True)
