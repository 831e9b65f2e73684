"""Figures and errors of maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from fctl_napari.api import html
from fctl_napari.api.checked import AnyWindow, Count, checked
from fctl_napari.api.forms import LITERAL, SourcePath
from fctl_napari.api.ground_truths import GroundTruthLike, ground_truth_of
from fctl_napari.api.maps import Map
from fctl_napari.api.progress import Shown, progress_bar
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.evaluation.error_regions import Region, Regions, find_errors, find_uncertain, order
from fctl_napari.evaluation.evaluation import BOUNDARY_PX, Evaluation
from fctl_napari.evaluation.evaluation import evaluate as score
from fctl_napari.evaluation.unclear_classes import hints_on
from fctl_napari.exceptions import InputError
from fctl_napari.segmentation.store.store import Segmentation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MapLike = Map | Path | str


class Figures:
    """Figures of a map against a ground truth.

    ``fctl.evaluate`` makes it.

    Parameters
    ----------
    evaluation : Evaluation
        Confusion matrix, scores by class, calibration, boundary IoU.
    compared : Map
        The map.
    notes : list of str
        What is to be known of the ground truth and of the map.

    Attributes
    ----------
    evaluation : Evaluation
        All figures.
    compared : Map
        The map that was compared: without corrections, if they are the ground truth.
    notes : list of str
        What is to be known of the ground truth and of the map.
    """

    def __init__(self, evaluation: Evaluation, compared: Map, notes: list[str]) -> None:
        self.evaluation = evaluation
        self.compared = compared
        self.notes = notes

    @property
    def _name(self) -> str:
        """Name of the map."""
        return self.compared.path.name

    @property
    def miou(self) -> float:
        """Mean IoU over all classes."""
        return self.evaluation.scores.miou

    @property
    def accuracy(self) -> float:
        """Share of the scored px whose class is right."""
        return self.evaluation.scores.accuracy

    @property
    def iou(self) -> dict[str, float]:
        """IoU by class. NaN for a class that is nowhere."""
        return dict(self.evaluation.scores.iou)

    def figure(self) -> Figure:
        """Draw figures by class, confusion matrix and reliability.

        Returns
        -------
        matplotlib.figure.Figure
            The figure.
        """
        from fctl_napari.figures.evaluation import evaluation_figure

        return evaluation_figure(self.evaluation, self._name)

    def __repr__(self) -> str:
        """Return the means in a line."""
        scores = self.evaluation.scores
        name, value = scores.headline
        return f"<Figures of {self._name}: {name} {value:.4f}, accuracy {self.accuracy:.4f}, {scores.pixels:,} px>"

    def _repr_html_(self) -> str:
        """Return the figures for a notebook."""
        scores = self.evaluation.scores
        rows = [(name, f"{scores.iou[name]:.4f}", f"{scores.f1_by_class[name]:.4f}") for name in self.evaluation.names]
        means = {name: f"{value:.4f}" for name, value in scores.mean_ious().items()}
        means |= {"accuracy": f"{self.accuracy:.4f}", "px": f"{scores.pixels:,}"}
        return html.block(
            self._name,
            html.facts(means),
            html.table(("class", "IoU", "F1"), rows),
            *(html.sentence(note) for note in self.notes),
        )


class Errors:
    """Regions of errors, or of doubts where there is no ground truth, the largest first.

    ``fctl.errors`` makes it.

    Parameters
    ----------
    regions : Regions
        The regions.
    source : Map
        The map.
    with_ground_truth : bool
        If True, they are errors, else doubts.
    notes : sequence of str, optional
        What is to be known of the ground truth.

    Attributes
    ----------
    regions : Regions
        The regions, with the counts of all.
    notes : list of str
        What is to be known of the ground truth.
    """

    def __init__(self, regions: Regions, source: Map, *, with_ground_truth: bool, notes: Sequence[str] = ()) -> None:
        self.regions = regions
        self.notes = list(notes)
        self._map = source
        self._with_ground_truth = with_ground_truth

    def __len__(self) -> int:
        """Return the number of listed regions."""
        return len(self.regions)

    def __getitem__(self, index: int) -> Region:
        """Return a region by its place in the list."""
        return self.regions[index]

    def _rows(self) -> list[tuple[str, ...]]:
        """Return the regions as the rows of a table."""
        names = self._map.prediction.source.class_table.names
        return [
            (
                " ".join(map(str, one.window)),
                f"{one.pixels:,}",
                "" if one.ground_truth is None else names[one.ground_truth],
                names[one.predicted],
                f"{one.confidence:.2f}",
            )
            for one in self.regions
        ]

    def __repr__(self) -> str:
        """Return the counts in a line."""
        kind = "errors" if self._with_ground_truth else "doubts"
        return f"<Errors of {self._map.path.name}: {self.regions.found} regions of {kind}, {self.regions.pixels:,} px>"

    def _repr_html_(self) -> str:
        """Return the list for a notebook."""
        header = ("y0 x0 y1 x1", "px", "is", "called", "confidence")
        return html.block(repr(self)[1:-1], html.table(header, self._rows()), *map(html.sentence, self.notes))


@checked
def evaluate(
    source: MapLike,
    ground_truth: GroundTruthLike,
    *,
    region: AnyWindow | None = None,
    mapping: SourcePath | None = None,
    boundary_px: Annotated[Count, LITERAL] | None = BOUNDARY_PX,
    progress: Shown = True,
) -> Figures:
    """Compare a map with its ground truth.

    Parameters
    ----------
    source : Map, Path or str
        The map; ``map.prediction`` is the network alone.
    ground_truth : Path, str, Map, Corrections or array
        PNG or TIFF of class indices (255 ignored) or the classes' colors, an OME-Zarr label, polygons; another map of
        the same image, its corrections; or an array of class indices [y, x].
    region : tuple of 4 int or None, optional
        (y0, x0, y1, x1) px: only this part.
    mapping : Path, str or None, optional
        File that says the class of each value: ``{"values": {"7": "water"}}``.
    boundary_px : int or None, optional
        Width of the bands of Boundary IoU, px. None leaves it out.
    progress : bool or callable, optional
        Whether a bar is shown, or what takes the counts.

    Returns
    -------
    Figures
        Figures by class, means, calibration.

    Raises
    ------
    InputError
        The ground truth is missing, damaged, of another size or of other classes, or nothing is left to score.

    Examples
    --------
    >>> import fctl_napari as fctl
    >>> scene = fctl.sample("data")
    >>> land = fctl.segment(scene, "earth", region=(500, 2700, 900, 3100))
    >>> figures = fctl.evaluate(land, "data/earth.ome.zarr/labels/truth")
    >>> figures.accuracy > 0.8
    True
    """
    chosen = source if isinstance(source, Map) else Map(source)
    if isinstance(ground_truth, Corrections):
        ground_truth = ground_truth.path
    if isinstance(ground_truth, Path | str):
        chosen = chosen.compared_with(ground_truth)
    there, notes = ground_truth_of(chosen.source, ground_truth, mapping)
    with progress_bar("Comparing", progress) as report:
        found = score(chosen.source, there, region, boundary_px=boundary_px, progress=report)
    predicted = chosen.source.predicted_classes.names
    hints = hints_on(there, found.confusion, found.names, predicted=predicted, dropped=found.unscored)
    return Figures(found, chosen, [*chosen.notes, *notes, *hints])


@checked
def errors(
    source: MapLike,
    ground_truth: GroundTruthLike | None = None,
    *,
    region: AnyWindow | None = None,
    by: Literal["size", "confidence", "class"] = "size",
    measure: Literal["confidence", "entropy", "margin"] = "confidence",
    mapping: SourcePath | None = None,
    progress: Shown = True,
) -> Errors:
    """Find the connected regions of a prediction's errors, or, without a ground truth, of its doubts.

    Parameters
    ----------
    source : Map, Path or str
        The map, whose prediction is looked at.
    ground_truth : Path, str, Map, Corrections, array or None, optional
        As for ``fctl.evaluate``. None looks for doubts.
    region : tuple of 4 int or None, optional
        (y0, x0, y1, x1) px: only this part.
    by : {"size", "confidence", "class"}, optional
        Order: the largest, the surest (the least sure doubts), or by class.
    measure : {"confidence", "entropy", "margin"}, optional
        Measure of doubts. The last two where the map was made with ``maps=True``.
    mapping : Path, str or None, optional
        As for ``fctl.evaluate``.
    progress : bool or callable, optional
        Whether a bar is shown, or what takes the counts.

    Returns
    -------
    Errors
        The regions.

    Raises
    ------
    InputError
        The ground truth is missing, damaged, of another size or of other classes.

    Examples
    --------
    >>> import fctl_napari as fctl
    >>> scene = fctl.sample("data")
    >>> land = fctl.segment(scene, "earth", region=(500, 2700, 900, 3100))
    >>> found = fctl.errors(land, "data/earth.ome.zarr/labels/truth")
    >>> found[0].pixels >= found[1].pixels  # the largest first
    True
    """
    chosen = source if isinstance(source, Map) else Map(source, raw=True)
    store = chosen.prediction.source
    assert isinstance(store, Segmentation)
    if ground_truth is None and mapping is not None:
        raise InputError(f"{mapping}: maps the values of a ground truth; name the ground truth too.")
    notes: list[str] = []
    with progress_bar("Looking for regions", progress) as report:
        if ground_truth is None:
            found = find_uncertain(store, region, measure=measure, progress=report)
        else:
            there, notes = ground_truth_of(store, ground_truth, mapping)
            found = find_errors(store, there, region, progress=report)
    ordered = Regions(order(found, by), found=found.found, small=found.small, pixels=found.pixels)
    return Errors(ordered, chosen, with_ground_truth=ground_truth is not None, notes=notes)
