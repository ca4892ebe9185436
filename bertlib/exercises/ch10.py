"""The checks of chapter 10: checkpoints, names, reports, parity, pooling, search."""

import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bertlib.exercises.checking import (
    Wrong,
    call,
    exercise,
    expect,
    expect_close,
    expect_tensor,
    show,
)

# --- 10.1 ----------------------------------------------------------------------------

# Name, dtype, shape, numbers; the file holds them in the order of PLACES.
TENSORS: list[tuple[str, str, list[int], list[float]]] = [
    ("first", "F32", [2], [1.5, -2.0]),
    ("table", "F32", [2, 3], [1, 2, 3, 4, 5, 6]),
    ("half", "F16", [4], [0.5, 1, 1.5, 2]),
    ("places", "I64", [3], [7, 8, 9]),
    ("number", "F32", [], [3.25]),
    ("nothing", "F32", [0, 4], []),
    ("double", "F64", [2], [0.1, 0.2]),
    ("short", "I32", [2], [-3, 70_000]),
    ("bytes", "U8", [3], [0, 7, 255]),
]
PLACES = ["places", "table", "number", "double", "nothing", "short", "half", "first"]
PLACES += ["bytes"]
ORDER = ["table", "first", "half", "places", "double", "number", "nothing", "short"]
ORDER += ["bytes"]
NUMPY = {"F32": "<f4", "F16": "<f2", "I64": "<i8", "F64": "<f8"}
NUMPY |= {"I32": "<i4", "U8": "u1"}


def _file(spaces: int) -> bytes:
    """A safetensors file, written by hand; its header ends in so many spaces."""
    described = {name: (kind, shape, data) for name, kind, shape, data in TENSORS}
    offsets, body = {}, b""
    for name in PLACES:
        kind, _, data = described[name]
        part = np.array(data, NUMPY[kind]).tobytes()
        offsets[name] = [len(body), len(body) + len(part)]
        body += part
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    for name, (kind, shape, _) in described.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": offsets[name]}
    text = json.dumps(header).encode() + b" " * spaces
    return len(text).to_bytes(8, "little") + text + body


@exercise("10.1")
def check_read_tensor(read_tensor: Any) -> None:
    """Tensors of a file that was written byte by byte."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.safetensors"
        path.write_bytes(_file(spaces=0))
        for name in ORDER:
            _expect_array(_read(read_tensor, path, name), name, path)
        path.write_bytes(_file(spaces=13))
        got = _read(read_tensor, path, "table")
        _expect_array(got, "table", path, "The header now ends in 13 spaces. ")
        for absent in ["no such name", "__metadata__"]:
            _expect_key_error(read_tensor, path, absent)


def _read(read_tensor: Any, path: Path, name: str) -> Any:
    """What comes back; bytes that do not make the shape are named as such."""
    try:
        return read_tensor(path, name)
    except ValueError as error:
        if "reshape" not in str(error) and "buffer size" not in str(error):
            raise
        raise Wrong(
            f"Your code raised ValueError: {error}",
            given=f"the tensor {name}",
            likely="not the tensor's own bytes: read end - begin of them, from byte "
            "8 + length + begin, in the dtype that the header names",
        ) from error


def _expect_array(got: Any, name: str, path: Path, more: str = "") -> None:
    kind, shape, data = next(t[1:] for t in TENSORS if t[0] == name)
    want = np.array(data, NUMPY[kind]).reshape(shape)
    offsets = PLACES.index(name)
    given = (
        f"{more}{name}: dtype {kind}, shape {shape}, number {offsets + 1} of the "
        "tensors in the file"
    )
    expect(
        got is not None,
        "An array must come back, and nothing did.",
        given=given,
        likely="there is no return statement",
    )
    if isinstance(got, Tensor):
        raise Wrong(
            "A NumPy array must come back, not a torch tensor.",
            given=given,
            likely="torch.tensor or torch.from_numpy at the end; leave them out",
        )
    if not isinstance(got, np.ndarray | np.generic):
        raise Wrong(
            f"A NumPy array must come back, not {type(got).__name__}.",
            given=given,
            likely="often the bytes themselves, or a list; np.frombuffer makes an "
            "array of bytes",
        )
    expect(
        got.dtype == want.dtype,
        f"The dtype is {got.dtype}; it must be {want.dtype}.",
        given=given,
        likely="every tensor is read as float32; the header names the dtype",
    )
    if got.shape != want.shape:
        flat = got.size == want.size
        raise Wrong(
            f"The shape is {got.shape}; it must be {want.shape}.",
            given=given,
            likely=(
                "the bytes are a flat row of numbers: reshape them by the header"
                if flat
                else "offsets count bytes, and the end is not a length: end - begin "
                "bytes are to be read"
            ),
        )
    if not np.array_equal(got, want):
        raise Wrong(
            "The numbers are wrong.",
            given=given,
            yours=str(got.tolist()),
            expected=str(want.tolist()),
            likely=_misread(np.asarray(got), want, path, name),
        )


def _misread(got: np.ndarray, want: np.ndarray, path: Path, name: str) -> str:
    """The mistake that reads these numbers."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    stripped = len(data[8 : 8 + length].rstrip())
    entries = json.loads(data[8 : 8 + length])
    before = list(entries)[1 : list(entries).index(name)]  # without __metadata__
    sizes = [b - a for a, b in (entries[n]["data_offsets"] for n in before)]
    begin, end = entries[name]["data_offsets"]
    places = {
        "sizes were added up in the order of the header; the offsets say where a "
        "tensor lies": 8 + length + sum(sizes),
        "offsets count from the end of the header, not from the start of the file": (
            begin
        ),
        "the 8 bytes of the length come before the header: 8 + length + begin": (
            length + begin
        ),
        "begin is not used: this is what stands first in the file": 8 + length,
        "the spaces at the end of the header belong to it: use the length that the "
        "file gives": 8 + stripped + begin,
        "offsets count bytes already; they were multiplied by the size of a number": (
            8 + length + begin * want.itemsize
        ),
        "the length was read from 4 bytes, and the header taken to begin there": (
            4 + length + begin
        ),
    }
    for why, at in places.items():
        there = data[at : at + end - begin]
        if len(there) == end - begin:
            found = np.frombuffer(there, want.dtype).reshape(want.shape)
            if np.array_equal(got, found, equal_nan=True):
                return why
    if np.array_equal(got, want.byteswap()):
        return "the bytes of each number were read in the wrong order"
    if np.array_equal(got, want.ravel().reshape(want.shape, order="F")):
        return "numbers lie row after row (order='C')"
    return "the tensor's own bytes lie from 8 + length + begin to 8 + length + end"


