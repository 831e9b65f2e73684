"""Computing on a device of torch in a precision."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch
from torch import nn

from fctl_napari.segmentation.inference.hardware import Precision


@contextlib.contextmanager
def numerics(device: torch.device, precision: Precision) -> Iterator[None]:
    """Compute in a precision within the block.

    bf16 is by autocast. fp32 is without TF32 and by the same algorithm every time.

    Parameters
    ----------
    device : torch.device
        Device that computes.
    precision : Precision
        Precision of the block.

    Yields
    ------
    None
        Nothing.
    """
    if precision == "bf16":
        with torch.autocast(device.type, torch.bfloat16):
            yield
    elif device.type == "cuda":
        with torch.backends.cudnn.flags(deterministic=True, allow_tf32=False):
            yield
    else:
        yield


@contextlib.contextmanager
def reproducible(device: torch.device) -> Iterator[None]:
    """Train by the same algorithms every time within the block.

    GPUs have faster ones whose sums come out differently.

    Parameters
    ----------
    device : torch.device
        Device that computes.

    Yields
    ------
    None
        Nothing.
    """
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS needs it before its first product
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with torch.backends.cudnn.flags(deterministic=True):
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def store_for_inference(model: nn.Module, precision: Precision) -> None:
    """Convert the weights of a network for inference, in place.

    They are laid out channels last. In bf16 those weights are stored as bf16 that autocast would convert in every pass.

    Parameters
    ----------
    model : nn.Module
        The network.
    precision : Precision
        Precision in which it will compute.
    """
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    for module in model.modules():
        if precision == "bf16" and isinstance(module, kinds):
            module.to(torch.bfloat16)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
