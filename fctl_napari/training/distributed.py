"""Processes that train one network together, started by torchrun. Each takes some forward passes of every step."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch import distributed as dist

from fctl_napari.exceptions import ConfigError
from fctl_napari.segmentation.inference.hardware import resolve_device

T = TypeVar("T")

PATIENCE = timedelta(hours=2)
"""Timeout of processes that wait for each other while one of them measures or writes."""

PIECE = 1 << 26
"""Largest number of gradient elements, or of bytes, that are sent at once."""


class Group:
    """Processes of one training.

    In a group of one process, every method returns at once.

    Parameters
    ----------
    device : torch.device
        Device of this process.
    rank : int, optional
        Number of this process, from 0.
    size : int, optional
        Number of processes.

    Notes
    -----
    Every process has to make the same calls in the same order.
    """

    def __init__(self, device: torch.device, rank: int = 0, size: int = 1) -> None:
        self.device = device
        self.rank = rank
        self.size = size

    @property
    def first(self) -> bool:
        """True if this process is the one that writes files."""
        return self.rank == 0

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Add up the gradients of all processes, in place.

        The order of adding is the same every time.

        Parameters
        ----------
        parameters : iterable of Tensor
            Parameters with the gradients. Those without a gradient are skipped.
        """
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        while gradients:
            count = total = 0
            while count < len(gradients) and (not count or total + gradients[count].numel() <= PIECE):
                total += gradients[count].numel()
                count += 1
            piece, gradients = gradients[:count], gradients[count:]
            flat = torch.cat([g.reshape(-1) for g in piece])
            dist.all_reduce(flat)
            for gradient, part in zip(piece, flat.split([g.numel() for g in piece]), strict=True):
                gradient.copy_(part.view(gradient.shape))

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by their mean over all processes, in place.

        Parameters
        ----------
        tensors : iterable of Tensor
            Tensors of float, of the same shapes in every process.
        """
        if self.size == 1:
            return
        for tensor in tensors:
            dist.all_reduce(tensor)
            tensor.div_(self.size)

    def sum(self, values: NDArray[Any]) -> NDArray[Any]:
        """Add up an array over all processes.

        Parameters
        ----------
        values : ndarray
            Numbers, of the same shape and dtype in every process.

        Returns
        -------
        ndarray
            The sum, of the same shape and dtype.
        """
        if self.size == 1:
            return values
        summed = torch.from_numpy(np.ascontiguousarray(values)).to(self.device)
        dist.all_reduce(summed)
        return summed.cpu().numpy()

    def spread(self, tensors: Iterable[Tensor]) -> None:
        """Copy the first process's tensors to every process, in place.

        Parameters
        ----------
        tensors : iterable of Tensor
            Tensors of the same shapes and dtypes in every process.
        """
        if self.size == 1:
            return
        for tensor in tensors:
            sent = tensor.detach().contiguous()
            dist.broadcast(sent, 0)
            with torch.no_grad():
                tensor.copy_(sent)

    def broadcast(self, value: T) -> T:
        """Send the first process's value to every process.

        Parameters
        ----------
        value : T
            Tensors, numbers, strings, None, and lists and dicts of them. Only the first process's value matters.

        Returns
        -------
        T
            The first process's value, with its tensors on this process's device.
        """
        if self.size == 1:
            return value
        buffer = io.BytesIO()
        torch.save(value if self.first else None, buffer)
        size = torch.tensor([buffer.getbuffer().nbytes], device=self.device)
        dist.broadcast(size, 0)
        data = bytearray(buffer.getvalue()) if self.first else bytearray(int(size))
        whole = torch.frombuffer(data, dtype=torch.uint8)
        for piece in whole.split(PIECE):
            sent = piece.to(self.device)
            dist.broadcast(sent, 0)
            piece.copy_(sent)
        received: T = torch.load(io.BytesIO(data), map_location=self.device, weights_only=True)
        return received


def is_first() -> bool:
    """Return whether this process is the one that prints and writes, before it has joined the others."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def joined(device: str) -> Iterator[Group]:
    """Join the processes that torchrun started, each on a device of its own.

    Without torchrun, the group has this process alone.

    Parameters
    ----------
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``. If there are several GPUs, each process takes the one of its local rank.

    Yields
    ------
    Group
        The group, which is left at the end of the context.

    Raises
    ------
    ConfigError
        There is no such device, or there are fewer GPUs than processes.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or "MASTER_ADDR" not in os.environ:
        yield Group(resolve_device(device))
        return
    own = resolve_device(device)
    if own.type == "cuda" and ":" not in device:
        number = int(os.environ.get("LOCAL_RANK", "0"))
        if number >= torch.cuda.device_count():
            raise ConfigError(
                f"there are {torch.cuda.device_count()} GPUs here, fewer than processes; start as many with torchrun, "
                "or use --device cpu."
            )
        own = torch.device("cuda", number)
    if own.type == "cuda":
        torch.cuda.set_device(own)
    dist.init_process_group("nccl" if own.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Group(own, dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
