"""Choice between the final map and the prediction alone, for all that delivers a map or measures it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fctl_napari.correcting.correction_store import half_made
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.correcting.final_map import FinalMap, find_final_map
from fctl_napari.exceptions import ConfigError
from fctl_napari.segmentation.store.identity import same_image
from fctl_napari.segmentation.store.result_paths import usual_corrections
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.segmentation.store.stored_image import stored_image


def chosen_map(
    segmentation: Segmentation, *, raw: bool = False, corrections: Path | None = None
) -> tuple[Segmentation | FinalMap, list[str]]:
    """Choose the map of a segmentation: the final map, or the prediction alone.

    Parameters
    ----------
    segmentation : Segmentation
        The prediction, opened.
    raw : bool, optional
        If True, the prediction alone.
    corrections : Path or None, optional
        Corrections that are part of the map. None takes those at the usual path, if they are of this image.

    Returns
    -------
    chosen : Segmentation or FinalMap
        The final map, or the segmentation where there are no corrections.
    notes : list of str
        Sentences on the corrections that are part of it, and on those that lie there and are not.

    Raises
    ------
    ConfigError
        The prediction alone is wanted, and corrections are named.
    InputError
        The corrections are missing, damaged, or of another image.
    """
    if raw and corrections is not None:
        raise ConfigError(f"{corrections}: is no part of the prediction alone; leave one of the two out.")
    if raw:
        return segmentation, []
    if corrections is not None:
        final: FinalMap | None = FinalMap(segmentation, Corrections.open(corrections))
        notes = []
    else:
        final = find_final_map(segmentation)
        notes = list(_notes_on_others(segmentation))
    if final is None:
        return segmentation, notes
    return final, [*notes, f"with {used(final)}"]


def used(final: FinalMap) -> str:
    """Describe the corrections in a final map.

    Parameters
    ----------
    final : FinalMap
        The map.

    Returns
    -------
    str
        Number of px, and the name of their folder.
    """
    counts = final.counts()
    not_sure = f" ({counts['not sure']:,} more are not sure, and stay as predicted)" if counts["not sure"] else ""
    return f"{counts['corrected']:,} corrected px of {final.corrections.path.name}{not_sure}"


def used_json(final: FinalMap) -> dict[str, str | int]:
    """Return the corrections in a final map as plain values.

    Parameters
    ----------
    final : FinalMap
        The map.

    Returns
    -------
    dict of str to str or int
        Path and counts of px.
    """
    counts = final.counts()
    return {
        "path": str(final.corrections.path),
        "corrected_px": counts["corrected"],
        "not_sure_px": counts["not sure"],
    }


def _notes_on_others(segmentation: Segmentation) -> Iterator[str]:
    """Yield sentences on what lies at the usual paths and is left out."""
    image = segmentation.facts["image"]
    for path in usual_corrections(image, segmentation.path):
        stored = stored_image(path)
        if stored is None and not half_made(path):
            yield f"{path}: is damaged or holds no corrections, and is left out"
        elif stored is not None and not same_image(stored, image):
            yield f"{path}: holds corrections of another image than {segmentation.path}, and is left out"
