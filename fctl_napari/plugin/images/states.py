"""States of the images of a list, as their files on disk show them (read in a thread)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fctl_napari.api.locations import cache_folder
from fctl_napari.correcting.correction_store import INDEX, JOURNAL
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.evaluation.review_marks import Marks, marks_path
from fctl_napari.exceptions import FctlError, InputError
from fctl_napari.imagery.naming import corrections_path
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.plugin.layers.stored_results import results_of
from fctl_napari.segmentation.store.result_paths import own_corrections
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.words import count_of


@dataclass(frozen=True)
class ImageState:
    """State of an image.

    Attributes
    ----------
    share : float
        Share of the tiles of its result that are there, 0..1. Of several results that of the chosen checkpoint counts,
        else the one that is furthest.
    network : str
        Name of the result's checkpoint. Empty without a result.
    reviewed : int
        Number of regions that people have marked.
    corrections : Path or None
        Location of the corrections, if something is painted there.
    problem : str
        Why the image cannot be opened. Empty if it can.
    watched : tuple of Path
        Files that change when the image is corrected or reviewed.
    """

    share: float = 0.0
    network: str = ""
    reviewed: int = 0
    corrections: Path | None = None
    problem: str = ""
    watched: tuple[Path, ...] = ()

    @property
    def _percent(self) -> str:
        """Share of a part, which is rounded neither to nothing nor to all."""
        return f"{max(int(100 * self.share), 1 if self.share else 0)}%"

    def word(self) -> str:
        """Return the furthest of the states, empty if the image is untouched."""
        if self.problem:
            return "not readable"
        if self.corrections is not None:
            return "corrected"
        if self.reviewed:
            return "reviewed"
        if self.share >= 1:
            return "segmented"
        return f"{self._percent} segmented" if self.share else ""

    def sentence(self) -> str:
        """Describe all that is known, or the problem."""
        if self.problem:
            return self.problem
        share = "" if self.share >= 1 else f"{self._percent} "
        words = [f"{share}segmented by {self.network}"] if self.network else ["not segmented yet"]
        if self.reviewed:
            words.append(f"{count_of(self.reviewed, 'region')} reviewed")
        if self.corrections is not None:
            words.append("corrected")
        return ", ".join(words)


def read_state(location: str, chosen: str | None) -> ImageState:
    """Read the state of an image.

    Parameters
    ----------
    location : str
        Path of the image.
    chosen : str or None
        SHA-256 of the checkpoint that is chosen.

    Returns
    -------
    ImageState
        The state; of an image that cannot be opened only the problem.
    """
    try:
        image = open_image(location)
        location = named_after(location, image)
        results = results_of(location, image)
        best = max(results, key=lambda found: (found.checkpoint_hash == chosen, _share(found)), default=None)
        path, corrected = corrections_of(location, image)
        watched = [path / JOURNAL, path / INDEX, *(marks_path(found.path) for found in results)]
        return ImageState(
            0.0 if best is None else _share(best),
            "" if best is None else str(best.facts["checkpoint"]["name"]),
            sum(_marks(found) for found in results),
            path if corrected else None,
            watched=tuple(watched),
        )
    except FctlError as error:
        return ImageState(problem=str(error))


def named_after(location: str, image: Pyramid) -> str:
    """Return the location that the files beside an image are named after, as where it is opened alone.

    Parameters
    ----------
    location : str
        Path of the image's file.
    image : Pyramid
        The image, opened.

    Returns
    -------
    str
        The path, with the number of the image in a file of several.
    """
    return image.path if len(image.images) > 1 and image.path is not None else location


def corrections_of(location: str, image: Pyramid) -> tuple[Path, bool]:
    """Find the corrections of an image.

    Parameters
    ----------
    location : str
        Location that they are named after.
    image : Pyramid
        The image, opened.

    Returns
    -------
    path : Path
        Their location, which need not exist.
    corrected : bool
        True if classes are painted there, on this image.

    Raises
    ------
    FctlError
        The image cannot be read, or a folder cannot be made.
    """
    path = own_corrections(corrections_path(location, cache_folder), image)
    if not path.exists():
        return path, False
    try:
        areas = Corrections.open(path, image=image).area_by_class()
    except InputError:
        return path, False  # of another image, or damaged, which is said where they are opened
    return path, any(pixels for name, pixels in areas.items() if name != "not sure")


def _share(result: Segmentation) -> float:
    """Compute the share of the tiles that are there."""
    return float((result.done() | result.inherited()).mean())


def _marks(result: Segmentation) -> int:
    """Count the regions of a result that are marked."""
    try:
        return len(Marks.of_segmentation(result))
    except InputError:
        return 0  # the tab Errors says what is wrong with them
