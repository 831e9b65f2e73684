"""Report of a map: ``fctl report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fctl_napari.cli.chosen_map import chosen_map
from fctl_napari.cli.evaluate import MapOption, open_ground_truth
from fctl_napari.cli.options import CorrectionsOption, RawOption, SegmentationArgument
from fctl_napari.files import local_path


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command()(report)


def report(
    segmentation: SegmentationArgument,
    target: Annotated[
        Path, typer.Option("--out", parser=local_path, metavar="FILE.html|FILE.pdf", help="The page that is written.")
    ],
    ground_truth: Annotated[
        Path | None,
        typer.Option("--truth", metavar="TRUTH", help="Compare with a ground truth where no points are checked."),
    ] = None,
    mapping: MapOption = None,
    raw: RawOption = False,
    corrections: CorrectionsOption = None,
) -> None:
    """Write one page on the map: picture, areas, what people checked, accuracy, doubts, checkpoint and settings.

    The map is the prediction with the corrections that lie beside the image. Its accuracy is that by its checked points
    (fctl points), with intervals; else that against the ground truth.
    """
    from fctl_napari.cli.output import counting, out, say
    from fctl_napari.map_report.files import save_report
    from fctl_napari.map_report.report import make_report
    from fctl_napari.map_report.report_path import check_report_path

    check_report_path(target)
    chosen, notes = chosen_map(segmentation, raw, corrections, ground_truth=ground_truth)
    there = open_ground_truth(ground_truth, mapping, chosen.source)
    name = "" if ground_truth is None else ground_truth.name
    with counting("Reporting", vanishing=True) as progress:
        made = make_report(chosen.source, ground_truth=there, ground_truth_name=name, progress=progress)
    save_report(made, target)
    say(notes)
    out.print(str(target), highlight=False, soft_wrap=True)
