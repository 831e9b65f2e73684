"""Several processes that train one network, started by torchrun: each takes some forward passes of every step."""

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

from fctl_napari.errors import ConfigError
from fctl_napari.segmentation.inference.device import resolve_device

T = TypeVar("T")

PATIENCE = timedelta(hours=2)
"""How long processes wait for each other, while one of them measures or writes."""

PIECE = 1 << 26
"""Elements of gradients, or bytes, that are sent at once."""


class Group:
    """The processes of one training; alone, every call answers at once.

    Parameters
    ----------
    device
        Where this one computes.
    rank, size
        Its number, and how many there are.

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
        """Whether this process is the one that writes files."""
        return self.rank == 0

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Add up the gradients of all processes, in place; the same order of adding every time."""
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
        """Give every process the mean of all processes' tensors, in place."""
        if self.size == 1:
            return
        for tensor in tensors:
            dist.all_reduce(tensor)
            tensor.div_(self.size)

    def sum(self, values: NDArray[Any]) -> NDArray[Any]:
        """Add up an array over all processes."""
        if self.size == 1:
            return values
        summed = torch.from_numpy(np.ascontiguousarray(values)).to(self.device)
        dist.all_reduce(summed)
        return summed.cpu().numpy()

    def spread(self, tensors: Iterable[Tensor]) -> None:
        """Give every process the first one's tensors, in place."""
        if self.size == 1:
            return
        for tensor in tensors:
            sent = tensor.detach().contiguous()
            dist.broadcast(sent, 0)
            with torch.no_grad():
                tensor.copy_(sent)

    def tell(self, value: T) -> T:
        """Give every process the first one's value: tensors, numbers, texts, None, and lists and dicts of them."""
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
        told: T = torch.load(io.BytesIO(data), map_location=self.device, weights_only=True)
        return told


def is_first() -> bool:
    """Whether this process is the one that shows and writes; before it has joined the others."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def joined(device: str) -> Iterator[Group]:
    """Join the processes that torchrun started, each on a device of its own; without torchrun, be alone.

    Parameters
    ----------
    device
        ``"auto"``, ``"cpu"`` or ``"cuda"``; of several GPUs each process takes the one of its local number.

    Raises
    ------
    ConfigError
        There is no such device, or fewer GPUs than processes.
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
