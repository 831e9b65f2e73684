"""Points of a map that people check: ``fctl points draw``, ``set``, ``estimate``."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated

import typer

from fctl_napari.cli.chosen_map import chosen_map
from fctl_napari.cli.evaluate import MapOption, open_ground_truth
from fctl_napari.cli.options import JsonOption, RawOption, SegmentationArgument
from fctl_napari.evaluation.points.sample_size import TOTAL
from fctl_napari.exceptions import ConfigError, InputError
from fctl_napari.files import local_path, write_json
from fctl_napari.words import count_of

points_app = typer.Typer(
    no_args_is_help=True, help="Random points on a map that people check, and the areas and accuracies that follow."
)


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.add_typer(points_app, name="points")


@points_app.command("draw")
def draw(
    segmentation: SegmentationArgument,
    total: Annotated[int, typer.Option(metavar="N", min=1, help="Number of points.")] = TOTAL,
    least: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=2,
            help="Least number of points of each class.  [default: 50, or fewer where N of --total are fewer]",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another number draws other points.")] = 0,
    csv_file: Annotated[
        Path | None,
        typer.Option("--csv", parser=local_path, metavar="FILE", help="Write a table to be filled in here."),
    ] = None,
    raw: RawOption = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Drop points that are checked already.")] = False,
) -> None:
    """Draw points at random within each class of the map, to be checked by people.

    They lie in S.ome.zarr.points.json. The map is the prediction with the corrections that lie beside the image.
    """
    from fctl_napari.cli.output import counting, out, say
    from fctl_napari.correcting.map_points import draw_on_map
    from fctl_napari.evaluation.points.checked_points import sample_notes
    from fctl_napari.evaluation.points.point_table import check_table_path, write_table

    if csv_file is not None:
        check_table_path(csv_file)
    chosen, notes = chosen_map(segmentation, raw)
    source = chosen.source
    with counting("Counting classes", vanishing=True) as progress:
        made = draw_on_map(source, final=not raw, total=total, least=least, seed=seed, fresh=fresh, progress=progress)
    points, found = made.points, sample_notes(made.points, total, least)
    if csv_file is not None:
        write_table(points, csv_file, source.georeference)
    say(notes)
    say([f"{one}; --least takes fewer" if least is not None else one for one in found])
    drawn = {name: sum(point.mapped == name for point in points.points) for name in points.mapped}
    shares = ", ".join(f"{number} {name}" for name, number in drawn.items() if number)
    out.print(f"{made.path}: {count_of(len(points.points), 'point')}: {shares}", highlight=False, soft_wrap=True)


@points_app.command("set")
def set_(
    segmentation: SegmentationArgument,
    table: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE.csv]", help="Columns id, or y and x (px), and class. Rows without a class are left out."
        ),
    ] = None,
    ground_truth: Annotated[
        Path | None, typer.Option("--truth", metavar="TRUTH", help="Take the classes of a ground truth instead.")
    ] = None,
    mapping: MapOption = None,
    author: Annotated[str | None, typer.Option(help="Who checked.  [default: the user's name]")] = None,
) -> None:
    """Say which class each point is: by a table, or by a ground truth."""
    from fctl_napari.cli.output import out
    from fctl_napari.correcting.final_map import FinalMap
    from fctl_napari.correcting.map_points import MapPoints
    from fctl_napari.evaluation.points.checked_points import set_classes, true_classes
    from fctl_napari.evaluation.points.point_table import read_table

    if (table is None) == (ground_truth is None):
        raise ConfigError("fctl points set takes the classes of a table or of --truth; give one of them.")
    if mapping is not None and ground_truth is None:
        raise ConfigError(f"{mapping}: maps the values of a ground truth; name that with --truth too.")
    opened = MapPoints.open(segmentation)
    points, source, path = opened.points, opened.source, opened.path
    points.require_image(source, path)
    if table is not None:
        classes, by = read_table(table, points, source.class_table.names), author or getpass.getuser()
    else:
        assert ground_truth is not None
        if isinstance(source, FinalMap) and ground_truth.resolve() == source.corrections.path.resolve():
            raise InputError(f"{ground_truth}: is part of the map, and says nothing of its errors; give another truth.")
        there = open_ground_truth(ground_truth, mapping, source)
        assert there is not None
        classes, by = true_classes(points, source, there), author or ground_truth.name
    points = set_classes(path, points, classes, by)
    left = len(points.points) - points.checked
    out.print(
        f"{path}: {count_of(len(classes), 'point')} set, {points.checked} of {len(points.points)} checked"
        + (f", {left} not yet" if left else ""),
        highlight=False,
        soft_wrap=True,
    )


@points_app.command("estimate")
def estimate(segmentation: SegmentationArgument, json_file: JsonOption = None) -> None:
    """Estimate areas and accuracies from the checked points, with 95 % intervals (Olofsson et al. 2014).

    The map is the one on which the points were drawn; where it has changed since, draw others.
    """
    from fctl_napari.cli.output import counting, say
    from fctl_napari.cli.tables import show_points
    from fctl_napari.correcting.final_map import FinalMap
    from fctl_napari.correcting.map_points import MapPoints

    opened = MapPoints.open(segmentation)
    with counting("Counting classes", vanishing=True) as progress:
        found, hectares = opened.estimate(progress)
    if isinstance(opened.source, FinalMap):
        from fctl_napari.correcting.chosen_map import used

        say([f"the map is that with {used(opened.source)}"])
    show_points(found, hectares)
    if json_file is not None:
        write_json(json_file, found.to_json(hectares))
