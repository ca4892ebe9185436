"""Now use yours: bertlib runs on a student's answers, and afterwards on its own."""

import re
import sys
import types
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import nbformat
import pytest
import torch

import bertlib.attention
import bertlib.cost
import bertlib.dropout
import bertlib.encoder
import bertlib.heads
import bertlib.model
import bertlib.test_run
import bertlib.vectors
from bertlib.config import BertConfig
from bertlib.corpus import NotFetched
from bertlib.exercises import check, progress, yours
from bertlib.exercises.checking import judge
from bertlib.exercises.parts import PARTS
from bertlib.exercises.yours import PASSED, SOLUTIONS, remember
from tests.exercises import bank

CONFIG = BertConfig(
    vocab_size=30,
    hidden_size=12,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=20,
    max_position_embeddings=9,
)
IDS = torch.tensor([[2, 7, 9, 3], [2, 8, 3, 0]])
MASK = (IDS != 0).long()
RANDOM = {"2.6", "5.3"}  # what they give differs from call to call
# They ask for something that bertlib has no object for.
WITHOUT = {"2.1", "2.2", "2.3", "2.4", "3.1", "3.2", "3.3", "3.5", "3.7", "3.8"}
WITHOUT |= {"4.2", "4.3", "4.5", "5.6", "5.8"}


@pytest.fixture(autouse=True)
def nothing_has_passed():
    PASSED.clear()
    SOLUTIONS.clear()
    yield
    PASSED.clear()
    SOLUTIONS.clear()


@pytest.fixture
def model() -> Any:
    torch.manual_seed(0)
    config = BertConfig(**{**vars(CONFIG), "initializer_range": 0.4})
    return bertlib.model.BertModel(config).eval()


def outcome(number: str, model: Any) -> list[torch.Tensor]:
    """Tensors in whose making the part has a share."""
    if number == "5.5":
        return [torch.tensor(int(bertlib.test_run.count_parameters(CONFIG)))]
    if number == "5.7":
        return [bertlib.vectors.pool(torch.ones(2, 4, 3).cumsum(1), MASK)]
    with torch.no_grad():
        fast = model(IDS, MASK)
        out = model(IDS, MASK, output_attentions=True)
    return [fast.last_hidden_state, out.last_hidden_state, out.pooler_output,
            *out.attentions]  # fmt: skip


def rights() -> list[Any]:
    return [
        pytest.param(a.number, a.answer, id=f"{a.number}-{a.answer.__name__}")
        for a in bank.load()
        if a.says is None and a.number in PARTS.keys() - RANDOM
    ]


@pytest.mark.parametrize(("number", "answer"), rights())
def test_bertlib_gives_the_same_on_a_right_answer_and_calls_it(number, answer, model):
    wanted = outcome(number, model)
    remember(number, answer, solution=False)
    with yours(number) as calls:
        got = outcome(number, model)
    assert calls[number] > 0
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_dropout_is_the_students(monkeypatch):
    remember("2.6", lambda x, p, training: x * 0 + p, solution=False)
    with yours("2.6") as calls:
        dropped = bertlib.dropout.Dropout(0.25)(torch.ones(3))
    assert dropped.tolist() == [0.25] * 3
    assert calls == {"2.6": 1}


def test_the_first_weights_are_the_students():
    def initialise(module, std):
        for parameter in module.parameters():
            torch.nn.init.constant_(parameter, std)

    remember("5.3", initialise, solution=False)
    with yours("5.3"):
        weight = bertlib.model.BertModel(CONFIG).pooler.dense.weight
    assert bool((weight == CONFIG.initializer_range).all())


def test_every_exercise_stands_for_something_or_is_known_not_to():
    chapters = progress.course()
    numbers = {n for chapter in "2345" for n in chapters[chapter]}
    assert PARTS.keys() | WITHOUT == numbers
    assert not PARTS.keys() & WITHOUT


def half(query, key, value, mask=None):
    """Passes nothing, and shows wherever it is called."""
    weights = torch.full((*query.shape[:-1], key.size(-2)), 0.5)
    return weights @ value, weights


