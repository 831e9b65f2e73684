"""Metadata of the QGIS plugin Deepness in ONNX files, read as settings of a network (no torch)."""

from __future__ import annotations

import ast
import json
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError

from fctl_napari.exceptions import CheckpointError, fault_of
from fctl_napari.model.onnx_files.statement import Statement
from fctl_napari.words import plain_name

LONGEST = 100_000
"""Longest value that is read, characters."""

SETTINGS = {
    "class_names": "classes",
    "names": "classes",
    "resolution": "pixel_size",
    "tile_size": "tile_size",
    "tiles_overlap": "overlap",
    "standardization_mean": "mean",
    "standardization_std": "std",
    "seg_thresh": "threshold",
}
"""Names in a settings file by the keys of Deepness, ``names`` being that of its first versions."""


def metadata_statement(metadata: Mapping[str, str], where: str, overridden: Collection[str] = ()) -> Statement:
    """Read what the metadata of an ONNX file says for Deepness.

    Parameters
    ----------
    metadata : mapping of str to str
        Metadata of the file: JSON, or for names of classes a literal of Python, by the keys of Deepness.
    where : str
        Name of the file, for sentences.
    overridden : collection of str, optional
        Settings of a ``Statement`` that are not read, as a settings file states them.

    Returns
    -------
    Statement
        What it says; empty for a file without such metadata.

    Raises
    ------
    CheckpointError
        The network is none that segments, or a value is damaged.
    """
    kind = _value(metadata, "model_type", where) if "model_type" in metadata else "Segmentor"
    if str(kind).casefold() != "segmentor":
        raise CheckpointError(f"{where}: is a {kind} by its metadata; only networks that segment can be imported.")
    stated: dict[str, Any] = {}
    for key, name in SETTINGS.items():
        if key not in metadata or name in overridden or name in stated:
            continue
        value = _value(metadata, key, where)
        match key:
            case "class_names" | "names":
                value = _names(value, key, where)
            case "resolution":
                value = _number(value, key, where) / 100  # cm
            case "seg_thresh":
                value = _number(value, key, where)
                if not 0 < value < 1:
                    continue  # cuts nothing off
        try:
            Statement.model_validate({name: value})
        except ValidationError as error:
            fault = fault_of(error, named=False)
            raise CheckpointError(
                f"{where}: its metadata {key}: {fault}, or state {name} in a file for --settings."
            ) from error
        stated[name] = value
    return Statement.model_validate(stated)


def _value(metadata: Mapping[str, str], key: str, where: str) -> Any:
    text = metadata[key]
    try:
        if len(text) > LONGEST:
            raise ValueError("it is too long")
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            if key not in ("class_names", "names"):
                raise
            return ast.literal_eval(text)  # earlier files have literals of Python: keys that are numbers
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        shown = text if len(text) <= 40 else f"{text[:39]}…"
        raise CheckpointError(
            f"{where}: its metadata {key} is {shown!r}, which is not JSON; mend it"
            + (f", or state {SETTINGS[key]} in a file for --settings." if key in SETTINGS else ".")
        ) from error


def _names(value: Any, key: str, where: str) -> list[str]:
    """Return the names of the classes in their order, from a list or from a mapping of their indices."""
    if isinstance(value, dict):
        numbered = {str(index): name for index, name in value.items()}
        value = [numbered.get(str(index)) for index in range(len(numbered))]
    if not isinstance(value, list) or not value or None in value:
        raise CheckpointError(
            f"{where}: its metadata {key} does not name the classes 0, 1, 2, ...; state classes in a file for "
            "--settings."
        )
    return [plain_name(str(name)) or f"class {k}" for k, name in enumerate(value)]


def _number(value: Any, key: str, where: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"{where}: its metadata {key} is no number; mend it, or state {SETTINGS[key]} in a file for --settings."
        ) from error
