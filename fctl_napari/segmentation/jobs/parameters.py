"""Parameters of runs: defaults, choices and help, for requests, command line and forms alike (no torch, no NumPy)."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

Merge = Literal["crop", "average", "released"]
Precision = Literal["auto", "fp32", "bf16"]


class Parameter(NamedTuple):
    """A parameter of a run.

    Attributes
    ----------
    default : object
        Value where none is given.
    help : str
        Help of the command line's option.
    tooltip : str
        Tooltip of the form's field; empty where no form has one.
    """

    default: Any
    help: str
    tooltip: str = ""


BANDS = Parameter(None, "Channels that are red, green and blue, from 0.")
BATCH = Parameter(None, "Tiles at once.")
DEVICE = Parameter(
    "auto",
    "auto, cpu, cuda or cuda:N.",
    "Device that the network runs on. auto: the GPU if there is one, else the CPU.",
)
ENGINE = Parameter("auto", "torch, or openvino on a CPU; auto: openvino where it is installed and faster.")
EXACT_CONTEXTS = Parameter(False, "Contexts from full resolution, as released checkpoints want.")
FRESH = Parameter(
    False,
    "Start over what another checkpoint or setting made.",
    "Discard the tiles of the result and compute them again.",
)
MAPS = Parameter(False, "Maps of entropy, margin and each context's weight too (crop).")
MERGE = Parameter("crop", "Tiles own their core, or are averaged, or are summed as in the released code.")
PRECISION = Parameter("auto", "Arithmetic of the network.")
REGION = Parameter(None, "Only this part, px; half open. What lies beyond the image is cut off.")
VALUE_RANGE = Parameter(None, "Values that become black and white (16-bit and float images).")
