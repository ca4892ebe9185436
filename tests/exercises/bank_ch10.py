"""Answers to the exercises of chapter 10."""

import contextlib
import copy
import json
import math
import re
import struct
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import nn
from torch.nn import functional as F

from tests.exercises.bank import equivalent, right, wrong

# --- 10.1 read_tensor ----------------------------------------------------------------

KINDS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4"}
KINDS |= {"U8": "u1"}


def parts(path: Any, name: str) -> Any:
    """(all bytes, length of the header, entry, begin, end)."""
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    entry = json.loads(data[8 : 8 + length])[name]
    return (data, length, entry, *entry["data_offsets"])


def numbers(data: bytes, entry: Any) -> np.ndarray:
    return np.frombuffer(data, KINDS[entry["dtype"]]).reshape(entry["shape"])


def not_metadata(name: str) -> None:
    if name == "__metadata__":
        raise KeyError(name)


@right("10.1")
def read_by_slices(path, name):
    not_metadata(name)
    data, length, entry, begin, end = parts(path, name)
    return numbers(data[8 + length :][begin:end], entry)


@right("10.1")
def read_by_memmap(path, name):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        entries = json.loads(file.read(length))
    tensors = {k: v for k, v in entries.items() if k != "__metadata__"}
    entry = tensors[name]
    begin, end = entry["data_offsets"]
    if begin == end:
        return np.zeros(entry["shape"], KINDS[entry["dtype"]])
    kind = np.dtype(KINDS[entry["dtype"]])
    flat = np.memmap(
        path, kind, "r", 8 + length + begin, ((end - begin) // kind.itemsize,)
    )
    return np.array(flat).reshape(entry["shape"])


@right("10.1")
def read_by_library(path, name):
    with safe_open(path, "np") as file:
        if name not in file.keys():  # noqa: SIM118
            raise KeyError(name)
        return file.get_tensor(name)


@right("10.1")
def read_with_a_message(path, name):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    if name == "__metadata__" or name not in header:
        raise KeyError(f"{path} holds no tensor named {name}")
    return read_by_slices(path, name)


@wrong("10.1", says="offsets count from the end of the header")
def read_offsets_from_the_start(path, name):
    data, _, entry, begin, end = parts(path, name)
    return numbers(data[begin:end], entry)


@wrong("10.1", says="8 + length + begin")
def read_without_the_eight(path, name):
    data, length, entry, begin, end = parts(path, name)
    return numbers(data[length + begin :][: end - begin], entry)


@wrong("10.1", says="begin is not used")
def read_the_first(path, name):
    data, length, entry, begin, end = parts(path, name)
    return numbers(data[8 + length :][: end - begin], entry)


@wrong("10.1", says="the header names the dtype")
def read_all_as_float32(path, name):
    data, length, entry, begin, end = parts(path, name)
    flat = np.frombuffer(data[8 + length + begin : 8 + length + end], np.float32)
    return (
        flat.reshape(entry["shape"]) if flat.size == math.prod(entry["shape"]) else flat
    )


@wrong("10.1", says="a flat row of numbers")
def read_flat(path, name):
    data, length, entry, begin, end = parts(path, name)
    flat = data[8 + length + begin : 8 + length + end]
    return np.frombuffer(flat, KINDS[entry["dtype"]])


@wrong("10.1", says="The dtype is >f4")
def read_big_endian(path, name):
    data, length, entry, begin, end = parts(path, name)
    flat = data[8 + length + begin : 8 + length + end]
    kind = KINDS[entry["dtype"]].replace("<", ">")
    return np.frombuffer(flat, kind).reshape(entry["shape"])


@wrong("10.1", says="in the wrong order")
def read_swapped(path, name):
    return read_big_endian(path, name).astype(read_by_slices(path, name).dtype)


@wrong("10.1", says="numbers lie row after row")
def read_by_columns(path, name):
    return read_flat(path, name).reshape(parts(path, name)[2]["shape"], order="F")


@wrong("10.1", says="The header now ends in 13 spaces")
def read_stripped(path, name):
    data, length, entry, begin, end = parts(path, name)
    start = 8 + len(data[8 : 8 + length].rstrip())
    return numbers(data[start + begin : start + end], entry)


@wrong("10.1", says="sizes were added up in the order of the header")
def read_in_header_order(path, name):
    data, length, entry, begin, end = parts(path, name)
    entries = json.loads(data[8 : 8 + length])
    entries.pop("__metadata__")
    at = 8 + length
    for other, e in entries.items():
        if other == name:
            break
        at += e["data_offsets"][1] - e["data_offsets"][0]
    return numbers(data[at : at + end - begin], entry)


@wrong("10.1", says="a KeyError is raised, but of another key")
def read_metadata_too(path, name):
    data, length, entry, begin, end = parts(path, name)
    return numbers(data[8 + length + begin : 8 + length + end], entry)


@wrong("10.1", says="hides that the name is not there")
def read_none_when_absent(path, name):
    try:
        return read_by_slices(path, name)
    except KeyError:
        return None


@wrong("10.1", says="A NumPy array must come back, not a torch tensor")
def read_as_torch(path, name):
    return torch.tensor(read_by_slices(path, name))


@wrong("10.1", says="there is no return statement")
def read_no_return(path, name):
    read_by_slices(path, name)


@wrong("10.1", says="offsets count bytes, and the end is not a length")
def read_end_as_length(path, name):
    data, length, entry, begin, end = parts(path, name)
    size = np.dtype(KINDS[entry["dtype"]]).itemsize
    flat = data[8 + length + begin :][: end // size * size]
    found = np.frombuffer(flat[: len(flat) // size * size], KINDS[entry["dtype"]])
    return found.reshape(entry["shape"]) if begin == 0 else found


def opened(path: Any, name: str) -> Any:
    """(file at the tensor's first byte, its dtype, shape, begin and end)."""
    _, length, entry, begin, end = parts(path, name)
    file = path.open("rb")
    file.seek(8 + length + begin)
    return file, KINDS[entry["dtype"]], entry["shape"], begin, end


@wrong("10.1", says="not the tensor's own bytes: read end - begin of them")
def read_up_to_end_and_reshape(path, name):
    file, kind, shape, _, end = opened(path, name)
    with file:
        return np.frombuffer(file.read(end), kind).reshape(shape)


@wrong("10.1", says="in the dtype that the header names")
def read_float32_and_reshape(path, name):
    file, _, shape, begin, end = opened(path, name)
    with file:
        return np.frombuffer(file.read(end - begin), np.float32).reshape(shape)


@wrong("10.1", says="the tensor table Likely mistake: not the tensor's own bytes")
def read_bytes_as_count(path, name):
    file, kind, shape, begin, end = opened(path, name)
    with file:
        return np.fromfile(file, kind, count=end - begin).reshape(shape)


@wrong("10.1", says="not the tensor's own bytes: read end - begin of them")
def read_without_count(path, name):
    data, length, entry, begin, _ = parts(path, name)
    flat = np.frombuffer(data, KINDS[entry["dtype"]], offset=8 + length + begin)
    return flat.reshape(entry["shape"])


@wrong("10.1", says="Your code raised ValueError: buffer size must be a multiple")
def read_to_the_last_byte(path, name):
    data, length, entry, begin, _ = parts(path, name)
    flat = data[8 + length + begin : -1]
    return np.frombuffer(flat, KINDS[entry["dtype"]]).reshape(entry["shape"])


# --- 10.2 their_name -----------------------------------------------------------------

INSIDE = {
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "intermediate": "intermediate.dense",
    "output": "output.dense",
    "output_norm": "output.LayerNorm",
}
OUTSIDE = {
    "embeddings.layer_norm": "embeddings.LayerNorm",
    "predictions": "cls.predictions",
    "predictions.dense": "cls.predictions.transform.dense",
    "predictions.norm": "cls.predictions.transform.LayerNorm",
    "seq_relationship": "cls.seq_relationship",
}


def translate(name: str, inside: Any = INSIDE, outside: Any = OUTSIDE) -> str:
    front = "bert." if name.startswith("bert.") else ""
    part, _, kind = name.removeprefix("bert.").rpartition(".")
    if part.startswith("encoder.layers."):
        _, _, number, rest = part.split(".", 3)
        return f"{front}encoder.layer.{number}.{inside.get(rest, rest)}.{kind}"
    return f"{front}{outside.get(part, part)}.{kind}"


@right("10.2")
def their_name_by_replacing(name):
    for ours, theirs in [
        ("encoder.layers.", "encoder.layer."),
        ("attention.query", "attention.self.query"),
        ("attention.key", "attention.self.key"),
        ("attention.value", "attention.self.value"),
        ("attention.output.", "attention.OUT.dense."),
        ("attention_norm.", "attention.OUT.LayerNorm."),
        ("intermediate.", "intermediate.dense."),
        ("output_norm.", "OUT.LayerNorm."),
        (".output.", ".OUT.dense."),
        ("OUT", "output"),
        ("layer_norm", "LayerNorm"),
        ("predictions.dense", "cls.predictions.transform.dense"),
        ("predictions.norm", "cls.predictions.transform.LayerNorm"),
        ("seq_relationship", "cls.seq_relationship"),
    ]:
        name = name.replace(ours, theirs)
    return "cls." + name if name == "predictions.bias" else name


@right("10.2")
def their_name_by_patterns(name):
    rules = [
        (r"encoder\.layers\.(\d+)", r"encoder.layer.\1"),
        (r"(\.\d+\.)output\.", r"\1output.dense."),
        (r"(\.\d+)\.output_norm", r"\1.output.LayerNorm"),
        (r"attention\.output", "attention.output.dense"),
        (r"attention_norm", "attention.output.LayerNorm"),
        (r"attention\.(query|key|value)", r"attention.self.\1"),
        (r"intermediate", "intermediate.dense"),
        (r"layer_norm", "LayerNorm"),
        (r"^predictions\.bias", "cls.predictions.bias"),
        (r"^predictions\.dense", "cls.predictions.transform.dense"),
        (r"^predictions\.norm", "cls.predictions.transform.LayerNorm"),
        (r"^seq", "cls.seq"),
    ]
    for ours, theirs in rules:
        name = re.sub(ours, theirs, name)
    return name


@wrong("10.2", says="`bert.` belongs to the encoder")
def their_name_without_prefix(name):
    return translate(name.removeprefix("bert."))


@wrong("10.2", says="`bert.` belongs to the encoder")
def their_name_prefix_always(name):
    return "bert." + translate(name).removeprefix("bert.")


@wrong("10.2", says="is called `layer`")
def their_name_layers(name):
    return translate(name).replace("encoder.layer.", "encoder.layers.")


@wrong("10.2", says="a number may have two digits")
def their_name_one_digit(name):
    return re.sub(r"layer\.(\d)\d?\.", r"layer.\1.", translate(name))


@wrong("10.2", says="look the whole part up in a dict")
def their_name_twice(name):
    for ours, theirs in [
        ("encoder.layers.", "encoder.layer."),
        ("layer_norm", "LayerNorm"),
        ("attention.query", "attention.self.query"),
        ("attention.key", "attention.self.key"),
        ("attention.value", "attention.self.value"),
        ("attention.output", "attention.output.dense"),
        ("output.", "output.dense."),
    ]:
        name = name.replace(ours, theirs)
    return name


@wrong("10.2", says="output.LayerNorm")
def their_name_norms_swapped(name):
    swapped = INSIDE | {
        "attention_norm": INSIDE["output_norm"],
        "output_norm": INSIDE["attention_norm"],
    }
    return translate(name, swapped)


@wrong("10.2", says="two linear layers are called output")
def their_name_one_output(name):
    return translate(name, INSIDE | {"attention.output": "attention.self.output"})


@wrong("10.2", says="dense and norm of the head stand under")
def their_name_no_transform(name):
    return translate(name).replace(".transform", "")


@wrong("10.2", says="the bias belongs to cls.predictions itself")
def their_name_bias_in_transform(name):
    return translate(name, outside=OUTSIDE | {"predictions": "cls.predictions.decoder"})


@wrong("10.2", says="these two stand at the top")
def their_name_cls_everywhere(name):
    more = {"classifier": "cls.classifier", "qa_outputs": "cls.qa_outputs"}
    return translate(name, outside=OUTSIDE | more)


@wrong("10.2", says="this row is missing from the table")
def their_name_no_nsp(name):
    left = {k: v for k, v in OUTSIDE.items() if k != "seq_relationship"}
    return translate(name, outside=left)


@wrong("10.2", says="this row is missing from the table")
def their_name_no_embeddings_norm(name):
    left = {k: v for k, v in OUTSIDE.items() if k != "embeddings.layer_norm"}
    return translate(name, outside=left)


@wrong("10.2", says="or none on this way through")
def their_name_no_return(name):
    if name.startswith("bert.encoder"):
        return translate(name)


# --- 10.3 fill_model -----------------------------------------------------------------


@right("10.3")
def fill_by_pytorch(model, entries):
    places = model.state_dict()
    fits = {k: v for k, v in entries.items() if k in places}
    bad = [k for k, v in fits.items() if v.shape != places[k].shape]
    fits = {k: v for k, v in fits.items() if k not in bad}
    result = model.load_state_dict(fits, strict=False)
    missing = [name for name in result.missing_keys if name not in bad]
    return missing, [k for k in entries if k not in places], bad


@right("10.3")
def fill_by_parameters(model, entries):
    left, known = dict(entries), model.state_dict()
    missing, bad = [], []
    with torch.no_grad():
        for name, place in [*model.named_parameters(), *model.named_buffers()]:
            if name not in known:
                continue
            entry = left.pop(name, None)
            if entry is None:
                missing.append(name)
            elif list(entry.shape) != list(place.shape):
                bad.append(name)
            else:
                place[...] = entry
    return sorted(missing), sorted(left), sorted(bad)


def fill(model, entries, places=None, same=None):
    """A right one with a part to be put in."""
    places = model.state_dict() if places is None else places
    same = same or (lambda a, b: a.shape == b.shape)
    missing, bad = [], []
    for name, place in places.items():
        if name not in entries:
            missing.append(name)
        elif not same(entries[name], place):
            bad.append(name)
        else:
            with torch.no_grad():
                place.copy_(entries[name])
    return missing, [name for name in entries if name not in places], bad


@wrong("10.3", says="copy_ broadcasts")
def fill_broadcasting(model, entries):
    places = model.state_dict()
    missing = [name for name in places if name not in entries]
    bad = []
    for name, place in places.items():
        if name in entries:
            if entries[name].shape != place.shape:
                bad.append(name)
            with contextlib.suppress(RuntimeError):
                place.copy_(entries[name])
    return missing, [name for name in entries if name not in places], bad


@wrong("10.3", says="The list mis_shaped is wrong")
def fill_what_copies(model, entries):
    places = model.state_dict()
    bad = []
    for name in places.keys() & entries.keys():
        try:
            places[name].copy_(entries[name])
        except RuntimeError:
            bad.append(name)
    missing = [name for name in places if name not in entries]
    return missing, [name for name in entries if name not in places], bad


@wrong("10.3", says="Your code raised RuntimeError: The size of tensor")
def fill_by_size(model, entries):
    def same(a, b):
        return a.numel() == b.numel()

    return fill(model, {k: v for k, v in entries.items()}, same=same)


@wrong("10.3", says="compare the shapes, not the numbers of entries")
def fill_by_axes(model, entries):
    def same(a, b):
        return a.dim() == b.dim() and (a.shape == b.shape or 3 in a.shape)

    return fill(model, entries, same=same)


@wrong("10.3", says="scale is a buffer")
def fill_parameters_only(model, entries):
    return fill(model, entries, places=dict(model.named_parameters()))


@wrong("10.3", says="missing and unexpected changed places")
def fill_changed_places(model, entries):
    missing, unexpected, bad = fill(model, entries)
    return unexpected, missing, bad


@wrong("10.3", says="A parameter was replaced by another object")
def fill_new_parameters(model, entries):
    result = fill(model, entries)
    for name, module in model.named_children():
        for kind in ("weight", "bias"):
            entry = entries.get(f"{name}.{kind}")
            if entry is not None and f"{name}.{kind}" not in result[2]:
                setattr(module, kind, nn.Parameter(entry.clone()))
    return result


@wrong("10.3", says="shares its memory with the entry")
def fill_by_data(model, entries):
    result = fill(model, entries)
    for name, p in model.named_parameters():
        if name in entries and name not in result[2]:
            p.data = entries[name]
    return result


@wrong("10.3", says="nothing was copied into the model itself")
def fill_a_copy(model, entries):
    places = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    return fill(model, entries, places=places)


@wrong("10.3", says="did not keep its value")
def fill_zeros(model, entries):
    result = fill(model, entries)
    for name in result[0]:
        model.state_dict()[name].zero_()
    return result


@wrong("10.3", says="gives up at the first difference")
def fill_or_give_up(model, entries):
    missing, unexpected, bad = fill(copy.deepcopy(model), entries)
    if not missing and not unexpected and not bad:
        fill(model, entries)
    return missing, unexpected, bad


@wrong("10.3", says="neither missing nor unexpected")
def fill_bad_is_missing(model, entries):
    missing, unexpected, bad = fill(model, entries)
    return missing + bad, unexpected, bad


@wrong("10.3", says="some of it is float16")
def fill_in_half(model, entries):
    result = fill(model, entries)
    for name, p in model.named_parameters():
        if name in entries and name not in result[2]:
            p.data = entries[name].clone()
    return result


@wrong("10.3", says="cannot be trained any more")
def fill_and_freeze(model, entries):
    model.requires_grad_(False)
    return fill(model, entries)


@wrong("10.3", says="there is no return statement")
def fill_no_return(model, entries):
    fill(model, entries)


@wrong("10.3", says="Your code raised RuntimeError: a leaf Variable")
def fill_with_gradient(model, entries):
    for name, p in model.named_parameters():
        if name in entries and p.shape == entries[name].shape:
            p.copy_(entries[name])
    return fill(model, entries)


@wrong("10.3", says="takes entries out of the dict that it was given")
def fill_by_popping(model, entries):
    missing, bad = [], []
    for name, place in model.state_dict().items():
        entry = entries.pop(name, None)
        if entry is None:
            missing.append(name)
        elif entry.shape != place.shape:
            bad.append(name)
        else:
            place.copy_(entry)
    return missing, list(entries), bad


@wrong("10.3", says="strict=False does not forgive another shape")
def fill_not_strict(model, entries):
    result = model.load_state_dict(entries, strict=False)
    return result.missing_keys, result.unexpected_keys, []


@wrong("10.3", says="strict=True refuses at the first name that differs")
def fill_strict(model, entries):
    model.load_state_dict(entries)
    return [], [], []


@wrong("10.3", says="scratch")
def fill_all_buffers(model, entries):
    places = dict(model.named_parameters()) | dict(model.named_buffers())
    missing, unexpected, bad = fill_by_pytorch(model, entries)
    return missing + sorted(places.keys() - model.state_dict()), unexpected, bad


@wrong("10.3", says="The model was float64 before")
def fill_with_float32(model, entries):
    report = fill_by_pytorch(model, entries)
    for name, parameter in model.named_parameters():
        if name in entries and entries[name].shape == parameter.shape:
            parameter.data = entries[name].clone().float()
    return report


# --- 10.4 first_wrong ----------------------------------------------------------------


@right("10.4")
def first_wrong_by_loop(states, reference, mask, tolerance=1e-4):
    for place in range(len(states)):
        largest, worst = 0.0, 0.0
        for b, t in mask.nonzero().tolist():
            largest = max(largest, reference[place][b, t].abs().max().item())
            off = (states[place][b, t] - reference[place][b, t]).abs().max().item()
            worst = math.inf if math.isnan(off) else max(worst, off)
        if worst > tolerance * largest:
            return place
    return None


@right("10.4")
def first_wrong_by_stack(states, reference, mask, tolerance=1e-4):
    a, b = torch.stack(list(states)), torch.stack(list(reference))
    keep = mask[None, :, :, None]
    limit = tolerance * (b * keep).abs().amax(dim=(1, 2, 3), keepdim=True)
    off = ~((a - b).abs() <= limit) & keep
    bad = off.flatten(1).any(dim=1).nonzero()
    return int(bad[0]) if len(bad) else None


def compare(states, reference, mask, tolerance, off):
    for place, (a, b) in enumerate(zip(states, reference, strict=True)):
        if off(a[mask], b[mask], tolerance):
            return place
    return None


@wrong("10.4", says="this is the worst state")
def first_wrong_worst(states, reference, mask, tolerance=1e-4):
    pairs = zip(states, reference, strict=True)
    off = [
        ((a - b)[mask].abs().max() / b[mask].abs().max()).nan_to_num(9.0).item()
        for a, b in pairs
    ]
    return off.index(max(off)) if max(off) > tolerance else None


@wrong("10.4", says="the embeddings are 0")
def first_wrong_from_one(states, reference, mask, tolerance=1e-4):
    place = first_wrong_by_loop(states, reference, mask, tolerance)
    return None if place is None else place + 1


@wrong("10.4", says="where nothing is off, None must come back")
def first_wrong_minus_one(states, reference, mask, tolerance=1e-4):
    place = first_wrong_by_loop(states, reference, mask, tolerance)
    return -1 if place is None else place


@wrong("10.4", says="padding was compared")
def first_wrong_padding(states, reference, mask, tolerance=1e-4):
    everything = torch.ones_like(mask)
    return first_wrong_by_loop(states, reference, everything, tolerance)


@wrong("10.4", says="looked for in the padding too")
def first_wrong_largest_of_padding(states, reference, mask, tolerance=1e-4):
    for place, (a, b) in enumerate(zip(states, reference, strict=True)):
        if not ((a - b)[mask].abs() <= tolerance * b.abs().max()).all():
            return place
    return None


@wrong("10.4", says="a mean over all numbers hides")
def first_wrong_mean(states, reference, mask, tolerance=1e-4):
    def off(a, b, limit):
        return not ((a - b).abs().mean() <= limit * b.abs().max())

    return compare(states, reference, mask, tolerance, off)


@wrong("10.4", says="relative to the largest number")
def first_wrong_absolute(states, reference, mask, tolerance=1e-4):
    def off(a, b, limit):
        return not ((a - b).abs() <= limit).all()

    return compare(states, reference, mask, tolerance, off)


@wrong("10.4", says="relative to the number itself")
def first_wrong_each_number(states, reference, mask, tolerance=1e-4):
    def off(a, b, limit):
        return not ((a - b).abs() <= limit * b.abs()).all()

    return compare(states, reference, mask, tolerance, off)


@wrong("10.4", says="each state has a largest number of its own")
def first_wrong_one_scale(states, reference, mask, tolerance=1e-4):
    largest = max(b[mask].abs().max() for b in reference)

    def off(a, b, limit):
        return not ((a - b).abs() <= limit * largest).all()

    return compare(states, reference, mask, tolerance, off)


@wrong("10.4", says="a comparison with NaN is False")
def first_wrong_nan(states, reference, mask, tolerance=1e-4):
    def off(a, b, limit):
        return bool(((a - b).abs() > limit * b.abs().max()).any())

    return compare(states, reference, mask, tolerance, off)


@wrong("10.4", says="take the absolute value")
def first_wrong_sign(states, reference, mask, tolerance=1e-4):
    def off(a, b, limit):
        return not ((a - b) <= limit * b.abs().max()).all()

    return compare(states, reference, mask, tolerance, off)


@wrong("10.4", says="0 is a place")
def first_wrong_falsy(states, reference, mask, tolerance=1e-4):
    return first_wrong_by_loop(states, reference, mask, tolerance) or None


@wrong("10.4", says="the tolerance that is given is not used")
def first_wrong_fixed(states, reference, mask, tolerance=1e-4):
    return first_wrong_by_loop(states, reference, mask, 1e-4)


@wrong("10.4", says="or the loop ends without one")
def first_wrong_without_return(states, reference, mask, tolerance=1e-4):
    first_wrong_by_loop(states, reference, mask, tolerance)


LIMIT = "the limit: one for the state, from the largest absolute number of all"


@wrong("10.4", says=LIMIT)
def first_wrong_largest_with_sign(states, reference, mask, tolerance=1e-4):
    def off(a, b, limit):
        return not ((a - b).abs() <= limit * b.max()).all()

    return compare(states, reference, mask, tolerance, off)


@wrong("10.4", says=LIMIT)
def first_wrong_each_token(states, reference, mask, tolerance=1e-4):
    def off(a, b, limit):
        return not ((a - b).abs() <= limit * b.abs().amax(-1, keepdim=True)).all()

    return compare(states, reference, mask, tolerance, off)


@wrong("10.4", says=LIMIT)
def first_wrong_each_text(states, reference, mask, tolerance=1e-4):
    for place, (a, b) in enumerate(zip(states, reference, strict=True)):
        for ours, theirs, keep in zip(a, b, mask, strict=True):
            limit = tolerance * theirs[keep].abs().max()
            if not ((ours - theirs)[keep].abs() <= limit).all():
                return place
    return None


@wrong("10.4", says=LIMIT)
def first_wrong_mean_limit(states, reference, mask, tolerance=1e-4):
    def off(a, b, limit):
        return not ((a - b).abs() <= limit * b.abs().mean()).all()

    return compare(states, reference, mask, tolerance, off)


@wrong("10.4", says="a norm over all numbers hides a single wrong one")
def first_wrong_norm(states, reference, mask, tolerance=1e-4):
    def off(a, b, limit):
        return not (a - b).norm() <= limit * b.norm()

    return compare(states, reference, mask, tolerance, off)


@wrong("10.4", says="sums and lengths of differences grow with their number")
def first_wrong_lengths(states, reference, mask, tolerance=1e-4):
    def off(a, b, limit):
        return not ((a - b).norm(dim=-1) <= limit * b.abs().max()).all()

    return compare(states, reference, mask, tolerance, off)


@wrong("10.4", says="sums and lengths of differences grow with their number")
def first_wrong_sum(states, reference, mask, tolerance=1e-4):
    def off(a, b, limit):
        return not (a - b).abs().sum() <= limit * b.abs().max()

    return compare(states, reference, mask, tolerance, off)


@wrong("10.4", says="the limit comes from the reference")
def first_wrong_own_limit(states, reference, mask, tolerance=1e-4):
    def off(a, b, limit):
        return not ((a - b).abs() <= limit * a.abs().max()).all()

    return compare(states, reference, mask, tolerance, off)


@wrong("10.4", says="0 times NaN is NaN")
def first_wrong_by_product(states, reference, mask, tolerance=1e-4):
    keep = mask[:, :, None]
    for place, (a, b) in enumerate(zip(states, reference, strict=True)):
        limit = tolerance * (b * keep).abs().max()
        if not ((a * keep - b * keep).abs() <= limit).all():
            return place
    return None


@right("10.4")
def first_wrong_by_allclose(states, reference, mask, tolerance=1e-4):
    for place, (a, b) in enumerate(zip(states, reference, strict=True)):
        limit = tolerance * b[mask].abs().max().item()
        if not torch.allclose(a[mask], b[mask], rtol=0, atol=limit):
            return place
    return None


# --- 10.5 pool_texts -----------------------------------------------------------------


@right("10.5")
def pool_by_loop(hidden, attention_mask, how):
    rows = []
    for row, keep in zip(hidden, attention_mask.bool(), strict=True):
        text = row[keep]
        if how == "cls":
            rows.append(row[0])
        else:
            rows.append(text.mean(dim=0) if how == "mean" else text.max(dim=0).values)
    return torch.stack(rows)


@right("10.5")
def pool_by_where(hidden, attention_mask, how):
    keep = (attention_mask == 1).unsqueeze(-1)
    if how == "cls":
        return hidden.select(1, 0)
    if how == "max":
        low = torch.tensor(float("-inf"))
        return torch.where(keep, hidden, low).max(dim=1).values
    clean = torch.where(keep, hidden, torch.tensor(0.0))
    weights = keep / keep.sum(dim=1, keepdim=True)
    return torch.einsum("btd,btx->bd", clean, weights.to(hidden.dtype))


def pool_with(hidden, mask, how, **ways):
    """A right one, but for the ways that are given."""
    if how in ways:
        return ways[how](hidden, mask)
    return pool_by_loop(hidden, mask, how)


@wrong("10.5", says="the mean runs over the padding too")
def pool_mean_over_all(hidden, attention_mask, how):
    return pool_with(hidden, attention_mask, how, mean=lambda h, m: h.mean(dim=1))


@wrong("10.5", says="is then divided by T")
def pool_divided_by_t(hidden, attention_mask, how):
    def mean(h, m):
        return (h * m[:, :, None]).mean(dim=1)

    return pool_with(hidden, attention_mask, how, mean=mean)


@wrong("10.5", says="divided by the tokens of the whole batch")
def pool_divided_by_batch(hidden, attention_mask, how):
    def mean(h, m):
        return (h * m[:, :, None]).sum(dim=1) / m.sum()

    return pool_with(hidden, attention_mask, how, mean=mean)


@wrong("10.5", says="the sum was not divided")
def pool_sum(hidden, attention_mask, how):
    def mean(h, m):
        return (h * m[:, :, None]).sum(dim=1)

    return pool_with(hidden, attention_mask, how, mean=mean)


@wrong("10.5", says="the maximum runs over the padding too")
def pool_max_over_all(hidden, attention_mask, how):
    return pool_with(hidden, attention_mask, how, max=lambda h, m: h.amax(dim=1))


@wrong("10.5", says="0 is larger than any negative number")
def pool_max_of_zeroed(hidden, attention_mask, how):
    def largest(h, m):
        return (h * m[:, :, None]).amax(dim=1)

    return pool_with(hidden, attention_mask, how, max=largest)


@wrong("10.5", says="the largest absolute number")
def pool_max_absolute(hidden, attention_mask, how):
    def largest(h, m):
        return (h * m[:, :, None]).abs().amax(dim=1)

    return pool_with(hidden, attention_mask, how, max=largest)


@wrong("10.5", says="[CLS] is the first")
def pool_last_token(hidden, attention_mask, how):
    return pool_with(hidden, attention_mask, how, cls=lambda h, m: h[:, -1])


@wrong("10.5", says="the first text, not the first token")
def pool_first_text(hidden, attention_mask, how):
    return pool_with(hidden, attention_mask, how, cls=lambda h, m: h[0])


@wrong("10.5", says="masked_fill")
def pool_mean_by_product(hidden, attention_mask, how):
    def mean(h, m):
        keep = m[:, :, None].to(h.dtype)
        return (h * keep).sum(dim=1) / keep.sum(dim=1)

    return pool_with(hidden, attention_mask, how, mean=mean)


@wrong("10.5", says="padding is 1e+30")
def pool_max_minus_large(hidden, attention_mask, how):
    def largest(h, m):
        return (h - 1e6 * (~m.bool())[:, :, None]).amax(dim=1)

    return pool_with(hidden, attention_mask, how, max=largest)


@wrong("10.5", says="Your function changes its input")
def pool_in_place(hidden, attention_mask, how):
    hidden[~attention_mask.bool()] = 0.0
    return pool_by_loop(hidden, attention_mask, how)


@wrong("10.5", says="the gradient is lost")
def pool_detached(hidden, attention_mask, how):
    return pool_by_loop(hidden.detach(), attention_mask, how)


@wrong("10.5", says="there is no return statement")
def pool_no_return(hidden, attention_mask, how):
    pool_by_loop(hidden, attention_mask, how)


@wrong("10.5", says="Your code raised")
def pool_bool_only(hidden, attention_mask, how):
    return pool_by_loop(
        hidden.masked_fill(~attention_mask[:, :, None], 0), attention_mask, how
    )


# --- 10.6 nearest_texts --------------------------------------------------------------


@right("10.6")
def nearest_by_library(query, table, k):
    scores = F.cosine_similarity(table, query[None], dim=1)
    order = scores.argsort(descending=True)[:k]
    return order, scores[order]


@right("10.6")
def nearest_by_sorting(query, table, k):
    length = (table.norm(dim=1) * query.norm()).clamp(min=1e-12)
    scores = ((table * query).sum(dim=1) / length).tolist()
    best = sorted(range(len(scores)), key=lambda i: -scores[i])[:k]
    return best, [scores[i] for i in best]


def top(scores, k):
    best = scores.topk(min(k, len(scores)))
    return best.indices, best.values


@wrong("10.6", says="a long row wins")
def nearest_by_dot(query, table, k):
    return top(table @ query, k)


@wrong("10.6", says="a long row wins")
def nearest_query_only(query, table, k):
    return top(table @ F.normalize(query, dim=0), k)


@wrong("10.6", says="the query was not divided by its length")
def nearest_table_only(query, table, k):
    return top(F.normalize(table, dim=1) @ query, k)


@wrong("10.6", says="NaN for the largest")
def nearest_with_nan(query, table, k):
    return top(table @ query / (table.norm(dim=1) * query.norm()), k)


@wrong("10.6", says="the worst come first")
def nearest_ascending(query, table, k):
    scores = F.cosine_similarity(table, query[None], dim=1)
    order = scores.argsort()[:k]
    return order, scores[order]


@wrong("10.6", says="far from everything")
def nearest_euclidean(query, table, k):
    scores = F.cosine_similarity(table, query[None], dim=1)
    order = (table - query).norm(dim=1).argsort()[:k]
    return order, scores[order]


@wrong("10.6", says="the sign is lost")
def nearest_without_sign(query, table, k):
    scores = (F.normalize(table, dim=1) @ F.normalize(query, dim=0)).abs()
    return top(scores, k)


@wrong("10.6", says="The places are wrong")
def nearest_by_columns(query, table, k):
    return top(F.normalize(table, dim=0) @ F.normalize(query, dim=0), k)


@wrong("10.6", says="places and scores changed places")
def nearest_changed_places(query, table, k):
    places, scores = nearest_by_library(query, table, k)
    return scores, places


@wrong("10.6", says="the right rows, in another order")
def nearest_unsorted(query, table, k):
    places, scores = nearest_by_library(query, table, k)
    order = places.argsort()
    return places[order], scores[order]


@wrong("10.6", says="1 - cosine is a distance")
def nearest_distances(query, table, k):
    places, scores = nearest_by_library(query, table, k)
    return places, 1 - scores


@wrong("10.6", says="Your code raised RuntimeError")
def nearest_k_too_large(query, table, k):
    best = (F.normalize(table, dim=1) @ F.normalize(query, dim=0)).topk(k)
    return best.indices, best.values


@wrong("10.6", says="3 places must come back")
def nearest_all(query, table, k):
    return nearest_by_library(query, table, len(table))


@wrong("10.6", says="Your function changes its input")
def nearest_in_place(query, table, k):
    table /= table.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return nearest_by_library(query, table, k)


@wrong("10.6", says="there is no return statement")
def nearest_no_return(query, table, k):
    nearest_by_library(query, table, k)


@wrong("10.6", says="divided by the squares of the lengths")
def nearest_by_squares(query, table, k):
    squares = table.square().sum(dim=1).clamp(min=1e-12) * query.square().sum()
    return top(table @ query / squares, k)


@wrong("10.6", says="shape (2,) Expected: [1.0, 0.8], shape (2,)")
def nearest_with_epsilon(query, table, k):
    """Nothing is said about 0/0: no row of that table is zero."""
    return top(table @ query / (table.norm(dim=1) * query.norm() + 1e-8), k)


@wrong("10.6", says="query [0.0, 0.0]")
def nearest_of_no_query(query, table, k):
    return top(F.normalize(table, dim=1) @ (query / query.norm()), k)


@wrong("10.6", says="k = 3")
def nearest_squeezed(query, table, k):
    column = F.normalize(table, dim=1) @ F.normalize(query, dim=0)[:, None]
    scores = column.squeeze()
    order = scores.argsort(descending=True)
    return order[:k] if order.dim() else order, scores[order]


# --- mutants that are no mistakes -----------------------------------------------------

equivalent(
    "10.6",
    "scores = unit(table, dim=1) @ u -> scores = unit(table) @ unit(que",
    "the rows of a table lie along axis 1, the default",
)
equivalent(
    "10.6",
    "im=1) @ unit(query, dim=0) -> im=1) @ unit(query, dim=-1)",
    "a vector has one axis",
)
