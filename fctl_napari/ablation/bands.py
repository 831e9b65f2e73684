"""Rows of an ablation by band, which the paper has not: the network without each of its bands (no torch)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fctl_napari.ablation.tables import AblationRow
from fctl_napari.exceptions import ConfigError
from fctl_napari.imagery.band_meanings import canonical_names
from fctl_napari.model.bands import RGB, Band

BANDS = 0
"""Number of the table of bands among the paper's."""

ALL = "bands-all"
"""Name of the row with all bands, which the others are compared with."""


def table_name(table: int) -> str:
    """Name a table.

    Parameters
    ----------
    table : int
        Its number.

    Returns
    -------
    str
        ``"Table 3"``, or ``"Bands"``.
    """
    return "Bands" if table == BANDS else f"Table {table}"


def band_rows(bands: Sequence[Band]) -> list[AblationRow]:
    """List the rows for a network's bands: all of them, without each, and red, green and blue alone.

    Parameters
    ----------
    bands : sequence of Band
        Bands of the network.

    Returns
    -------
    list of AblationRow
        The rows.

    Raises
    ------
    ConfigError
        There are fewer than two bands.
    """
    if len(bands) < 2:
        raise ConfigError(
            "an ablation by band needs a network that states its bands; set network.bands, for example "
            '--set network.bands=\'["red", "green", "blue", "nir"]\' (in Python: settings).'
        )
    names = [str(name) for name in canonical_names([band.name for band in bands])]
    bands = [band.model_copy(update={"name": name}) for band, name in zip(bands, names, strict=True)]
    rows = [_row(ALL, f"all bands: {', '.join(names)}", bands)]
    rows += [
        _row(f"bands-without-{band.name}", f"without {band.name}", [other for other in bands if other is not band])
        for band in bands
    ]
    if set(RGB) < set(names) and len(names) > len(RGB) + 1:
        colors = [band for band in bands if band.name in RGB]
        rows.append(_row("bands-red-green-blue", "red, green and blue alone", colors))
    return rows


def _row(name: str, label: str, bands: Sequence[Band]) -> AblationRow:
    settings: dict[str, Any] = {"bands": [band.model_dump() for band in bands]}
    return AblationRow(BANDS, name, label, settings, {})
