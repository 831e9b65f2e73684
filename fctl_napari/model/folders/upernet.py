"""UperNets of the package transformers: their settings, classes and weights, read through its own code."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors.torch import save_file
from torch import Tensor

from fctl_napari.exceptions import CheckpointError, ConfigError, fault_of, reason_of
from fctl_napari.model.baselines.upernet import DERIVED, build_theirs, kept_settings
from fctl_napari.model.build import make_network
from fctl_napari.model.config import FCtLConfig, make_config
from fctl_napari.model.encoders.base import Encoder
from fctl_napari.model.folders.files import CONFIG, PREPROCESSOR, WEIGHTS, read_document
from fctl_napari.model.folders.filled import renamed
from fctl_napari.model.folders.labels import labelled_classes
from fctl_napari.model.folders.preprocessor import normalization_of, read_preprocessor, tile_size_of
from fctl_napari.model.folders.stated import Stated
from fctl_napari.model.network import Network

ARCHITECTURE = "UperNetForSemanticSegmentation"
MODEL_TYPE = "upernet"
OURS = {"backbone.": "encoders.tile.backbone.", "decode_head.": "decoder.head."}
"""Beginnings of the names of weights: theirs, and ours."""
AUXILIARY = "auxiliary_head."
"""Beginning of the names of weights that only training uses."""


class Settings(BaseModel):
    """Fields of an UperNet's ``config.json`` that the network is not built from.

    Attributes
    ----------
    architectures : tuple of str or None
        Names of classes of transformers.
    id2label : dict of int to str or None
        Names of the classes.
    num_labels : int or None
        Number of classes, where they have no names.
    palette : object
        Colors of the classes, if the folder states some.
    backbone : str or None
        Name of a backbone elsewhere.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True, protected_namespaces=())

    architectures: tuple[str, ...] | None = None
    id2label: dict[int, str] | None = None
    num_labels: int | None = None
    palette: Any = None
    backbone: str | None = None


def is_upernet(document: dict[str, Any]) -> bool:
    """Return whether a ``config.json`` is of an UperNet.

    Parameters
    ----------
    document : dict of str to object
        Its content.

    Returns
    -------
    bool
        True if it says so.
    """
    return document.get("model_type") == MODEL_TYPE


def read_upernet(folder: Path) -> Stated:
    """Read the settings of an UperNet's folder.

    Parameters
    ----------
    folder : Path
        The folder, with a ``config.json``.

    Returns
    -------
    Stated
        The network.

    Raises
    ------
    CheckpointError
        A document is damaged, or the network cannot be run here.
    """
    path = folder / CONFIG
    document = read_document(path)
    try:
        settings = Settings.model_validate(document)
        if settings.architectures and ARCHITECTURE not in settings.architectures:
            raise ConfigError(f"is of {', '.join(settings.architectures)}; only {ARCHITECTURE} can be imported.")
        if settings.backbone is not None:
            raise ConfigError(
                f"names a backbone elsewhere ({settings.backbone}), which is not fetched; state its settings."
            )
        kept = kept_settings(document)
        bands = document["backbone_config"].get("num_channels", 3)
        if bands != 3:
            raise ConfigError(f"num_channels is {bands}; only networks of 3 bands can be imported.")
        classes = labelled_classes(path, settings.id2label, settings.num_labels, settings.palette)
        pre_path, pre = folder / PREPROCESSOR, read_preprocessor(folder)
        config = make_config(
            architecture="upernet",
            encoder="transformers",
            contexts=(),
            lcf=False,
            ale="none",
            classes=len(classes),
            tile_size=tile_size_of(pre_path, pre.size, Encoder.multiple_of),
            transformers=json.dumps(kept, sort_keys=True),
            **normalization_of(pre_path, pre),
        )
    except ValidationError as error:
        raise CheckpointError(f"{path}: {fault_of(error)}.") from error
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return Stated(config, classes, config.title)


def filled_upernet(folder: Path, config: FCtLConfig, state: dict[str, Tensor]) -> Network:
    """Build an UperNet with the weights of a folder.

    Names of weights differ between versions of transformers, so its own code reads them, from a copy in which nothing
    else lies.

    Parameters
    ----------
    folder : Path
        The folder.
    config : FCtLConfig
        Settings of the network.
    state : dict of str to Tensor
        Weights by their names.

    Returns
    -------
    Network
        The network, in float32 and evaluation mode.

    Raises
    ------
    CheckpointError
        Transformers is not installed, or weights are missing, unknown or of another shape.
    """
    state = {k: value for k, value in state.items() if not (k.startswith(AUXILIARY) or k.endswith(DERIVED))}
    try:
        model = make_network(config)
    except ConfigError as error:
        raise CheckpointError(f"{folder}: {error}") from error
    try:
        theirs, found = _read_by_transformers(config, state)
    except Exception as error:  # it raises whatever its readers do on weights that do not fit
        raise CheckpointError(
            f"{folder}: transformers cannot read its weights with its {CONFIG} ({reason_of(error)}); mend it, or "
            "download the folder again."
        ) from error
    for what, key in {"lack": "missing_keys", "hold unknown": "unexpected_keys"}.items():
        names = sorted(name for name in found[key] if not name.endswith(DERIVED))
        if names:
            raise CheckpointError(
                f"{folder}: its weights {what} {', '.join(names[:3])}, so they do not fit its {CONFIG}; mend it, or "
                "download the folder again."
            )
    read = {k: value for k, value in theirs.state_dict().items() if not k.endswith(DERIVED)}
    model.load_state_dict({renamed(key, OURS): value for key, value in read.items()})
    return model.eval()


def _read_by_transformers(config: FCtLConfig, state: dict[str, Tensor]) -> tuple[Any, dict[str, Any]]:
    """Load weights into a network of transformers, and report the names that do not fit."""
    from transformers import utils

    theirs: Any = build_theirs(config)
    logging: Any = utils.logging  # partly without types
    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with tempfile.TemporaryDirectory() as copy:
            save_file({key: value.contiguous() for key, value in state.items()}, f"{copy}/{WEIGHTS}", {"format": "pt"})
            found: tuple[Any, dict[str, Any]] = type(theirs).from_pretrained(
                copy,
                config=theirs.config,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                torch_dtype="float32",
                output_loading_info=True,
            )
            return found
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()
