"""Options and arguments that several commands have, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from fctl_napari.windows import IntWindow

Precision = Literal["auto", "fp32", "bf16"]

BandsOption = Annotated[
    tuple[int, int, int] | None,
    typer.Option("--bands", metavar="R G B", help="Which channels are red, green and blue, from 0."),
]
BatchOption = Annotated[int | None, typer.Option("--batch", min=1, help="Tiles at once.")]
CheckpointOption = Annotated[
    str, typer.Option("--checkpoint", metavar="earth|aerial|FILE", help="A built-in checkpoint or a file.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
ExactContextsOption = Annotated[
    bool, typer.Option("--exact-contexts", help="Contexts from full resolution, as released checkpoints want.")
]
JsonOption = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write this as JSON too.")]
PrecisionOption = Annotated[Precision, typer.Option("--precision", help="Arithmetic of the network.")]
RangeOption = Annotated[
    tuple[float, float] | None,
    typer.Option("--range", metavar="LO HI", help="Values that become black and white (16-bit and float images)."),
]
RegionOption = Annotated[
    IntWindow | None,
    typer.Option(
        "--region", metavar="Y0 X0 Y1 X1", help="Only this part, px; half open. What lies beyond the image is cut off."
    ),
]
SchedulerOption = Annotated[
    str | None, typer.Option("--scheduler", metavar="ADDRESS", help="A dask scheduler to use instead of a worker here.")
]
SegmentationArgument = Annotated[Path, typer.Argument(metavar="S.ome.zarr", help="A segmentation.")]
