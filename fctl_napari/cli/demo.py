"""The demo and the sample scene: ``fctl demo``, ``fctl sample``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fctl_napari.files import local_path


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command()(demo)
    app.command()(sample)


def demo() -> None:
    """Open napari with the sample scene, segment it and compare with the ground truth."""
    from fctl_napari.plugin.demo import run_demo

    run_demo()


def sample(
    folder: Annotated[Path, typer.Argument(parser=local_path, metavar="DIR", help="The OME-Zarr to write.")],
) -> None:
    """Write the sample scene as an OME-Zarr pyramid with its ground truth under labels/."""
    from fctl_napari.cli.output import counting, out
    from fctl_napari.imagery.sample import write_sample

    with counting("Writing the sample scene") as report:
        written = write_sample(folder, progress=report)
    out.print(str(written), highlight=False, soft_wrap=True)