def _expect_key_error(read_tensor: Any, path: Path, name: str) -> None:
    try:
        got = read_tensor(path, name)
    except KeyError as error:
        expect(
            name != "__metadata__"
            or error.args[:1] not in [("data_offsets",), ("dtype",), ("shape",)],
            "For __metadata__ a KeyError is raised, but of another key.",
            given="read_tensor(path, '__metadata__')",
            likely="the entry was taken for a tensor, and has no offsets; take it out "
            "of the header",
        )
        return
    raise Wrong(
        f"A KeyError must be raised, and {type(got).__name__} came back.",
        given=f"read_tensor(path, {name!r}); there is no tensor of that name",
        likely="`.get(name)` or a caught exception hides that the name is not there",
    )


# --- 10.2 ----------------------------------------------------------------------------

LAYER = {  # ours -> published, written down from the files
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "intermediate": "intermediate.dense",
    "output": "output.dense",
    "output_norm": "output.LayerNorm",
}
EMBEDDINGS = ["word_embeddings", "position_embeddings", "token_type_embeddings"]
HEADS = {
    "predictions.dense": "cls.predictions.transform.dense",
    "predictions.norm": "cls.predictions.transform.LayerNorm",
    "seq_relationship": "cls.seq_relationship",
    "classifier": "classifier",
    "qa_outputs": "qa_outputs",
}


def _pairs(front: str, layers: int) -> dict[str, str]:
    pairs = {
        f"{front}embeddings.{table}.weight": f"{front}embeddings.{table}.weight"
        for table in EMBEDDINGS
    }
    for kind in ("weight", "bias"):
        norm = f"{front}embeddings.layer_norm.{kind}"
        pairs[norm] = f"{front}embeddings.LayerNorm.{kind}"
        for n in range(layers):
            for ours, theirs in LAYER.items():
                name = f"{front}encoder.layers.{n}.{ours}.{kind}"
                pairs[name] = f"{front}encoder.layer.{n}.{theirs}.{kind}"
        pooler = f"{front}pooler.dense.{kind}"
        pairs[pooler] = pooler
    return pairs


