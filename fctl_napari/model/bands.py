"""Bands of the input of a network (no torch)."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

RGB = ("red", "green", "blue")
"""Bands of a network that states none."""


class Band(BaseModel):
    """One band of the input of a network that does not take red, green and blue as they are shown.

    Attributes
    ----------
    name : str
        Name, by which it is found among the bands of an image: ``"nir"``, ``"B08"``.
    value_range : tuple of 2 float or None
        Values of the image that become 0 and 255. None takes values of 8 bits as they are.
    mean, std : float or None
        Mean and standard deviation of these, 0..255, by which the input is normalized. None takes the encoder's, which
        for a band that is not red, green or blue are the means of the three.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    value_range: tuple[float, float] | None = None
    mean: float | None = None
    std: float | None = Field(default=None, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        """Take a name alone for a band that states nothing else."""
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check(self) -> Band:
        if self.value_range is not None and not self.value_range[0] < self.value_range[1]:
            raise ValueError(f"the range {self.value_range} of the band {self.name!r} is empty; state LO < HI")
        return self
