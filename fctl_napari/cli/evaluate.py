"""Figures and errors of segmentations: ``fctl evaluate``, ``fctl errors``, ``fctl compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fctl_napari.cli.chosen_map import chosen_map, said
from fctl_napari.cli.options import CorrectionsOption, JsonOption, RawOption, RegionOption, SegmentationArgument
from fctl_napari.cli.region import region_inside
from fctl_napari.exceptions import FctlError, InputError
from fctl_napari.files import atomic_write, write_json

if TYPE_CHECKING:
    from fctl_napari.correcting.final_map import FinalMap
    from fctl_napari.evaluation.ground_truth import GroundTruth
    from fctl_napari.segmentation.store.store import Segmentation
    from fctl_napari.windows import IntWindow

Order = Literal["size", "confidence", "class"]
Measure = Literal["confidence", "entropy", "margin"]
GroundTruthArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="[TRUTH]", help="Class indices (255 ignored), the classes' colors, OME-Zarr label, or polygons."
    ),
]
MapOption = Annotated[
    Path | None,
    typer.Option("--map", metavar="FILE", help='The class of a value of the ground truth: {"values": {"7": "water"}}.'),
]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    for command in (evaluate, errors, compare):
        app.command()(command)


def evaluate(
    segmentation: SegmentationArgument,
    ground_truth: Annotated[
        Path,
        typer.Argument(
            metavar="TRUTH",
            help="PNG or TIFF of class indices (255 ignored) or the classes' colors, an OME-Zarr label, or polygons.",
        ),
    ],
    region: RegionOption = None,
    boundary: Annotated[
        int, typer.Option(metavar="PX", min=0, help="Width of the bands of boundary IoU; 0: without.")
    ] = 15,
    mapping: MapOption = None,
    json_file: JsonOption = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write figures by class and confusion matrix here.")
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE.png|svg|pdf", help="Draw figures, confusion matrix, reliability.")
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The checkpoint that made it, if it was moved since; for context reliance."),
    ] = None,
    raw: RawOption = False,
    corrections: CorrectionsOption = None,
) -> None:
    """Compare a map with its ground truth: figures by class, mIoU, accuracy, calibration, context reliance.

    The map is the prediction with the corrections that lie beside the image; --raw measures the network alone.
    """
    from fctl_napari.api.measuring import evaluate as measure
    from fctl_napari.cli.facts import say_domain
    from fctl_napari.cli.output import counting, err, out, say
    from fctl_napari.cli.tables import show_evaluation
    from fctl_napari.correcting.chosen_map import used, used_json
    from fctl_napari.correcting.final_map import FinalMap
    from fctl_napari.evaluation.context_reliance import segmentation_reliance
    from fctl_napari.figures.evaluation import evaluation_figure
    from fctl_napari.figures.files import check_figure_path, save_figure
    from fctl_napari.segmentation.store.store import Segmentation

    if figure is not None:
        check_figure_path(figure)
    chosen, _ = chosen_map(segmentation, raw, corrections)
    region = region_inside(region, chosen.shape, segmentation)
    with counting("Comparing") as report:
        measured = measure(
            chosen, ground_truth, region=region, mapping=mapping, boundary_px=boundary or None, progress=report
        )
    evaluation, source, store = measured.evaluation, measured.compared.source, Segmentation.open(segmentation)
    final = source if isinstance(source, FinalMap) else None
    say(said(measured.notes))
    show_evaluation(evaluation, None if final is None else used(final))
    domain = _domain(store, checkpoint, region)
    if "trained_on" in domain:
        out.print(domain["trained_on"]["words"], highlight=False, markup=False, soft_wrap=True)
    say_domain(domain.get("warning"))
    if csv_file is not None:
        with atomic_write(csv_file, "w") as file:
            file.write(evaluation.to_csv())
    if figure is not None:
        name = segmentation.name if final is None else f"{segmentation.name} with {used(final)}"
        save_figure(evaluation_figure(evaluation, name), figure)
    figures = {**evaluation.to_json(), **domain, "context_reliance": None}
    if final is not None:
        figures["corrections"] = used_json(final)
    try:
        with err.status("Exchanging contexts"):
            figures["context_reliance"] = segmentation_reliance(store, checkpoint)
        out.print(f"context reliance {100 * figures['context_reliance']:.1f} %", highlight=False)
    except FctlError as error:
        err.print(f"context reliance was not measured: {error}", highlight=False, soft_wrap=True)
    if json_file is not None:
        write_json(json_file, figures)


def errors(
    segmentation: SegmentationArgument,
    ground_truth: GroundTruthArgument = None,
    by: Annotated[Order, typer.Option(help="Largest first; surest errors (least sure doubts); by class.")] = "size",
    most: Annotated[int, typer.Option(metavar="N", min=1, help="Number of regions to list.")] = 20,
    measure: Annotated[
        Measure, typer.Option(help="Of doubts; entropy and margin where it was made with fctl segment --maps.")
    ] = "confidence",
    region: RegionOption = None,
    mapping: MapOption = None,
    json_file: JsonOption = None,
) -> None:
    """List connected regions of errors, the largest first; without a ground truth, of doubts."""
    from fctl_napari.api.measuring import errors as find
    from fctl_napari.cli.output import counting, out, say
    from fctl_napari.cli.tables import show_regions
    from fctl_napari.evaluation.error_regions import SMALLEST
    from fctl_napari.evaluation.review_marks import Marks
    from fctl_napari.segmentation.store.store import Segmentation

    store = Segmentation.open(segmentation)
    region = region_inside(region, store.shape, segmentation)
    marks = Marks.of_segmentation(store)
    kind = "errors" if ground_truth is not None else "doubts"
    with counting(f"Looking for {kind}") as report:
        looked = find(
            segmentation, ground_truth, region=region, by=by, measure=measure, mapping=mapping, progress=report
        )
    say(looked.notes)
    found = looked.regions
    listed = found[:most]
    names = store.class_table.names
    if listed:
        show_regions(listed, marks, names)
    out.print(
        f"regions of {kind}: {found.found}, and {found.small} of fewer than {SMALLEST} px; {found.pixels} px in all",
        highlight=False,
        soft_wrap=True,
    )
    if json_file is not None:
        regions = [
            {
                "window": one.window,
                "point": one.point,
                "pixels": one.pixels,
                "truth": None if one.ground_truth is None else names[one.ground_truth],
                "called": names[one.predicted],
                "confidence": one.confidence,
                "mark": marks.of(one),
            }
            for one in listed
        ]
        write_json(json_file, {"regions": regions, "found": found.found, "small": found.small, "pixels": found.pixels})


def compare(
    first: Annotated[Path, typer.Argument(metavar="A.ome.zarr", help="A segmentation.")],
    second: Annotated[Path, typer.Argument(metavar="B.ome.zarr", help="Another one of the same image.")],
    ground_truth: GroundTruthArgument = None,
    region: RegionOption = None,
    mapping: MapOption = None,
    json_file: JsonOption = None,
) -> None:
    """Compare two segmentations: where they agree and, with a ground truth, which of them is right."""
    from fctl_napari.cli.output import counting, out
    from fctl_napari.cli.tables import show_agreement
    from fctl_napari.evaluation.agreement import compare as compare_both
    from fctl_napari.segmentation.store.store import Segmentation

    one, other = Segmentation.open(first), Segmentation.open(second)
    region = region_inside(region, other.shape, second)
    there = open_ground_truth(ground_truth, mapping, other)
    with counting("Comparing") as report:
        agreement = compare_both(one, other, there, region, progress=report)
    show_agreement(agreement)
    if there is not None:
        for store in (one, other):
            if (seen := _domain(store, None, region).get("trained_on")) is not None:
                out.print(f"{store.path}: {seen['words']}", highlight=False, markup=False, soft_wrap=True)
    if json_file is not None:
        write_json(json_file, agreement.to_json())


def _domain(store: Segmentation, checkpoint: Path | None, region: IntWindow | None) -> dict[str, Any]:
    """Return, as far as it is so, that the checkpoint was trained on the image, or on ones unlike it."""
    from fctl_napari.evaluation.domain import domain_of_result

    found = domain_of_result(store, checkpoint, region)
    said: dict[str, Any] = {} if found.warning is None else {"warning": found.warning}
    if (seen := found.trained) is not None:
        words = seen.words(found.name, "this image" if region is None else "this region")
        said["trained_on"] = {"share": seen.share, "corrections": seen.corrected, "words": words}
    return said


def open_ground_truth(
    path: Path | None, mapping: Path | None, segmentation: Segmentation | FinalMap
) -> GroundTruth | None:
    """Open the ground truth of a segmentation or a final map, if one is given; notes on it go to stderr."""
    from fctl_napari.cli.output import say
    from fctl_napari.evaluation.open_ground_truth import open_ground_truth_of

    if path is None:
        if mapping is not None:
            raise InputError(f"{mapping}: maps the values of a ground truth; name the ground truth too.")
        return None
    ground_truth, notes = open_ground_truth_of(segmentation, path, mapping)
    say(notes)
    return ground_truth
