"""What the command line shows: progress bars on stderr, tables on stdout."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from fctl_napari.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from fctl_napari.ablation.tables import AblationRow
    from fctl_napari.evaluation.acquisition import Suggestion
    from fctl_napari.evaluation.agreement import Agreement
    from fctl_napari.evaluation.cost import Parameters, Speed
    from fctl_napari.evaluation.error_regions import Region
    from fctl_napari.evaluation.evaluation import Evaluation
    from fctl_napari.evaluation.image_cost import ImageCost
    from fctl_napari.evaluation.review_marks import Marks
    from fctl_napari.finetuning.gate import BeforeAfter
    from fctl_napari.imagery.pyramid import Pyramid
    from fctl_napari.model.config import FCtLConfig
    from fctl_napari.model.model_card import Card
    from fctl_napari.segmentation.jobs.engine import RunProgress, SegmentationRequest
    from fctl_napari.segmentation.jobs.explanation import TileExplanation
    from fctl_napari.segmentation.store.store import Segmentation

out = Console()
"""Results."""

err = Console(stderr=True)
"""Progress and errors."""


class Report(Protocol):
    """Takes the state of some work."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Show that ``done`` of ``total`` pieces are finished, with a word on the side."""


@contextmanager
def _bar(description: str) -> Iterator[tuple[Progress, TaskID]]:
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
        console=err,
    )
    with progress:
        try:
            yield progress, progress.add_task(description, total=None, note="")
        except BaseException:
            progress.live.transient = True  # what went wrong is said instead
            raise


@contextmanager
def counting(description: str) -> Iterator[Report]:
    """Show a progress bar for a function that reports (done, total) and perhaps a note."""
    with _bar(description) as (progress, task):

        def report(done: int, total: int, note: str = "") -> None:
            progress.update(task, completed=done, total=total, note=note)

        yield report


def run_watched(request: SegmentationRequest, description: str, scheduler: str | None) -> RunProgress:
    """Carry out a run of tiles with a progress bar; returns its final event, or raises what went wrong.

    Parameters
    ----------
    request
        What to do.
    description
        Of the bar.
    scheduler
        As for ``Engine``.
    """
    from fctl_napari.segmentation.jobs.engine import Engine

    with Engine(scheduler) as engine, _bar(description) as (progress, task):

        def show(event: RunProgress) -> None:
            note = "starting" if event.state == "starting" else ""
            if event.tiles_per_second:
                note = f"{event.tiles_per_second:.1f} tiles/s on {event.device or 'the worker'}"
            progress.update(task, completed=event.done, total=event.total or None, note=note)

        run = engine.start(request, show)
        try:
            final = run.wait()
        except KeyboardInterrupt:
            run.cancel()
            run.wait()
            raise
        if final.error is not None:
            raise final.error  # in here: the bar goes, and the sentence stands alone
        return final


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    return table


def _figure(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.4f}"


def show_evaluation(evaluation: Evaluation) -> None:
    """Print the figures by class and their means, then those of the whole."""
    titles, *rows = evaluation.table()
    table = _table(*titles)
    for name, *values in rows:
        table.add_row(name, *map(_figure, values))
    out.print(table)
    scores = evaluation.scores
    lines = [
        f"accuracy {scores.accuracy:.4f} over {scores.pixels} px",
        f"mIoU {_figure(scores.miou)} of all classes, ignored pixels dropped",
        f"mIoU {_figure(scores.miou_without_class_0)} without class 0, as GLNet and FCtL count it",
        f"expected calibration error {_figure(evaluation.calibration.ece())}",
    ]
    if evaluation.boundary_px is not None:
        lines.append(f"boundary IoU is that of bands of {evaluation.boundary_px} px")
    if evaluation.inherited:
        lines.append(f"{evaluation.inherited} of the tiles are the parent's, not computed anew")
    for line in lines:
        out.print(line, highlight=False, soft_wrap=True)


