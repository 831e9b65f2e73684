"""Report of a map: what it shows, who said so, how right it is and how sure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import numpy as np
from matplotlib.figure import Figure

from fctl_napari import __version__
from fctl_napari.class_colors import Color
from fctl_napari.correcting.final_map import FinalMap
from fctl_napari.correcting.provenance import ACCEPTED, CORRECTED, PREDICTED, UNSURE
from fctl_napari.evaluation.class_areas import ClassAreas, class_areas
from fctl_napari.evaluation.domain import ResultDomain, domain_facts, domain_of_result
from fctl_napari.evaluation.error_regions import THRESHOLDS, find_uncertain
from fctl_napari.evaluation.evaluation import evaluate
from fctl_napari.evaluation.ground_areas import area_text, area_unit
from fctl_napari.evaluation.ground_truth import GroundTruth
from fctl_napari.evaluation.points.checked_points import CheckedPoints, points_path
from fctl_napari.evaluation.points.point_estimate import PointEstimate, estimate_points
from fctl_napari.evaluation.points.point_sample import count_classes
from fctl_napari.evaluation.unclear_classes import hints_on
from fctl_napari.exceptions import CheckpointError, InputError
from fctl_napari.imagery.geodesy.ground_size import ground_size, length_words
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.map_report.counts import ReportCounts, count_map
from fctl_napari.map_report.picture import map_figure
from fctl_napari.model.classes import shown_classes
from fctl_napari.model.model_card import read_card
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.identity import open_image_of, take_georeference
from fctl_napari.segmentation.store.made_by import checkpoint_of
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.words import count_of

REGIONS = 5
"""Number of uncertain regions that are listed."""
LONGEST_CRS = 40
"""Longest CRS under the picture, characters. A longer one is WKT, and stands at the end."""
LIBRARIES = ("numpy", "torch", "zarr", "napari", "rasterio")
"""Libraries whose versions are given."""


@dataclass(frozen=True)
class Section:
    """Part of a report: sentences, then a table.

    Attributes
    ----------
    title : str
        Heading.
    sentences : tuple of str
        Sentences above the table.
    header : tuple of str
        Names of the columns. Empty without a table, and where rows are names and values.
    rows : tuple of tuple of str
        Cells of the table.
    colors : tuple of tuple of 3 int
        Color beside each row. Empty without.
    """

    title: str
    sentences: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    colors: tuple[Color, ...] = ()


@dataclass(frozen=True)
class MapReport:
    """Report of a map.

    Attributes
    ----------
    title : str
        Heading of the page.
    figure : matplotlib.figure.Figure
        Map over the image.
    caption : str
        Sentence under the figure.
    sections : tuple of Section
        Parts of the page.
    """

    title: str
    figure: Figure
    caption: str
    sections: tuple[Section, ...]


def make_report(
    source: Segmentation | FinalMap,
    *,
    ground_truth: GroundTruth | None = None,
    ground_truth_name: str = "the ground truth",
    progress: Progress | None = None,
) -> MapReport:
    """Report a map.

    It is read block by block several times; its picture is that of a coarse level.

    Parameters
    ----------
    source : Segmentation or FinalMap
        The map.
    ground_truth : GroundTruth or None, optional
        Ground truth. It is compared with the map where no points are checked.
    ground_truth_name : str, optional
        Name of the ground truth.
    progress : Progress or None, optional
        Called as ``progress(done, total)`` with counts of blocks, pass by pass.

    Returns
    -------
    MapReport
        The report.

    Raises
    ------
    InputError
        The map is damaged, or the ground truth has another size or other classes.
    Cancelled
        ``progress`` raised it.
    """
    store = source.segmentation if isinstance(source, FinalMap) else source
    take_georeference(store.facts, store.path)
    image, missing = _image_of(store)
    counts, areas = count_map(source, progress), class_areas(source, progress=progress)
    domain = domain_of_result(store)
    name = _image_name(store)
    kind = "prediction" if source is store else "prediction with corrections"
    known = store.georeference
    crs = "" if known is None or len(known.crs) > LONGEST_CRS else f" CRS: {known.crs}."
    return MapReport(
        title=f"Map of {name}",
        figure=map_figure(source, image),
        caption=f"The {kind}" + (f" over {name}." if image is not None else f", without its image: {missing}") + crs,
        sections=(
            _areas(source, counts, areas),
            _checked(source, counts),
            _accuracy(source, areas, domain, ground_truth, ground_truth_name, progress),
            _uncertain(source, counts, progress),
            _network(store, domain),
            _made(store, image),
        ),
    )


def _image_name(store: Segmentation) -> str:
    stored = store.facts["image"]
    return str((stored["path"] and stored["path"].rstrip("/").rsplit("/", 1)[-1]) or stored["name"] or "unknown image")


def _image_of(store: Segmentation) -> tuple[Pyramid | None, str]:
    settings = store.settings
    try:
        image = open_image_of(
            store.facts["image"], store.path, value_range=settings.get("value_range"), bands=settings.get("bands")
        )
        image.require_rgb()
    except InputError as error:
        return None, str(error)
    return image, ""


def _areas(source: Segmentation | FinalMap, counts: ReportCounts, areas: ClassAreas) -> Section:
    names, total = source.class_table.names, int(counts.pixels.sum())
    shares = counts.pixels / max(total, 1)
    columns = [[f"{px:,}" for px in counts.pixels.tolist()], [f"{100 * share:.2f} %" for share in shares.tolist()]]
    header = ["class", "px", "share"]
    if areas.hectares is not None:
        unit, factor = area_unit(sum(areas.hectares.values()))
        header.append(unit)
        columns.append([area_text(areas.hectares[name] * factor) for name in names])
    rows = tuple(zip(names, *columns, strict=True))
    said = [f"{total:,} px have a class; shares are of these."]
    if counts.without_class:
        said.append(f"{counts.without_class:,} px have none: they are not segmented, or without data.")
    if areas.hectares is None:
        said.append("Areas on the ground are unknown: the image does not say where it lies on Earth.")
    return Section("Areas", tuple(said), tuple(header), rows, _colors(source))


def _checked(source: Segmentation | FinalMap, counts: ReportCounts) -> Section:
    if isinstance(source, Segmentation):
        return Section("What people checked", ("Nobody's corrections are part of this map: all of it is predicted.",))
    table = counts.by_provenance
    corrected, accepted, unsure = (int(table[:, kind].sum()) for kind in (CORRECTED, ACCEPTED, UNSURE))
    share = (corrected + accepted) / max(int(counts.pixels.sum()), 1)
    said = (
        f"People decided {corrected + accepted:,} px ({100 * share:.2f} % of the map): {corrected:,} px got another "
        f"class than the predicted one, {accepted:,} px were accepted as predicted.",
        f"They were not sure of {unsure:,} px, which stay as predicted.",
    )
    kinds = (PREDICTED, CORRECTED, ACCEPTED, UNSURE)
    rows = tuple(
        (name, *(f"{px:,}" for px in table[k, list(kinds)].tolist()))
        for k, name in enumerate(source.class_table.names, 1)
    )
    header = ("class", "predicted, px", "corrected to it, px", "accepted, px", "not sure, px")
    return Section("What people checked", said, header, rows, _colors(source))


def _accuracy(
    source: Segmentation | FinalMap,
    areas: ClassAreas,
    domain: ResultDomain,
    ground_truth: GroundTruth | None,
    ground_truth_name: str,
    progress: Progress | None,
) -> Section:
    said = [] if domain.trained is None else [domain.trained.words(domain.name)]
    estimate, why_not = _estimate(source, progress)
    if why_not:
        said.append(why_not)
    if estimate is not None:
        return _by_points(source, estimate, areas, said)
    if ground_truth is None:
        return Section("Accuracy", (*said, "The accuracy of this map is unknown: nobody checked it at random points."))
    found = evaluate(source, ground_truth, boundary_px=None, progress=progress)
    predicted = source.predicted_classes.names
    hints = hints_on(ground_truth, found.confusion, found.names, predicted=predicted, dropped=found.unscored)
    scores = found.scores
    said += [
        f"Compared with {ground_truth_name} on {scores.pixels:,} px: accuracy {_share(scores.accuracy)}"
        + "".join(f", {what} {_share(value)}" for what, value in scores.mean_ious().items())
        + ".",
        "Every px with a known class counts, so that there is no error of sampling, and no interval.",
        *(f"Of {ground_truth_name}: {hint}." for hint in hints),
    ]
    rows = tuple(
        (name, *(_share(values[name]) for values in (scores.precision, scores.recall, scores.iou)))
        for name in found.names
    )
    header = ("class", "user's accuracy (precision)", "producer's accuracy (recall)", "IoU")
    return Section("Accuracy", tuple(said), header, rows, _colors(source))


def _estimate(source: Segmentation | FinalMap, progress: Progress | None) -> tuple[PointEstimate | None, str]:
    """Estimate by the checked points, or say why they cannot be used. Without points there is nothing to say."""
    path = points_path(source.path)
    if not path.exists():
        return None, ""
    try:
        points = CheckedPoints.read(path)
        if not points.checked:
            return None, f"{count_of(len(points.points), 'point')} were drawn, and none is checked yet."
        counts = count_classes(source.labels, len(source.class_table.names), progress)
        return estimate_points(points, source, counts, path), ""
    except InputError as error:
        return None, f"Checked points cannot be used: {error}"


def _by_points(source: Segmentation | FinalMap, found: PointEstimate, areas: ClassAreas, said: list[str]) -> Section:
    one = found.estimate
    said = [
        *said,
        f"By {count_of(int(found.counts.sum()), 'checked point')}, drawn at random within each class of this map: "
        f"accuracy {_between(one.overall, one.overall_half_width)}.",
        "Shares and areas are corrected for the errors of the map, each with its 95 % interval (Olofsson et al. 2014).",
    ]
    said += found.notes()
    header = ["class", "points", "share"]
    columns = [
        [str(number) for number in found.counts.sum(1).tolist()],
        [_between(*pair) for pair in zip(one.shares.tolist(), one.shares_half_width.tolist(), strict=True)],
    ]
    if areas.hectares is not None and areas.even_hectares is None:
        said.append("Shares are of px, whose areas differ too much from class to class to be shares of area.")
    if areas.hectares is not None and areas.even_hectares is not None:
        unit, factor = area_unit(sum(areas.hectares.values()))
        values, widths = found.of(areas.even_hectares * factor)
        header.append(unit)
        columns.append([f"{v:,.2f} ± {w:,.2f}" for v, w in zip(values.tolist(), widths.tolist(), strict=True)])
    for name, values, widths in (
        ("user's accuracy", one.users, one.users_half_width),
        ("producer's accuracy", one.producers, one.producers_half_width),
    ):
        header.append(name)
        columns.append([_between(*pair) for pair in zip(values.tolist(), widths.tolist(), strict=True)])
    rows = tuple(zip(found.names, *columns, strict=True))
    return Section("Accuracy", tuple(said), tuple(header), rows, _colors(source))


def _uncertain(source: Segmentation | FinalMap, counts: ReportCounts, progress: Progress | None) -> Section:
    limit = THRESHOLDS["confidence"]
    below = counts.share_below(limit)
    if below is None:
        return Section("Doubts", ("No px has its class by the network alone.",))
    total, names = int(counts.by_confidence.sum()), source.class_table.names
    mean = float(counts.by_confidence @ np.arange(256)) / 255 / total
    found = find_uncertain(source, most=REGIONS, progress=progress)
    said = [
        f"Of {total:,} px that have their class by the network alone, {100 * below:.2f} % have a confidence below "
        f"{limit:g}; the mean confidence is {mean:.2f}."
    ]
    if not found:
        return Section("Doubts", (*said, "No larger region is uncertain."))
    said.append("The largest uncertain regions:")
    rows = tuple(
        (names[one.predicted], f"{one.pixels:,}", f"{one.confidence:.2f}", " ".join(map(str, one.window)))
        for one in found
    )
    return Section("Doubts", tuple(said), ("class", "px", "mean confidence", "y0 x0 y1 x1"), rows)


def _network(store: Segmentation, domain: ResultDomain) -> Section:
    rows = [("name", domain.name), ("SHA-256", store.checkpoint_hash)]
    said = [one for one in (domain.warning, domain.trained and domain.trained.words(domain.name)) if one]
    try:
        path = checkpoint_of(store)
        card = None if path is None else read_card(path)
    except CheckpointError:
        card = None
    if card is None:
        said.append("Its checkpoint is not at hand: whether it was trained on images like this one is unknown.")
    else:
        contexts = ", ".join(context.name for context in card.config.contexts) or "none"
        rows += [("about", card.description)] if card.description else []
        rows += [("network", f"{card.config.title}, tile {card.config.tile_size} px, contexts: {contexts}")]
        where, figures = card.headline()
        if figures:
            rows += [("measured on", where)] if where else []
            rows.append(("figures", ", ".join(f"{key} {value:.4f}" for key, value in figures.items())))
        rows += domain_facts(card).items()
    if store.inherited().any():
        rows.append(("inherited", f"{count_of(int(store.inherited().sum()), 'tile')} of {store.parent_name}"))
    return Section("Checkpoint", tuple(said), rows=tuple(rows))


def _made(store: Segmentation, image: Pyramid | None) -> Section:
    height, width = store.shape
    stored, done = store.facts["image"], store.done()
    rows = [
        ("image", _image_name(store)),
        ("fingerprint", str(stored["fingerprint"] or "unknown")),
        ("size", f"{width} x {height} px (width x height)"),
    ]
    size = None if image is None else ground_size(image)
    rows += [] if size is None else [("px", length_words(size))]
    crs = "unknown" if store.georeference is None else store.georeference.crs
    rows += [
        ("CRS", crs),
        ("tiles", f"{done.sum():,} of {done.size:,} segmented"),
        ("segmentation", store.path.name),
        *((key, str(value)) for key, value in store.settings.items() if value is not None),
        ("reported", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
        ("fctl-napari", __version__),
        ("with", ", ".join(f"{name} {known}" for name in LIBRARIES if (known := _version(name)))),
    ]
    return Section("How it was made", rows=tuple(rows))


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _colors(source: Segmentation | FinalMap) -> tuple[Color, ...]:
    return tuple(info.color for info in shown_classes(source.class_table).scored)


def _share(value: float) -> str:
    return "-" if np.isnan(value) else f"{100 * value:.2f} %"


def _between(value: float, half_width: float) -> str:
    return "-" if np.isnan(value) else f"{100 * value:.2f} ± {100 * half_width:.2f} %"
