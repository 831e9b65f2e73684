"""Graph of an ONNX file, run by onnxruntime on the CPU.

Only the file itself is read: no weights from other files, and no libraries of operators.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.exceptions import CheckpointError, ConfigError
from fctl_napari.model.onnx_settings import LARGEST_TILE, SMALLEST_TILE
from fctl_napari.words import count_of, size_of

LARGEST_FILE = 2**31 - 1
"""Largest ONNX file that holds its weights itself, bytes."""

_TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}
"""Types of an input by their names in onnxruntime."""


class OnnxGraph:
    """Graph that takes tiles and gives a value or values for each px.

    Parameters
    ----------
    data : bytes
        Content of an ONNX file.
    where : str
        Name of the file that holds it, for sentences.

    Attributes
    ----------
    batch : int or None
        Number of tiles that it takes at once. None takes any.
    bands : int or None
        Number of bands of its input. None takes any.
    side : int or None
        Side of the tiles that it takes, px. None takes any.
    takes_bytes : bool
        True if its input is values of 0..255 as bytes.
    metadata : dict of str to str
        Metadata of the file.

    Raises
    ------
    ConfigError
        The packages that run it are not installed.
    CheckpointError
        It is damaged, too large, not whole (its weights lie in other files), needs operators that onnxruntime lacks,
        or takes or gives something else than tiles.
    """

    def __init__(self, data: bytes, where: str) -> None:
        require_onnxruntime(where)
        import onnxruntime
        import torch

        self._where = where
        _check_file(data, where)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4  # what fails is said in a sentence
        options.add_session_config_entry("session.load_model_format", "ONNX")
        try:
            self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has no common base of its errors
            raise CheckpointError(
                f"{where}: onnxruntime cannot run it ({_short(error)}); export it anew with standard operators of a "
                "version that onnxruntime knows."
            ) from error
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        self._read_input()
        outputs = self._session.get_outputs()
        if len(outputs) != 1:
            names = ", ".join(output.name for output in outputs)
            raise CheckpointError(
                f"{where}: has {count_of(len(outputs), 'output')} ({names}); export it with the classes alone."
            )

    def _read_input(self) -> None:
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            names = ", ".join(one.name for one in inputs)
            raise CheckpointError(
                f"{self._where}: has {count_of(len(inputs), 'input')} ({names}); export it with the tile alone."
            )
        self._name: str = inputs[0].name
        kind = _TYPES.get(inputs[0].type)
        if kind is None:
            raise CheckpointError(
                f"{self._where}: its input is a {inputs[0].type}; export it with an input of float32, float16 or uint8."
            )
        self._type = kind
        self.takes_bytes = kind is np.uint8
        shape = [size if isinstance(size, int) and size > 0 else None for size in inputs[0].shape]
        sides = {size for size in shape[2:] if size is not None}
        if len(shape) != 4 or len(sides) > 1 or not all(SMALLEST_TILE <= side <= LARGEST_TILE for side in sides):
            stated = ", ".join("any" if size is None else str(size) for size in shape)
            raise CheckpointError(
                f"{self._where}: its input has the shape ({stated}); export it with (batch, bands, height, width) and "
                f"square tiles of {SMALLEST_TILE} to {LARGEST_TILE} px."
            )
        self.batch, self.bands = shape[:2]
        self.side = next(iter(sides), None)

    def run(self, tiles: NDArray[Any]) -> NDArray[Any]:
        """Run the graph on tiles.

        Parameters
        ----------
        tiles : ndarray [B, C, T, T]
            Tiles, normalized as the graph takes them.

        Returns
        -------
        ndarray [B, h, w] or [B, c, h, w]
            Output of the graph.

        Raises
        ------
        CheckpointError
            The graph fails on them, or its output is none of these.
        """
        step = self.batch or len(tiles)
        found = []
        for first in range(0, len(tiles), step):
            part = tiles[first : first + step]
            fed = np.concatenate([part, *[part[-1:]] * (step - len(part))]).astype(self._type)
            try:
                (output,) = self._session.run(None, {self._name: fed})
            except Exception as error:  # see above
                raise CheckpointError(
                    f"{self._where}: onnxruntime fails to run it on {count_of(tiles.shape[1], 'band')} of "
                    f"{tiles.shape[-1]} px ({_short(error)}); import it with the bands and the tile size that it takes."
                ) from error
            if not isinstance(output, np.ndarray) or output.ndim not in (3, 4) or len(output) != step:
                kind = f"the shape {output.shape}" if isinstance(output, np.ndarray) else f"the type {type(output)}"
                raise CheckpointError(
                    f"{self._where}: its output for {count_of(step, 'tile')} has {kind}; export it with "
                    "(batch, classes, height, width) or (batch, height, width)."
                )
            found.append(output[: len(part)])
        return np.concatenate(found)


def require_onnxruntime(where: str) -> None:
    """Refuse to run an ONNX file where the packages for it are missing.

    Parameters
    ----------
    where : str
        Name of the file, for the sentence.

    Raises
    ------
    ConfigError
        They are not installed.
    """
    missing = [name for name in ("onnxruntime", "onnx") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"{where}: running an ONNX network needs the package {missing[0]!r}; pip install fctl-napari[onnx-run]."
        )


def _check_file(data: bytes, where: str) -> None:
    """Refuse what is no ONNX file, or one whose weights lie in other files."""
    import onnx
    from google.protobuf.message import DecodeError

    if len(data) > LARGEST_FILE:
        raise CheckpointError(f"{where}: has {size_of(len(data))}, more than an ONNX file of one piece can hold.")
    try:
        document = onnx.load_model_from_string(data)
    except (DecodeError, ValueError) as error:
        raise CheckpointError(f"{where}: is not an ONNX file, or damaged; export or download it again.") from error
    if not document.graph.node:
        raise CheckpointError(f"{where}: holds no network; export or download it again.")
    external = onnx.TensorProto.EXTERNAL
    if any(tensor.data_location == external or tensor.external_data for tensor in _tensors(document)):
        raise CheckpointError(
            f"{where}: its weights lie in other files, which are not read; save it in one file "
            "(onnx.save(onnx.load(PATH), NEW_PATH) in Python)."
        )


def _tensors(message: Any) -> Iterator[Any]:
    """Yield the tensors of a protobuf message, those of subgraphs and functions too."""
    from google.protobuf.message import Message

    if message.DESCRIPTOR.name == "TensorProto":
        yield message
        return
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for one in [value] if isinstance(value, Message) else value:
                yield from _tensors(one)


def _short(error: BaseException) -> str:
    """Return what onnxruntime says, in a line."""
    said = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error))
    said = re.sub(r"\S+\.(?:cc|h):\d+ [^(]*\(.*?\) ", "", said)  # where in onnxruntime's code it fails
    reason = " ".join(said.split()).rstrip(".")
    return reason if len(reason) <= 160 else f"{reason[:159]}…"