def test_the_fast_path_of_attention_asks_the_student_too(model):
    remember("3.4", half, solution=False)
    wanted = model(IDS, MASK, output_attentions=True).last_hidden_state
    with yours("3.4") as calls:
        fast = model(IDS, MASK).last_hidden_state
        assert calls == {"3.4": 2}  # layers
        out = model(IDS, MASK, output_attentions=True)
    assert calls == {"3.4": 4}
    torch.testing.assert_close(fast, out.last_hidden_state)
    assert not torch.allclose(fast, wanted)
    assert bool((out.attentions[0] == 0.5).all())


def test_dropout_of_the_weights_stays_the_courses():
    remember("3.4", half, solution=False)
    torch.manual_seed(0)
    value = torch.ones(1, 50, 1)
    with yours("3.4"):
        context, _ = bertlib.attention.scaled_dot_product_attention(
            value, value, value, dropout=0.5
        )
    assert len(context.unique()) > 1


def test_every_module_sees_the_students_function():
    remember("5.5", lambda config: 7, solution=False)
    with yours("5.5"):
        assert bertlib.model.count_parameters(CONFIG) == 7
        assert bertlib.test_run.count_parameters(CONFIG) == 7
        assert bertlib.cost.count_parameters(CONFIG) == 7


def test_gelu_reaches_models_that_were_built_before(model):
    """Each layer holds its activation, and so does the head of chapter 6."""
    torch.manual_seed(0)
    head = bertlib.heads.MaskedLMHead(CONFIG)
    remember("4.1", lambda z, tanh=False: z * 0, solution=False)
    with yours("4.1") as calls:
        model(IDS, MASK)
        logits = head(torch.randn(1, 2, 12), torch.randn(30, 12))
    assert calls == {"4.1": 3}
    assert bool((logits == logits[0, 0]).all())  # nothing of the tokens is left
    assert model.encoder.layers[0].activation is bertlib.encoder.gelu


def test_both_forms_of_gelu_are_the_students():
    def gelu(z, tanh=False):
        return torch.full_like(z, 2.0 if tanh else 1.0)

    remember("4.1", gelu, solution=False)
    config = BertConfig(**{**vars(CONFIG), "hidden_act": "gelu_new"})
    layer = bertlib.encoder.BertLayer(config)
    seen = []
    layer.output.register_forward_hook(lambda module, inputs, out: seen.append(inputs))
    with yours("4.1"):
        layer(torch.randn(1, 2, 12))
        assert bertlib.encoder.gelu(torch.ones(1)).item() == 1
    assert seen[0][0].unique().tolist() == [2]


def names() -> dict[str, Any]:
    """Everything that could be replaced, and what is there now."""
    found: dict[str, Any] = {}
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "bertlib":
            found |= {f"{name}.{key}": value for key, value in vars(module).items()}
    for parts in PARTS.values():
        for part in parts:
            holder, _, method = part.name.rpartition(".")
            if holder:
                cls = getattr(sys.modules[part.module], holder)
                found[f"{part.module}.{part.name}"] = vars(cls)[method]
    return {key: value for key, value in found.items() if callable(value)}


def all_rights() -> None:
    for answer in bank.load():
        if answer.says is None:
            remember(answer.number, answer.answer, solution=False)


def test_afterwards_all_is_as_it_was(model):
    all_rights()
    before = names()
    with yours():
        changed = {key for key, value in names().items() if before.get(key) != value}
        model(IDS, MASK)
    assert len(changed) >= len(PARTS)
    assert names() == before


def test_afterwards_all_is_as_it_was_when_an_error_ended_it(model):
    all_rights()
    before = names()
    with pytest.raises(ZeroDivisionError), yours():
        1 / 0  # noqa: B018
    assert names() == before


def test_an_error_in_the_answer_comes_out_and_leaves_nothing_behind(model):
    def attend(query, key, value, mask=None):
        raise ZeroDivisionError

    remember("3.4", attend, solution=False)
    before = names()
    with pytest.raises(ZeroDivisionError), yours("3.4"):
        model(IDS)
    assert names() == before


def test_a_module_that_was_first_imported_inside_is_put_right(monkeypatch):
    remember("5.5", lambda config: 7, solution=False)
    late: Any = types.ModuleType("bertlib.late")
    monkeypatch.setitem(sys.modules, "bertlib.late", late)
    with yours("5.5"):
        late.count = bertlib.model.count_parameters
        assert late.count(CONFIG) == 7
    assert late.count is bertlib.model.count_parameters