@exercise("10.2")
def check_their_name(their_name: Any) -> None:
    """Every parameter of every model, by the name that it has in published files."""
    heads = {"predictions.bias": "cls.predictions.bias"}
    for ours, theirs in HEADS.items():
        for kind in ("weight", "bias"):
            heads[f"{ours}.{kind}"] = f"{theirs}.{kind}"
    pairs = _pairs("bert.", 12) | heads | _pairs("", 3)
    found: dict[str, str] = {}
    for ours, theirs in pairs.items():
        got = their_name(ours)
        expect(
            got is not None,
            "A name must come back, and nothing did.",
            given=f"{ours}",
            likely="there is no return statement, or none on this way through",
        )
        if not isinstance(got, str):
            raise Wrong(
                f"A str must come back, not {type(got).__name__}.", given=f"{ours}"
            )
        if got != theirs:
            raise Wrong(
                "This name is not the published one.",
                given=ours,
                yours=got,
                expected=theirs,
                likely=_name_mistake(ours, got, theirs),
            )
        if found.setdefault(got, ours) != ours:
            raise Wrong("Two of our names became one.", given=f"{found[got]}, {ours}")


def _name_mistake(ours: str, got: str, theirs: str) -> str:
    """What is wrong with a name, in words."""
    layer = re.search(r"layers\.(\d+)\.", ours)
    if got.startswith("bert.") != theirs.startswith("bert."):
        return (
            "`bert.` belongs to the encoder of a model with a head: it stays where it "
            "is, and is added nowhere"
        )
    if got == ours:
        return "this row is missing from the table, so the name stayed as it was"
    if "layers." in got:
        return "the published list of layers is called `layer`"
    if layer and f"layer.{layer[1]}." not in got:
        return f"layer {layer[1]}: a number may have two digits"
    if "dense.dense" in got or "LayerNorm.LayerNorm" in got or "self.self" in got:
        return (
            "a later replacement found a piece of what an earlier one had put in; look "
            "the whole part up in a dict"
        )
    if "attention_norm" in ours or "output_norm" in ours:
        return (
            "the norm after attention is attention.output.LayerNorm, the one after the "
            "feed-forward network is output.LayerNorm"
        )
    if "attention.output" in ours or ".output." in ours:
        return (
            "two linear layers are called output: attention.output becomes "
            "attention.output.dense, and output becomes output.dense"
        )
    if ours.startswith("predictions.bias"):
        return "the bias belongs to cls.predictions itself, not to its transform"
    if ours.startswith("predictions"):
        return "dense and norm of the head stand under cls.predictions.transform"
    if ours.startswith(("classifier", "qa_outputs")):
        return "these two stand at the top of the model, without `cls.`"
    if ours.startswith("seq_relationship"):
        return "both heads of pretraining stand under `cls.`"
    return ""


# --- 10.3 ----------------------------------------------------------------------------


