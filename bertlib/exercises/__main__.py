"""Grade notebooks, or see how far you are.

python -m bertlib.exercises grade NOTEBOOK_OR_FOLDER --out marks.csv
python -m bertlib.exercises progress [FOLDER]
"""

import argparse
import itertools
import os
import sys
from pathlib import Path

from bertlib.exercises import progress
from bertlib.exercises.grading import Limits, Report, grade, marks


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m bertlib.exercises")
    commands = parser.add_subparsers(dest="command", required=True)
    _grade_options(commands.add_parser("grade", help="mark a notebook or many"))
    ahead = commands.add_parser("progress", help="print which exercises have passed")
    ahead.add_argument(
        "folder", nargs="?", type=Path, default=Path(), help="of the notebooks"
    )
    options = parser.parse_args()
    try:
        if options.command == "progress":
            print(progress.table(options.folder))
        else:
            sys.exit(_grade(options))
    except (OSError, ValueError) as error:
        parser.error(str(error))


def _grade_options(parser: argparse.ArgumentParser) -> None:
    limits = Limits()
    parser.add_argument("path", type=Path, help="a notebook, or a folder of them")
    parser.add_argument(
        "--out", type=Path, help="write the marks to this .csv or .json"
    )
    parser.add_argument(
        "--jobs", type=int, default=_cores(), help="notebooks at a time"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=limits.seconds,
        help="of a processor, for one exercise; six times that by the clock",
    )
    parser.add_argument(
        "--megabytes", type=int, default=limits.megabytes, help="for one exercise"
    )


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _grade(options: argparse.Namespace) -> int:
    """Grade what the command line names; the exit code."""
    for name in ("jobs", "seconds", "megabytes"):
        if getattr(options, name) <= 0:
            value = getattr(options, name)
            raise ValueError(f"--{name} is {value}; it must be above 0")
    if options.out:
        marks.check_out(options.out)
    paths = marks.notebooks_in(options.path)
    done = itertools.count(1)

    def tell(report: Report) -> None:
        if options.path.is_dir():
            name = marks.name_of(report, options.path)
            print(f"{next(done)} of {len(paths)}: {name}", file=sys.stderr)

    package = Path(__file__).resolve().parent.parent
    before = marks.fingerprints(package)
    limits = Limits(options.seconds, options.megabytes)
    reports = grade(paths, limits, options.jobs, tell)
    if options.path.is_dir():
        for report in reports:
            print(marks.line(report, marks.name_of(report, options.path)))
    else:
        _show(reports[0])
    every = [mark for report in reports for mark in report.marks]
    passed = sum(mark.score for mark in every)
    print(f"\n{passed} of {len(every)} exercises passed")
    if options.out:
        marks.write(options.out, reports, options.path)
    after = marks.fingerprints(package)
    changed = [name for name in before | after if before.get(name) != after.get(name)]
    if changed:
        text = "these files of bertlib were changed meanwhile: install it anew"
        print(f"{text}: {', '.join(changed)}", file=sys.stderr)
    return int(bool(changed))


def _show(report: Report) -> None:
    """Print the marks of one notebook as its cells would."""
    for mark in report.marks:
        if mark.status == "unreadable":
            raise ValueError(mark.message)
        print(marks.shown(mark))
    for remark in report.unusual:
        print(f"\nUnusual: {remark}.")


if __name__ == "__main__":
    main()
