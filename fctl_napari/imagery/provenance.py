"""The image that a pyramid was converted from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Origin:
    """The image that a pyramid was converted from.

    Attributes
    ----------
    path
        Its file or address at that time.
    modified_ns
        When the file had been changed last; None for an address.
    fingerprint
        Its fingerprint at that time; None in pyramids of versions that did not write it.
    """

    path: str
    modified_ns: int | None
    fingerprint: str | None

    @classmethod
    def read(cls, attributes: dict[str, Any]) -> Origin | None:
        """Take it from the attributes that ``convert`` wrote; None for what is no conversion of a file."""
        source = attributes.get("source")
        if not isinstance(source, dict) or not isinstance(source.get("path"), str):
            return None
        return cls(source["path"], source.get("modified_ns"), attributes.get("source_fingerprint"))
