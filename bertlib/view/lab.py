"""The live lab of a chapter: sliders where there is a kernel, a still elsewhere."""

import functools
import inspect
import os
from collections.abc import Callable
from decimal import Decimal
from typing import Any


def lab(
    draw: Callable[..., Any],
    *,
    still: Callable[[], Any] | None = None,
    **controls: Any,
) -> None:
    """Let the reader move the arguments of `draw` and see what it draws.

    With a kernel, this is what `ipywidgets.interact` does: each control becomes a
    slider, a box or a menu. Where the environment variable BERTLIB_STATIC is set
    (`make run` and the tests set it) nobody can move a slider, so a still figure stands
    there: what `still` draws, or `draw` with the defaults of its own arguments.

    Args:
        draw: shows a figure, or returns something that Jupyter can show. Each of
            its arguments has a default: that is where its slider starts.
        still: draws what the static page shows instead.
        controls: one for each argument of `draw` that can be moved, in the short
            forms of `interact`: `(0, 10)` or `(0.0, 1.0, 0.1)` a slider, a list a
            menu, a bool a box, a string a text field.

    Raises:
        TypeError: a control that `draw` has no argument for, or an argument of
            `draw` without a default.
    """
    arguments = inspect.signature(draw).parameters
    for name in controls:
        if name not in arguments:
            raise TypeError(f"{name}= is a control, but draw has no argument {name!r}")
    for name, argument in arguments.items():
        if argument.default is inspect.Parameter.empty:
            raise TypeError(f"draw's argument {name!r} needs a default to start from")
    if os.environ.get("BERTLIB_STATIC"):
        from IPython.display import display

        shown = draw() if still is None else still()
        if shown is not None:
            display(shown)
    else:
        # Without these, a slider would be looked for for every other argument.
        others = {
            name: argument.default
            for name, argument in arguments.items()
            if name not in controls
        }
        move(draw, controls, others)


def move(
    draw: Callable[..., Any], controls: dict[str, Any], others: dict[str, Any]
) -> None:
    """Show the controls, and below them what `draw` makes of their values.

    Works with ipywidgets 7 and 8.
    """
    from IPython.display import display
    from ipywidgets import fixed, interactive  # type: ignore[import-untyped]
    from matplotlib import pyplot

    @functools.wraps(draw)
    def shown(**values: Any) -> Any:
        result = draw(**values)
        # Into the lab: after `%matplotlib inline`, ipywidgets leaves it to the cell.
        pyplot.show()
        return result

    rest = {name: fixed(value) for name, value in others.items()}
    made = interactive(shown, {"auto_display": True}, **controls, **rest)
    for control in made.children[:-1]:  # the last is where `draw` draws
        control.style.description_width = f"{max(map(len, controls)) + 1}ch"
        control.layout.width, control.layout.max_width = "36em", "98%"
        if hasattr(control, "readout_format") and control.readout_format != "d":
            decimals = -int(Decimal(str(control.step)).as_tuple().exponent)
            control.readout_format = f".{max(decimals, 0)}f"
    display(made)
