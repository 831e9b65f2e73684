"""The paper's ablations: ``fctl ablate list``, ``run``, ``report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from fctl_napari.cli.options import (
    BandNamesOption,
    BandsOption,
    DeviceOption,
    PrecisionOption,
    RangeOption,
    stated_bands,
)
from fctl_napari.exceptions import ConfigError, InputError
from fctl_napari.files import atomic_write, local_path
from fctl_napari.segmentation.jobs.parameters import DEVICE, PRECISION

Contexts = Literal["deepglobe", "inria"]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    ablate_app = typer.Typer(no_args_is_help=True, help="The paper's ablations.")
    ablate_app.command("list")(list_ablations)
    ablate_app.command("run")(run)
    ablate_app.command("report")(report)
    app.add_typer(ablate_app, name="ablate")


def table_number(text: str) -> int:
    """Convert an argument to the number of a table."""
    from fctl_napari.ablation.bands import BANDS

    if text == "bands":
        return BANDS
    if not text.isdigit():
        raise ConfigError(f"there is no ablation table {text!r}; choose among bands, 3, 4, 5, 6.")
    return int(text)


def list_ablations() -> None:
    """List every row of the paper's Tables 3 to 6 with its config and the paper's mIoU."""
    from fctl_napari.ablation.tables import ablation_rows
    from fctl_napari.cli.tables import show_ablations

    show_ablations(ablation_rows())


def run(
    tables: Annotated[
        list[int],
        typer.Argument(
            parser=table_number,
            metavar="TABLE...",
            help="3 (contexts, GPE), 4 (sizes), 5, 6 (ALE), or bands: the network without each of its bands.",
        ),
    ],
    recipe: Annotated[
        str, typer.Option(metavar="CONFIG", help="How every row is trained: a TOML file, or a built-in one.")
    ] = "earth",
    data: Annotated[Path, typer.Option(metavar="DIR", help="Where the config's relative paths start.")] = Path(),
    holdout: Annotated[
        str | None, typer.Option(metavar="GROUP", help="The group of scenes that is measured, not trained on.")
    ] = None,
    rows: Annotated[
        list[str] | None,
        typer.Option("--row", metavar="NAME", help="Only this row (fctl ablate list names them); may be repeated."),
    ] = None,
    contexts: Annotated[
        Contexts | None,
        typer.Option(help="Whose context sizes, in tiles.  [default: inria; deepglobe for the sample scene]"),
    ] = None,
    base: Annotated[str | None, typer.Option(metavar="PRESET", help="What rows change.  [default: CONFIG's]")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each row.")] = 3,
    steps: Annotated[int | None, typer.Option(min=1, help="Optimizer steps of each run.  [default: CONFIG's]")] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="Instead: as many steps as the costliest row makes in this time.")
    ] = None,
    frozen_encoders: Annotated[
        Path | None,
        typer.Option(
            metavar="CHECKPOINT",
            help="Every row takes these encoders as they are; their features are kept on disk. "
            "A built-in name: as its first stage left them.",
        ),
    ] = None,
    tiles: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Augmented tiles that are then trained on.  [default: 800]")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="A setting in place of CONFIG's; paths start here; may be repeated."
        ),
    ] = None,
    value_range: RangeOption = None,
    bands: BandsOption = None,
    band_names: BandNamesOption = None,
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Published weights that encoders start from.")
    ] = None,
    target: Annotated[
        Path, typer.Option("--out", parser=local_path, metavar="DIR", help="Table, runs and features.")
    ] = Path("runs/ablation"),
    device: DeviceOption = DEVICE.default,
    precision: PrecisionOption = PRECISION.default,
    scheduler: Annotated[str | None, typer.Option(metavar="ADDRESS", help="A dask cluster to run on.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Processes here.  [default: by memory and cores, or GPUs]")
    ] = None,
) -> None:
    """Train and measure every row of tables with the same budget; the same call resumes where it was stopped."""
    from fctl_napari.ablation.plan import TILES
    from fctl_napari.api.progress import Bar
    from fctl_napari.api.training import ablate
    from fctl_napari.cli.output import counting, out
    from fctl_napari.training.recipes import parse_overrides

    stated = stated_bands(bands, band_names)
    given: dict[str, object] = {
        "data.holdout": holdout,
        "data.value_range": value_range and list(value_range),
        "data.bands": stated and list(stated),
        "encoder_weights": None if weights is None else str(weights.absolute()),
    }
    if weights is not None and frozen_encoders is not None:
        raise ConfigError("--weights and --frozen-encoders both say where encoders start; give one.")
    settings = parse_overrides(changes or (), data) | {key: value for key, value in given.items() if value is not None}
    with counting("Ablating") as report:
        table = ablate(
            tables,
            recipe,
            target,
            rows=rows or (),
            data=data,
            settings=settings,
            contexts=contexts,
            base=base,
            seeds=seeds,
            steps=steps,
            minutes=minutes,
            frozen_encoders=frozen_encoders,
            tiles=tiles or TILES,
            device=device,
            precision=precision,
            scheduler=scheduler,
            workers=workers,
            progress=Bar(report),
        )
    out.print(str(table.path), highlight=False, soft_wrap=True)


def report(
    results: Annotated[list[Path], typer.Argument(metavar="CSV...", help="Tables of fctl ablate run.")],
    target: Annotated[
        Path | None, typer.Option("--out", parser=local_path, metavar="FILE.md", help="Write the tables here too.")
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE.png|svg|pdf", help="Draw the gains, here and in the paper.")
    ] = None,
) -> None:
    """Print results in the layout of the paper's tables, beside its figures, and say where the order differs."""
    from fctl_napari.ablation.report import report as write_report
    from fctl_napari.ablation.report import studies
    from fctl_napari.ablation.results import read_results
    from fctl_napari.cli.output import out

    found = []
    for path in results:
        if not path.exists():
            raise InputError(f"{path}: there is no such file; check the path, or make it with fctl ablate run.")
        held = read_results(path)
        if not held:
            raise InputError(f"{path}: holds no results yet; make some with fctl ablate run.")
        found += held
    text = write_report(found)
    out.print(text, highlight=False, soft_wrap=True, markup=False)
    if target is not None:
        with atomic_write(target, "w") as file:
            file.write(text)
    if figure is not None:
        from fctl_napari.ablation.figure import ablation_figure
        from fctl_napari.figures.files import save_figure

        save_figure(ablation_figure(studies(found)), figure)
