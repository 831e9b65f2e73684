"""Choice between the final map and the prediction alone, by the options ``--raw`` and ``--corrections``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fctl_napari.exceptions import ConfigError

if TYPE_CHECKING:
    from fctl_napari.correcting.final_map import FinalMap
    from fctl_napari.segmentation.store.store import Segmentation


def chosen_map(
    segmentation: Segmentation, raw: bool, corrections: Path | None, *, ground_truth: Path | None = None
) -> tuple[Segmentation | FinalMap, list[str]]:
    """Choose the map that a command works on, see ``correcting.chosen_map``, with notes for ``output.say``."""
    from fctl_napari.correcting.chosen_map import chosen_map as choose
    from fctl_napari.correcting.final_map import FinalMap

    if raw and corrections is not None:
        raise ConfigError("--raw leaves corrections out and --corrections names some; give one of them.")
    chosen, notes = choose(segmentation, raw=raw, corrections=corrections, ground_truth=ground_truth)
    if isinstance(chosen, FinalMap):
        notes[-1] += "; --raw leaves them out"
    return chosen, notes
