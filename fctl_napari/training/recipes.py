"""Training recipes: TOML files that may include others, with overrides of single settings."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fctl_napari.exceptions import ConfigError
from fctl_napari.model.model_card import builtin_checkpoints

CONFIG_FOLDER = Path(__file__).parent / "configs"
PARTS = "parts"
"""Folder of the files that several recipes include. None of them is a recipe itself."""

PATHS = ("encoder_weights", "init_from", "data.masks")
"""Settings that are files or folders."""

CONTEXTS = "contexts_from"
"""Table of settings that are files."""

ROUGHENED = "roughened"
"""``data.masks`` that are the ground truth with a rough outline, and no folder."""

_EITHER = {"steps": "epochs", "epochs": "steps"}
"""Alternative settings: one that is given replaces the other."""


def recipes() -> list[str]:
    """List the names of the recipes that come with the package."""
    files = (path.relative_to(CONFIG_FOLDER) for path in CONFIG_FOLDER.rglob("*.toml"))
    return sorted(path.with_suffix("").as_posix() for path in files if path.parts[0] != PARTS)


def read_recipe(path: Path | str, overrides: dict[str, Any] | None = None) -> dict[str, Any]:
    """Read a recipe's settings without validating them.

    ``include = ["a", "b"]`` in a file takes over the settings of others first, tables field by field. Included
    files are looked up beside the file and among those of the package.

    Parameters
    ----------
    path : Path or str
        A TOML file, or the name of a recipe that comes with the package.
    overrides : dict of str to object or None, optional
        Replaced settings, with dots for nesting and numbers for list indices: ``{"stages.0.epochs": 5}``.

    Returns
    -------
    dict of str to object
        The settings, nested as in the file.

    Raises
    ------
    ConfigError
        A file is missing or not TOML, or an override names a setting that cannot exist.
    """
    fields = _read(_find(path, Path()), ())
    for key, value in (overrides or {}).items():
        _put(fields, key, value)
    return fields


def parse_overrides(settings: Iterable[str], data_folder: Path = Path()) -> dict[str, Any]:
    """Parse ``KEY=VALUE`` settings.

    Parameters
    ----------
    settings : iterable of str
        Settings as on the command line. A value that is not valid TOML is taken as a string.
    data_folder : Path, optional
        Folder that relative paths of a recipe start from. Those of the settings start from the current folder.

    Returns
    -------
    dict of str to object
        Values by key, with paths as a recipe in the data folder would have them.

    Raises
    ------
    ConfigError
        A setting has no ``=``.
    """
    out: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"{setting!r}: is no setting; write KEY=VALUE, such as steps=200.")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        elsewhere = data_folder.absolute() != Path.cwd()
        out[key.strip()] = _from_here(key.strip(), value) if elsewhere else value
    return out


def _from_here(key: str, value: Any) -> Any:
    """Return a setting with a path that starts from the current folder made absolute."""
    if isinstance(value, dict):
        return {inner: _from_here(f"{key}.{inner}", one) for inner, one in value.items()}
    is_path = key in PATHS or key.startswith(f"{CONTEXTS}.")
    if not is_path or not isinstance(value, str) or value in ("", ROUGHENED, *builtin_checkpoints()):
        return value
    return str(Path(value).absolute())


def _find(name: Path | str, beside: Path) -> Path:
    for file in (beside / name, CONFIG_FOLDER / f"{name}.toml"):
        if file.is_file():
            return file
    raise ConfigError(f"{name}: there is no such training config; give a file or one of {', '.join(recipes())}.")


def _read(file: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    if file.resolve() in above:
        raise ConfigError(f"{file}: includes itself; remove that.")
    try:
        own = tomllib.loads(file.read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: is not a TOML file ({error}).") from error
    included = own.pop("include", [])
    if not isinstance(included, list) or not all(isinstance(name, str) for name in included):
        raise ConfigError(f"{file}: include must be a list of names.")
    fields: dict[str, Any] = {}
    for name in included:
        _merge(fields, _read(_find(name, file.parent), (*above, file.resolve())))
    _merge(fields, own)
    return fields


def _merge(into: dict[str, Any], fields: dict[str, Any]) -> None:
    for key, value in fields.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            _set(into, key, value)


def _set(table: dict[str, Any], key: str, value: Any) -> None:
    table[key] = value
    if key in _EITHER:
        table.pop(_EITHER[key], None)


def _put(fields: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    table: Any = fields
    try:
        for parent in parents:
            table = table[int(parent)] if isinstance(table, list) else table.setdefault(parent, {})
        if isinstance(table, list):
            table[int(last)] = value
        else:
            _set(table, last, value)
    except (AttributeError, TypeError, ValueError, IndexError):
        raise ConfigError(f"{key}: there is no such setting; check the name.") from None
