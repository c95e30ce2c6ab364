"""A setting with all that training it once more takes: from a study, or from an exported file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from lrsearch.answer import Contender
from lrsearch.errors import InvalidValue
from lrsearch.report.archive import study_from
from lrsearch.values import Json, Setting, StudyRecord

_FIX = "Write one with: lrsearch export STUDY --format json -o FILE."


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """What is trained, and what a new training is compared with."""

    study: StudyRecord
    trial: int
    setting: Setting
    yours: bool
    value: float | None  # the mean of the retests, or of the one training that found it
    retests: int  # fresh seeds that the value is the mean of
    # where a new training falls in 95 of 100 cases
    interval: tuple[float, float] | None


def recipe_of(study: StudyRecord, chosen: Contender) -> Recipe:
    """The recipe of a study's contender."""
    return Recipe(
        study=study,
        trial=chosen.trial,
        setting=chosen.setting,
        yours=chosen.is_yours,
        value=chosen.value,
        retests=chosen.seeds,
        interval=chosen.retest.interval if chosen.retest else None,
    )


def read_recipe(path: Path) -> Recipe:
    """The recipe in a file that `lrsearch export --format json` wrote.

    Raises InvalidValue for any other file.
    """
    try:
        data: dict[str, Json] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _no_export(path, error.strerror or "unreadable") from None
    except ValueError as error:
        raise _no_export(path, f"no JSON: {error}") from None
    try:
        retest = data["retest"] or {}
        interval = retest.get("interval")
        return Recipe(
            study=study_from(data["record"]),
            trial=int(data["trial"]),
            setting=Setting.from_json(data["setting"]),
            yours=bool(data["yours"]),
            value=data["value"],
            retests=int(retest.get("n", 0)),
            interval=(float(interval[0]), float(interval[1])) if interval else None,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _no_export(path, f"{type(error).__name__}: {error}") from error


def _no_export(path: Path, why: str) -> InvalidValue:
    allowed = f"a file that lrsearch export wrote as JSON ({why})"
    return InvalidValue("file", got=str(path), allowed=allowed, fix=_FIX)
