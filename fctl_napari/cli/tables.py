"""Results as tables on stdout."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from fctl_napari.cli.facts import show_facts
from fctl_napari.cli.output import out
from fctl_napari.words import count_of

if TYPE_CHECKING:
    from fctl_napari.ablation.tables import AblationRow
    from fctl_napari.api.finetuning import Candidate
    from fctl_napari.evaluation.acquisition import Suggestion
    from fctl_napari.evaluation.agreement import Agreement
    from fctl_napari.evaluation.cost import Parameters, Speed
    from fctl_napari.evaluation.error_regions import Region
    from fctl_napari.evaluation.evaluation import Evaluation
    from fctl_napari.evaluation.image_cost import ImageCost
    from fctl_napari.evaluation.job_table import ImageRow
    from fctl_napari.evaluation.points.point_estimate import PointEstimate
    from fctl_napari.evaluation.review_marks import Marks
    from fctl_napari.model.config import FCtLConfig
    from fctl_napari.segmentation.jobs.explanation import TileExplanation


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    return table


def _figure(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.4f}"


def show_evaluation(evaluation: Evaluation, corrections: str | None = None) -> None:
    """Print the figures by class and their means, then the overall figures.

    ``corrections`` describes those that are part of the map. None is for a prediction alone.
    """
    titles, *rows = evaluation.table()
    table = _table(*titles)
    for name, *values in rows:
        table.add_row(name, *map(_figure, values))
    out.print(table)
    scores = evaluation.scores
    lines = [] if corrections is None else [f"figures of the map with {corrections}: not of the network, as with --raw"]
    lines += [
        f"accuracy {scores.accuracy:.4f} over {scores.pixels} px",
        *(f"{what} {_figure(value)}, ignored pixels dropped" for what, value in scores.mean_ious().items()),
        f"expected calibration error {_figure(evaluation.calibration.ece())}"
        + ("" if corrections is None else " of the px that nobody painted"),
    ]
    if evaluation.boundary_px is not None:
        lines.append(f"boundary IoU is that of bands of {evaluation.boundary_px} px")
    if evaluation.inherited:
        lines.append(f"{evaluation.inherited} of the tiles are the parent's, not computed anew")
    for line in lines:
        out.print(line, highlight=False, soft_wrap=True)


def show_regions(regions: Sequence[Region], marks: Marks, names: Sequence[str]) -> None:
    """Print a table of regions, one a line.

    Lines are never wrapped.
    """
    uncertain = any(region.ground_truth is None for region in regions)
    lines: list[tuple[str, ...]] = [
        ("", "px", *(() if uncertain else ("truth",)), "predicted", "confidence", "y0 x0 y1 x1", "mark")
    ]
    for number, region in enumerate(regions, 1):
        ground_truth = () if region.ground_truth is None else (names[region.ground_truth],)
        window = " ".join(map(str, region.window))
        facts = (names[region.predicted], f"{region.confidence:.3f}", window, marks.of(region) or "")
        lines.append((str(number), str(region.pixels), *ground_truth, *facts))
    _columns(lines)


def show_suggestions(suggestions: Sequence[Suggestion], names: Sequence[str]) -> None:
    """Print a table of regions to correct, one a line.

    Lines are never wrapped.
    """
    lines: list[tuple[str, ...]] = [("", "gain", "px", "predicted", "entropy", "rarity", "size", "y0 x0 y1 x1")]
    for number, one in enumerate(suggestions, 1):
        facts = (f"{one.gain:.3f}", str(one.region.pixels), names[one.region.predicted])
        factors = (f"{value:.2f}" for value in (one.entropy, one.rarity, one.size))
        lines.append((str(number), *facts, *factors, " ".join(map(str, one.region.window))))
    _columns(lines, right=3)


def _columns(lines: Sequence[tuple[str, ...]], right: int = 2) -> None:
    """Print lines as columns, the first ``right`` of which are flush right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (
            f"{cell:>{w}}" if k < right else f"{cell:<{w}}"
            for k, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        out.print("  ".join(cells).rstrip(), highlight=False, markup=False, soft_wrap=True)


def show_job(rows: Sequence[ImageRow]) -> None:
    """Print a table of the images of a job: shares of the classes, then hectares where images lie on the ground.

    A caption says that they are those of the predictions. Lines are never wrapped.
    """
    from fctl_napari.evaluation.job_table import ImageRow, readable, shares, sum_of

    total = sum_of(rows)
    names = [] if total is None else list(total.pixels)
    spent = [row.seconds for row in rows if row.seconds is not None]
    everything = ImageRow("all", areas=total, seconds=sum(spent) if spent else None)
    lines: list[tuple[str, ...]] = [("px", *names, "confidence", "seconds", "state", "image")]
    hectares: list[tuple[str, ...]] = [(*(f"{name}, ha" for name in names), "image")]
    for row in (*rows, *([everything] if len(rows) > 1 else [])):
        seconds = "-" if row.seconds is None else f"{row.seconds:.1f}"
        image, state = readable(row.image), "" if row is everything else row.state
        if row.areas is None:
            lines.append(("-", *("-" for _ in names), "-", seconds, state, image))
            continue
        figures = map(_figure, (*shares(row.areas).values(), row.areas.confidence))
        lines.append((f"{row.areas.total}", *figures, seconds, state, image))
        if row.areas.hectares is not None:
            hectares.append((*(f"{area:.2f}" for area in row.areas.hectares.values()), image))
    what = "px, shares and hectares" if len(hectares) > 1 else "px and shares"
    out.print(
        f"{what} of the predicted classes: corrections do not count here; fctl report counts them in one map",
        highlight=False,
        soft_wrap=True,
    )
    _columns(lines, right=len(names) + 3)
    if len(hectares) > 1:
        _columns(hectares, right=len(names))


def show_points(found: PointEstimate, hectares: float | None) -> None:
    """Print areas and accuracies by class with their intervals, of ``hectares`` in all where they are known.

    Lines are never wrapped.
    """
    lines = found.table(hectares)
    _columns(lines, right=len(lines[0]) - 1)
    for line in found.sentences():
        out.print(line, highlight=False, markup=False, soft_wrap=True)


def show_agreement(agreement: Agreement) -> None:
    """Print the agreement of two segmentations by class.

    With a ground truth, the figures of each and the shares where one or both are right follow.
    """
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


def show_cost(
    config: FCtLConfig,
    parameters: Parameters,
    plain: dict[str, int],
    saved: dict[str, int],
    plain_speed: Speed,
    speed: Speed,
) -> None:
    """Print the costs of a network, without and with the exact savings."""
    show_facts(
        {
            "network": f"{config.title}, tile {config.tile_size} px, {count_of(len(config.contexts), 'context')}",
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
    """Print the costs of an image, by preset and inference."""
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
    """Print the probabilities of a pixel by class, then the weights of the contexts.

    If parts of the network were left out, both are printed with and without them.
    """
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


def show_before_after(candidate: Candidate) -> None:
    """Print the figures before and after fine-tuning, one set of tiles a line."""
    table = _table("measured on", "mIoU before", "after", "px predicted as before")
    for words, *figures in candidate.rows():
        table.add_row(words, *map(_figure, figures))
    out.print(table)
