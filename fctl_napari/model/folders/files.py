"""Files of a model's folder: JSON documents, weights, license. Nothing from the folder is run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from torch import Tensor

from fctl_napari.exceptions import CheckpointError, reason_of
from fctl_napari.model.encoders.weights import read_state
from fctl_napari.model.model_card import checkpoint_hash

CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"
README = "README.md"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLED = "pytorch_model.bin"


def require_folder(folder: Path) -> None:
    """Refuse a path that is no folder of a network.

    Parameters
    ----------
    folder : Path
        The folder.

    Raises
    ------
    CheckpointError
        It is not there, is a file, or has no ``config.json``.
    """
    if not folder.is_dir():
        raise CheckpointError(
            f"{folder}: there is no such folder; download the network first (nothing is fetched) and give its folder."
        )
    if not (folder / CONFIG).is_file():
        raise CheckpointError(f"{folder}: has no {CONFIG}; give the folder of a network that transformers saved.")


def read_document(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict of str to object
        Its content.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or holds something else.
    """
    try:
        document = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: there is no such file; download the folder again.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: cannot be read as JSON ({reason_of(error)}); download the folder again."
        ) from error
    if not isinstance(document, dict):
        raise CheckpointError(f"{path}: holds no JSON object; download the folder again.")
    return document


def weight_files(folder: Path) -> list[Path]:
    """Find the files that hold a folder's weights.

    Parameters
    ----------
    folder : Path
        The folder.

    Returns
    -------
    list of Path
        ``model.safetensors``, else the files that its index names, else ``pytorch_model.bin``.

    Raises
    ------
    CheckpointError
        There are none, or the index is damaged or names files of other folders.
    """
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / INDEX).is_file():
        names = read_document(folder / INDEX).get("weight_map")
        if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
            raise CheckpointError(f"{folder / INDEX}: names no files of weights; download the folder again.")
        outside = [name for name in names.values() if Path(name).name != name or not name.endswith(".safetensors")]
        if outside:
            raise CheckpointError(
                f"{folder / INDEX}: names {outside[0]!r}, not a safetensors file there; download the folder again."
            )
        return [folder / name for name in sorted(set(names.values()))]
    if (folder / PICKLED).is_file():
        return [folder / PICKLED]
    raise CheckpointError(f"{folder}: has no weights ({WEIGHTS}, {INDEX} or {PICKLED}); download the folder again.")


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Read a folder's weights.

    Parameters
    ----------
    folder : Path
        The folder.

    Returns
    -------
    dict of str to Tensor
        Arrays by name, on the CPU.

    Raises
    ------
    CheckpointError
        A file is missing or damaged.
    """
    state: dict[str, Tensor] = {}
    for path in weight_files(folder):
        state |= read_state(path)
    return state


def weight_hashes(folder: Path) -> dict[str, str]:
    """Compute the hashes of a folder's weights.

    Parameters
    ----------
    folder : Path
        The folder.

    Returns
    -------
    dict of str to str
        SHA-256, hex, by the name of the file.

    Raises
    ------
    CheckpointError
        There are no weights.
    """
    return {path.name: checkpoint_hash(path) for path in weight_files(folder)}


def license_of(folder: Path) -> str:
    """Read the license that the front matter of a folder's ``README.md`` states.

    Parameters
    ----------
    folder : Path
        The folder.

    Returns
    -------
    str
        Its identifier, ``""`` if none is stated.
    """
    try:
        text = (folder / README).read_text("utf-8", errors="replace")
    except OSError:
        return ""
    front = re.match(r"---\s*\n(.*?)\n---\s*(\n|$)", text, re.DOTALL)
    found = re.search(r"^license:[ \t]*(\S[^\n#]*)", front[1], re.MULTILINE) if front else None
    return found[1].strip().strip("\"'") if found else ""