def show_regions(regions: Sequence[Region], marks: Marks, names: Sequence[str]) -> None:
    """Print a table of regions, one a line, never wrapped."""
    uncertain = any(region.ground_truth is None for region in regions)
    lines: list[tuple[str, ...]] = [
        ("", "px", *(() if uncertain else ("truth",)), "called", "confidence", "y0 x0 y1 x1", "mark")
    ]
    for number, region in enumerate(regions, 1):
        ground_truth = () if region.ground_truth is None else (names[region.ground_truth],)
        window = " ".join(map(str, region.window))
        facts = (names[region.predicted], f"{region.confidence:.3f}", window, marks.of(region) or "")
        lines.append((str(number), str(region.pixels), *ground_truth, *facts))
    _columns(lines)


def show_suggestions(suggestions: Sequence[Suggestion], names: Sequence[str]) -> None:
    """Print a table of regions to correct, one a line, never wrapped."""
    lines: list[tuple[str, ...]] = [("", "gain", "px", "called", "entropy", "rarity", "size", "y0 x0 y1 x1")]
    for number, one in enumerate(suggestions, 1):
        facts = (f"{one.gain:.3f}", str(one.region.pixels), names[one.region.predicted])
        factors = (f"{value:.2f}" for value in (one.entropy, one.rarity, one.size))
        lines.append((str(number), *facts, *factors, " ".join(map(str, one.region.window))))
    _columns(lines, right=3)


