"""Controls above a figure of a notebook (needs the extra ``notebooks``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ipywidgets import Widget


def slide(draw: Callable[..., Any], **controls: Widget) -> None:
    """Show the output of a function below controls that draw it again.

    The picture is an ordinary output of the cell, which a notebook keeps and shows without a kernel.
    ``ipywidgets.interact`` would hide it inside a widget.

    Parameters
    ----------
    draw : callable
        Function of the controls' values, by name. Its result, such as a figure, is shown.
    **controls : Widget
        Widgets with a value, such as ``ipywidgets.IntSlider``. The picture is drawn anew when a control is released.

    Examples
    --------
    >>> slide(lambda y: explanation_figure(explain(scene, "earth", (y, 0))), y=IntSlider(9, 0, 99))  # doctest: +SKIP
    """
    from IPython.display import display
    from ipywidgets import VBox

    def drawn() -> Any:
        return draw(**{name: control.value for name, control in controls.items()})

    for name, control in controls.items():
        control.description = control.description or name
        if control.has_trait("continuous_update"):
            control.continuous_update = False
    display(VBox(list(controls.values())))
    shown = display(drawn(), display_id=True)
    for control in controls.values():
        control.observe(lambda _: shown.update(drawn()), "value")
