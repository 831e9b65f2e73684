"""Progress of the public functions: a bar in a notebook or a terminal by itself, or a callback of the caller."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fctl_napari.progress import Progress, no_progress

Shown = bool | Callable[[int, int], None]
"""True shows a bar where somebody sees it, False shows nothing, and a function takes the counts itself."""


@contextmanager
def progress_bar(description: str, shown: Shown) -> Iterator[Progress]:
    """Show the progress of a block.

    A notebook gets a bar of tqdm, a terminal one of rich, and nobody else gets any.

    Parameters
    ----------
    description : str
        Text of the bar.
    shown : bool or callable
        True for a bar, False for none, or a function ``progress(done, total)``.

    Yields
    ------
    Progress
        Callback for the work.
    """
    if callable(shown):
        yield shown
    elif shown and in_notebook():
        with _notebook_bar(description) as progress:
            yield progress
    elif shown and sys.stderr is not None and sys.stderr.isatty():
        with _terminal_bar(description) as progress:
            yield progress
    else:
        yield no_progress


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    shell = sys.modules.get("IPython")
    running = None if shell is None else shell.get_ipython()
    return running is not None and hasattr(running, "kernel")


@contextmanager
def _notebook_bar(description: str) -> Iterator[Progress]:
    try:
        from tqdm.notebook import tqdm

        bar = tqdm(desc=description, total=0)
    except ImportError:  # tqdm, or the widgets that it draws, are not installed
        yield no_progress
        return

    def show(done: int, total: int) -> None:
        if bar.total != total:
            bar.reset(total)
        bar.update(done - bar.n)

    try:
        yield show
    finally:
        bar.close()


@contextmanager
def _terminal_bar(description: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import Progress as Bars

    with Bars(console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(description, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total or None)
