"""Choice between the final map and the prediction alone, by the options ``--raw`` and ``--corrections``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fctl_napari.exceptions import ConfigError

if TYPE_CHECKING:
    from fctl_napari.api.maps import Map


def chosen_map(
    segmentation: Path, raw: bool, corrections: Path | None = None, *, ground_truth: Path | None = None
) -> tuple[Map, list[str]]:
    """Open the map that a command works on, with notes for ``output.say``."""
    from fctl_napari.api.maps import Map

    if raw and corrections is not None:
        raise ConfigError("--raw leaves corrections out and --corrections names some; give one of them.")
    chosen = Map(segmentation, raw=raw, corrections=corrections)
    if ground_truth is not None:
        chosen = chosen.compared_with(ground_truth)
    return chosen, said(chosen.notes)


def said(notes: list[str]) -> list[str]:
    """Return the notes on a map as its command says them."""
    return [f"{note}; --raw leaves them out" if note.startswith("with ") else note for note in notes]
