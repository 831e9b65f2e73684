"""Last choices of the user, kept in napari's settings of this plugin (Preferences, FCtL)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from qtpy.QtWidgets import QAbstractSpinBox, QComboBox, QLineEdit

PLUGIN = "fctl-napari"
_Paths = TypeAdapter(list[str])
MOST = 8
"""Number of recently used checkpoints that are kept."""


def _group(name: str) -> Any:
    """Return a group of the settings that napari's manifest declares, or None if the plugin is disabled."""
    from napari.settings import get_plugin_settings

    try:
        return getattr(get_plugin_settings(PLUGIN), name)
    except Exception:  # the plugin is disabled, or the file is damaged in one of the many ways that napari stumbles on
        return None


def remember_choice(field: QComboBox | QLineEdit | QAbstractSpinBox, name: str) -> None:
    """Give a field the choice of last time, and keep what the user chooses from now on.

    Parameters
    ----------
    field : QComboBox, QLineEdit or QAbstractSpinBox
        The field, filled. A choice that it does not have (any more) is left aside.
    name : str
        Name of the setting in the group ``last_choices`` of the manifest.
    """
    choices = _group("last_choices")
    if choices is None:
        return
    last = getattr(choices, name)

    def keep(value: Any) -> None:
        setattr(choices, name, value)

    if isinstance(field, QComboBox):
        if last and field.findText(last) >= 0:
            field.setCurrentText(last)
        field.textActivated.connect(keep)
    elif isinstance(field, QLineEdit):
        if last:
            field.setText(last)
        field.editingFinished.connect(lambda: keep(field.text()))
    else:
        number: Any = field  # Qt's base class of the boxes has no value
        if last >= 0:
            number.setValue(min(last, number.maximum()))
        number.valueChanged.connect(keep)


def recent_checkpoints() -> list[str]:
    """Return the checkpoint files that were used last and are still there.

    Returns
    -------
    list of str
        Their paths, the last one first.
    """
    return [path for path in _known() if Path(path).is_file()]


def note_checkpoint(path: str | Path, *, former: str | Path | None = None) -> None:
    """Keep a checkpoint file among those that were used last.

    Parameters
    ----------
    path : str or Path
        The file. An empty text only forgets ``former``.
    former : str or Path or None, optional
        Path that it had before, which is forgotten.
    """
    recent = _group("recent")
    if recent is not None:
        others = [known for known in _known() if known not in (str(path), str(former))]
        recent.checkpoints = json.dumps([*([str(path)] if str(path) else []), *others][:MOST])


def _known() -> list[str]:
    """Return the checkpoint files that were used last, or none where somebody has damaged the setting."""
    recent = _group("recent")  # napari's settings know no lists
    try:
        return [] if recent is None else _Paths.validate_json(recent.checkpoints)
    except ValueError:
        return []
