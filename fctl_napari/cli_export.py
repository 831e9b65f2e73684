"""``fctl export``: a segmentation for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from fctl_napari.files import local_path

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
RegionOption = Annotated[
    tuple[int, int, int, int] | None, typer.Option(metavar="Y0 X0 Y1 X1", help="Only this part, px; half open.")
]
SimplifyOption = Annotated[
    float | None, typer.Option(metavar="PX", help="Simplify polygons by about this much; shared borders stay shared.")
]
MinAreaOption = Annotated[int, typer.Option(metavar="PX", min=0, help="Leave smaller polygons out.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command()(export)


def export(
    segmentation: Annotated[Path, typer.Argument(metavar="S.ome.zarr", help="A segmentation.")],
    target: TargetArgument,
    kind: KindOption = None,
    region: RegionOption = None,
    simplify: SimplifyOption = None,
    min_area: MinAreaOption = 0,
) -> None:
    """Write the classes for other programs: raster, polygons, COCO or OME-Zarr labels, by the end of the name."""
    from fctl_napari.cli_output import counting, out
    from fctl_napari.segmentation.export import export as export_classes
    from fctl_napari.segmentation.store import Segmentation

    store = Segmentation.open(segmentation)
    with counting("Exporting") as report:
        written = export_classes(
            store, target, kind=kind, region=region, simplify=simplify, min_area=min_area, progress=report
        )
    out.print(str(written), highlight=False, soft_wrap=True)