class _Small(nn.Module):
    """Two linear layers (3 -> 4 -> 2) and a buffer, with numbers that are known."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(3, 4), nn.Linear(4, 2)
        self.register_buffer("scale", torch.ones(2))
        self.register_buffer("scratch", torch.ones(1), persistent=False)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.fill_(7.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x)) * self.scale


def _entries(**more: Tensor) -> dict[str, Tensor]:
    entries = {
        "one.weight": torch.arange(12.0).view(4, 3),
        "one.bias": torch.arange(4.0),
        "two.weight": torch.arange(8.0).view(2, 4),
        "two.bias": torch.tensor([-1.0, 1.0]),
        "scale": torch.tensor([2.0, 3.0]),
    }
    return entries | {name.replace("__", "."): t for name, t in more.items()}


def _fill(
    fill_model: Any, model: nn.Module, entries: dict[str, Tensor], given: str
) -> Any:
    """What comes back; entries must be left as they were."""
    handed = dict(entries)
    try:
        got = fill_model(model, handed)
    except RuntimeError as error:
        if "loading state_dict" not in str(error):
            raise
        raise Wrong(
            f"Your code raised RuntimeError: {error}",
            given=given,
            likely="strict=False does not forgive another shape: take mis-shaped "
            "entries out first"
            if "size mismatch" in str(error)
            else "strict=True refuses at the first name that differs",
        ) from error
    expect(
        handed.keys() == entries.keys(),
        "Your function takes entries out of the dict that it was given.",
        given=given,
        likely="pop or del on entries; work on dict(entries)",
    )
    return got


@exercise("10.3")
def check_fill_model(fill_model: Any) -> None:
    """What is copied, what stays, and what is said about it."""
    model, entries = _Small(), _entries()
    ids = {name: id(p) for name, p in model.named_parameters()}
    given = "entries that all fit"
    _expect_lists(_fill(fill_model, model, entries, given), ([], [], []), given)
    for name, tensor in sorted(model.state_dict().items()):
        expect_close(
            tensor,
            entries[name],
            f"{name} does not hold the entry of the file.",
            given=given,
            likely="scale is a buffer: named_parameters() does not list it"
            if name == "scale"
            else "nothing was copied into the model itself",
        )
    expect(
        ids == {name: id(p) for name, p in model.named_parameters()},
        "A parameter was replaced by another object.",
        given=given,
        likely="an assignment instead of copy_; an optimizer made before holds the old "
        "parameter, and trains that",
    )
    shared = [
        name
        for name, p in model.named_parameters()
        if p.data_ptr() == entries[name].data_ptr()
    ]
    expect(
        not shared,
        f"{', '.join(shared)} shares its memory with the entry.",
        given=given,
        likely="`p.data = entry` instead of copy_: training changes what was loaded",
    )

    model = _Small()
    entries = _entries(three__weight=torch.ones(2), TWO__bias=torch.ones(2))
    del entries["two.bias"], entries["one.weight"]
    given = "entries without one.weight and two.bias, with TWO.bias and three.weight"
    got = _fill(fill_model, model, entries, given)
    lists = [["one.weight", "two.bias"], ["TWO.bias", "three.weight"], []]
    _expect_lists(got, lists, given)
    for name in ("one.weight", "two.bias"):
        expect_close(
            model.state_dict()[name],
            torch.full_like(model.state_dict()[name], 7.0),
            f"{name} is missing, and did not keep its value.",
            given=f"{given}; all parameters were 7 before",
            likely="a parameter without an entry was written to, often with zeros or "
            "fresh numbers; pass it over",
        )
    expect_close(
        model.one.bias,
        entries["one.bias"],
        "one.bias fits, and was not copied.",
        given=given,
        likely="the function gives up at the first difference",
    )
    _check_shapes(fill_model)
    _check_numbers(fill_model)


def _check_shapes(fill_model: Any) -> None:
    for shape in [(3,), (4, 1), (1, 3), (3, 4), (12,), ()]:
        model = _Small()
        entries = _entries(one__weight=torch.ones(shape))
        given = f"one.weight is {shape} in the file and (4, 3) in the model"
        got = _fill(fill_model, model, entries, given)
        _expect_lists(got, ([], [], ["one.weight"]), given)
        expect_close(
            model.one.weight,
            torch.full((4, 3), 7.0),
            "A mis-shaped entry was copied all the same.",
            given=given,
            likely="copy_ broadcasts: a row is copied into every row. Compare the "
            "shapes first",
        )
    model, entries = _Small(), _entries()
    entries["one.weight"] = torch.ones(4, 5)
    del entries["two.bias"]
    entries["extra"] = torch.ones(1)
    given = "two.bias is not there, extra is, and one.weight is (4, 5), not (4, 3)"
    got = _fill(fill_model, model, entries, given)
    _expect_lists(got, (["two.bias"], ["extra"], ["one.weight"]), given)


def _check_numbers(fill_model: Any) -> None:
    model = _Small()
    entries = {name: tensor.half() for name, tensor in _entries().items()}
    given = "entries in float16 that all fit"
    _expect_lists(_fill(fill_model, model, entries, given), ([], [], []), given)
    kinds = {tensor.dtype for tensor in model.state_dict().values()}
    expect(
        kinds == {torch.float32},
        "The model was float32 before, and now some of it is float16.",
        given=given,
        likely="the entry itself was put in; copy_ converts",
    )
    double = _Small().double()
    where = "a model in float64 and entries in float32"
    _fill(fill_model, double, _entries(), where)
    expect(
        {p.dtype for p in double.parameters()} == {torch.float64},
        "The model was float64 before, and now it is not.",
        given=where,
        likely="`.data = ...`, or a conversion to a fixed type; copy_ converts to the "
        "type of the model",
    )
    out = model(torch.ones(1, 3)).sum()
    expect(
        all(p.requires_grad and p.is_leaf for p in model.parameters()),
        "A parameter of the model cannot be trained any more.",
        given=given,
        likely="requires_grad was switched off, or the copy was made part of a "
        "computation; work on model.state_dict(), or under torch.no_grad()",
    )
    out.backward()
    gradient = model.one.weight.grad
    expect(
        gradient is not None and bool(gradient.abs().sum() > 0),
        "After filling, no gradient reaches the parameters.",
        given=f"{given}; model(ones of shape (1, 3)).sum().backward()",
    )


def _expect_lists(got: Any, want: Sequence[list[str]], given: str) -> None:
    expect(
        got is not None,
        "Three lists must come back, and nothing did.",
        given=given,
        likely="there is no return statement",
    )
    if not isinstance(got, tuple | list) or len(got) != 3:
        raise Wrong(
            "Three lists must come back, as a tuple.",
            given=given,
            likely="return missing, unexpected, mis_shaped; empty lists, too",
        )
    names = ("missing", "unexpected", "mis_shaped")
    mine = [sorted(x) for x in got]
    for name, yours, right in zip(names, mine, want, strict=True):
        if yours == sorted(right):
            continue
        likely = (
            "missing: the model's names without an entry; unexpected: entries that "
        )
        likely += (
            "the model has no name for; mis_shaped: the names in both, of two shapes"
        )
        if mine[:2] == [sorted(want[1]), sorted(want[0])] and mine[0] + mine[1]:
            likely = "missing and unexpected changed places: the model decides"
        elif want[2] and want[2][0] in mine[0] + mine[1]:
            likely = "a mis-shaped entry is there: it is neither missing nor unexpected"
        elif name == "missing" and "scale" in yours:
            likely = "scale is a buffer, and in the file"
        elif name == "unexpected" and "scale" in yours:
            likely = "scale is a buffer: state_dict() lists it, named_parameters() not"
        elif name == "mis_shaped" and right:
            likely = "compare the shapes, not the numbers of entries or of axes"
        raise Wrong(
            f"The list {name} is wrong.",
            given=given,
            yours=str(yours),
            expected=str(sorted(right)),
            likely=likely,
        )


# --- 10.4 ----------------------------------------------------------------------------


def _states(scale: float = 1.0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [scale * torch.randn(2, 3, 4, generator=generator) for _ in range(4)]


@exercise("10.4")
def check_first_wrong(first_wrong: Any) -> None:
    """The first state that is off, in tokens, relative to the reference."""
    mask = torch.tensor([[True, True, True], [True, True, False]])
    reference = _states()

    def ask(
        given: str, right: int | None, likely: str, states: Any, **more: Any
    ) -> None:
        against = more.pop("reference", reference)
        got = call(first_wrong, states, against, mask, **more)
        if isinstance(got, Tensor) and got.numel() == 1:
            got = got.item()
        if got is right or (got == right and not isinstance(got, bool)):
            return
        if got is None and "count from 0" in likely:
            likely = "there is no return statement, or the loop ends without one"
        raise Wrong(
            "The place is wrong.",
            given=given,
            yours=repr(got),
            expected=repr(right),
            likely=likely,
        )

    def off(*changes: tuple[int, int, int, float]) -> list[Tensor]:
        """States with one number changed in row, token 3 numbers each."""
        states = [x.clone() for x in reference]
        for place, row, token, by in changes:
            states[place][row, token, 2] += by
        return states

    ask(
        "four states, the same in both",
        None,
        "where nothing is off, None must come back",
        off(),
    )
    ask(
        "one number of state 2 is off by 1",
        2,
        "places count from 0, and the embeddings are 0",
        off((2, 0, 1, 1.0)),
    )
    ask(
        "state 1 is off by 0.01, state 3 by 5",
        1,
        "this is the worst state; asked is the first",
        off((1, 0, 0, 0.01), (3, 1, 1, 5.0)),
    )
    ask(
        "one number of state 2 is off by -1: it is smaller than the reference's",
        2,
        "the sign of the difference: take the absolute value",
        off((2, 0, 1, -1.0)),
    )
    ask("state 0 is off", 0, "0 is a place, and not None", off((0, 1, 0, -1.0)))
    ask(
        "one number of 24 in state 1 is off by 0.0006, with largest 2 or so",
        1,
        "a mean over all numbers hides a single wrong one",
        off((1, 0, 2, 0.0006)),
    )
    ask(
        "state 1 is off by 3, in padding alone",
        None,
        "padding was compared: leave it out by the mask",
        off((1, 1, 2, 3.0)),
    )
    large = [x.clone() for x in reference]
    for x in large:
        x[1, 2] = 1e6  # padding
    states = [x.clone() for x in large]
    states[3][0, 0, 0] += 0.1
    ask(
        "state 3 is off by 0.1, and the padding of both holds 1,000,000",
        3,
        "the largest number was looked for in the padding too",
        states,
        reference=large,
    )
    _check_scale(ask)
    _check_limit(ask)
    nothing = [torch.zeros_like(x) for x in reference]
    ask(
        "all states are zero in both",
        None,
        "off means further away than the limit, and the limit may be 0",
        nothing,
        reference=nothing,
    )
    nan = off()
    nan[2][0, 0, 0] = torch.nan
    ask(
        "state 2 holds a NaN",
        2,
        "a comparison with NaN is False: ask whether all are within the limit",
        nan,
    )


def _check_scale(ask: Any) -> None:
    small = _states(1e-4)
    states = [x.clone() for x in small]
    states[1][0, 0, 0] += 1e-6  # 1 % of the numbers
    ask(
        "all numbers are of size 0.0001, one of state 1 is off by 0.000001",
        1,
        "the tolerance is relative to the largest number of the reference's state",
        states,
        reference=small,
    )
    large = _states(1e4)
    states = [x.clone() for x in large]
    states[1][0, 0, 0] += 0.01  # a millionth of the numbers
    ask(
        "all numbers are of size 10,000, one of state 1 is off by 0.01",
        None,
        "the tolerance is relative to the largest number of the reference's state",
        states,
        reference=large,
    )
    near_zero = _states()
    near_zero[1][0, 0, 0] = 1e-7
    states = [x.clone() for x in near_zero]
    states[1][0, 0, 0] = 3e-7
    ask(
        "a number of 0.0000001 is off by 0.0000002, beside others of size 1",
        None,
        "relative to the number itself: take the largest number of the state",
        states,
        reference=near_zero,
    )
    mixed = [_states()[0], _states(1e3)[1], _states()[2], _states()[3]]
    states = [x.clone() for x in mixed]
    states[2][0, 0, 0] += 0.01
    ask(
        "state 1 is of size 1,000, the others of size 1; state 2 is off by 0.01",
        2,
        "each state has a largest number of its own",
        states,
        reference=mixed,
    )
    states = [x.clone() for x in _states()]
    states[1][0, 0, 0] += 0.1
    ask(
        "state 1 is off by 0.1, and the tolerance is 0.5",
        None,
        "the tolerance that is given is not used",
        states,
        tolerance=0.5,
    )


def _check_limit(ask: Any) -> None:
    """One limit for the state, and each number held against it."""
    large = _states()
    large[1][0, 0, 0] = -100.0
    states = [x.clone() for x in large]
    states[1][1, 1, 2] += 0.005
    ask(
        "state 1 holds a -100, and a number of another text is off by 0.005",
        None,
        "the limit: one for the state, from the largest absolute number of all its "
        "tokens",
        states,
        reference=large,
    )
    limit = 1e-4 * _states()[2][torch.tensor([[1, 1, 1], [1, 1, 0]]) == 1].abs().max()
    states = _states()
    states[2][1, 0, 1] += 1.5 * limit
    ask(
        "one number of state 2 is off by 1.5 times the limit",
        2,
        "a norm over all numbers hides a single wrong one",
        states,
    )
    states = _states()
    states[2] += 0.9 * limit
    ask(
        "every number of state 2 is off by 0.9 times the limit",
        None,
        "sums and lengths of differences grow with their number: compare each one",
        states,
    )
    states = _states()
    for x in states:
        x[1, 2] = torch.nan
    ask(
        "the padding of all states holds NaN",
        None,
        "0 times NaN is NaN: pick tokens by the mask",
        states,
    )
    ones = [torch.ones(2, 3, 4) for _ in range(4)]
    states = [x.clone() for x in ones]
    states[1][0, 0, 0] = 1.8
    ask(
        "all numbers are 1, one of state 1 is 1.8, and the tolerance is 0.5",
        1,
        "the limit comes from the reference, not from the states",
        states,
        reference=ones,
        tolerance=0.5,
    )


# --- 10.5 ----------------------------------------------------------------------------


@exercise("10.5")
def check_pool_texts(pool_texts: Any) -> None:
    """Three ways, with padding that must not count."""
    hidden = torch.tensor(
        [
            [[1.0, -4.0], [3.0, -2.0], [9.0, 9.0]],
            [[-5.0, 6.0], [-1.0, 2.0], [-3.0, 1.0]],
        ]
    )
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    zeroed = hidden * mask[:, :, None]
    given = "two texts of 2 and 3 tokens, D = 2; the padding of the first is (9, 9)"
    want = {
        "cls": torch.tensor([[1.0, -4.0], [-5.0, 6.0]]),
        "mean": torch.tensor([[2.0, -3.0], [-3.0, 3.0]]),
        "max": torch.tensor([[3.0, -2.0], [-1.0, 6.0]]),
    }
    mistakes = {
        "cls": {
            "the last token: [CLS] is the first": hidden[:, -1],
            "the first text, not the first token": hidden[0],
        },
        "mean": {
            "the mean runs over the padding too": hidden.mean(dim=1),
            "the sum leaves padding out, and is then divided by T": zeroed.mean(dim=1),
            "the sum was not divided": zeroed.sum(dim=1),
            "divided by the tokens of the whole batch": zeroed.sum(1) / mask.sum(),
        },
        "max": {
            "the maximum runs over the padding too": hidden.amax(dim=1),
            "padding was set to 0, and 0 is larger than any negative number": (
                zeroed.amax(dim=1)
            ),
            "the largest absolute number; asked is the largest": hidden.masked_fill(
                mask[:, :, None] == 0, 0
            )
            .abs()
            .amax(dim=1),
        },
    }
    usual = {
        "cls": "the vector of the first token of each text, as it is",
        "mean": "the sum of the vectors of the tokens, divided by their number",
        "max": "the largest number of each column, among the tokens of a text",
    }
    for how, right in want.items():
        for kind in (mask, mask.bool()):
            got = call(pool_texts, hidden, kind, how)
            what = f"how = {how!r}: the vectors are wrong."
            where = f"{given}; the mask is {str(kind.dtype)[6:]}"
            known, likely = mistakes[how], usual[how]
            expect_close(got, right, what, given=where, mistakes=known, likely=likely)
    _check_padding(pool_texts)
    _check_gradient(pool_texts)


def _check_padding(pool_texts: Any) -> None:
    generator = torch.Generator().manual_seed(2)
    B, T, D = 4, 6, 3
    mask = torch.arange(T) < torch.tensor([6, 2, 1, 5])[:, None]
    hidden = torch.randn(B, T, D, generator=generator) - 3.0  # mostly negative
    rows = [hidden[b, : int(mask[b].sum())] for b in range(B)]
    want = {
        "cls": torch.stack([row[0] for row in rows]),
        "mean": torch.stack([row.mean(dim=0) for row in rows]),
        "max": torch.stack([row.amax(dim=0) for row in rows]),
    }
    for filling in (0.0, 1e30, torch.nan, torch.inf):
        filled = torch.where(mask[:, :, None], hidden, torch.tensor(filling))
        for how, right in want.items():
            got = call(pool_texts, filled.clone(), mask, how)
            likely = "0 times infinity is NaN, and so is 0 times NaN: masked_fill "
            likely += "instead of multiplying"
            if how == "max" and filling != filling:
                likely = "padding must go before the maximum is taken"
            expect_close(
                got,
                right,
                f"how = {how!r}: what stands in the padding changes the vectors.",
                given=f"B = {B}, T = {T}, D = {D}, padding is {filling}, tokens are "
                "about -3",
                likely=likely,
            )


def _check_gradient(pool_texts: Any) -> None:
    mask = torch.tensor([[True, True, False, False]])
    given = "hidden (1, 4, 3) with requires_grad; the last 2 of the 4 are padding"
    for how in ("cls", "mean", "max"):
        hidden = torch.randn(1, 4, 3).requires_grad_()
        got = pool_texts(hidden, mask, how)
        expect_tensor(got, f"how = {how!r}.", given=given)
        expect(
            got.requires_grad,
            f"how = {how!r}: the gradient is lost.",
            given=given,
            likely="a detour through numpy or .detach(), or @torch.no_grad()",
        )
        got.sum().backward()
        assert hidden.grad is not None
        expect(
            float(hidden.grad[:, 2:].abs().sum()) == 0,
            f"how = {how!r}: padding gets a gradient.",
            given=given,
            likely="padding takes part, with a weight or a value that changes nothing "
            "here",
        )


# --- 10.6 ----------------------------------------------------------------------------


@exercise("10.6")
def check_nearest_texts(nearest_texts: Any) -> None:
    """Order, scores, lengths, zeros and a k that is too large."""
    query = torch.tensor([2.0, 0.0])
    table = torch.tensor([[0.0, 1.0], [0.3, 0.0], [3.0, 4.0], [-5.0, 0.0], [4.0, 3.0]])
    aside = "the cosines are 0, 1, 0.6, -1, 0.8"
    given = f"query {show(query)}, table {show(table)}; {aside}"
    got = call(nearest_texts, query, table, 3)
    where = f"{given}; k = 3"
    _expect_nearest(got, [1, 4, 2], [1.0, 0.8, 0.6], where, query, table)
    got = call(nearest_texts, query, table, 9)
    _expect_nearest(
        got,
        [1, 4, 2, 0, 3],
        [1.0, 0.8, 0.6, 0.0, -1.0],
        given + "; k = 9, more than there are",
        query,
        table,
    )
    for size in (1e-3, 1e3):
        got = call(nearest_texts, query * size, table * size, 2)
        where = (
            f"query {show(query * size)}, table {show(table * size)}; {aside}; k = 2"
        )
        _expect_nearest(got, [1, 4], [1.0, 0.8], where, query, table)
    zeros = torch.tensor([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    got = call(nearest_texts, query, zeros, 3)
    where = f"query {query.tolist()}, table {zeros.tolist()}"
    _expect_nearest(got, [1, 0, 2], [1.0, 0.0, -1.0], where, query, zeros)
    one = torch.tensor([[3.0, 4.0]])
    got = call(nearest_texts, query, one, 3)
    where = f"query {query.tolist()}, table {one.tolist()}, k = 3"
    _expect_nearest(got, [0], [0.6], where, query, one)
    nothing = torch.zeros(2)
    got = call(nearest_texts, nothing, one, 1)
    where = f"query {nothing.tolist()}, table {one.tolist()}, k = 1"
    _expect_nearest(got, [0], [0.0], where, nothing, one)
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(7, generator=generator)
    table = torch.randn(50, 7, generator=generator)
    cosines = torch.cosine_similarity(table, query[None], dim=1)
    order = cosines.argsort(descending=True)[:10]
    got = call(nearest_texts, query, table, 10)
    _expect_nearest(
        got,
        order.tolist(),
        cosines[order].tolist(),
        "a random query and table, D = 7, N = 50, k = 10",
        query,
        table,
    )


def _expect_nearest(
    got: Any,
    places: list[int],
    scores: list[float],
    given: str,
    query: Tensor,
    table: Tensor,
) -> None:
    expect(
        got is not None,
        "places and scores must come back, and nothing did.",
        given=given,
        likely="there is no return statement",
    )
    if not isinstance(got, tuple | list) or len(got) != 2:
        raise Wrong(
            "Two things must come back: places and scores.",
            given=given,
            likely="return places, scores",
        )
    mine = torch.as_tensor(got[0])
    if mine.is_floating_point() and mine.numel() and not bool((mine % 1 == 0).all()):
        raise Wrong(
            "The places are no whole numbers.",
            given=given,
            yours=show(mine),
            likely="places and scores changed places: topk gives values first",
        )
    if mine.dim() != 1 or len(mine) != len(places):
        raise Wrong(
            f"{len(places)} places must come back, in one row; the shape is "
            f"{tuple(mine.shape)}.",
            given=given,
            likely=_count_mistake(mine, len(places)),
        )
    if mine.tolist() != places:
        raise Wrong(
            "The places are wrong.",
            given=given,
            yours=str(mine.tolist()),
            expected=str(places),
            likely=_search_mistake(mine.tolist(), places, query, table),
        )
    values = torch.as_tensor(got[1]).to(torch.float32)
    dots = (table @ query)[places]
    length = query.norm() * table.norm(dim=1)[places]
    zeros = bool((table.norm(dim=1) == 0).any())
    angle = torch.arccos((dots / length).clamp(-1, 1))
    right = torch.tensor(scores)
    expect_close(
        values,
        right,
        "The places are right, and the scores are not the cosines.",
        given=given,
        mistakes={
            "dot products: divide by both lengths": dots,
            "the query was not divided by its length": dots / table.norm(dim=1)[places],
            "the table's rows were not divided by their lengths": dots / query.norm(),
            "divided by the squares of the lengths": dots / length**2,
            "1 - cosine is a distance; asked is the cosine": 1 - right,
            "angles; asked is their cosine": angle,
        },
        likely="0/0: a vector of zeros has no direction; its cosine is to be 0"
        if zeros
        else "often a constant that was added to the lengths: it shows where vectors "
        "are short; the cosine is the dot product divided by both lengths",
        tol=1e-4,
    )


def _count_mistake(mine: Tensor, number: int) -> str:
    """Why another number of places came back."""
    if mine.dim() != 1:
        return "the scores of the rows must have shape (N,) before the best are taken"
    if len(mine) > number:
        return "the best k alone, or all where there are fewer: min(k, N)"
    return "rows were left out: often those with a cosine of 0 or below, or the last"


def _search_mistake(
    mine: list[int], places: list[int], query: Tensor, table: Tensor
) -> str:
    """What ranks the rows like this."""
    k = len(places)
    dots = table @ query
    cosines = torch.cosine_similarity(table, query[None], dim=1)
    ranks = {
        "the worst come first: topk of distances, or an ascending sort": (
            cosines.argsort()
        ),
        "dot products: a long row wins. Divide each row by its length": dots.argsort(
            descending=True
        ),
        "Euclidean distances: a long row is far from everything": (
            (table - query).norm(dim=1).argsort()
        ),
        "the columns were normalised, not the rows: dim=1 is D": (
            (nn.functional.normalize(table, dim=0) @ query).argsort(descending=True)
        ),
    }
    zero = (table.norm(dim=1) == 0).nonzero().flatten().tolist()
    if zero and mine[0] in zero:
        return "0/0 is NaN, and topk takes NaN for the largest; normalize leaves zeros"
    for why, order in ranks.items():
        if order[:k].tolist() == mine:
            return why
    if k < len(table) and int(cosines.argmin()) in mine[:2]:
        return "the sign is lost: -1 is the opposite, not the same"
    if sorted(mine) == sorted(places):
        return "the right rows, in another order: best first"
    return ""
