"""Progress: what has passed is kept beside the notebook, and is never in the way."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from bertlib.exercises import check, progress
from bertlib.exercises.__main__ import main
from bertlib.exercises.checking import CHECKS, judge


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def causal_mask(T):
    return torch.ones(T, T).tril().bool()


def upside_down(T):
    return torch.ones(T, T).triu().bool()


def stub(T):
    raise NotImplementedError


def kept(folder: Path) -> list[str]:
    return (folder / progress.FILE).read_text().split()


# --- what is recorded, and what is printed -------------------------------------------


def test_a_pass_is_recorded_and_its_line_printed(folder, capsys):
    check("3.8")(causal_mask)
    total = sum(map(len, progress.course().values()))
    assert capsys.readouterr().out.splitlines() == [
        "Exercise 3.8: passed.",
        f"Chapter 3: 1 of 8 [|-------] · course: 1 of {total}",
    ]
    assert kept(folder) == ["3.8"]


def test_a_second_pass_counts_once(folder, capsys):
    check("3.8")(causal_mask)
    check("3.8")(causal_mask)
    assert capsys.readouterr().out.count("Chapter 3: 1 of 8") == 2
    assert kept(folder) == ["3.8"]


def test_a_pass_is_not_taken_back(folder):
    check("3.8")(causal_mask)
    check("3.8")(upside_down)
    assert kept(folder) == ["3.8"]


def test_a_solution_prints_its_verdict_and_records_nothing(folder, capsys):
    check("3.8", solution=True)(causal_mask)
    assert capsys.readouterr().out == "Exercise 3.8: passed.\n"
    assert not list(folder.iterdir())


@pytest.mark.parametrize("answer", [stub, upside_down])
def test_what_does_not_pass_prints_no_line_and_records_nothing(answer, folder, capsys):
    check("3.8")(answer)
    assert capsys.readouterr().out.strip() == str(judge("3.8", answer))
    assert not list(folder.iterdir())


def test_the_line_counts_the_chapter_and_the_course():
    for number in ["1.1", "3.1", "3.2"]:
        progress.record(number)
    line = progress.record("3.8")
    assert line.startswith("Chapter 3: 3 of 8 [|||-----] · course: 4 of ")


def test_every_check_is_an_exercise_of_the_course():
    numbers = [n for chapter in progress.course().values() for n in chapter]
    for number in numbers:
        judge(number, stub)  # loads the checks
    assert sorted(numbers) == sorted(CHECKS)


# --- several kernels in one folder ---------------------------------------------------

KERNEL = """
import sys, time
from pathlib import Path
from bertlib.exercises.progress import record
name, first = sys.argv[1:]
Path(f"{name}.ready").touch()
while not Path("go").exists():
    time.sleep(0.001)
for i in range(int(first), 200, 2):
    record(f"3.{i}")
"""


def test_two_kernels_that_write_at_once_lose_nothing(folder):
    kernels = [
        subprocess.Popen([sys.executable, "-c", KERNEL, name, first])
        for name, first in [("a", "0"), ("b", "1")]
    ]
    while len(list(folder.glob("*.ready"))) < 2:
        assert all(kernel.poll() is None for kernel in kernels)
        time.sleep(0.05)
    (folder / "go").touch()
    assert [kernel.wait(60) for kernel in kernels] == [0, 0]
    lines = kept(folder)
    assert sorted(lines) == sorted(f"3.{i}" for i in range(200))
    turns = [int(line.split(".")[1]) % 2 for line in lines]
    assert turns != sorted(turns)  # they did write at once


def test_a_kernel_sees_what_another_has_recorded(folder):
    (folder / progress.FILE).write_text("3.1\n3.2\n")
    assert progress.record("3.3").startswith("Chapter 3: 3 of 8")


# --- a file that is damaged or cannot be used ----------------------------------------


@pytest.fixture
def read_only(folder):
    """A folder that nobody may write to, whoever runs the tests."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    folder.chmod(0o555)
    if root:
        os.seteuid(65534)
    yield folder
    if root:
        os.seteuid(0)
    folder.chmod(0o755)


