"""Engines that run a network: torch, or OpenVINO on the CPU (no torch here)."""

from __future__ import annotations

import importlib.util
from typing import Literal

from fctl_napari.exceptions import ConfigError
from fctl_napari.model.config import FCtLConfig

EngineName = Literal["torch", "openvino"]

SLOWER = ("vgg16",)
"""Encoders that torch runs faster: it leaves out the border of VGG16 that no image reaches."""


def check_engine_name(engine: str) -> None:
    """Refuse what is no name of an engine.

    Parameters
    ----------
    engine : str
        Name of an engine.

    Raises
    ------
    ConfigError
        It is none of those that ``resolve_engine`` takes.
    """
    if engine not in ("auto", "torch", "openvino"):
        raise ConfigError(f"there is no engine {engine!r}; use auto, torch or openvino.")


def resolve_engine(engine: str, device_type: str, config: FCtLConfig) -> EngineName:
    """Resolve the name of an engine.

    Parameters
    ----------
    engine : str
        ``"torch"``, ``"openvino"``, or ``"auto"``: OpenVINO on the CPU where it is installed, unless torch is faster.
    device_type : str
        ``"cpu"`` or ``"cuda"``.
    config : FCtLConfig
        Settings of the network.

    Returns
    -------
    {"torch", "openvino"}
        The engine.

    Raises
    ------
    ConfigError
        There is no such engine, or it is not installed, or does not run on the device.
    """
    check_engine_name(engine)
    installed = importlib.util.find_spec("openvino") is not None
    if engine == "openvino":
        if not installed:
            raise ConfigError(
                "the engine openvino is not installed; pip install 'fctl-napari[fast-cpu]', or use torch."
            )
        if device_type != "cpu":
            raise ConfigError(
                f"the engine openvino runs on the CPU, not on {device_type}; use torch, or --device cpu (in Python: "
                'device="cpu").'
            )
        if _torch_alone(config):
            raise ConfigError(f"the engine openvino cannot run {config.title}; use torch.")
        return "openvino"
    fits = installed and device_type == "cpu" and config.encoder not in SLOWER and config.inference == "local"
    return "openvino" if engine == "auto" and fits and not _torch_alone(config) else "torch"


def _torch_alone(config: FCtLConfig) -> bool:
    """Return whether only torch runs a network.

    These are one that computes more or less by tile, one that shares every layer, one with a light head, for which
    features are kept, one that came as an ONNX file, which onnxruntime runs, and one with the backbone Swin V2, whose
    attention OpenVINO 2026.4 mistakes where a window has as many tokens as there are heads.
    """
    alone = config.architecture in ("cascadepsp", "onnx") or config.backbone == "swinv2"
    return alone or config.sharing != "last" or config.light
