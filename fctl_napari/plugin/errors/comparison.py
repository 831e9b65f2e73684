"""What the Errors widget looks at: a segmentation, its truth with a mapping, and perhaps a second segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fctl_napari.errors import FctlError
from fctl_napari.evaluation.agreement import Agreement, compare
from fctl_napari.evaluation.error_regions import (
    THRESHOLDS,
    Measure,
    Regions,
    find_disagreements,
    find_errors,
    find_uncertain,
)
from fctl_napari.evaluation.error_types import (
    CONFUSED,
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    HIGHLIGHTED,
    Color,
    ErrorColors,
    Kinds,
    by_table,
    comparison_kinds,
    confusion_table,
    difference_kinds,
    error_table,
    pair_table,
)
from fctl_napari.evaluation.evaluation import Evaluation, evaluate
from fctl_napari.evaluation.ground_truth import SegmentationAsGroundTruth
from fctl_napari.evaluation.review_marks import marks_path
from fctl_napari.imagery.class_mapping import ClassMapping, MappedGroundTruth
from fctl_napari.imagery.class_names import match_names
from fctl_napari.imagery.ground_truth import LabelSource
from fctl_napari.imagery.raster_alignment import require_same_location
from fctl_napari.plugin.errors.overlay import ErrorLevels
from fctl_napari.plugin.layers.ground_truth import GroundTruthChoice, held_values, open_choice
from fctl_napari.plugin.layers.paths import maps_beside
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.identity import same_image, take_georeference
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.segmentation.store.stored_image import note_on_image
from fctl_napari.windows import IntWindow

MISSES, CONFUSION, WHO, DIFFER = "Missed and false", "Was x, called y", "Who is right", "Where they differ"
"""What an overlay shows."""

ERRORS, UNCERTAIN, DIFFERENCES = "Errors", "Doubts", "Differences"
"""What is listed."""

WHO_COLORS: tuple[tuple[str, Color], ...] = (
    ("this one is right", (0, 158, 115)),
    ("the other is right", (230, 159, 0)),
    ("both are wrong", (204, 121, 167)),
    ("no truth here", (120, 120, 120)),
)


@dataclass(frozen=True)
class Showing:
    """What an overlay shows.

    Attributes
    ----------
    mode
        ``MISSES``, ``CONFUSION``, ``WHO`` or ``DIFFER``.
    positive
        Index of the class that is looked at; None: all.
    pair
        (truth, called): only these pixels, whatever the mode.
    colors
        Of missed, false and confused pixels.
    """

    mode: str
    positive: int | None
    pair: tuple[int, int] | None
    colors: ErrorColors

    def kinds(self) -> Kinds:
        """What is computed."""
        if self.pair is not None:
            return by_table(pair_table(*self.pair))
        if self.mode == WHO:
            return comparison_kinds
        if self.mode == DIFFER:
            return difference_kinds
        return by_table(confusion_table(self.positive) if self.mode == CONFUSION else error_table(self.positive))

    def legend(self, classes: Sequence[tuple[str, Color]]) -> list[tuple[str, Color]]:
        """Name and colour of kinds 1, 2, ... of a segmentation with these classes; an empty name does not occur."""
        colors = self.colors
        if self.pair is not None:
            was, predicted = (classes[index][0] for index in self.pair)
            never = ("", colors.highlighted)
            return [never] * (HIGHLIGHTED - 1) + [(f"was {was}, called {predicted}", colors.highlighted)]
        if self.mode in (CONFUSION, DIFFER):
            return [(f"called {name}", color) for name, color in classes]
        if self.mode == WHO:
            return list(WHO_COLORS)
        kinds = {
            FALSE_NEGATIVE: ("missed (false negative)", colors.false_negative),
            FALSE_POSITIVE: ("false (false positive)", colors.false_positive),
            CONFUSED: ("another class" if self.positive is None and len(classes) > 2 else "", colors.confused),
        }
        return [kinds[kind] for kind in sorted(kinds)]


@dataclass(frozen=True, eq=False)
class Wanted:
    """What is to be compared.

    Attributes
    ----------
    path
        The segmentation's store.
    levels
        Of its layer.
    ground_truth
        None: there is none.
    mapping
        Of the truth's values; None: to be proposed.
    placed
        Of a truth that a layer shows: its labels in the px of the segmentation, by ``labels_over``.
    second_path, second_levels
        Of the segmentation to compare with, if there is one.
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
    """What is compared, opened.

    Attributes
    ----------
    segmentation
        The store.
    source, held
        The truth as it is stored, and values that it holds.
    ground_truth
        With its mapping.
    second
        The segmentation to compare with.
    kept
        The store that holds maps of doubt: the same, or one of the same image and checkpoint beside it.
    overlay
        Where they differ; None if there is nothing to differ from.
    of_another
        What there is to say of a truth that is another image's.
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
    def classes(self) -> list[tuple[str, Color]]:
        """Name and colour of the scored classes."""
        return [(info.name, info.color) for info in self.segmentation.class_table.scored]

    @property
    def measures(self) -> list[Measure]:
        """What tells of doubt here: the confidence, and maps that were kept."""
        there = {"confidence", *(() if self.kept is None else self.kept.maps)}
        return [name for name in THRESHOLDS if name in there]

    @property
    def unmapped(self) -> list[int]:
        """Values that the truth holds and that are not mapped."""
        return (
            []
            if self.ground_truth is None
            else [value for value in self.held if value not in self.ground_truth.mapping.values]
        )

    @property
    def note(self) -> str:
        """What to tell of how the truth is read; empty where that is plain, or was decided by the user."""
        source = self.source
        if source is None or self.ground_truth is None or self.ground_truth.mapping.values != self.proposed().values:
            return self.of_another
        said = [f"The truth {source.note}."] if source.note else []
        named = [name for name in source.class_names or () if name]
        match = match_names(named, [info.name for info in self.segmentation.class_table])
        if named and not match.matched:
            said.append(
                f"The truth's classes ({', '.join(named)}) have other names than the network's: they count by their "
                "order. If that is wrong, say what they are under Classes…"
            )
        elif match.missing:
            said.append(f"The truth's {', '.join(match.missing)}: no class of the network, so ignored.")
        return " ".join([*said, self.of_another]).strip()

    def marks_path(self, kind: str) -> Path:
        """Where marks of what is listed (``ERRORS``, ``UNCERTAIN`` or ``DIFFERENCES``) are kept."""
        path = self.segmentation.path
        if kind == DIFFERENCES and self.second is not None:
            path = path.with_name(f"{path.name}.against.{self.second.path.name}")
        return marks_path(path)

    def proposed(self) -> ClassMapping:
        """The mapping that is proposed for the truth."""
        assert self.source is not None
        return _propose(self.segmentation, self.source, self.held)


def open_comparison(
    wanted: Wanted,
    showing: Showing,
    before: Comparison | None,
    progress: Progress,
) -> Comparison:
    """Open what is to be compared (in a thread: this reads files).

    Parameters
    ----------
    wanted, showing
        What, and what its overlay shows at first.
    before
        The last one, of the same truth, whose opened truth is used again.
    progress
        Of a truth that has to be copied first.

    Raises
    ------
    FctlError
        Something is missing, damaged, or does not fit.
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
        if wanted.ground_truth.path is not None and wanted.ground_truth.layer is None:
            require_same_location(Path(wanted.ground_truth.path), segmentation.georeference, segmentation.shape)
        source = open_choice(wanted.ground_truth, progress, colors, wanted.placed)
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
            SegmentationAsGroundTruth(second, segmentation)  # says if their classes differ
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
    of_another = f"The truth: {note}." if note else ""
    return Comparison(segmentation, source, held, ground_truth, second, _with_maps(segmentation), overlay, of_another)


