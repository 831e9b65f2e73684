"""Refinement of masks after CascadePSP: ``fctl refine``, ``fctl refiner train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from fctl_napari.files import local_path

Precision = Literal["auto", "fp32", "bf16"]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    refiner_app = typer.Typer(no_args_is_help=True, help="Networks that refine masks (CascadePSP).")
    refiner_app.command("train")(train_refiner)
    refiner_app.callback()(lambda: None)  # else `train`, being alone, would have no name
    app.add_typer(refiner_app, name="refiner")
    app.command()(refine)


def refine(
    segmentation: Annotated[Path, typer.Argument(metavar="S.ome.zarr", help="A segmentation; it stays as it is.")],
    refiner: Annotated[Path, typer.Option(metavar="FILE", help="From `fctl refiner train`.")],
    target: Annotated[
        Path, typer.Option("--out", parser=local_path, metavar="R.ome.zarr", help="Where the refined one is kept.")
    ],
    region: Annotated[
        tuple[int, int, int, int] | None, typer.Option(metavar="Y0 X0 Y1 X1", help="Only this part, px; half open.")
    ] = None,
    crop: Annotated[int, typer.Option(min=64, help="Side of a crop, px.")] = 512,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    precision: Annotated[Precision, typer.Option(help="Arithmetic of the network.")] = "auto",
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over what other settings made.")] = False,
) -> None:
    """Refine the outlines of a segmentation by its image; what is done is kept, and a second run goes on from there."""
    from fctl_napari.cli_output import counting, out
    from fctl_napari.segmentation.refining import refine_segmentation
    from fctl_napari.segmentation.store import Segmentation

    with counting("Refining") as report:
        refined = refine_segmentation(
            Segmentation.open(segmentation),
            refiner,
            target,
            region=region,
            crop=crop,
            device=device,
            precision=precision,
            fresh=fresh,
            progress=report,
        )
    done = refined.done()
    out.print(f"{target}: {done.sum()} of {done.size} crops", highlight=False, soft_wrap=True)


def train_refiner(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A TOML file: [data] as for fctl train.")],
    target: Annotated[Path, typer.Option("--out", metavar="FILE.safetensors", help="The refiner to write.")],
    data: Annotated[Path, typer.Option(metavar="DIR", help="Where the config's relative paths start.")] = Path(),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Train a refiner on truths that are roughened at random."""
    from fctl_napari.cli_output import counting, out
    from fctl_napari.learning.refiner import load_refiner_config
    from fctl_napari.learning.refiner import train_refiner as run_training

    settings = load_refiner_config(config)
    with counting("Training") as report:
        written = run_training(
            settings,
            target,
            data_folder=data,
            device=device,
            progress=lambda step, steps, loss: report(step, steps, f"loss {loss:.3f}"),
        )
    out.print(str(written), highlight=False, soft_wrap=True)
