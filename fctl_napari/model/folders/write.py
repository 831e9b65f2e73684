"""Export of a checkpoint as a folder of the kind that Hugging Face's libraries read."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path

from safetensors.torch import load_file, save

from fctl_napari.exceptions import CheckpointError, OutputError
from fctl_napari.files import local_path, new_folder, output_error, sync, write_json
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.folders.documents import fits_transformers, preprocessor_config, segformer_config
from fctl_napari.model.folders.entry import Entry
from fctl_napari.model.folders.files import CONFIG, PREPROCESSOR, README, WEIGHTS
from fctl_napari.model.folders.readme import readme
from fctl_napari.model.folders.segformer import their_name
from fctl_napari.model.model_card import METADATA_KEY, checkpoint_hash, require_classes


def export_folder(checkpoint: Path | str, out: Path | str) -> Path:
    """Write a checkpoint as a folder with ``model.safetensors``, ``config.json`` and ``README.md``.

    The ``config.json`` of a SegFormer of red, green and blue is that of transformers, and the folder has a
    ``preprocessor_config.json``. Settings and card of every network stand in ``config.json`` under the key ``fctl``.
    The weights are stored as in the checkpoint.

    Parameters
    ----------
    checkpoint : Path or str
        A checkpoint of ours.
    out : Path or str
        The folder, which must not exist. It is whole, or it is not there.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    CheckpointError
        The checkpoint is missing or damaged, or has no classes yet.
    OutputError
        The folder exists already, the disk is full, or the path is not writable.
    """
    out = local_path(str(out))
    if out.exists() or out.is_symlink():
        raise OutputError(f"{out}: exists already; choose another name.")
    model, card = load_checkpoint(checkpoint)
    require_classes(checkpoint, card)
    if card.config.onnx is not None:
        raise CheckpointError(
            f"{checkpoint}: came as an ONNX file, of which no folder is made; write the file again with `fctl model "
            "onnx` and share that."
        )
    transformers = fits_transformers(card.config)
    state = load_file(checkpoint)
    if transformers:
        state = {their_name(key): value for key, value in state.items()}
    data = save(state, metadata={"format": "pt"})
    entry = Entry(card=card, weights=hashlib.sha256(data).hexdigest())
    settings = segformer_config(card.config, card.classes) if transformers else {}
    try:
        with new_folder(out.parent), tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
            made = Path(temporary) / out.name
            made.mkdir()
            (made / WEIGHTS).write_bytes(data)
            write_json(made / CONFIG, settings | {METADATA_KEY: json.loads(entry.model_dump_json())})
            if transformers:
                write_json(made / PREPROCESSOR, preprocessor_config(card.config, model.encoder("tile")))
            text = readme(card, checkpoint_hash(checkpoint), transformers=transformers)
            (made / README).write_text(text, "utf-8")
            sync(sorted(made.iterdir()))
            made.rename(out)
    except OSError as error:
        raise output_error(out, error) from error
    return out
