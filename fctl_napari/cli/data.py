"""Data sets to train on: ``fctl data check``, ``convert``, ``make``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fctl_napari.cli.options import BandNamesOption, BandsOption, RangeOption, stated_bands
from fctl_napari.exceptions import InputError
from fctl_napari.files import local_path, write_json
from fctl_napari.imagery.band_names import Bands
from fctl_napari.words import count_of

if TYPE_CHECKING:
    from fctl_napari.datasets.check import DataSetReport
    from fctl_napari.datasets.layouts import DataSet

data_app = typer.Typer(no_args_is_help=True, help="Data sets to train on: look them through, convert them, make them.")
make_app = typer.Typer(no_args_is_help=True, help="Make data sets of which it is known what a network can learn.")
data_app.add_typer(make_app, name="make")

FolderArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="DeepGlobe, Inria Aerial, images with masks, or OME-Zarr with labels.")
]
ClassesOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|N|FILE",
        help="The class table: inria, deepglobe, loveda, openearthmap, worldcover, a checkpoint, or a file (.json, "
        ".qml, .csv, ...).  [default: the layout's, or DIR/classes.json]",
    ),
]
FarLabelsKind = Literal["markers", "outlines", "waters", "sizes"]
LISTED = 20
"""So many problems are printed; JSON holds all."""


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.add_typer(data_app, name="data")


@data_app.command("check")
def check(
    folder: FolderArgument,
    classes: ClassesOption = None,
    value_range: RangeOption = None,
    bands: BandsOption = None,
    band_names: BandNamesOption = None,
    quick: Annotated[bool, typer.Option("--quick", help="Open the files, but read no pixels.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write this as JSON too, with the whole split.")
    ] = None,
) -> None:
    """Say what a data set holds: layout, counts, sizes, class shares, the split, and what does not fit."""
    from fctl_napari.cli.output import counting
    from fctl_napari.datasets.check import check_data_set

    data = _find(folder, classes, value_range, stated_bands(bands, band_names))
    with counting("Looking through") as progress:
        report = check_data_set(data, quick=quick, progress=progress)
    _show(report)
    if json_file is not None:
        write_json(json_file, report.to_json())
    if not report.sound:
        raise InputError(f"{folder}: no pair can be trained on; mend what is listed, or list others in train.txt.")


@data_app.command("convert")
def convert(
    folder: FolderArgument,
    target: Annotated[
        Path, typer.Argument(parser=local_path, metavar="OUT", help="The folder to write; resumes if cut short.")
    ],
    classes: ClassesOption = None,
    value_range: RangeOption = None,
    bands: BandsOption = None,
    band_names: BandNamesOption = None,
) -> None:
    """Write a data set once as OME-Zarr, from which training reads faster."""
    from fctl_napari.cli.output import counting, out
    from fctl_napari.datasets.convert import convert_data_set

    data = _find(folder, classes, value_range, stated_bands(bands, band_names))
    with counting("Converting") as progress:
        written = convert_data_set(data, target, progress=progress)
    out.print(str(written), highlight=False, soft_wrap=True)


@make_app.command("far-labels")
def make_far_labels(
    folder: Annotated[Path, typer.Argument(parser=local_path, metavar="DIR", help="The folder to write.")],
    kind: Annotated[
        FarLabelsKind,
        typer.Option(
            help="What decides: the nearest marker, inside or outside of a far outline, whether a water ends (river or "
            "lake), the size of a roof."
        ),
    ] = "markers",
    distance: Annotated[
        float, typer.Option(help="Largest distance between a pixel and what decides its class, in tiles.")
    ] = 3.0,
    tile: Annotated[int, typer.Option(help="The side of a tile, px.")] = 64,
    scenes: Annotated[int, typer.Option(help="The number of scenes.")] = 24,
    seed: Annotated[int, typer.Option(help="The seed of everything that is drawn.")] = 0,
) -> None:
    """Make scenes whose classes are decided far away, which no network without contexts can know."""
    from fctl_napari.cli.output import counting, out
    from fctl_napari.datasets.far_labels.data_set import make_far_labels

    with counting("Drawing") as progress:
        written = make_far_labels(
            folder, kind, distance=distance, tile=tile, scenes=scenes, seed=seed, progress=progress
        )
    out.print(str(written), highlight=False, soft_wrap=True)


def _find(
    folder: Path,
    classes: str | None,
    value_range: tuple[float, float] | None,
    bands: Bands | None,
) -> DataSet:
    from fctl_napari.datasets.class_tables import NAMED_VALUES, class_table
    from fctl_napari.datasets.layouts import find_data_set

    table = None if classes is None else class_table(classes)
    found = find_data_set(folder, table=table, values=NAMED_VALUES.get((classes or "").lower()))
    return replace(found, value_range=value_range, bands=bands)


def _show(report: DataSetReport) -> None:
    from fctl_napari.cli.facts import show_facts
    from fctl_napari.cli.output import out
    from fctl_napari.datasets.files import PARTS
    from fctl_napari.datasets.layouts import LAYOUTS

    data, split = report.data, report.data.split
    used = {part: len(split.part(part)) for part in PARTS}
    unused = len(data.pairs) - sum(used.values())
    facts = {
        "folder": str(data.folder),
        "layout": LAYOUTS[data.layout],
        "pairs": f"{len(data.pairs)}" + (f", {unused} of them in no list" if unused else ""),
        "size": ", ".join(f"{count} of {w} x {h} px" for (h, w), count in list(report.sizes.items())[:5]) or "unknown",
        "split": ", ".join(f"{part} {count}" for part, count in used.items()),
        "split by": split.by,
        "classes": ", ".join(info.name + (" (ignored)" if info.ignored else "") for info in data.table),
    }
    if report.readings:
        facts["masks by"] = "; ".join(f"{words} ({count})" for words, count in list(report.readings.items())[:5])
    if len(report.sizes) > 5:
        facts["size"] += f", and {count_of(len(report.sizes) - 5, 'more size')}"
    if data.without_ground_truth:
        facts["no ground truth"] = f"{len(data.without_ground_truth)} of published test sets, left aside"
    show_facts(facts)
    shares = {part: report.shares(part) for part in PARTS}
    if any(shares.values()):
        heads = {"share of labeled px": "  ".join(f"{part:>6}" for part in PARTS)}
        show_facts(
            heads
            | {
                name: "  ".join(f"{shares[part][name]:6.4f}" if shares[part] else "     -" for part in PARTS)
                for name in data.table.names
            }
        )
    problems = report.problems
    for problem in problems[:LISTED]:
        out.print(f"{problem.file}: {problem.what}; {problem.do}", highlight=False, markup=False, soft_wrap=True)
    if len(problems) > LISTED:
        out.print(f"and {len(problems) - LISTED} more, all of them in --json FILE", highlight=False)
    for hint in report.hints():
        out.print(hint, highlight=False, markup=False, soft_wrap=True)
    words = "nothing" if not problems else count_of(len(problems), "thing")
    out.print(
        f"{words} to mend; {report.sound} of {count_of(used['train'], 'training pair')} can be used", highlight=False
    )
