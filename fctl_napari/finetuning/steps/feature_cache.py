"""Cache of the features of frozen encoders, in memory and on disk."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

Arrays = dict[str, Tensor]


class FeatureCache:
    """Cache of arrays by key, which moves the least recently used ones to disk when memory is full.

    Threads may share it. What one of them computes, others that want the same wait for.

    Parameters
    ----------
    limit : int
        Bytes in memory.
    folder : Path
        Folder of the arrays that do not fit. It belongs to the cache: its content is removed now and by ``close``.

    Attributes
    ----------
    made : int
        Number of keys that were computed.

    Notes ----- If the disk is full, arrays that do not fit into memory are computed again. Either way ``get`` returns
    the same bits.
    """

    def __init__(self, limit: int, folder: Path) -> None:
        self.limit = limit
        self.folder = folder
        self.made = 0
        self._arrays: OrderedDict[str, Arrays] = OrderedDict()
        self._held = 0
        self._lock = threading.Lock()
        self._of_keys: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        shutil.rmtree(folder, ignore_errors=True)

    @property
    def held(self) -> int:
        """Bytes in memory."""
        return self._held

    def get(self, key: str, make: Callable[[], Arrays]) -> Arrays:
        """Return the arrays of a key, computing them if they are not cached.

        Parameters
        ----------
        key : str
            The key.
        make : callable
            Function that computes the arrays.

        Returns
        -------
        dict of str to Tensor
            The arrays, which must not be changed.
        """
        with self._lock:
            of_key = self._of_keys[key]
        with of_key:
            with self._lock:
                arrays = self._arrays.get(key)
                if arrays is not None:
                    self._arrays.move_to_end(key)
                    return arrays
                arrays = self._load(key)
            new = arrays is None
            arrays = make() if arrays is None else arrays
            with self._lock:
                self.made += new
                self._arrays[key] = arrays
                self._held += _size(arrays)
                while self._held > self.limit:
                    old, evicted = self._arrays.popitem(last=False)
                    self._held -= _size(evicted)
                    self._store(old, evicted)
            return arrays

    def close(self) -> None:
        """Clear the cache in memory and on disk."""
        self._arrays.clear()
        self._held = 0
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, key: str) -> Path:
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.safetensors"

    def _store(self, key: str, arrays: Arrays) -> None:
        file = self._file(key)
        if file.exists():
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_file({name: array.contiguous() for name, array in arrays.items()}, file)
        except (OSError, SafetensorError):
            with contextlib.suppress(OSError):
                file.unlink()

    def _load(self, key: str) -> Arrays | None:
        file = self._file(key)
        return load_file(file) if file.is_file() else None


def _size(arrays: Arrays) -> int:
    return sum(array.numel() * array.element_size() for array in arrays.values())