def test_a_read_only_folder_costs_the_progress_alone(read_only, capsys):
    check("3.8")(causal_mask)
    assert capsys.readouterr().out.splitlines() == [
        "Exercise 3.8: passed.",
        "Progress is not kept, .bertlib-progress cannot be used: Permission denied.",
    ]
    assert os.listdir() == []


def test_something_else_in_the_files_place_costs_the_progress_alone(folder, capsys):
    (folder / progress.FILE).mkdir()
    check("3.8")(causal_mask)
    verdict, line = capsys.readouterr().out.splitlines()
    assert verdict == "Exercise 3.8: passed."
    assert line.startswith("Progress is not kept")


@pytest.mark.parametrize(
    ("data", "broken"),
    [
        (b"3.1\n\xff\xfe\x00 3.2 3.3\n3.4\n", 1),
        (b'3.1\n{"3.2": true}\n<<<<<<< ours\n3.4\n', 2),
        (b"3.1\n3.4\n3.", 1),  # cut off
    ],
)
def test_a_damaged_file_loses_the_damaged_lines_alone(data, broken, folder, capsys):
    (folder / progress.FILE).write_bytes(data)
    check("3.8")(causal_mask)
    verdict, line, damage = capsys.readouterr().out.splitlines()
    assert verdict == "Exercise 3.8: passed."
    assert line.startswith("Chapter 3: 3 of 8")  # 3.1, 3.4, 3.8
    assert damage.startswith(f"In .bertlib-progress, {broken} line")
    assert progress.record("3.8").startswith("Chapter 3: 3 of 8")


def test_an_editor_of_windows_does_no_damage(folder):
    (folder / progress.FILE).write_bytes(b"\xef\xbb\xbf3.1\r\n3.2\r\n")
    line = progress.record("3.3")
    assert line.startswith("Chapter 3: 3 of 8")
    assert "damaged" not in line


def test_a_number_that_the_course_no_longer_has_is_not_counted(folder):
    (folder / progress.FILE).write_text("3.99\n77.1\n")
    assert progress.record("3.1").startswith("Chapter 3: 1 of 8")


# --- the command ---------------------------------------------------------------------


def command(monkeypatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["bertlib.exercises", "progress", *arguments])
    main()


def test_the_command_prints_what_is_done_and_what_is_open(folder):
    numbers = progress.course()
    passed = [*numbers["2"], "3.1", "3.8"]
    (folder / progress.FILE).write_text("\n".join(passed) + "\n")
    words = [sys.executable, "-m", "bertlib.exercises", "progress"]
    done = subprocess.run(words, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(numbers) + 1
    assert " ".join(lines[1].split()) == "Chapter 2 7 of 7 [|||||||] all done"
    assert lines[2].endswith("open: 3.2 3.3 3.4 3.5 3.6 3.7")
    total = sum(map(len, numbers.values()))
    assert lines[-1].split() == ["Course", "9", "of", str(total)]
    assert max(map(len, lines)) <= 80


def test_the_command_looks_into_the_folder_that_is_named(folder, monkeypatch, capsys):
    (folder / "chapters").mkdir()
    (folder / "chapters" / progress.FILE).write_text("3.1\n")
    command(monkeypatch, "chapters")
    assert "Chapter  3   1 of  8" in capsys.readouterr().out


def test_the_command_says_where_nothing_has_passed(folder, monkeypatch, capsys):
    command(monkeypatch)
    assert f"Nothing has passed in {folder.resolve()}" in capsys.readouterr().out
    assert not list(folder.iterdir())


def test_the_command_refuses_a_folder_that_is_not_there(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        command(monkeypatch, "nowhere")
    assert "there is no folder nowhere" in capsys.readouterr().err
