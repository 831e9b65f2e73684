"""Import of a folder of a network as a checkpoint of ours."""

from __future__ import annotations

from pathlib import Path

from fctl_napari.exceptions import CheckpointError
from fctl_napari.files import local_path
from fctl_napari.model.checkpoint import save_new_checkpoint, stored_dtype
from fctl_napari.model.folders.documents import fits_transformers
from fctl_napari.model.folders.entry import read_entry
from fctl_napari.model.folders.files import (
    CONFIG,
    license_of,
    read_document,
    read_weights,
    require_folder,
    weight_hashes,
)
from fctl_napari.model.folders.filled import filled_network
from fctl_napari.model.folders.segformer import our_name, read_segformer, their_name
from fctl_napari.model.folders.upernet import filled_upernet, is_upernet, read_upernet
from fctl_napari.model.free_path import check_free
from fctl_napari.model.model_card import Card


def import_folder(folder: Path | str, out: Path | str, name: str | None = None) -> Path:
    """Write a checkpoint from a folder of ``export_folder``, or of a SegFormer or UperNet that transformers saved.

    Nothing from the folder is run, and nothing is fetched. The weights are stored as they are. A SegFormer that was
    trained elsewhere since it was written here is one of transformers. An UperNet needs that package, whose code runs.

    Parameters
    ----------
    folder : Path or str
        Folder with ``config.json`` and the weights: ``model.safetensors``, several such files with their index, or
        ``pytorch_model.bin``, of which only tensors are read.
    out : Path or str
        Checkpoint to write, ``.safetensors``; a new file.
    name : str or None, optional
        Name of the network. None takes that of its card, or if there is none, of the checkpoint's file.

    Returns
    -------
    Path
        The checkpoint.

    Raises
    ------
    CheckpointError
        The folder is missing, damaged, or holds a network without a counterpart here.
    OutputError
        The checkpoint exists already or cannot be written.
    """
    folder, out = Path(folder), local_path(str(out))
    check_free(out)
    require_folder(folder)
    entry = read_entry(folder)
    if entry is not None and set(weight_hashes(folder).values()) == {entry.weights}:
        card = entry.card.model_copy(update={"name": name or entry.card.name})
    elif entry is not None and not fits_transformers(entry.card.config):
        raise CheckpointError(
            f"{folder}: its weights are not those that its config.json was written with; download the folder again."
        )
    else:
        card = _card(folder, name or out.stem)
        if card.config.architecture == "upernet":
            theirs = read_weights(folder)
            return save_new_checkpoint(out, filled_upernet(folder, card.config, theirs), card, stored_dtype(theirs))
    state = {our_name(key): value for key, value in read_weights(folder).items()}
    fault = "they do not fit its config.json (classes, depths, widths); mend it, or download the folder again"
    model = filled_network(folder, card.config, state, their_name, fault)
    return save_new_checkpoint(out, model, card, stored_dtype(state))


def _card(folder: Path, name: str) -> Card:
    """Make the model card of a folder of transformers."""
    stated = (read_upernet if is_upernet(read_document(folder / CONFIG)) else read_segformer)(folder)
    license_name = license_of(folder)
    origin = {"folder": folder.resolve().name, "files": weight_hashes(folder), "license": license_name or "not stated"}
    return Card(
        name=name,
        description=f"{stated.title} of the folder {origin['folder']} (license: {origin['license']}).",
        config=stated.config,
        classes=stated.classes,
        provenance={"imported": origin},
    )
