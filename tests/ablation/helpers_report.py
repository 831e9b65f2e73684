"""Results of ablations that nobody ran."""

from __future__ import annotations

import dataclasses

from fctl_napari.ablation.results import Result


def result(**fields: object) -> Result:
    """A line of the table with some fields replaced."""
    usual = {f.name: {"int": 1, "str": "x"}.get(str(f.type), 0.25) for f in dataclasses.fields(Result)}
    return Result(**(usual | {"iou": {"water": 0.5, "land, dry": 1 / 3}} | fields))
