"""OpenVINO, loaded without the package by which it reports each import to its makers over the network (no torch)."""

from __future__ import annotations

import sys
from typing import Any

# None: as if it were not installed, which OpenVINO allows for. A program that has loaded it already keeps it.
modules: dict[str, Any] = sys.modules
modules.setdefault("openvino_telemetry", None)

import openvino as ov  # noqa: E402
from openvino.frontend import FrontEndManager  # noqa: E402

__all__ = ["FrontEndManager", "ov"]