def test_one_inside_the_other_works():
    first, second = (lambda config: 1), (lambda config: 2)
    remember("5.5", first, solution=False)
    with yours("5.5"):
        remember("5.5", second, solution=False)
        with yours("5.5"):
            assert bertlib.model.count_parameters(CONFIG) == 2
        assert bertlib.model.count_parameters(CONFIG) == 1
    assert bertlib.model.count_parameters(CONFIG) > 2


def test_the_students_own_answer_counts_first(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # for the progress

    @check("5.7")
    def mean_pool(hidden, attention_mask):
        keep = attention_mask[:, :, None].to(hidden.dtype)
        return (hidden * keep).sum(1) / keep.sum(1).clamp(min=1)

    @check("5.7", solution=True)
    def the_solution(hidden, attention_mask):
        return mean_pool(hidden, attention_mask)

    with yours("5.7"):
        pass
    shown = capsys.readouterr().out.splitlines()
    assert shown[-2:] == [
        "Exercise 5.7: your mean_pool runs as pool.",
        "Exercise 5.7: called 0 times.",
    ]


def test_an_answer_that_does_not_pass_is_not_taken(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check("5.1")(lambda attention_mask: attention_mask.bool()[:, None, None])
    check("5.1")(lambda attention_mask: attention_mask)
    mask = torch.ones(1, 2).bool()
    with yours("5.1"):
        assert bertlib.model.extend_mask(mask, mask).shape == (1, 1, 1, 2)


def test_without_an_own_answer_the_solution_runs_and_the_line_says_so(capsys):
    remember("3.4", half, solution=True)
    value = torch.ones(1, 2, 2)
    with yours("3.4") as calls:
        bertlib.attention.scaled_dot_product_attention(value, value, value)
    assert calls == {"3.4": 1}
    assert capsys.readouterr().out.splitlines() == [
        "Exercise 3.4: not passed yet; the solution's half runs.",
        "Exercise 3.4: called 1 time.",
    ]


def test_without_any_answer_the_courses_own_code_runs_and_nothing_is_raised(capsys):
    before = names()
    with yours("4.4") as calls:
        assert names() == before
    assert calls == {}
    shown = capsys.readouterr().out
    assert shown == "Exercise 4.4: not passed yet; the course's own code runs.\n"


def test_without_numbers_everything_of_the_students_runs(capsys):
    remember("5.5", lambda config: 7, solution=False)
    remember("5.7", lambda hidden, mask: hidden[:, 0], solution=False)
    remember("5.1", lambda mask: mask, solution=True)
    remember("3.7", lambda weights: weights, solution=False)
    with yours() as calls:
        pass
    assert calls == {"5.5": 0, "5.7": 0}


@pytest.mark.parametrize("number", ["3.7", "3.44", "9.1", 3.4])
def test_a_number_that_stands_for_nothing_is_refused_by_name(number):
    with pytest.raises(ValueError, match=r"number is .*'3\.4'"), yours(number):
        pass


def test_an_answer_may_ask_for_the_courses_own():
    def count(config):
        return bertlib.model.count_parameters(config)

    wanted = count(CONFIG)
    remember("5.5", count, solution=False)
    with yours("5.5") as calls:
        assert bertlib.model.count_parameters(CONFIG) == wanted
    assert calls == {"5.5": 1}


class Pooler(torch.nn.Module):
    def __init__(self, D):
        super().__init__()
        self.dense = torch.nn.Linear(D, D)
        self.again = self.dense.weight  # a second name for one parameter

    def forward(self, hidden):
        return torch.tanh(hidden[:, 0] @ self.again.T + self.dense.bias)


def test_an_answers_module_works_with_the_models_own_parameters(model):
    remember("5.2", Pooler, solution=False)
    wanted = model(IDS, MASK).pooler_output
    with yours("5.2"):
        got = model(IDS, MASK).pooler_output
    torch.testing.assert_close(got, wanted)
    got.square().sum().backward()
    assert model.pooler.dense.weight.grad is not None


def test_an_answers_module_trains_and_rests_with_ours(model):
    seen = []

    class Watched(Pooler):
        def forward(self, hidden):
            seen.append(self.training)
            return super().forward(hidden)

    remember("5.2", Watched, solution=False)
    with yours("5.2"):
        model.train()(IDS)
        model.eval()(IDS)
    assert seen == [True, False]


def test_building_an_answers_module_leaves_the_random_state_alone(model):
    remember("5.2", Pooler, solution=False)
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    with yours("5.2"):
        model(IDS)
    assert torch.rand(1) == wanted


def test_a_mask_that_3_6_cannot_take_is_refused_by_name():
    attention = bertlib.attention.MultiHeadSelfAttention(CONFIG).eval()
    answer = next(a.answer for a in bank.load() if a.number == "3.6" and not a.says)
    remember("3.6", answer, solution=False)
    causal = torch.ones(4, 4).tril().bool()
    with pytest.raises(ValueError, match="mask differs"), yours("3.6"):
        attention(torch.randn(2, 4, 12), causal)


def test_a_model_without_a_pooler_still_has_none(model):
    bare = bertlib.model.BertModel(CONFIG, add_pooling_layer=False).eval()
    answer = next(a.answer for a in bank.load() if a.number == "5.4" and not a.says)
    remember("5.4", answer, solution=False)
    with yours("5.4") as calls:
        assert bare(IDS, MASK).pooler_output is None
    assert calls == {"5.4": 1}


def test_the_checks_go_on_judging_by_the_courses_code():
    remember("5.5", lambda config: 7, solution=False)
    right = next(a.answer for a in bank.load() if a.number == "5.5" and not a.says)
    with yours("5.5"):
        assert judge("5.5", right).status == "passed"
        assert judge("5.5", lambda config: 7).status == "not yet"


# --- the last cell of chapters 3, 4 and 5, with the real MiniLM ----------------------

CHAPTERS = Path(__file__).resolve().parents[2] / "chapters"
LAST = {
    "03_attention": {"3.4": "attend"},
    "04_encoder": {"4.4": "EncoderLayer"},
    "05_model": {"5.4": "Bert", "5.7": "mean_pool"},
}
NEEDED = {"review-imports", "review"}  # the tokenizer of chapter 5


def run_last_cell(name: str, whose: str | None) -> None:
    """Execute a chapter's last cell after the cells that it builds on.

    whose: "own" where the student has solved everything, "solution" where nothing has
        been solved, None where the solutions are missing as well.
    """
    cells = nbformat.read(CHAPTERS / f"{name}.ipynb", as_version=4).cells
    namespace: dict[str, Any] = {"__name__": "chapter"}
    for cell in cells:
        tags, source = cell.metadata.get("tags", []), cell.source
        if "solution" in tags and whose == "own":
            source = source.replace(", solution=True", "")
        elif "solution" in tags and whose is None:
            continue
        wanted = {"setup", "exercise", "solution"} & set(tags) or cell.id in NEEDED
        if wanted or source.startswith("#| export") or cell.id == "yours":
            exec(compile(source, cell.id, "exec"), namespace)


@pytest.fixture
def cell_outputs(capsys, monkeypatch, tmp_path):
    """Run it in a folder of its own; give back what the last cell printed."""
    monkeypatch.chdir(tmp_path)
    matplotlib.use("agg")

    def run(name: str, whose: str | None) -> str:
        with matplotlib.rc_context():
            run_last_cell(name, whose)
        plt.close("all")
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize("name", LAST)
def test_the_real_model_runs_on_the_students_own(name, cell_outputs):
    shown = cell_outputs(name, "own")
    for number, answer in LAST[name].items():
        assert f"Exercise {number}: your {answer} runs as " in shown
        assert re.search(rf"Exercise {number}: called [1-9]\d* time", shown)
    assert "largest difference from the course's: below 1e-5" in shown


@pytest.mark.parametrize("name", LAST)
def test_the_last_cell_runs_where_nothing_has_passed(name, cell_outputs):
    shown = cell_outputs(name, None)
    for number in LAST[name]:
        assert f"Exercise {number}: not passed yet; the course's own code" in shown
    assert "largest difference from the course's: below 1e-5" in shown


@pytest.mark.parametrize("name", LAST)
def test_without_weights_the_last_cell_says_what_is_missing(
    name, cell_outputs, monkeypatch
):
    def missing() -> Path:
        raise NotFetched("model.safetensors: not on this machine")

    monkeypatch.setattr("bertlib.hub.minilm_folder", missing)
    shown = cell_outputs(name, "solution")
    assert shown.splitlines()[-1] == "model.safetensors: not on this machine"
