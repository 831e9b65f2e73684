"""Segmentation of several images as one job, for ``fctl segment``."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fctl_napari.cli.output import counting, err, out, watch_run
from fctl_napari.exceptions import CheckpointError, ConfigError, FctlError, OutputError
from fctl_napari.files import new_folder, write_json
from fctl_napari.words import count_of

if TYPE_CHECKING:
    from fctl_napari.evaluation.job_table import ImageRow, State
    from fctl_napari.segmentation.jobs.engine import Engine, RunProgress, SegmentationRequest

TABLE_SHARE = 0.05
"""Share of the time, at most, in which the table is written while the job runs: after each image, or more seldom."""

NAMED = 3
"""Number of failed images that the last sentence names."""


def means_several(images: Sequence[str], target: Path) -> bool:
    """Return whether a call segments several images into a folder, rather than one image into a store.

    Parameters
    ----------
    images : sequence of str
        Paths, addresses, folders and globs.
    target : Path
        Where the results are kept.

    Returns
    -------
    bool
        True for several images, a folder or a glob, and for one image whose target is a folder of results.
    """
    from fctl_napari.datasets.image_list import is_several
    from fctl_napari.imagery.formats.ngff import is_zarr

    folder = target.is_dir() and not is_zarr(target) and not target.name.lower().endswith(".zarr")
    return len(images) > 1 or is_several(images[0]) or folder


def segment_several(
    images: Sequence[str],
    folder: Path,
    request: SegmentationRequest,
    scheduler: str | None,
    json_file: Path | None,
) -> None:
    """Segment images one after the other with one engine, and write a table of them.

    Parameters
    ----------
    images : sequence of str
        Paths, addresses, folders and globs.
    folder : Path
        Folder of the results and of the table.
    request : SegmentationRequest
        Settings of all images.
    scheduler : str or None
        Address of a dask scheduler, as for ``Engine``.
    json_file : Path or None
        File for the table as JSON.

    Raises
    ------
    FctlError
        Nothing can be begun, or images failed; the others are done.
    """
    from fctl_napari.cli.tables import show_job
    from fctl_napari.datasets.image_list import list_images
    from fctl_napari.evaluation.job_table import ImageRow, areas_json, read_rows, sum_of, write_rows
    from fctl_napari.segmentation.jobs.engine import Engine
    from fctl_napari.segmentation.jobs.request import check_request

    check_request(request)
    folder = _checked_folder(folder)
    listed = list_images(images)
    table = folder / f"{Path(request.checkpoint).stem}.summary.csv"
    earlier = read_rows(table)
    known = {row["result"]: row for row in earlier}
    rows = [ImageRow(image) for image in listed.images]
    err.print(listed.words(), highlight=False, markup=False, soft_wrap=True)
    taken: set[Path] = set()
    written, cost = time.monotonic(), 0.0
    with new_folder(folder):
        try:
            with Engine(scheduler) as engine:
                for number, image in enumerate(listed.images):
                    where = f"{number + 1}/{len(rows)} {image}"
                    row = rows[number] = _segment_one(
                        engine, replace(request, image=image), folder, where, taken, known
                    )
                    taken.add(folder / row.result)
                    begun = time.monotonic()
                    if TABLE_SHARE * (begun - written) >= cost:
                        write_rows(table, rows, earlier)
                        written = time.monotonic()
                        cost = written - begun
        finally:
            if rows[0].state != "waiting":
                write_rows(table, rows, earlier)
    show_job(rows)
    out.print(str(table), highlight=False, markup=False, soft_wrap=True)
    if json_file is not None:
        total = sum_of(rows)
        document = {"images": [row.to_json() for row in rows], "all": None if total is None else areas_json(total)}
        write_json(json_file, document)
    failed = [row.image for row in rows if row.state == "failed"]
    if failed:
        names = ", ".join([*failed[:NAMED], *(["..."] if len(failed) > NAMED else [])])
        raise FctlError(
            f"{len(failed)} of {count_of(len(rows), 'image')} failed ({names}); mend what is said above, and the same "
            "call does these alone."
        )


def _checked_folder(folder: Path) -> Path:
    """Refuse the name of one segmentation or of a file as the folder of several."""
    from fctl_napari.imagery.formats.ngff import FILE_SUFFIXES, is_zarr
    from fctl_napari.imagery.naming import IMAGE_SUFFIXES

    if folder.is_file() or is_zarr(folder) or folder.name.lower().endswith((*IMAGE_SUFFIXES, *FILE_SUFFIXES)):
        raise OutputError(
            f"{folder}: is the name of one segmentation or file, and results of several images are kept in a folder; "
            "name one with --out DIR."
        )
    return folder.absolute()


def _segment_one(
    engine: Engine,
    request: SegmentationRequest,
    folder: Path,
    where: str,
    taken: Collection[Path],
    known: Mapping[str, Mapping[str, str]],
) -> ImageRow:
    """Segment one image of a job, and return its row of the table."""
    from fctl_napari.cli.facts import say_domain, say_images
    from fctl_napari.evaluation.class_areas import class_areas
    from fctl_napari.evaluation.domain import out_of_domain
    from fctl_napari.evaluation.job_table import ImageRow, readable
    from fctl_napari.imagery.open import open_image
    from fctl_napari.model.model_card import read_card
    from fctl_napari.segmentation.inference.network_image import network_image
    from fctl_napari.segmentation.store.result_paths import result_in
    from fctl_napari.segmentation.store.store import Segmentation

    begun: list[RunProgress] = []
    started, path = time.monotonic(), None
    try:
        image = open_image(request.image, value_range=request.value_range, bands=request.bands)
        card = read_card(Path(request.checkpoint))
        image = network_image(image, card.config)
        say_images(image)
        say_domain(out_of_domain(image, card))
        path = result_in(folder, image, request.image, request.checkpoint, maps=request.maps, taken=taken)
        watch_run(engine, replace(request, out=str(path)), where, begun.append, vanishing=True)
        seconds = time.monotonic() - started
        with counting(f"{where}: areas", vanishing=True) as report:
            areas = class_areas(Segmentation.open(path), progress=report)
    except (CheckpointError, ConfigError):
        raise  # of the whole job
    except FctlError as error:
        err.print(f"{where.split()[0]} failed: {error}", highlight=False, markup=False, soft_wrap=True)
        result = "" if path is None or not path.exists() else path.name
        return ImageRow(request.image, "failed", result, sentence=str(error))
    first = next(event for event in begun if event.total)
    if first.done == first.total:
        earlier = known.get(readable(path.name), {})
        state: State = "resumed" if earlier.get("state") == "resumed" else "done"
        err.print(f"{where}: complete already", highlight=False, markup=False, soft_wrap=True)
        return ImageRow(request.image, state, path.name, areas, _seconds(earlier))
    state = "resumed" if first.done else "done"
    unit = "tile" if request.merge == "crop" else "cell"
    words = f"{state}, {count_of(first.total - first.done, unit)} in {seconds:.1f} s"
    err.print(f"{where}: {words}", highlight=False, markup=False, soft_wrap=True)
    return ImageRow(request.image, state, path.name, areas, seconds)


def _seconds(row: Mapping[str, str]) -> float | None:
    """Read the seconds of an earlier row."""
    try:
        return float(row.get("seconds", ""))
    except ValueError:
        return None
