"""Entry of ours in a folder's ``config.json``: the model card, and the weights that it is of."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from fctl_napari.exceptions import CheckpointError, fault_of
from fctl_napari.model.folders.files import CONFIG, read_document
from fctl_napari.model.model_card import METADATA_KEY, Card


class Entry(BaseModel):
    """Content of ``config.json`` under the key ``fctl``.

    Attributes
    ----------
    card : Card
        Model card.
    weights : str
        SHA-256 of ``model.safetensors``, hex.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    card: Card
    weights: str


def read_entry(folder: Path) -> Entry | None:
    """Read the entry of a folder.

    Parameters
    ----------
    folder : Path
        The folder.

    Returns
    -------
    Entry or None
        The entry, None if there is none.

    Raises
    ------
    CheckpointError
        The document or the entry is damaged.
    """
    path = folder / CONFIG
    stated = read_document(path).get(METADATA_KEY)
    if stated is None:
        return None
    try:
        return Entry.model_validate(stated)
    except ValidationError as error:
        raise CheckpointError(
            f"{path}: what stands under {METADATA_KEY!r} does not fit this version ({fault_of(error)}); "
            "write the folder again."
        ) from error
