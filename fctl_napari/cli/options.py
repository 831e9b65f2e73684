"""Options that several commands have: how the values of an image are shown."""

from __future__ import annotations

from typing import Annotated

import typer

RangeOption = Annotated[
    tuple[float, float] | None,
    typer.Option("--range", metavar="LO HI", help="Values that become black and white (16-bit and float images)."),
]
BandsOption = Annotated[
    tuple[int, int, int] | None,
    typer.Option("--bands", metavar="R G B", help="Which channels are red, green and blue, from 0."),
]
