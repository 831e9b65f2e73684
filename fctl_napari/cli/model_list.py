"""Checkpoints at hand: ``fctl model list``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fctl_napari.finetuning.checkpoint_list import ListedCheckpoint


def model_list(
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Folder whose checkpoints are listed, too, and those below.")
    ] = None,
    target: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="The list too.")] = None,
) -> None:
    """List checkpoints, with kind, classes, size of a px, license and figures."""
    from fctl_napari.cli.output import out
    from fctl_napari.files import write_json
    from fctl_napari.finetuning.checkpoint_list import list_checkpoints

    found = list_checkpoints(folder)
    for one in found:
        classes = "no classes yet" if one.card.pretrained else ", ".join(one.card.classes.names)
        name = one.name if one.kind == "built in" else str(one.path)
        facts = one.kind, one.card.config.title, classes, _pixel_size(one), one.license, _figure(one)
        line = f"{name}  {'; '.join(fact for fact in facts if fact)}"
        out.print(line, highlight=False, soft_wrap=True, markup=False)
    if target is not None:
        write_json(target, [one.to_json() for one in found])


def _pixel_size(one: ListedCheckpoint) -> str:
    if one.pixel_size is None:
        return ""
    low, high = one.pixel_size
    return f"{low:g} m/px" if low == high else f"{low:g} to {high:g} m/px"


def _figure(one: ListedCheckpoint) -> str:
    _, figures = one.card.headline()
    return next((f"{name} {value:.3f}" for name, value in figures.items()), "")
