"""Progress of the public functions: a bar in a notebook or a terminal by itself, or a callback of the caller."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fctl_napari.progress import NotedProgress, no_progress


@dataclass(frozen=True)
class Bar:
    """A bar of the caller that shows notes too, such as the loss or the rate.

    Attributes
    ----------
    show : callable
        Function ``show(done, total, note)``.
    """

    show: Callable[..., None]


Shown = bool | Bar | Callable[[int, int], None]
"""True shows a bar where somebody sees it, False shows nothing, and a function or a bar takes the counts itself."""


@contextmanager
def progress_bar(description: str, shown: Shown) -> Iterator[NotedProgress]:
    """Show the progress of a block.

    A notebook gets a bar of tqdm, a terminal one of rich, and nobody else gets any.

    Parameters
    ----------
    description : str
        Text of the bar.
    shown : bool, Bar or callable
        True for a bar, False for none, a bar of the caller, or a function ``progress(done, total)``.

    Yields
    ------
    NotedProgress
        Callback for the work.
    """
    if isinstance(shown, Bar):
        yield shown.show
    elif callable(shown):
        take = shown

        def counts(done: int, total: int, note: str = "") -> None:
            take(done, total)

        yield counts
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
def _notebook_bar(description: str) -> Iterator[NotedProgress]:
    try:
        from tqdm.notebook import tqdm

        bar = tqdm(desc=description, total=0)
    except ImportError:  # tqdm, or the widgets that it draws, are not installed
        yield no_progress
        return

    def show(done: int, total: int, note: str = "") -> None:
        if bar.total != total:
            bar.reset(total)
        bar.set_postfix_str(note, refresh=False)
        bar.update(done - bar.n)

    try:
        yield show
    finally:
        bar.close()


@contextmanager
def _terminal_bar(description: str) -> Iterator[NotedProgress]:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TextColumn

    columns = (*Bars.get_default_columns(), TextColumn("{task.fields[note]}"))
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(description, total=None, note="")

        def show(done: int, total: int, note: str = "") -> None:
            bars.update(task, completed=done, total=total or None, note=note)

        yield show
