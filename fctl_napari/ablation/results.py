"""Results of ablation runs as one tidy table, with a line for each run of each row of the paper's tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import filelock

from fctl_napari.exceptions import InputError
from fctl_napari.files import atomic_write

FOREIGN = "is not a table of fctl ablate run; give a CSV file that it wrote"

IOU = "iou:"
"""Prefix of the columns of classes."""


@dataclass(frozen=True)
class Result:
    """One row of one table, trained and measured once.

    Figures lie in 0..1.

    Attributes
    ----------
    table : int
        Number of the paper's table.
    row : str
        Name of the row, see ``AblationRow``.
    label : str
        Label of the row, see ``AblationRow``.
    contexts : str
        The paper's data set whose context sizes, relative to the tile, were used.
    data : str
        Name of the recipe, which decides what was trained and measured on.
    holdout : str
        Group that was held out, or empty.
    base : str
        Preset that the row's settings were put into.
    encoder : str
        Encoder of the network.
    tile_size : int
        Side of the tile, px.
    seed : int
        Seed of the training.
    steps : int
        Number of optimizer steps of the training.
    batch : int
        Tiles per step of the training.
    frozen : str
        First digits of the hash of the checkpoint that the frozen encoders come from. Empty if encoders were trained.
    device : str
        Device of the training.
    precision : str
        Precision of the training.
    settings : str
        Digest of everything that decides the result.
    miou : float
        Mean intersection over union, as in ``Scores``.
    miou_without_background : float or None
        Mean intersection over union of the classes but the background, as in ``Scores``. None if there is none.
    f1 : float
        F1, as in ``Scores``.
    accuracy : float
        Accuracy, as in ``Scores``.
    context_reliance : float
        See ``context_reliance``.
    parameters : int
        Number of parameters that a tile passes through.
    trained_parameters : int
        Number of those parameters that were trained.
    seconds : float
        Time of the training steps, s.
    version : str
        Version of the code.
    commit : str
        Commit of the code. It is empty if there is no repository, and ends in ``+`` if files were changed.
    finished : str
        Time in UTC, ISO 8601.
    iou : dict of str to float
        Intersection over union by class. A class that is neither in the ground truth nor predicted is left out.
    """

    table: int
    row: str
    label: str
    contexts: str
    data: str
    holdout: str
    base: str
    encoder: str
    tile_size: int
    seed: int
    steps: int
    batch: int
    frozen: str
    device: str
    precision: str
    settings: str
    miou: float
    miou_without_background: float | None
    f1: float
    accuracy: float
    context_reliance: float
    parameters: int
    trained_parameters: int
    seconds: float
    version: str
    commit: str
    finished: str
    iou: dict[str, float] = field(default_factory=dict)

    def to_line(self) -> dict[str, Any]:
        """Convert the result to a line of the table.

        Returns
        -------
        dict of str to object
            Values by column. Each class has a column of its own.
        """
        line = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "iou"}
        return line | {IOU + name: value for name, value in self.iou.items()}


_TYPES = {f.name: str(f.type) for f in fields(Result) if f.name != "iou"}

_EARLIER = {"miou_without_class_0": "miou_without_background"}
"""Columns of earlier versions, and what they are called now."""


def read_results(path: Path | str) -> list[Result]:
    """Read a table.

    Parameters
    ----------
    path : Path or str
        The CSV file.

    Returns
    -------
    list of Result
        The lines, in order. There are none if the file does not exist.

    Raises
    ------
    InputError
        The file is not such a table.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            lines = csv.DictReader(file)
            lines.fieldnames = [_EARLIER.get(name, name) for name in lines.fieldnames or ()]
            found = [_result(line) for line in lines]
            missing = set(_TYPES) - set(lines.fieldnames or _TYPES)
    except FileNotFoundError:
        return []
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; give the CSV files in it that fctl ablate run wrote.") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions.") from error
    except (UnicodeDecodeError, csv.Error, KeyError, ValueError) as error:
        raise InputError(f"{path}: {FOREIGN}.") from error
    if missing:
        raise InputError(f"{path}: {FOREIGN} (it has no column {sorted(missing)[0]!r}).")
    return found


def append_results(path: Path | str, results: Sequence[Result]) -> None:
    """Append lines to a table atomically.

    A Parquet file of the same name is written beside it if pyarrow is installed. Processes that append to the same
    table wait for each other.

    Parameters
    ----------
    path : Path or str
        The CSV file, which is made if it does not exist.
    results : sequence of Result
        The lines.

    Raises
    ------
    InputError
        The file exists, but is not such a table.
    OutputError
        The table cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(path.with_name(f".{path.name}.lock")):
        everything = [*read_results(path), *results]
        with atomic_write(path, "w") as file:
            file.write(_csv(everything))
        _write_parquet(path.with_suffix(".parquet"), everything)


def _columns(results: Iterable[Result]) -> list[str]:
    return [*_TYPES, *dict.fromkeys(IOU + name for result in results for name in result.iou)]


def _csv(results: Sequence[Result]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, _columns(results), restval="", lineterminator="\n")
    writer.writeheader()
    for result in results:
        writer.writerow({k: "" if v is None else v for k, v in result.to_line().items()})
    return text.getvalue()


def _write_parquet(path: Path, results: Sequence[Result]) -> None:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        return
    columns = _columns(results)
    lines = [result.to_line() for result in results]
    table = pa.table({name: [line.get(name) for line in lines] for name in columns})
    with atomic_write(path) as file:
        parquet.write_table(table, file)


def _result(line: dict[str, str]) -> Result:
    values: dict[str, Any] = {name: _value(line[name], kind) for name, kind in _TYPES.items()}
    iou = {name.removeprefix(IOU): float(text) for name, text in line.items() if name.startswith(IOU) and text}
    return Result(**values, iou=iou)


def _value(text: str, kind: str) -> Any:
    if kind == "int":
        return int(text)
    if kind.startswith("float"):
        return None if not text and "None" in kind else float(text)
    return text
