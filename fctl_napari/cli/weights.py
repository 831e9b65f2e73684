"""Files of weights: ``fctl weights check``, ``fctl import-released``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    weights_app = typer.Typer(no_args_is_help=True, help="Files of weights.")
    weights_app.command("check")(check_weights)
    app.add_typer(weights_app, name="weights")
    app.command("import-released")(import_released)


def check_weights(file: Annotated[Path, typer.Argument(metavar="FILE", help="Weights, in any known layout.")]) -> None:
    """Say what a file of weights is and which presets take it."""
    from fctl_napari.cli.facts import show_facts
    from fctl_napari.model.weight_files import identify

    found = identify(file)
    show_facts({"file": str(file), "is": found.what, "use": found.use, "presets": "; ".join(found.presets) or "-"})


def import_released(
    whole: Annotated[Path, typer.Argument(metavar="ALL.pth", help="all.epoch.pth: the tile's file.")],
    medium: Annotated[Path, typer.Argument(metavar="MEDIUM.pth", help="B10.epoch.pth: the context x2.")],
    large: Annotated[Path, typer.Argument(metavar="LARGE.pth", help="B15.epoch.pth: the context x3.")],
    target: Annotated[Path, typer.Argument(metavar="OUT.safetensors", help="The checkpoint to write.")],
    classes: Annotated[
        str,
        typer.Option(
            metavar="NAME|N|FILE", help="The class table: inria, deepglobe, ..., N numbered classes, or a file."
        ),
    ],
) -> None:
    """Turn the authors' three released files into one checkpoint (preset lcc_released)."""
    from fctl_napari.cli.output import err, out
    from fctl_napari.datasets.class_tables import class_table
    from fctl_napari.model.released import import_released as import_files

    table = class_table(classes)
    with err.status("Importing"):
        written = import_files(whole, medium, large, target, table)
    out.print(str(written), highlight=False, soft_wrap=True)
