"""The live lab of a chapter: sliders where there is a kernel, a still elsewhere."""

import inspect
import os
from collections.abc import Callable
from typing import Any


def lab(
    draw: Callable[..., Any],
    *,
    still: Callable[[], Any] | None = None,
    **controls: Any,
) -> None:
    """Let the reader move the arguments of `draw` and see what it draws.

    With a kernel, this is `ipywidgets.interact`: each control becomes a slider, a
    box or a menu. Where the environment variable BERTLIB_STATIC is set (`make run`
    and the tests set it) nobody can move a slider, so a still figure stands there:
    what `still` draws, or `draw` with the default values of its own arguments.

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
        from ipywidgets import fixed, interact  # type: ignore[import-untyped]

        # Without this, interact would look for a slider for every other argument.
        others = {
            name: fixed(argument.default)
            for name, argument in arguments.items()
            if name not in controls
        }
        interact(draw, **controls, **others)
