"""Checkpoints: weights, settings, class table and provenance in one safetensors file."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from fctl_napari.exceptions import CheckpointError, ConfigError, OutputError
from fctl_napari.files import atomic_write
from fctl_napari.model.build import make_network
from fctl_napari.model.free_path import check_free, move_to_free
from fctl_napari.model.model_card import METADATA_KEY, Card, read_card
from fctl_napari.model.network import Network
from fctl_napari.model.onnx_network import OnnxNetwork


def save_checkpoint(path: Path | str, model: Network, card: Card, dtype: torch.dtype = torch.float16) -> Path:
    """Write a checkpoint atomically.

    Parameters
    ----------
    path : Path or str
        File to write, ``.safetensors``.
    model : Network
        Network whose state is stored.
    card : Card
        Model card; its ``config`` must be the network's.
    dtype : torch.dtype, optional
        Dtype of the stored floating-point arrays. An array that would overflow keeps its own dtype.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    CheckpointError
        The card is another network's, or a weight holds NaN or infinity.
    OutputError
        The path is not suitable for a checkpoint (see ``check_path``), or the file cannot be written.
    """
    path = check_path(path)
    data = _content(path, model, card, dtype)
    with atomic_write(path) as file:
        file.write(data)
    return path


def _content(path: Path, model: Network, card: Card, dtype: torch.dtype) -> bytes:
    """Make the content of a checkpoint's file."""
    if card.config != model.config:
        raise CheckpointError(f"{path}: the model card's settings are not the network's; save it with its own card.")
    state = {key: _stored(value, dtype).contiguous().cpu() for key, value in model.state_dict().items()}
    broken = [key for key, value in state.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise CheckpointError(
            f"{path}: is not written, as the network's weight {broken[0]} holds values that are no numbers; take "
            "weights that are whole, or train at a lower learning rate."
        )
    return save(state, metadata={METADATA_KEY: card.model_dump_json()})


def save_new_checkpoint(path: Path | str, model: Network, card: Card, dtype: torch.dtype = torch.float16) -> Path:
    """Write a checkpoint atomically to a path that nothing has.

    Parameters
    ----------
    path, model, card, dtype : object
        See ``save_checkpoint``.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    CheckpointError
        See ``save_checkpoint``.
    OutputError
        The path is taken, even since the call began, or cannot be written.
    """
    path = check_free(path)
    written = path.with_name(f".{path.stem}.{uuid.uuid4().hex}.safetensors")
    data = _content(path, model, card, dtype)
    try:
        with atomic_write(written) as file:
            file.write(data)
        move_to_free(written, path)
    finally:
        written.unlink(missing_ok=True)
    return path


def check_path(path: Path | str) -> Path:
    """Refuse a path that is not suitable for a checkpoint, or where it would replace something else.

    Parameters
    ----------
    path : Path or str
        File to write.

    Returns
    -------
    Path
        The same path.

    Raises
    ------
    OutputError
        The name does not end in ``.safetensors``, or there is a file that is not a checkpoint of ours.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise OutputError(f"{path}: checkpoints end in .safetensors; choose such a name.")
    if path.exists():
        try:
            read_card(path)
        except CheckpointError:
            raise OutputError(f"{path}: exists and is not a checkpoint of ours; choose another name.") from None
    return path


def load_checkpoint(path: Path | str, device: str | torch.device = "cpu") -> tuple[Network, Card]:
    """Build the network of a checkpoint, in float32 and evaluation mode.

    Parameters
    ----------
    path : Path or str
        File from ``save_checkpoint``.
    device : str or torch.device, optional
        Device on which the network is put.

    Returns
    -------
    model : Network
        The network.
    card : Card
        Its model card.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or its arrays do not fit its own settings.
    """
    card = read_card(path)
    try:
        model = make_network(card.config)
        state = load_file(path)
        model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    except (ConfigError, SafetensorError, OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:160]
        again = " with this version of transformers; import its folder again" if card.config.backbone else ""
        raise CheckpointError(f"{path}: its weights do not fit its settings ({reason}){again}.") from error
    if isinstance(model, OnnxNetwork):
        model.where = str(path)
    return model.to(device).eval(), card


@torch.no_grad()
def round_as_stored(model: nn.Module, dtype: torch.dtype = torch.float16) -> None:
    """Round a network's arrays in place to the precision that ``save_checkpoint`` stores.

    So figures measured afterwards are the file's own.

    Parameters
    ----------
    model : nn.Module
        Network, or part of one, whose arrays are rounded.
    dtype : torch.dtype, optional
        Dtype of the stored floating-point arrays.
    """
    for value in model.state_dict().values():
        value.copy_(_stored(value, dtype))


def stored_dtype(state: Mapping[str, Tensor]) -> torch.dtype:
    """Find the dtype in which ``save_checkpoint`` stores weights as they are.

    Parameters
    ----------
    state : mapping of str to Tensor
        Weights as a file holds them.

    Returns
    -------
    torch.dtype
        Half precision only if all have it but those that overflow, which stay as they are. Else single precision.
    """
    floating = [value for value in state.values() if value.is_floating_point()]
    halves = all(value.dtype == torch.float16 or not value.half().isfinite().all() for value in floating)
    return torch.float16 if halves else torch.float32


def _stored(value: Tensor, dtype: torch.dtype) -> Tensor:
    """Convert a floating-point array to ``dtype``, unless that overflows (a batch norm's variance, say)."""
    if not value.is_floating_point():
        return value
    converted = value.to(dtype)
    return converted if converted.isfinite().all() else value
