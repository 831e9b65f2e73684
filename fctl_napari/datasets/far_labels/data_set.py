"""Data sets of made scenes on disk, in the layout of pairs."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from fctl_napari.datasets.far_labels.record import RECORD, FarLabels, Kind
from fctl_napari.datasets.far_labels.scenes import CLASSES, draw_scene
from fctl_napari.datasets.files import Part
from fctl_napari.datasets.layouts import TABLE
from fctl_napari.exceptions import ConfigError, OutputError
from fctl_napari.files import new_folder, output_error, write_json
from fctl_napari.progress import Progress

DISTANCES = (0.5, 16.0)
TILES = (32, 512)
SCENES = (3, 1000)
"""Smallest and largest values. Of three scenes there is one to train on, one to validate on and one to test on."""

FARTHEST = 1024
"""Largest distance, px: scenes are drawn in memory, up to five times as wide."""


def make_far_labels(
    folder: Path | str,
    kind: Kind,
    *,
    distance: float = 3.0,
    tile: int = 64,
    scenes: int = 24,
    seed: int = 0,
    progress: Progress | None = None,
) -> Path:
    """Make a data set whose labels are decided at a distance, which a network without contexts cannot know.

    Parameters
    ----------
    folder : Path or str
        Folder to write: ``images/``, ``masks/``, ``classes.json``, lists of the scenes to train on, to validate on and
        to test on, and ``far_labels.json``, the locations that decide.
    kind : {"markers", "outlines", "waters", "sizes"}
        What decides: the nearest marker; a closed outline that one is inside or outside of; whether a water ends, as
        lakes do; whether a roof ends, as small ones do.
    distance : float, optional
        Largest distance between a labeled px and the location that decides it, tiles.
    tile : int, optional
        Side of a tile of the networks to compare, px.
    scenes : int, optional
        Number of scenes. A quarter is to test on, an eighth to validate on.
    seed : int, optional
        Seed of everything that is drawn.
    progress : callable or None, optional
        Called as ``progress(done, total)`` with counts of scenes.

    Returns
    -------
    Path
        ``folder``.

    Raises
    ------
    ConfigError
        There is no such kind, or a number is out of range.
    OutputError
        The folder holds something, or cannot be written. It is whole, or it is not there.
    """
    folder = Path(folder)
    _check(kind, distance, tile, scenes)
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise OutputError(f"{folder}: is not an empty folder; choose a new one.")
        with (
            new_folder(folder.parent),
            tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary,
        ):
            made = Path(temporary) / folder.name
            decisions, radius = {}, 0.0
            if progress is not None:
                progress(0, scenes)
            for number in range(scenes):
                name = f"scene{number:03d}"
                scene = draw_scene(kind, distance, tile, seed, number)
                decisions[name], radius = scene.decisions, scene.radius
                for part, pixels in (("images", scene.image), ("masks", scene.mask)):
                    (made / part).mkdir(parents=True, exist_ok=True)
                    Image.fromarray(pixels).save(made / part / f"{name}.png")
                if progress is not None:
                    progress(number + 1, scenes)
            for part, names in _parts(list(decisions)).items():
                (made / f"{part}.txt").write_text("".join(f"{name}\n" for name in names), "utf-8")
            write_json(made / TABLE, {"classes": [{"name": name, "color": color} for name, color in CLASSES[kind]]})
            record = FarLabels(kind=kind, distance=distance, tile=tile, seed=seed, radius=radius, scenes=decisions)
            write_json(made / RECORD, record.model_dump(mode="json"), indent=None)
            if folder.exists():
                folder.rmdir()
            made.rename(folder)
    except OSError as error:
        raise output_error(folder, error) from error
    return folder


def _check(kind: str, distance: float, tile: int, scenes: int) -> None:
    if kind not in CLASSES:
        raise ConfigError(f"there is no kind {kind!r} of far labels; choose one of {', '.join(CLASSES)}.")
    for name, value, (low, high) in (
        ("distance", distance, DISTANCES),
        ("tile", tile, TILES),
        ("scenes", scenes, SCENES),
    ):
        if not low <= value <= high:
            raise ConfigError(f"{name} is {value:g}; choose a number from {low:g} to {high:g}.")
    if distance * tile > FARTHEST:
        raise ConfigError(
            f"distance is {distance:g} tiles of {tile} px, {distance * tile:g} px; choose {FARTHEST} px or less in all."
        )


def _parts(names: Sequence[str]) -> dict[Part, Sequence[str]]:
    """Split names: a quarter to test on, an eighth to validate on, at least one each."""
    test = len(names) - max(1, len(names) // 4)
    val = test - max(1, len(names) // 8)
    return {"train": names[:val], "val": names[val:test], "test": names[test:]}
