"""Refinement of masks: ``fctl refine``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fctl_napari.cli.options import BatchOption, DeviceOption, PrecisionOption, RegionOption, SchedulerOption
from fctl_napari.cli.region import region_inside
from fctl_napari.files import local_path
from fctl_napari.segmentation.jobs.parameters import DEVICE, PRECISION
from fctl_napari.words import count_of


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command()(refine)


def refine(
    segmentation: Annotated[Path, typer.Argument(metavar="S.ome.zarr", help="A segmentation; it stays as it is.")],
    refiner: Annotated[
        Path, typer.Option(metavar="FILE", help="From `fctl train refiner` or `fctl train cascadepsp`.")
    ],
    target: Annotated[
        Path, typer.Option("--out", parser=local_path, metavar="R.ome.zarr", help="Where the refined one is kept.")
    ],
    region: RegionOption = None,
    device: DeviceOption = DEVICE.default,
    batch: BatchOption = None,
    precision: PrecisionOption = PRECISION.default,
    scheduler: SchedulerOption = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over what other settings made.")] = False,
) -> None:
    """Refine a segmentation by its image, tile by tile, overlaps averaged; a second run resumes where one stopped."""
    from fctl_napari.api.maps import Map
    from fctl_napari.api.progress import Bar
    from fctl_napari.api.segmenting import refine as refine_map
    from fctl_napari.cli.output import counting, out

    coarse = Map(segmentation, raw=True)
    cells = 0
    with counting(f"Refining with {refiner.stem}") as report:

        def show(done: int, total: int, note: str = "") -> None:
            nonlocal cells
            cells = done
            report(done, total, note)

        refine_map(
            coarse,
            refiner,
            target,
            region=region_inside(region, coarse.shape, segmentation),
            device=device,
            precision=precision,
            batch=batch,
            fresh=fresh,
            scheduler=scheduler,
            progress=Bar(show),
        )
    out.print(f"{target}: {count_of(cells, 'cell')} by {refiner.stem}", highlight=False, soft_wrap=True)