def _columns(lines: Sequence[tuple[str, ...]], right: int = 2) -> None:
    """Print lines as columns, the first ones flush right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (
            f"{cell:>{w}}" if k < right else f"{cell:<{w}}"
            for k, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        out.print("  ".join(cells).rstrip(), highlight=False, markup=False, soft_wrap=True)


def show_agreement(agreement: Agreement) -> None:
    """Print how far two segmentations agree, by class, and which is right."""
    against = agreement.ground_truth
    table = _table("class", "IoU of both", *(() if against is None else ("first", "second")))
    for name, iou in agreement.scores.iou.items():
        own = () if against is None else (against.first.iou[name], against.second.iou[name])
        table.add_row(name, *map(_figure, (iou, *own)))
    own = () if against is None else (against.first.miou, against.second.miou)
    table.add_row("mean", *map(_figure, (agreement.scores.miou, *own)))
    out.print(table)
    out.print(f"they agree on {agreement.share:.4f} of {agreement.scores.pixels} px", highlight=False, soft_wrap=True)
    if against is not None:
        total = against.first.pixels
        for outcome, pixels in against.pixels.items():
            out.print(f"{outcome:<24} {pixels / total:.4f} of {total} px", highlight=False, soft_wrap=True)


def show_facts(facts: dict[str, str]) -> None:
    """Print names and values, one pair a line, never wrapped."""
    width = max(map(len, facts))
    for name, value in facts.items():
        out.print(f"{name:<{width}}  {value}", highlight=False, markup=False, soft_wrap=True)


def image_facts(pyramid: Pyramid) -> dict[str, str]:
    """Describe an image."""
    import numpy as np

    from fctl_napari.imagery.fingerprint import fingerprint
    from fctl_napari.imagery.nodata import NAN, measure_nodata
    from fctl_napari.imagery.pyramid import measured_range

    height, width = pyramid.shape
    levels = ", ".join(f"{level.shape[1]} x {level.shape[0]}" for level in pyramid.levels[: pyramid.native_levels])
    facts = {
        "image": pyramid.name,
        "size": f"{width} x {height} px (width x height)",
        "channels": f"{pyramid.channels} x {pyramid.dtype}",
        "levels": levels,
        "chunks": " x ".join(map(str, pyramid.levels[0].chunks[:2])) + " px",
    }
    if pyramid.value_range is not None:
        facts["range"] = "{:g} .. {:g}".format(*pyramid.value_range)
    elif pyramid.dtype != np.uint8 and pyramid.dtype.kind in "buif":
        low, high = (f"{value:.10g}" for value in measured_range(pyramid))
        facts["values"] = (
            f"0.1 % .. 99.9 %: {low} .. {high}; state them where it is used, as in fctl segment --range {low} {high}"
        )
    if pyramid.path is not None and (nodata := measure_nodata(pyramid.path)) is not None:
        facts["nodata"] = f"{nodata.percent} ({nodata.by})" + (
            "" if nodata.by == NAN else "; these px are segmented all the same"
        )
    if pyramid.unit is not None:
        facts["pixel"] = f"{pyramid.pixel_size[1]:g} x {pyramid.pixel_size[0]:g} {pyramid.unit}"
    if pyramid.georeference is not None:
        facts["crs"] = pyramid.georeference.crs
        facts["transform"] = ", ".join(f"{value:.10g}" for value in pyramid.georeference.transform)
    facts["fingerprint"] = fingerprint(pyramid)
    return facts


def say_nodata(image: str) -> None:
    """Say on stderr how much of an image its file marks as being without data, if it does."""
    from fctl_napari.imagery.nodata import NAN, measure_nodata

    nodata = None
    with suppress(InputError):  # if it is the image that is damaged the run says so, where it is
        nodata = measure_nodata(image)
    if nodata is not None and nodata.by != NAN:  # of NaN the run says itself where it meets them
        err.print(nodata.sentence(image), highlight=False, markup=False, soft_wrap=True)


def card_facts(card: Card) -> dict[str, str]:
    """Describe a checkpoint."""
    contexts = ", ".join(
        f"{c.name} ({'whole image' if c.scale == 'global' else f'x {c.scale:g}'})" for c in card.config.contexts
    )
    facts = {
        "checkpoint": card.name,
        "about": card.description,
        "classes": ", ".join(card.classes.names),
        "network": card.config.title,
        "tile": f"{card.config.tile_size} px",
        "contexts": contexts or "none",
    }
    learnt_from = card.provenance.get("finetuning", {}).get("image")
    if learnt_from is not None:
        facts["fine-tuned on"] = f"{learnt_from['name']} ({learnt_from['fingerprint']})"
    where, figures = card.headline()
    if figures:
        facts["measured on"] = where
        facts |= {name: f"{value:.4f}" for name, value in figures.items()}
    for key, name in (("iou", "IoU"), ("baseline_without_contexts", "without contexts")):
        values = card.figures.get(key, {})
        shown = values if key == "iou" else {"mIoU": values.get("miou")}
        words = [f"{label} {value:.4f}" for label, value in shown.items() if value is not None]
        if words:
            facts[name] = ", ".join(words)
    return facts


def image_words(stored: Mapping[str, Any], beside: Path) -> str:
    """Say of which image a segmentation or corrections are, and whether that is at hand as it was."""
    from fctl_napari.errors import InputError
    from fctl_napari.segmentation.store.identity import open_image_of

    if stored["path"] is None:
        return "unknown"
    try:
        image = open_image_of(stored, beside)
    except InputError as error:
        return str(error)
    return f"{image.path} ({stored['fingerprint']})"


def segmentation_facts(segmentation: Segmentation) -> dict[str, str]:
    """Describe a segmentation."""
    height, width = segmentation.shape
    done = segmentation.done()
    facts = {
        "segmentation": str(segmentation.path),
        "size": f"{width} x {height} px (width x height)",
        "image": image_words(segmentation.facts["image"], segmentation.path),
        "checkpoint": segmentation.checkpoint_hash,
        "classes": ", ".join(segmentation.class_table.names),
        "done": f"{done.sum()} of {done.size} tiles",
    }
    inherited = segmentation.inherited().sum()
    if inherited:
        facts["inherited"] = f"{inherited} tiles by {segmentation.parent_name}, not computed anew"
    facts |= {name: str(value) for name, value in segmentation.settings.items()}
    if segmentation.maps:
        facts["maps"] = ", ".join(segmentation.maps)
    if segmentation.georeference is not None:
        facts["crs"] = segmentation.georeference.crs
    return facts


def show_cost(
    config: FCtLConfig,
    parameters: Parameters,
    plain: dict[str, int],
    saved: dict[str, int],
    plain_speed: Speed,
    speed: Speed,
) -> None:
    """Print what a network costs, without and with the exact savings."""
    show_facts(
        {
            "network": f"{config.title}, tile {config.tile_size} px, {len(config.contexts)} contexts",
            "parameters": f"{parameters.total / 1e6:.1f} M, live {parameters.live / 1e6:.1f} M, "
            f"trainable {parameters.trainable / 1e6:.1f} M",
            "measured on": speed.where,
        }
    )
    table = _table("per tile", "plain", "with exact savings")
    for part, flops in plain.items():
        table.add_row(f"{part}, GFLOP", f"{flops / 1e9:.1f}", f"{saved[part] / 1e9:.1f}")
    table.add_row("all, GFLOP", f"{sum(plain.values()) / 1e9:.1f}", f"{sum(saved.values()) / 1e9:.1f}")
    table.add_row("seconds", f"{plain_speed.seconds:.3f}", f"{speed.seconds:.3f}")
    table.add_row("memory, MB", *(f"{s.peak_bytes / 1e6:.0f}" for s in (plain_speed, speed)))
    table.add_row("weights, MB", *(f"{s.weight_bytes / 1e6:.0f}" for s in (plain_speed, speed)))
    out.print(table)
    out.print(
        "Savings: a padded VGG's constant border is kept; a context of the whole image counts for no tile (the seconds "
        "include it).",
        highlight=False,
        soft_wrap=True,
    )


def show_image_costs(costs: Mapping[tuple[str, str], ImageCost], size: tuple[int, int]) -> None:
    """Print what an image costs, by preset and inference."""
    table = _table("network", "inference", "parameters, M", "tiles", "GFLOP", "seconds", "memory, MB")
    for (name, inference), cost in costs.items():
        figures = (f"{cost.parameters / 1e6:.1f}", str(cost.tiles), f"{cost.flops / 1e9:.0f}")
        table.add_row(name, inference, *figures, f"{cost.seconds:.1f}", f"{cost.bytes / 1e6:.0f}")
    out.print(table)
    where = next(iter(costs.values())).where
    out.print(
        f"An image of {size[1]} x {size[0]} px (width x height) in tiles as fctl segment lays them, without reading "
        f"and writing; memory with weights, one tile at a time; {where}.",
        highlight=False,
        soft_wrap=True,
    )


def show_ablations(rows: Sequence[AblationRow]) -> None:
    """Print the rows of the ablation tables."""
    lines = [("table", "row", "config", "DeepGlobe", "Inria Aerial")]
    for row in rows:
        paper = [f"{row.paper[d]:.2f}" if d in row.paper else "-" for d in ("deepglobe", "inria")]
        lines.append((str(row.table), row.label, row.name, paper[0], paper[1]))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        out.print(
            "  ".join(f"{cell:<{w}}" for cell, w in zip(line, widths, strict=True)), highlight=False, soft_wrap=True
        )
    out.print("The last columns are the paper's mIoU, in percent.", highlight=False)


def show_explanation(explanation: TileExplanation) -> None:
    """Print what is said of a pixel, by class, then what the contexts weigh, each with and without what is left out."""
    views = [view for view in (explanation, explanation.without) if view is not None]
    left_out = [f"without {', '.join(explanation.request.without.names)}"] if explanation.without is not None else []
    table = _table("class", "probability", *left_out)
    for number, name in enumerate(explanation.class_table.names):
        table.add_row(name, *(f"{view.probabilities[number]:.4f}" for view in views))
    out.print(table)
    if explanation.contexts:
        table = _table("context", "sigma(z)", "gamma", "weight", *left_out)
        for context in explanation.contexts:
            gate = "-" if context.positional is None else f"{context.gate:.3f}"
            weights = [next((c.weight.mean() for c in v.contexts if c.name == context.name), 0.0) for v in views]
            table.add_row(context.name, gate, f"{context.gamma:.3f}", *(f"{weight:.3f}" for weight in weights))
        out.print(table)
    if explanation.without is not None:
        out.print(
            f"{left_out[0]}: {100 * (explanation.labels != explanation.without.labels).mean():.1f} % of the tile "
            "changes"
        )


def show_before_after(card: BeforeAfter) -> None:
    """Print what fine-tuning changed: each line is one set of tiles."""
    from fctl_napari.finetuning.gate import WORDS

    table = _table("measured on", "mIoU before", "after", "px called as before")
    for part, words in WORDS.items():
        if part in card.after:
            before, after = card.miou(part)
            table.add_row(words, _figure(before), _figure(after), _figure(card.agreement(part)))
    out.print(table)
