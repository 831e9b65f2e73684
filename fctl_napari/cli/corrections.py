"""Corrections of segmentations: the commands ``fctl corrections ...``."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fctl_napari.cli.export import KindOption, MinAreaOption, SimplifyOption, TargetArgument, say_losses
from fctl_napari.cli.options import ImageNumberOption, JsonOption, RegionOption, SegmentationArgument, image_location
from fctl_napari.cli.region import region_inside
from fctl_napari.exceptions import InputError
from fctl_napari.files import write_json

if TYPE_CHECKING:
    from fctl_napari.correcting.corrections import Corrections
    from fctl_napari.correcting.merge import MergeReport, Policy
    from fctl_napari.model.classes import ClassTable

corrections_app = typer.Typer(no_args_is_help=True, help="What was painted over a segmentation: look, merge, exchange.")

CorrectionsArgument = Annotated[Path, typer.Argument(metavar="C.ome.zarr", help="Corrections.")]
ConflictOption = Annotated[
    Literal["mine", "theirs", "not-sure"],
    typer.Option("--on-conflict", help="The choice where both painted differently; it is reported in any case."),
]

POLICIES: dict[str, Policy] = {"mine": "mine", "theirs": "theirs", "not-sure": "not sure"}
OUTCOMES: dict[Policy, str] = {
    "mine": "what was here stays",
    "theirs": "what was there is taken",
    "not sure": "it is now not sure",
}
LISTED = 20
"""Number of regions or conflicts that are printed. JSON holds all."""


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.add_typer(corrections_app, name="corrections")


@corrections_app.command("info")
def info(corrections: CorrectionsArgument, json_file: JsonOption = None) -> None:
    """Say what is painted: area by class, authors, regions."""
    show_corrections(corrections, json_file)


def show_corrections(corrections: Path, json_file: Path | None = None) -> None:
    """Print area by class, authors and regions of corrections.

    If ``json_file`` is given, they are also written there.
    """
    from fctl_napari.cli.facts import image_words, show_facts
    from fctl_napari.correcting.corrections import Corrections

    there = Corrections.open(corrections)
    height, width = there.shape
    areas, regions = there.area_by_class(), there.regions()
    show_facts(
        {
            "corrections": str(there.path),
            "size": f"{width} x {height} px (width x height)",
            "image": image_words(there.facts["image"], there.path),
            "authors": ", ".join(there.authors) or "none",
            **{name: f"{pixels} px" for name, pixels in areas.items()},
            "regions": str(len(regions)),
        }
    )
    names = there.class_table.names
    listed = [
        {**asdict(region), "by_class": {names[k]: pixels for k, pixels in region.by_class.items()}}
        for region in regions
    ]
    for region in sorted(listed, key=lambda region: -region["pixels"])[:LISTED]:
        what = dict(region["by_class"]) | ({"not sure": region["not_sure"]} if region["not_sure"] else {})
        _line(region["window"], region["pixels"], _counts(what), "by " + ", ".join(region["authors"]))
    if json_file is not None:
        write_json(json_file, {"areas": areas, "authors": there.authors, "regions": listed})


@corrections_app.command("merge")
def merge(
    corrections: Annotated[Path, typer.Argument(metavar="INTO.ome.zarr", help="The corrections that take the others.")],
    others: Annotated[list[Path], typer.Argument(metavar="OTHER.ome.zarr...", help="Corrections of the same image.")],
    on_conflict: ConflictOption = "mine",
    json_file: JsonOption = None,
) -> None:
    """Take over what others painted, and report where they contradict."""
    from fctl_napari.cli.output import counting
    from fctl_napari.correcting.corrections import Corrections
    from fctl_napari.correcting.merge import merge as merge_corrections

    opened = [Corrections.open(other) for other in others]
    with Corrections.open(corrections, "r+") as into, counting("Merging") as report:
        done = merge_corrections(into, opened, policy=POLICIES[on_conflict], progress=report)
    _show(done, json_file)


@corrections_app.command("import")
def import_(
    corrections: Annotated[
        Path, typer.Argument(metavar="C.ome.zarr", help="Corrections; they are made if --image is given.")
    ],
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="PNG, TIFF or GeoTIFF of class indices (255 = none) or colors, OME-Zarr label; or polygons: GeoJSON, "
            "GeoPackage, Shapefile, FlatGeobuf, COCO, labelme.",
        ),
    ],
    image: Annotated[
        str | None,
        typer.Option(
            parser=image_location,
            metavar="IMAGE",
            help="The image that is corrected; FILE#image=N is another one of a file.",
        ),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            metavar="earth|aerial|FILE",
            help="The checkpoint whose classes new corrections have, and are added to others.  "
            "[default: earth, for new ones]",
        ),
    ] = None,
    author: Annotated[str | None, typer.Option(help="Name of the author.  [default: the user's name]")] = None,
    mapping: Annotated[
        Path | None,
        typer.Option("--map", metavar="FILE", help='The class that a value stands for: {"values": {"7": "water"}}.'),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option(
            "--property",
            metavar="NAME",
            help="The property of polygons that names the class.  [default: class, label, name and their like]",
        ),
    ] = None,
    on_conflict: ConflictOption = "mine",
    json_file: JsonOption = None,
) -> None:
    """Take labels or polygons over into corrections."""
    from fctl_napari.cli.output import counting
    from fctl_napari.correcting.files import import_file
    from fctl_napari.model.model_card import read_card, resolve_checkpoint

    table = None if checkpoint is None else read_card(resolve_checkpoint(checkpoint)).classes
    with _to_change(corrections, image, table) as into, counting("Importing") as report:
        if table is not None:
            into.add_classes(table)
        done = import_file(
            into,
            source,
            author=author or getpass.getuser(),
            mapping=mapping,
            column=column,
            policy=POLICIES[on_conflict],
            progress=report,
        )
    _show(done, json_file)


@corrections_app.command("classes")
def classes(
    corrections: Annotated[
        Path, typer.Argument(metavar="C.ome.zarr", help="Corrections; they are made if --image is given.")
    ],
    table: Annotated[
        str,
        typer.Argument(
            metavar="TABLE",
            help="deepglobe, inria, loveda, openearthmap, worldcover, a number of classes, or a file: JSON, QGIS "
            "style, color map, CSV, checkpoint.",
        ),
    ],
    image: Annotated[
        str | None, typer.Option(parser=image_location, metavar="IMAGE", help="The image that is corrected.")
    ] = None,
    merge_into: Annotated[
        list[str] | None,
        typer.Option(
            "--merge", metavar="OLD=NEW", help="The new class that what is painted as OLD becomes; repeatable."
        ),
    ] = None,
) -> None:
    """Give corrections classes of your own; what is painted keeps its class by name."""
    from fctl_napari.cli.output import out
    from fctl_napari.correcting.class_edit import EditedTable, apply_edit
    from fctl_napari.datasets.class_tables import class_table

    wanted = class_table(table)
    with _to_change(corrections, image, wanted) as into:
        edited = EditedTable.begin(wanted, into.class_table)
        for pair in merge_into or ():
            old, equals, new = pair.partition("=")
            if not equals:
                raise InputError(f"--merge {pair}: write the present class and the new one, as OLD=NEW.")
            edited = edited.merge_present(old.strip(), new.strip())
        former = apply_edit(into, edited)
    out.print(f"{corrections}: {', '.join(wanted.names)}", highlight=False, markup=False, soft_wrap=True)
    if former is not None:
        out.print(f"former corrections: {former}", highlight=False, markup=False, soft_wrap=True)


@corrections_app.command("relink")
def relink_(
    corrections: CorrectionsArgument,
    image: Annotated[
        str,
        typer.Argument(parser=image_location, metavar="IMAGE", help="The image that they belong to, of their size."),
    ],
    copy: Annotated[
        Path | None,
        typer.Option(metavar="COPY.ome.zarr", help="Link a copy of them instead, and leave them as they are."),
    ] = None,
    image_number: ImageNumberOption = None,
) -> None:
    """Say that corrections belong to an image whose pixels differ from those they were painted on."""
    from fctl_napari.cli.output import out
    from fctl_napari.correcting.relink import copy_for, relink
    from fctl_napari.imagery.numbered import with_number
    from fctl_napari.imagery.open import open_image

    image = with_number(image, image_number)
    opened = open_image(image)
    if copy is None:
        relink(corrections, opened)
    else:
        copy_for(corrections, copy, opened)
    out.print(f"{copy or corrections}: belongs to {image}", highlight=False, soft_wrap=True)


@corrections_app.command("next")
def next_(
    segmentation: SegmentationArgument,
    corrections: Annotated[
        Path | None, typer.Argument(metavar="[C.ome.zarr]", help="Corrections of its image, which are left out.")
    ] = None,
    most: Annotated[int, typer.Option(metavar="N", min=1, help="Number of regions to list.")] = LISTED,
    region: RegionOption = None,
    json_file: JsonOption = None,
) -> None:
    """List where to correct next: doubtful regions by expected gain, which is entropy x rarity x size."""
    from fctl_napari.cli.output import counting
    from fctl_napari.cli.tables import show_suggestions
    from fctl_napari.correcting.corrections import Corrections
    from fctl_napari.evaluation.acquisition import find_next
    from fctl_napari.segmentation.store.identity import same_image
    from fctl_napari.segmentation.store.store import Segmentation

    store = Segmentation.open(segmentation)
    done = None if corrections is None else Corrections.open(corrections)
    if done is not None and not same_image(done.facts["image"], store.facts["image"]):
        raise InputError(f"{corrections}: holds corrections of another image than {segmentation}; give those of its.")
    region = region_inside(region, store.shape, segmentation)
    with counting("Looking for regions") as report:
        found = find_next(store, done, region, most=most, progress=report)
    names = store.class_table.names
    show_suggestions(found, names)
    if json_file is not None:
        listed = [
            {
                "window": one.region.window,
                "point": one.region.point,
                "pixels": one.region.pixels,
                "called": names[one.region.predicted],
                "gain": one.gain,
                "entropy": one.entropy,
                "rarity": one.rarity,
                "size": one.size,
            }
            for one in found
        ]
        write_json(json_file, {"regions": listed})


@corrections_app.command("export")
def export(
    corrections: CorrectionsArgument,
    target: TargetArgument,
    kind: KindOption = None,
    region: RegionOption = None,
    simplify: SimplifyOption = None,
    min_area: MinAreaOption = 0,
) -> None:
    """Write corrections for other programs, as ``fctl export`` does; what is not sure has no class there."""
    from fctl_napari.api.exporting import export as export_painted
    from fctl_napari.cli.output import counting, out
    from fctl_napari.correcting.corrections import Corrections
    from fctl_napari.exporting.losses import ExportLosses

    there = Corrections.open(corrections)
    region = region_inside(region, there.shape, corrections)
    losses = ExportLosses()
    with counting("Exporting") as report:
        written = export_painted(
            there,
            target,
            kind=kind,
            region=region,
            simplify=simplify,
            min_area=min_area,
            losses=losses,
            progress=report,
        )
    say_losses(losses)
    out.print(str(written), highlight=False, soft_wrap=True)


@contextmanager
def _to_change(path: Path, image: str | None, table: ClassTable | None) -> Iterator[Corrections]:
    """Open corrections for writing, or create them with the classes of a table, or else of the checkpoint ``earth``.

    Corrections that are there keep their classes. Those that were created are deleted again if an error left them
    empty.
    """
    from fctl_napari.correcting.correction_store import is_corrections
    from fctl_napari.correcting.corrections import Corrections
    from fctl_napari.imagery.open import open_image
    from fctl_napari.model.model_card import read_card, resolve_checkpoint
    from fctl_napari.segmentation.store.store_lock import remove_store

    there = is_corrections(path)
    if image is None and not path.exists():
        raise InputError(f"{path}: there are no such corrections; name the --image to make them.")
    pyramid = None if image is None else open_image(image)
    if there or pyramid is None:
        into = Corrections.open(path, "r+", image=pyramid)
    else:
        into = Corrections.open_or_create(path, pyramid, table or read_card(resolve_checkpoint("earth")).classes)
    with into:
        try:
            yield into
        except BaseException:
            if not there and into.blank:
                remove_store(path)  # before the lock is released, which is then not left behind
            raise


def _show(done: MergeReport, json_file: Path | None) -> None:
    from fctl_napari.cli.output import out

    conflicting = sum(conflict.pixels for conflict in done.conflicts)
    lines = [
        f"new: {_counts(done.added) or 'nothing'}",
        f"there already: {done.agreed} px",
        f"conflicts: {len(done.conflicts)} of {conflicting} px"
        + (f"; there, {OUTCOMES[done.policy]}" if done.conflicts else ""),
        *done.notes,
    ]
    for line in lines:
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    for conflict in sorted(done.conflicts, key=lambda conflict: -conflict.pixels)[:LISTED]:
        mine, theirs = _counts(conflict.mine), _counts(conflict.theirs)
        _line(conflict.window, conflict.pixels, f"here {mine}", f"there {theirs}", conflict.source)
    if json_file is not None:
        write_json(json_file, asdict(done))


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {pixels} px" for name, pixels in counts.items())


def _line(window: tuple[int, int, int, int], pixels: int, *words: str) -> None:
    from fctl_napari.cli.output import out

    text = "  ".join([" ".join(map(str, window)), f"{pixels} px", *words])
    out.print(text, highlight=False, markup=False, soft_wrap=True)
