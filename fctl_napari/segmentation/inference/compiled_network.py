"""Network of a checkpoint, compiled by OpenVINO from parts that are converted once and kept in the cache folder."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

from fctl_napari.cores import usable_cores
from fctl_napari.errors import ConfigError, reason_of
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.model_card import read_card
from fctl_napari.segmentation.inference.device import Precision

if TYPE_CHECKING:
    from fctl_napari.segmentation.inference.openvino_network import OpenVinoNetwork


def compiled_network(
    checkpoint: str, checkpoint_hash: str, precision: Precision, threads: int | None = None
) -> OpenVinoNetwork:
    """Load a checkpoint for OpenVINO.

    Parameters
    ----------
    checkpoint : str
        Path of the checkpoint.
    checkpoint_hash : str
        SHA-256 of the checkpoint, by which its parts are kept.
    precision : Precision
        Precision in which it computes.
    threads : int or None, optional
        Number of tiles that run side by side. None takes one for each core.

    Returns
    -------
    OpenVinoNetwork
        The network.

    Raises
    ------
    CheckpointError
        The checkpoint is missing or damaged.
    ConfigError
        OpenVINO cannot be loaded.
    """
    try:
        from platformdirs import user_cache_path

        from fctl_napari.model.openvino_parts import convert_network, drop_oldest, load_parts, parts_folder, save_parts
        from fctl_napari.model.openvino_runtime import ov
        from fctl_napari.segmentation.inference.openvino_network import OpenVinoNetwork
    except ImportError as error:
        raise ConfigError(
            f"OpenVINO is installed and cannot be loaded ({reason_of(error)}); install it anew, or remove it."
        ) from error

    core = ov.Core()
    folder = parts_folder(user_cache_path("fctl-napari") / "openvino", checkpoint_hash)
    try:
        parts = load_parts(folder, core)
    except (OSError, ValueError, LookupError, TypeError, RuntimeError):  # not there yet, or damaged
        parts = convert_network(load_checkpoint(checkpoint)[0])
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # without a place to keep them they are converted again
            save_parts(parts, folder)
            drop_oldest(folder.parent)
    return OpenVinoNetwork(parts, read_card(checkpoint).config, precision, threads or usable_cores(), core)
