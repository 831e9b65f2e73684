"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fctl_napari.exceptions import ConfigError
from fctl_napari.imagery.band_names import Bands
from fctl_napari.segmentation.jobs.parameters import (
    BANDS,
    BATCH,
    DEVICE,
    ENGINE,
    EXACT_CONTEXTS,
    PRECISION,
    REGION,
    VALUE_RANGE,
    Precision,
)
from fctl_napari.windows import IntWindow


def stated_bands(bands: tuple[int, int, int] | None, band_names: str | None) -> Bands | None:
    """Return what the two options say of an image's bands.

    Parameters
    ----------
    bands : tuple of 3 int or None
        Of ``--bands``.
    band_names : str or None
        Of ``--band-names``.

    Returns
    -------
    Bands or None
        The one that is given.

    Raises
    ------
    ConfigError
        Both are given, or a name is empty.
    """
    if band_names is None:
        return bands
    if bands is not None:
        raise ConfigError("--bands and --band-names both say which band is red; give one of them.")
    names = tuple(name.strip() for name in band_names.split(","))
    if not all(names):
        raise ConfigError(f"--band-names {band_names}: holds an empty name; separate the names by commas.")
    return names


def image_location(text: str) -> str:
    """Convert an argument to the location of an image: of an asset, where it names a STAC item."""
    from fctl_napari.imagery.formats.stac import asset_location

    return str(asset_location(text))


BandsOption = Annotated[
    tuple[int, int, int] | None,
    typer.Option("--bands", metavar="R G B", help=BANDS.help),
]
BandNamesOption = Annotated[
    str | None, typer.Option("--band-names", metavar="NAME,NAME,...", help="Names of all channels in their order.")
]
BatchOption = Annotated[int | None, typer.Option("--batch", min=1, help=BATCH.help)]
CheckpointOption = Annotated[
    str, typer.Option("--checkpoint", metavar="earth|aerial|FILE", help="A built-in checkpoint or a file.")
]
CorrectionsOption = Annotated[
    Path | None,
    typer.Option(
        "--corrections",
        metavar="C.ome.zarr",
        help="Corrections that are part of the map, in place of those beside the image.",
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", help=DEVICE.help)]
EngineOption = Annotated[str, typer.Option("--engine", help=ENGINE.help)]
ExactContextsOption = Annotated[bool, typer.Option("--exact-contexts", help=EXACT_CONTEXTS.help)]
ImageArgument = Annotated[
    str,
    typer.Argument(
        parser=image_location, metavar="IMAGE", help="The image, its http address, or ITEM.json#ASSET (STAC)."
    ),
]
ImagesArgument = Annotated[
    list[str],
    typer.Argument(
        parser=image_location,
        metavar="IMAGE...",
        help="The image, its http address, or ITEM.json#ASSET (STAC). Several, a folder or a quoted glob are one job.",
    ),
]
ImageNumberOption = Annotated[
    int | None,
    typer.Option(
        "--image", min=0, metavar="N", help="Number of the image in a file of several, as fctl info lists them."
    ),
]
JsonOption = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write this as JSON too.")]
PrecisionOption = Annotated[Precision, typer.Option("--precision", help=PRECISION.help)]
RangeOption = Annotated[
    tuple[float, float] | None,
    typer.Option("--range", metavar="LO HI", help=VALUE_RANGE.help),
]
RawOption = Annotated[bool, typer.Option("--raw", help="The prediction alone, without corrections.")]
RegionOption = Annotated[
    IntWindow | None,
    typer.Option("--region", metavar="Y0 X0 Y1 X1", help=REGION.help),
]
SchedulerOption = Annotated[
    str | None, typer.Option("--scheduler", metavar="ADDRESS", help="A dask scheduler to use instead of a worker here.")
]
SegmentationArgument = Annotated[Path, typer.Argument(metavar="S.ome.zarr", help="A segmentation.")]
