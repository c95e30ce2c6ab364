"""What both races ask for on the command line, and the records that both go on from."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from racing.contenders import CONTENDERS
from racing.tasks import TASKS


def make_parser(
    text: str | None, *, seeds: int, judge: int, contenders: str, file: str
) -> argparse.ArgumentParser:
    """The options of every race, with these defaults."""
    parser = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("tasks", nargs="*", metavar="TASK", help=f"of {', '.join(TASKS)}; all")
    add("--peers-python", required=True, metavar="PATH")
    add("--seeds", type=int, default=seeds)
    add(
        "--judge", type=int, default=judge, help="fresh seeds that a pick is trained on"
    )
    add("--contenders", default=contenders, help=f"of {', '.join(CONTENDERS)}")
    add("--timeout", type=float, default=3600.0, help="seconds of one command")
    add("--stop-after", type=float, default=float("inf"), metavar="SECONDS")
    add("--file", type=Path, default=Path(file))
    return parser


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The arguments; ends the process where a task or a contender is not known."""
    given = parser.parse_args()
    given.contenders = given.contenders.split(",")
    for each, known in ((given.contenders, CONTENDERS), (given.tasks, TASKS)):
        if unknown := sorted(set(each) - set(known)):
            parser.error(f"{unknown[0]} is none of {', '.join(known)}")
    return given


def read_records(file: Path) -> list[dict[str, Any]]:
    """The records of a file, a line each; a last line that was cut off is none."""
    lines = file.read_text().split("\n")[:-1] if file.exists() else []
    return [json.loads(line) for line in lines]
