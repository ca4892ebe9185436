"""A student's matrix beside the expected one, in a notebook."""

import base64
import html
import io
import itertools
from pathlib import Path

import matplotlib.style
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

import bertlib.view
from bertlib.exercises.checking import Picture

LARGEST = 12  # rows or columns: beyond that nobody reads the numbers
STYLE = Path(bertlib.view.__file__).with_name("course.mplstyle")


def show(picture: Picture) -> None:
    """Display the picture with its alt text, if there is something to see in it."""
    from IPython.display import display

    found = differing(picture)
    if found is None:
        return
    alt = describe(picture, *found)
    data = base64.b64encode(draw(picture, *found)).decode()
    image = f'<img alt="{html.escape(alt)}" style="max-width:100%" '
    image += f'src="data:image/png;base64,{data}">'
    display({"text/html": image, "text/plain": alt}, raw=True)


def differing(picture: Picture) -> tuple[Tensor, Tensor, str] | None:
    """The first matrix that differs: (yours, expected, where it stands in the batch).

    None where no matrix can be set beside the expected one: no tensor, another shape,
    too large, or no difference.
    """
    yours, expected = picture.yours, picture.expected
    if not isinstance(yours, Tensor) or yours.shape != expected.shape:
        return None
    if yours.dim() < 2 or not 0 < max(yours.shape[-2:]) <= LARGEST:
        return None
    if yours.is_complex():
        return None
    yours, expected = yours.detach().double().cpu(), expected.detach().double().cpu()
    for at in itertools.product(*map(range, yours.shape[:-2])):
        if unlike(yours[at], expected[at]).any():
            several = yours.shape[:-2].numel() > 1
            return yours[at], expected[at], str(list(at)) if several else ""
    return None


def unlike(yours: Tensor, expected: Tensor) -> Tensor:
    """bool: where two matrices differ; a NaN differs from every number."""
    return ~torch.isclose(yours, expected, rtol=1e-4, atol=1e-5, equal_nan=True)


def describe(picture: Picture, yours: Tensor, expected: Tensor, where: str) -> str:
    """The alt text: what is drawn, and the first cells that differ."""
    rows, columns = yours.shape
    cells = unlike(yours, expected).nonzero().tolist()
    text = f"Two grids of {rows} by {columns}, yours and expected"
    text += f", at {where}" if where else ""
    text += f". A row {picture.rows}, a column {picture.columns}. "
    text += f"{len(cells)} of {rows * columns} cells differ"
    for i, j in cells[:3]:
        y, e = label(yours[i, j].item()), label(expected[i, j].item())
        text += f"; row {i}, column {j}: yours {y}, expected {e}"
    return text + ("; and so on." if len(cells) > 3 else ".")


def draw(picture: Picture, yours: Tensor, expected: Tensor, where: str) -> bytes:
    """Both matrices as a PNG; cells of yours that differ have a frame."""
    rows, columns = yours.shape
    size = 0.52 if columns <= 6 else 0.42  # inches for a cell
    with matplotlib.style.context(["default", str(STYLE)]):
        figure = Figure(figsize=(2 * size * columns + 1.6, size * rows + 1.7), dpi=110)
        left, right = figure.subplots(1, 2)
        grid(left, yours, f"yours {where}")
        grid(right, expected, f"expected {where}")
        for i, j in unlike(yours, expected).nonzero().tolist():
            for ink, width in [("white", 3.4), ("black", 1.4)]:  # seen on any colour
                box = Rectangle((j - 0.44, i - 0.44), 0.88, 0.88, fill=False)
                box.set(edgecolor=ink, linewidth=width)
                left.add_patch(box)
        for axes in (left, right):
            axes.set_xlabel(f"a column {picture.columns}", fontsize=8)
        left.set_ylabel(f"a row {picture.rows}", fontsize=8)
        figure.supxlabel("framed: where yours differs", fontsize=8)
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=110, bbox_inches="tight")
    return file.getvalue()


def grid(axes: Axes, matrix: Tensor, title: str) -> None:
    """Draw one matrix, each number in its cell; the colours go from 0 to 1."""
    rows, columns = matrix.shape
    axes.imshow(matrix, vmin=0, vmax=1, cmap="cividis")
    axes.set_title(title.strip())
    axes.set_xticks(range(columns))
    axes.set_yticks(range(rows))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for i, row in enumerate(matrix.tolist()):
        for j, value in enumerate(row):
            ink = "white" if value <= 0.55 else "black"  # a NaN has no colour
            axes.text(j, i, label(value), ha="center", va="center", c=ink, fontsize=8)


def label(value: float) -> str:
    """A number as short as a cell is wide; only an exact 0 or 1 has no decimals."""
    if abs(value) >= 1000:
        return f"{value:.0e}"
    return f"{value + 0.0:.0f}" if value % 1 == 0 else f"{value:.2f}"
