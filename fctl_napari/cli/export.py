"""Export of a segmentation for other programs: ``fctl export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fctl_napari.cli.chosen_map import chosen_map
from fctl_napari.cli.options import CorrectionsOption, RawOption, RegionOption, SegmentationArgument
from fctl_napari.cli.region import region_inside
from fctl_napari.files import local_path

if TYPE_CHECKING:
    from fctl_napari.exporting.losses import ExportLosses

TargetArgument = Annotated[
    Path,
    typer.Argument(
        parser=local_path,
        metavar="OUT",
        help=".png or .tif: class indices (255 = none), a cloud-optimized GeoTIFF where georeferenced; .geojson, "
        ".gpkg: polygons; .coco.json: annotations; .ome.zarr or IMAGE.ome.zarr/labels/NAME: an OME-Zarr label. Beside "
        ".tif, .gpkg and .geojson lies a style for QGIS (.qml).",
    ),
]
KindOption = Annotated[Literal["coco", "geojson"] | None, typer.Option(help="What a file that ends in .json is to be.")]
MapKindOption = Annotated[
    Literal["coco", "geojson", "provenance"] | None,
    typer.Option(
        help="What a file that ends in .json is to be; or provenance: a raster of 0 not computed, 1 predicted, 2 "
        "corrected, 3 accepted, 4 not sure."
    ),
]
SimplifyOption = Annotated[
    float | None,
    typer.Option(metavar="PX", help="Simplify polygons by about this much; narrower arms vanish, borders stay shared."),
]
MinAreaOption = Annotated[int, typer.Option(metavar="PX", min=0, help="Leave smaller polygons out.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command()(export)


def export(
    segmentation: SegmentationArgument,
    target: TargetArgument,
    kind: MapKindOption = None,
    region: RegionOption = None,
    simplify: SimplifyOption = None,
    min_area: MinAreaOption = 0,
    raw: RawOption = False,
    corrections: CorrectionsOption = None,
) -> None:
    """Write the map for other programs: raster, polygons, COCO or OME-Zarr labels, by the end of the name.

    The map is the prediction with the corrections that lie beside the image.
    """
    from fctl_napari.api.exporting import export as export_map
    from fctl_napari.cli.output import counting, out, say
    from fctl_napari.exporting.losses import ExportLosses

    chosen, notes = chosen_map(segmentation, raw, corrections)
    region = region_inside(region, chosen.shape, segmentation)
    losses = ExportLosses()
    with counting("Exporting") as report:
        written = export_map(
            chosen,
            target,
            kind=kind,
            region=region,
            simplify=simplify,
            min_area=min_area,
            losses=losses,
            progress=report,
        )
    say(notes)
    say_losses(losses)
    out.print(str(written), highlight=False, soft_wrap=True)


def say_losses(losses: ExportLosses) -> None:
    """Print on stderr what polygons leave out."""
    from fctl_napari.cli.output import say

    say(losses.sentences())
