"""Grade a notebook: python -m bertlib.exercises grade NOTEBOOK"""

import argparse
import csv
import json
from pathlib import Path

from bertlib.exercises.checking import Verdict
from bertlib.exercises.grading import grade


def write_json(path: Path, verdicts: list[Verdict]) -> None:
    """Write one object for each exercise: exercise, score, status, message."""
    text = json.dumps([row(v) for v in verdicts], indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def write_csv(path: Path, verdicts: list[Verdict]) -> None:
    """Write one line for each exercise: exercise, score, status, message."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, ["exercise", "score", "status", "message"])
        table.writeheader()
        table.writerows(row(v) for v in verdicts)


def row(verdict: Verdict) -> dict[str, object]:
    """A verdict as a row: score is 1 for a passed exercise and 0 otherwise."""
    return {
        "exercise": verdict.number,
        "score": int(verdict.status == "passed"),
        "status": verdict.status,
        "message": verdict.message,
    }


def main() -> None:
    """Grade the notebook that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m bertlib.exercises")
    commands = parser.add_subparsers(dest="command", required=True)
    marks = commands.add_parser("grade", help="print a score for each exercise")
    marks.add_argument("notebook", type=Path)
    marks.add_argument("--json", type=Path, help="write the marks to this file")
    marks.add_argument("--csv", type=Path, help="write the marks to this file")
    marks.add_argument("--seconds", type=float, default=60.0, help="for one exercise")
    marks.add_argument("--megabytes", type=int, default=8192, help="for one exercise")
    options = parser.parse_args()
    try:
        verdicts = []
        for verdict in grade(options.notebook, options.seconds, options.megabytes):
            verdicts.append(verdict)
            print(verdict, flush=True)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    passed = sum(v.status == "passed" for v in verdicts)
    print(f"\n{passed} of {len(verdicts)} exercises passed")
    if options.json:
        write_json(options.json, verdicts)
    if options.csv:
        write_csv(options.csv, verdicts)


if __name__ == "__main__":
    main()
