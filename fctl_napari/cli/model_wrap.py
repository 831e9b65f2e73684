"""Contexts for a network that has none: ``fctl model wrap``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fctl_napari.exceptions import ConfigError
from fctl_napari.model.config import Context

DEFAULT = "local,medium=3,large=global"


def model_wrap(
    checkpoint: Annotated[str, typer.Argument(metavar="CHECKPOINT", help="A SegFormer, or an FCtL without contexts.")],
    target: Annotated[Path, typer.Option("--out", metavar="NEW.safetensors", help="The checkpoint to write.")],
    contexts: Annotated[
        str, typer.Option(metavar="NAME=SCALE,...", help="Contexts, and their sides in tiles or global.")
    ] = DEFAULT,
    name: Annotated[str | None, typer.Option(help="Name of the network.  [default: that of the file]")] = None,
) -> None:
    """Wrap a network into FCtL: contexts join that change nothing until it is trained or fine-tuned."""
    from fctl_napari.cli.output import err, out
    from fctl_napari.model.model_card import resolve_checkpoint
    from fctl_napari.model.wrap import wrap_checkpoint

    joined = parse_contexts(contexts)
    with err.status("Wrapping"):
        written = wrap_checkpoint(resolve_checkpoint(checkpoint), target, joined, name)
    out.print(str(written), highlight=False, soft_wrap=True)


def parse_contexts(stated: str) -> tuple[Context, ...]:
    """Read contexts as the command line states them.

    Parameters
    ----------
    stated : str
        Names with their scales: ``"local,medium=3,large=global"``. Only that of ``local`` may be left out, and is 1.

    Returns
    -------
    tuple of Context
        The contexts.

    Raises
    ------
    ConfigError
        There is no such context, or a scale is missing or no number.
    """
    return tuple(_context(part.strip()) for part in stated.split(","))


def _context(part: str) -> Context:
    name, _, scale = part.partition("=")
    if name in ("medium", "large") and not scale:
        raise ConfigError(f"--contexts: {part!r} has no scale; state them as {DEFAULT!r}.")
    try:
        return Context.model_validate({"name": name, "scale": scale or 1.0})
    except ValueError as error:
        raise ConfigError(f"--contexts: {part!r} is no context; state them as {DEFAULT!r}.") from error