def compute_figures(
    comparison: Comparison,
    region: IntWindow | None,
    progress: Progress,
) -> tuple[Evaluation | None, Agreement | None]:
    """Compute the figures of a comparison (in a thread).

    Returns
    -------
    Against the truth, if there is one; and beside the second segmentation, if there is one, which is the first of the
    agreement, so that its classes are in the order of the segmentation that is looked at.

    Raises
    ------
    FctlError
        Nothing is to be scored there, or the truth is damaged or holds values without a class.
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
    """List regions (in a thread).

    Parameters
    ----------
    comparison
        Where.
    kind
        ``ERRORS``, ``UNCERTAIN`` or ``DIFFERENCES``.
    region
        (y0, x0, y1, x1) px; None: the whole image.
    smallest
        Pixels that a region has at least.
    uncertainty
        What tells of doubt, and beyond which value.
    progress
        As of ``find_errors``.

    Raises
    ------
    FctlError
        The truth is damaged or holds values without a class, or the classes differ.
    Cancelled
        ``progress`` raised it.
    """
    store = comparison.segmentation
    if kind == DIFFERENCES:
        assert comparison.second is not None
        # what the other says stands for the truth, so that class indices are this one's
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
    if segmentation.maps:
        return segmentation
    try:
        beside = Segmentation.open(maps_beside(segmentation.path))
    except FctlError:
        return None
    alike = [(store.shape, store.checkpoint_hash) for store in (segmentation, beside)]
    same = alike[0] == alike[1] and same_image(beside.facts["image"], segmentation.facts["image"])
    return beside if same else None
