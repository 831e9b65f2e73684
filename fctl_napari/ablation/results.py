"""Results of ablation runs as one tidy table: a line for each row of the paper's tables and each run of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import filelock

from fctl_napari.errors import InputError
from fctl_napari.files import atomic_write

IOU = "iou:"
"""The columns of classes begin so."""


@dataclass(frozen=True)
class Result:
    """One row of one table, trained and measured once. Figures lie in 0..1.

    Attributes
    ----------
    table, row, label
        Which row; see ``AblationRow``.
    contexts
        The paper's data set whose context sizes, relative to the tile, were used.
    data, holdout
        What was trained and measured on: the recipe's name and the group that was held out, if any.
    base, encoder, tile_size
        The network that the row's settings were put into; tile side in px.
    seed, steps, batch
        Of the training.
    frozen
        First digits of the hash of the checkpoint that the frozen encoders come from; empty: they learnt too.
    device, precision
        Where and how it was computed.
    settings
        A digest of everything that decides the result.
    miou, miou_without_class_0, f1, accuracy
        As in ``Scores``.
    iou
        By class; one that is neither in the truth nor predicted is left out.
    context_reliance
        See ``context_reliance``.
    parameters, trained_parameters
        Those that a tile passes through, and those of them that learnt.
    seconds
        Of the training steps.
    version, commit
        Of the code; the commit is empty where there is no repository, and ends in ``+`` where files were changed.
    finished
        Time in UTC, ISO 8601.
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
    miou_without_class_0: float | None
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
        """Give the line of the table; each class has a column of its own."""
        line = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "iou"}
        return line | {IOU + name: value for name, value in self.iou.items()}


_TYPES = {f.name: str(f.type) for f in fields(Result) if f.name != "iou"}


def read_results(path: Path | str) -> list[Result]:
    """Read a table; one that is not there yet is empty.

    Raises
    ------
    InputError
        The file is no such table.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            lines = csv.DictReader(file)
            found = [_result(line) for line in lines]
            missing = set(_TYPES) - set(lines.fieldnames or _TYPES)
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, ValueError) as error:
        raise InputError(f"{path}: is not a table of fctl ablate run ({error}).") from error
    if missing:
        raise InputError(f"{path}: is not a table of fctl ablate run (no column {sorted(missing)[0]!r}).")
    return found


def append_results(path: Path | str, results: Sequence[Result]) -> None:
    """Add lines to a table, all or none; a Parquet file of the same name beside it where pyarrow is installed.

    Processes that append to the same table wait for each other.

    Raises
    ------
    InputError
        The file is there, but no such table.
    OutputError
        It cannot be written.
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
