"""Table of a job over several images: what became of each, and the shares of its predicted classes."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fctl_napari.evaluation.class_areas import ClassAreas
from fctl_napari.exceptions import InputError
from fctl_napari.files import atomic_write

State = Literal["waiting", "done", "resumed", "failed"]

FIRST = ("image", "state", "result", "px", "confidence", "seconds")
LAST = "sentence"
COUNTED = "prediction"
"""Map whose areas a table holds: corrections do not count."""


@dataclass(frozen=True)
class ImageRow:
    """One image of a job.

    Attributes
    ----------
    image : str
        Path or address of the image.
    state : State
        ``waiting`` until its turn comes; ``resumed`` if an earlier run had begun it.
    result : str
        Name of its segmentation in the folder of the job. Empty if there is none.
    areas : ClassAreas or None
        Areas of its predicted classes, without corrections. None before it is done.
    seconds : float or None
        Time of the run that finished it, s.
    sentence : str
        Why it failed.
    """

    image: str
    state: State = "waiting"
    result: str = ""
    areas: ClassAreas | None = None
    seconds: float | None = None
    sentence: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the row for a JSON file.

        Returns
        -------
        dict of str to object
            What is known. Shares are of the px that have a class.
        """
        return {
            "image": self.image,
            "state": self.state,
            "result": self.result or None,
            "seconds": self.seconds,
            "sentence": self.sentence or None,
            **({} if self.areas is None else {"map": COUNTED, **areas_json(self.areas)}),
        }

    def to_csv(self) -> dict[str, str]:
        """Return the row for a CSV file.

        Returns
        -------
        dict of str to str
            Text by the name of the column.
        """
        texts = {"image": self.image, "state": self.state, "result": self.result, LAST: self.sentence}
        texts = {column: readable(text) for column, text in texts.items()}
        texts["seconds"] = "" if self.seconds is None else f"{self.seconds:.1f}"
        if self.areas is not None:
            texts["map"] = COUNTED
            texts["px"] = str(self.areas.total)
            texts["confidence"] = "" if self.areas.confidence is None else f"{self.areas.confidence:.4f}"
            for name, share in shares(self.areas).items():
                texts[f"{name} share"] = "" if share is None else f"{share:.6f}"
            for name, area in (self.areas.hectares or {}).items():
                texts[f"{name} ha"] = f"{area:.4f}"
        return texts


def readable(text: str) -> str:
    r"""Replace what no text file can hold, of file names that are no UTF-8.

    Parameters
    ----------
    text : str
        A path, or a sentence with one.

    Returns
    -------
    str
        The text, with such bytes as ``\\udce9``.
    """
    return text.encode("utf-8", "backslashreplace").decode()


def shares(areas: ClassAreas) -> dict[str, float | None]:
    """Compute the share of px of each class.

    Parameters
    ----------
    areas : ClassAreas
        Areas of the classes.

    Returns
    -------
    dict of str to float or None
        Share of the px that have a class, 0..1, by name. None if there are none.
    """
    total = areas.total
    return {name: pixels / total if total else None for name, pixels in areas.pixels.items()}


def areas_json(areas: ClassAreas) -> dict[str, Any]:
    """Return areas for a JSON file.

    Parameters
    ----------
    areas : ClassAreas
        Areas of the classes.

    Returns
    -------
    dict of str to object
        Px, their shares, hectares and confidence.
    """
    return {
        "px": areas.total,
        "confidence": areas.confidence,
        "pixels": areas.pixels,
        "share": shares(areas),
        "hectares": areas.hectares,
    }


def sum_of(rows: Sequence[ImageRow]) -> ClassAreas | None:
    """Add up the areas of all images.

    Parameters
    ----------
    rows : sequence of ImageRow
        Images whose classes are the same.

    Returns
    -------
    ClassAreas or None
        Areas of all together; hectares only where each image has them. None if no image is done.
    """
    found = [row.areas for row in rows if row.areas is not None]
    if not found:
        return None
    pixels = {name: sum(areas.pixels[name] for areas in found) for name in found[0].pixels}
    on_ground = [areas.hectares for areas in found if areas.hectares is not None]
    hectares = {name: sum(areas[name] for areas in on_ground) for name in pixels}
    total = sum(pixels.values())
    sure = sum(areas.total * (areas.confidence or 0.0) for areas in found)
    return ClassAreas(pixels, hectares if len(on_ground) == len(found) else None, sure / total if total else None)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read the rows of an earlier table.

    Parameters
    ----------
    path : Path
        CSV file.

    Returns
    -------
    list of dict of str to str
        Text by the name of the column. Empty if there is no such file.

    Raises
    ------
    InputError
        The file is none that ``write_rows`` wrote.
    """
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, restval="")
            rows = [dict(row) for row in reader]
            if not {*FIRST, LAST} <= set(reader.fieldnames or ()) or any(None in row for row in rows):
                raise ValueError
    except (OSError, ValueError, csv.Error):
        raise InputError(f"{path}: is no table of segmented images; rename it, or choose another folder.") from None
    return rows


def write_rows(path: Path, rows: Sequence[ImageRow], earlier: Sequence[Mapping[str, str]] = ()) -> None:
    """Write a table atomically.

    Parameters
    ----------
    path : Path
        CSV file.
    rows : sequence of ImageRow
        Images of this job.
    earlier : sequence of mapping of str to str, optional
        Rows of an earlier table (``read_rows``). Those of waiting images stay, and those of other images whose results
        still lie beside the table.

    Raises
    ------
    OutputError
        The disk is full or the folder is not writable.
    """
    images, results = {readable(row.image) for row in rows}, {readable(row.result) for row in rows if row.result}
    kept = [
        dict(row)
        for row in earlier
        if row["image"] not in images
        and row["result"] not in results
        and (not row["result"] or (path.parent / row["result"]).is_dir())
    ]
    before = {row["image"]: dict(row) for row in earlier}
    texts = [row.to_csv() for row in rows]
    texts = [before.get(text["image"], text) if text["state"] == "waiting" else text for text in texts]
    texts += kept
    columns = [*FIRST, *dict.fromkeys(name for row in texts for name in row if name not in (*FIRST, LAST)), LAST]
    with atomic_write(path, "w") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(texts)
