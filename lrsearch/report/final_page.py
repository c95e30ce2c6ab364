"""What came of a final training: as data for programs, and in words."""

from __future__ import annotations

from pathlib import Path

from lrsearch.answer.words import count_text
from lrsearch.report.recipe import Recipe
from lrsearch.report.words import duration_text, setting_text, value_digits, value_text
from lrsearch.values import WEIGHTS_FILE, Json, Outcome


def final_data(
    recipe: Recipe,
    outcome: Outcome,
    *,
    seed: int,
    epochs: int | None,
    problem: str,
    output: Path,
) -> dict[str, Json]:
    """Every key is there; `inside` is None where no interval is known, or the length is another."""
    facts, interval = recipe.study.facts, recipe.interval
    same = epochs is None or epochs == facts.epochs
    known = same and interval is not None and outcome.value is not None
    inside = (
        known
        and interval is not None
        and interval[0] <= (outcome.value or 0.0) <= interval[1]
    )
    return {
        "study": recipe.study.name,
        "trial": recipe.trial,
        "state": outcome.status.value,
        "objective": facts.objective,
        "value": outcome.value,
        "value_before": recipe.value,
        "retests": recipe.retests,
        "interval": list(interval) if interval else None,
        "inside": inside if known else None,
        "seed": seed,
        "epochs": epochs or facts.epochs,
        "epochs_of_the_study": facts.epochs,
        "seconds": outcome.seconds,
        "logs": dict(outcome.logs),
        "reason": outcome.reason,
        "file": str(output),
        "loads_safely": not problem,
        "loading_problem": problem or None,
        "notes": list(outcome.notes),
    }


def final_text(recipe: Recipe, data: dict[str, Json]) -> str:
    """What `final_data` says, for people."""
    time, name = duration_text(data["seconds"]), recipe.study.facts.objective
    digits = value_digits([data["value"]])
    trained = (
        f"trained trial {recipe.trial} ({setting_text(recipe.setting)}) on the fresh seed "
        f"{data['seed']}: {name} {value_text(data['value'], digits)} after "
        f"{count_text(data['epochs'], 'epoch')} and {time}."
    )
    lines = [trained, _judgement(recipe, data, digits)]
    test = {key: each for key, each in data["logs"].items() if key.startswith("test_")}
    if test:
        told = (f"{key} {value_text(each)}" for key, each in test.items())
        lines.append(f"On the test split: {', '.join(told)}.")
    lines += [f"note: {each}" for each in data["notes"]]
    lines.append(_file(data))
    return "\n".join(lines)


def _judgement(recipe: Recipe, data: dict[str, Json], digits: int) -> str:
    if data["epochs"] != data["epochs_of_the_study"]:
        of = count_text(data["epochs_of_the_study"], "epoch")
        return f"The study trained for {of}: its values do not tell what another length gives."
    if data["inside"] is None:
        return (
            f"The study found {value_text(recipe.value, digits)}; fewer than two fresh seeds: "
            "how far trainings differ is not known."
        )
    low, high = (value_text(each, digits) for each in data["interval"])
    seeds = count_text(recipe.retests, "fresh seed")
    if recipe.study.facts.folds:
        seeds += " on the folds"
    if data["inside"]:
        return f"That lies in the interval {low} to {high} that {seeds} gave."
    return (
        f"That lies outside the interval {low} to {high} that {seeds} gave: 1 of 20 trainings does "
        "by chance; more than that, and something differs from the study."
    )


def _file(data: dict[str, Json]) -> str:
    if data["file"].endswith(WEIGHTS_FILE):
        return (
            f"wrote {data['file']}: the trained weights. model.load_weights loads them into what "
            "build_model returns, once the model is built."
        )
    written = f"wrote {data['file']}: trained, with the rate of its last update."
    if data["loads_safely"]:
        return f"{written} keras.saving.load_model loads it as it is."
    return f"{written} Keras does not load it by itself: {data['loading_problem']}"
