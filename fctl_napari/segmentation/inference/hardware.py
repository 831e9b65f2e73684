"""Device of a network and precision in which it computes, found without torch where it's not needed."""

from __future__ import annotations

import contextlib
import ctypes
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fctl_napari.exceptions import ConfigError

if TYPE_CHECKING:
    import torch

Precision = Literal["fp32", "bf16"]

DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
"""Library of the driver of NVIDIA's GPUs."""

AMD_DRIVER = Path("/dev/kfd")
"""Device file of the driver of AMD's GPUs, which torch calls ``cuda`` too."""

BF16_UNITS = {"amx_bf16", "avx512_bf16"}
"""Instructions of a CPU for bf16, as Linux and torch call them."""


def device_type(device: str) -> str:
    """Return the type of the device that a name stands for here.

    Parameters
    ----------
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.

    Returns
    -------
    str
        ``"cpu"`` or ``"cuda"``.

    Raises
    ------
    ConfigError
        There is no such device here.
    """
    if device == "cpu" or (device == "auto" and not _has_driver()):
        return "cpu"
    return resolve_device(device).type


def resolve_device(device: str) -> torch.device:
    """Resolve the name of a device to one that is available.

    Parameters
    ----------
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.

    Returns
    -------
    torch.device
        The device.

    Raises
    ------
    ConfigError
        There is no such device here.
    """
    import torch

    check_device_name(device)
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError:
        raise ConfigError(f"there is no device {device!r}; use auto, cpu or cuda.") from None
    available = torch.cuda.device_count() if found.type == "cuda" else int(found.type == "cpu")
    if (found.index or 0) >= available:
        raise ConfigError(f"device {device!r} is not available here; use auto or cpu.")
    return found


def check_device_name(device: str) -> None:
    """Refuse what is no name of a device, here or anywhere.

    Parameters
    ----------
    device : str
        Name of a device.

    Raises
    ------
    ConfigError
        It is none of those that ``resolve_device`` takes.
    """
    if not re.fullmatch(r"auto|(cpu|cuda)(:\d+)?", device):
        raise ConfigError(f"there is no device {device!r}; use auto, cpu or cuda.")


def check_precision_name(precision: str) -> None:
    """Refuse what is no name of a precision.

    Parameters
    ----------
    precision : str
        Name of a precision.

    Raises
    ------
    ConfigError
        It is none of those that ``resolve_precision`` takes.
    """
    if precision not in ("auto", "fp32", "bf16"):
        raise ConfigError(f"there is no precision {precision!r}; use auto, fp32 or bf16.")


def resolve_precision(precision: str, device_type: str) -> Precision:
    """Resolve the name of a precision.

    Parameters
    ----------
    precision : str
        ``"fp32"``, ``"bf16"``, or ``"auto"``: bf16 where the hardware computes it fast, else fp32.
    device_type : str
        ``"cpu"`` or ``"cuda"``.

    Returns
    -------
    {"fp32", "bf16"}
        The precision.

    Raises
    ------
    ConfigError
        There is no such precision.
    """
    check_precision_name(precision)
    if precision == "fp32":
        return "fp32"
    if precision == "bf16":
        return "bf16"
    return "bf16" if _computes_bf16(device_type) else "fp32"


def _has_driver() -> bool:
    with contextlib.suppress(OSError):
        ctypes.CDLL(DRIVER)
        return True
    return AMD_DRIVER.exists()


def _computes_bf16(device_type: str) -> bool:
    if device_type == "cpu":
        with contextlib.suppress(OSError):
            return bool(BF16_UNITS & set(Path("/proc/cpuinfo").read_text().split()))
    import torch

    if device_type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    features = torch.cpu.get_capabilities()
    return any(features.get(unit) for unit in BF16_UNITS)
