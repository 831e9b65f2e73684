"""``fctl export``: a segmentation for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fctl_napari.cli.options import RegionOption, SegmentationArgument
from fctl_napari.cli.region import region_inside
from fctl_napari.files import local_path

if TYPE_CHECKING:
    from fctl_napari.export.losses import ExportLosses

TargetArgument = Annotated[
    Path,
    typer.Argument(
        parser=local_path,
        metavar="OUT",
        help=".png or .tif: class indices (255 = none), a cloud-optimised GeoTIFF where georeferenced; .geojson, "
        ".gpkg: polygons; .coco.json: annotations; .ome.zarr or IMAGE.ome.zarr/labels/NAME: an OME-Zarr label.",
    ),
]
KindOption = Annotated[Literal["coco", "geojson"] | None, typer.Option(help="What a file that ends in .json is to be.")]
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
    kind: KindOption = None,
    region: RegionOption = None,
    simplify: SimplifyOption = None,
    min_area: MinAreaOption = 0,
) -> None:
    """Write the classes for other programs: raster, polygons, COCO or OME-Zarr labels, by the end of the name."""
    from fctl_napari.cli.output import counting, out
    from fctl_napari.export.export import export as export_classes
    from fctl_napari.export.losses import ExportLosses
    from fctl_napari.segmentation.store.store import Segmentation

    store = Segmentation.open(segmentation)
    region = region_inside(region, store.shape, segmentation)
    losses = ExportLosses()
    with counting("Exporting") as report:
        written = export_classes(
            store,
            target,
            kind=kind,
            region=region,
            simplify=simplify,
            min_area=min_area,
            losses=losses,
            progress=report,
        )
    say_losses(losses)
    out.print(str(written), highlight=False, soft_wrap=True)


def say_losses(losses: ExportLosses) -> None:
    """Say on stderr what polygons leave out."""
    from fctl_napari.cli.output import err

    for sentence in losses.sentences():
        err.print(sentence, highlight=False, markup=False, soft_wrap=True)
