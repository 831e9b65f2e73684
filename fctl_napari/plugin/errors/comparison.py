"""Comparison in the tab Errors: a segmentation, its ground truth with a mapping, perhaps a second segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fctl_napari.api.locations import maps_beside
from fctl_napari.evaluation.agreement import Agreement, compare
from fctl_napari.evaluation.error_regions import (
    THRESHOLDS,
    Measure,
    Regions,
    find_disagreements,
    find_errors,
    find_uncertain,
)
from fctl_napari.evaluation.error_types import Color
from fctl_napari.evaluation.evaluation import Evaluation, evaluate
from fctl_napari.evaluation.ground_truth import SegmentationAsGroundTruth
from fctl_napari.evaluation.review_marks import marks_path
from fctl_napari.evaluation.unclear_classes import hints_on
from fctl_napari.exceptions import FctlError
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.imagery.labels.class_mapping import ClassMapping, MappedGroundTruth
from fctl_napari.imagery.labels.class_names import match_names
from fctl_napari.imagery.labels.label_source import LabelSource
from fctl_napari.plugin.common.class_display import displayed
from fctl_napari.plugin.errors.overlay import ErrorLevels
from fctl_napari.plugin.errors.showing import Showing
from fctl_napari.plugin.layers.ground_truth import GroundTruthChoice, held_values, open_choice
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.identity import same_image, take_georeference
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.segmentation.store.stored_image import note_on_image
from fctl_napari.windows import IntWindow

ERRORS, UNCERTAIN, DIFFERENCES = "Errors", "Doubts", "Differences"
"""Kinds of listed regions."""

STATE_CLASSES = "if that is wrong, state what each value is under Classes…"
"""What to do about a ground truth whose values seem to be other classes."""


@dataclass(frozen=True, eq=False)
class Wanted:
    """Request of a comparison.

    Attributes
    ----------
    path : str
        Path of the segmentation's store.
    levels : list of object
        Levels of its layer.
    ground_truth : GroundTruthChoice or None
        Chosen ground truth. None means that there is none.
    mapping : ClassMapping or None
        Mapping of the ground truth's values. None means that one is proposed.
    placed : object
        Labels of a ground truth that a layer shows, in the px of the segmentation, by ``labels_over``.
    second_path : str or None
        Path of the store to compare with, if there is one.
    second_levels : list of object or None
        Levels of its layer.
    """

    path: str
    levels: list[Any]
    ground_truth: GroundTruthChoice | None
    mapping: ClassMapping | None = None
    placed: Any = None
    second_path: str | None = None
    second_levels: list[Any] | None = None


@dataclass(frozen=True, eq=False)
class Comparison:
    """An opened comparison.

    Attributes
    ----------
    segmentation : Segmentation
        The segmentation's store.
    source : LabelSource or None
        Ground truth as it is stored.
    held : list of int
        Values that it holds.
    ground_truth : MappedGroundTruth or None
        Ground truth with its mapping.
    second : Segmentation or None
        Store of the segmentation to compare with.
    kept : Segmentation or None
        Store that holds maps of uncertainty: the same, or one of the same image and checkpoint beside it.
    overlay : ErrorLevels or None
        Levels of the overlay; None if there is nothing to compare with.
    of_another : str
        Note on a ground truth that belongs to another image, else empty.
    """

    segmentation: Segmentation
    source: LabelSource | None
    held: list[int]
    ground_truth: MappedGroundTruth | None
    second: Segmentation | None
    kept: Segmentation | None
    overlay: ErrorLevels | None
    of_another: str = ""

    @property
    def georeference(self) -> Georeference | None:
        """Georeference of the image, or None if it has none."""
        return self.segmentation.georeference

    @property
    def classes(self) -> list[tuple[str, Color]]:
        """Name and color of the scored classes."""
        return [(info.name, info.color) for info in displayed(self.segmentation.class_table).scored]

    @property
    def measures(self) -> list[Measure]:
        """Measures of uncertainty at hand: the confidence, and maps that were kept."""
        there = {"confidence", *(() if self.kept is None else self.kept.maps)}
        return [name for name in THRESHOLDS if name in there]

    @property
    def unmapped(self) -> list[int]:
        """Values that the ground truth holds and that are not mapped."""
        return (
            []
            if self.ground_truth is None
            else [value for value in self.held if value not in self.ground_truth.mapping.values]
        )

    @property
    def note(self) -> str:
        """Note on how the ground truth is read, empty where that is plain or was decided by the user."""
        source = self.source
        if source is None or self.ground_truth is None or self.ground_truth.mapping.values != self.proposed().values:
            return self.of_another
        said = [f"The ground truth {source.note}."] if source.note else []
        named = [name for name in source.class_names or () if name]
        match = match_names(named, [info.name for info in self.segmentation.class_table])
        if named and not match.matched:
            said.append(
                f"The ground truth's classes ({', '.join(named)}) have other names than the network's: they count by "
                "their order. If that is wrong, state them under Classes…"
            )
        elif match.missing:
            said.append(f"The ground truth's {', '.join(match.missing)}: no class of the network, so ignored.")
        return " ".join([*said, self.of_another]).strip()

    def hints(self, evaluation: Evaluation | None) -> list[str]:
        """Return what seems to be wrong with the classes of the ground truth, by figures against it.

        Parameters
        ----------
        evaluation : Evaluation or None
            The figures. None if there are none.

        Returns
        -------
        list of str
            Sentences; empty where nothing seems to be wrong.
        """
        if self.ground_truth is None or evaluation is None:
            return []
        proposed = self.ground_truth.mapping.values == self.proposed().values
        hints = hints_on(
            self.source if proposed and self.source is not None else self.ground_truth,
            evaluation.confusion,
            evaluation.names,
            predicted=self.segmentation.predicted_classes.names,
            dropped=evaluation.unscored,
            advice=(STATE_CLASSES, STATE_CLASSES),
        )
        return [f"{hint[0].upper()}{hint[1:]}" for hint in hints]

    def marks_path(self, kind: str) -> Path:
        """Return the path of the marks of listed regions.

        Parameters
        ----------
        kind : str
            ``ERRORS``, ``UNCERTAIN`` or ``DIFFERENCES``.

        Returns
        -------
        Path
            Path of the file, which need not exist.
        """
        path = self.segmentation.path
        if kind == DIFFERENCES and self.second is not None:
            path = path.with_name(f"{path.name}.against.{self.second.path.name}")
        return marks_path(path)

    def proposed(self) -> ClassMapping:
        """Return the mapping that is proposed for the ground truth."""
        assert self.source is not None
        return _propose(self.segmentation, self.source, self.held)


def open_comparison(
    wanted: Wanted,
    showing: Showing,
    before: Comparison | None,
    progress: Progress,
) -> Comparison:
    """Open a comparison (in a thread: this reads files).

    Parameters
    ----------
    wanted : Wanted
        The request.
    showing : Showing
        Contents of the overlay at first.
    before : Comparison or None
        The last comparison with the same ground truth, whose opened ground truth is used again.
    progress : Progress
        Called with the progress of copying a ground truth that has to be copied first.

    Returns
    -------
    Comparison
        The opened comparison.

    Raises
    ------
    FctlError
        Something is missing, damaged, or does not fit.
    Cancelled
        ``progress`` raised it.
    """
    segmentation = Segmentation.open(wanted.path)
    take_georeference(segmentation.facts, segmentation.path)
    colors = segmentation.class_table.colors
    source, held = None, []
    if before is not None and before.source is not None:
        same = before.segmentation.class_table.colors == colors
        if same or not before.source.by_color:
            source, held = before.source, before.held
    if source is None and wanted.ground_truth is not None:
        over = segmentation if wanted.ground_truth.layer is None else None
        source = open_choice(wanted.ground_truth, progress, colors, wanted.placed, over)
        held = held_values(source)
    progress(0, 0)
    ground_truth = None
    if source is not None:
        ground_truth = MappedGroundTruth(source, wanted.mapping or _propose(segmentation, source, held))
    second = None if wanted.second_path is None else Segmentation.open(wanted.second_path)
    overlay = None
    if ground_truth is not None or second is not None:
        names = segmentation.class_table.names
        if second is not None:
            SegmentationAsGroundTruth(second, segmentation)  # raises if their classes differ
        overlay = ErrorLevels(
            wanted.levels,
            ground_truth,
            wanted.second_levels,
            showing.kinds(),
            second_classes=()
            if second is None
            else [k for k in match_names(second.class_table.names, names).index if k is not None],
        )
    note = (
        "" if wanted.ground_truth is None else note_on_image(wanted.ground_truth.location, segmentation.facts["image"])
    )
    of_another = f"The ground truth: {note}." if note else ""
    return Comparison(segmentation, source, held, ground_truth, second, _with_maps(segmentation), overlay, of_another)


def compute_figures(
    comparison: Comparison,
    region: IntWindow | None,
    progress: Progress,
) -> tuple[Evaluation | None, Agreement | None]:
    """Compute the figures of a comparison (in a thread).

    Parameters
    ----------
    comparison : Comparison
        The opened comparison.
    region : IntWindow or None
        (y0, x0, y1, x1) px; None means the whole image.
    progress : Progress
        Called as ``progress(done, total)`` with counts of blocks.

    Returns
    -------
    evaluation : Evaluation or None
        Figures against the ground truth, if there is one.
    agreement : Agreement or None
        Agreement with the second segmentation, if there is one. That is the first of the agreement, so that its classes
        are in the order of the segmentation of interest.

    Raises
    ------
    FctlError
        Nothing is to be scored there, or the ground truth is damaged or holds values without a class.
    Cancelled
        ``progress`` raised it.
    """
    store, ground_truth = comparison.segmentation, comparison.ground_truth
    evaluation = agreement = None
    if ground_truth is not None:
        evaluation = evaluate(store, ground_truth, region, progress=progress)
    if comparison.second is not None:
        agreement = compare(comparison.second, store, ground_truth, region, progress=progress)
    return evaluation, agreement


def find_regions(
    comparison: Comparison,
    kind: str,
    region: IntWindow | None,
    smallest: int,
    uncertainty: tuple[Measure, float],
    progress: Progress,
) -> Regions:
    """List regions of errors, uncertainty or differences (in a thread).

    Parameters
    ----------
    comparison : Comparison
        The opened comparison.
    kind : str
        ``ERRORS``, ``UNCERTAIN`` or ``DIFFERENCES``.
    region : IntWindow or None
        (y0, x0, y1, x1) px; None means the whole image.
    smallest : int
        Number of pixels that a region has at least.
    uncertainty : tuple of (Measure, float)
        Measure of uncertainty, and its threshold.
    progress : Progress
        As for ``find_errors``.

    Returns
    -------
    Regions
        The largest regions, the largest first, and the counts of all.

    Raises
    ------
    FctlError
        The ground truth is damaged or holds values without a class, or the classes differ.
    Cancelled
        ``progress`` raised it.
    """
    store = comparison.segmentation
    if kind == DIFFERENCES:
        assert comparison.second is not None
        # The other one takes the part of the ground truth, so that class indices are those of this one.
        return find_disagreements(comparison.second, store, region, smallest=smallest, progress=progress)
    if kind == UNCERTAIN:
        measure, threshold = uncertainty
        return find_uncertain(
            store if measure == "confidence" or comparison.kept is None else comparison.kept,
            region,
            measure=measure,
            threshold=threshold,
            smallest=smallest,
            progress=progress,
        )
    assert comparison.ground_truth is not None
    return find_errors(store, comparison.ground_truth, region, smallest=smallest, progress=progress)


def _propose(segmentation: Segmentation, source: LabelSource, held: Sequence[int]) -> ClassMapping:
    """Propose a mapping of a ground truth's values."""
    table = segmentation.class_table
    return ClassMapping.propose(
        table.names,
        one_based=source.one_based,
        names=source.class_names,
        values=held,
        ignored=len(table) - len(table.scored),
        nothing=source.nothing,
    )


def _with_maps(segmentation: Segmentation) -> Segmentation | None:
    """Return the store with maps for a segmentation: itself, or one beside it."""
    if segmentation.maps:
        return segmentation
    try:
        beside = Segmentation.open(maps_beside(segmentation.path))
    except FctlError:
        return None
    alike = [(store.shape, store.checkpoint_hash) for store in (segmentation, beside)]
    same = alike[0] == alike[1] and same_image(beside.facts["image"], segmentation.facts["image"])
    return beside if same else None
