"""Errors as napari notifications: our sentence, and no traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from napari.utils.notifications import notification_manager, show_error, show_info

from fctl_napari.errors import Cancelled, FctlError


def say(message: str) -> None:
    """Show one sentence as an information notification. Call it on the main thread."""
    show_info(message)


def report(error: BaseException) -> None:
    """Show an error: an ``FctlError`` as its sentence, anything else (a bug) with its traceback.

    ``Cancelled`` is what the user asked for and is not reported. Call it on the main thread.
    """
    if isinstance(error, Cancelled):
        return
    if isinstance(error, FctlError):
        show_error(str(error))
    else:
        notification_manager.receive_error(type(error), error, error.__traceback__)


@contextmanager
def reported() -> Iterator[None]:
    """Report an ``FctlError`` raised in the block and go on after it; bugs pass through."""
    try:
        yield
    except FctlError as error:
        report(error)
