"""The answer to take away: Python that needs Keras alone, or JSON.

Both state what the setting was found with: batch size, updates, accumulation, seeds,
versions.
"""

from __future__ import annotations

import json

from lrsearch.answer import Answer, Contender, lost_text
from lrsearch.answer.leaderboard import make_contender
from lrsearch.answer.words import count_text, rate_text
from lrsearch.errors import CannotExport, InvalidValue, UnknownName
from lrsearch.report.archive import study_data
from lrsearch.report.code import Run, own_module, searched_module
from lrsearch.report.words import schedule_text, value_text
from lrsearch.values import Json, StudyFacts, StudyRecord
from lrsearch.version import VERSION

_OF_OLD = "the study was made by lrsearch 0.1.0, which did not keep it"


def export_text(
    study: StudyRecord, answer: Answer, *, form: str, trial: int | None = None
) -> str:
    """The best setting, or that of `trial`, as `form`: `python` or `json`.

    Raises UnknownName where there is no such trial, InvalidValue where no trial has a
    setting to export yet, CannotExport where yours cannot be written as Python.
    """
    chosen = choose(answer, trial)
    if form == "json":
        return json.dumps(as_json(study, answer, chosen), indent=2)
    return as_python(study, answer, chosen)


def choose(answer: Answer, trial: int | None) -> Contender:
    """The contender to export: the best, or the one of that number."""
    if trial is None:
        if answer.best is None:
            fix = "Let the study go on: lrsearch status shows how far it is."
            raise InvalidValue(
                "export",
                got="a study in which none did",
                allowed="of a study in which a trial ended well",
                fix=fix,
            )
        return answer.best
    for each in (answer.best, answer.yours, *answer.retested):
        if each is not None and each.trial == trial:
            return each
    for record in answer.ranked:
        if record.number == trial and record.setting is not None:
            return make_contender(record, None)
    known = [str(record.number) for record in answer.ranked]
    raise UnknownName("trial that ran to its end", got=str(trial), known=known)


def as_json(study: StudyRecord, answer: Answer, chosen: Contender) -> dict[str, Json]:
    """All that a program needs to train the setting again."""
    facts, setting = study.facts, chosen.setting
    own = facts.own_optimizer if chosen.is_yours else {}
    run = _run(study, answer, chosen)
    return {
        "study": study.name,
        **chosen.to_json(),
        "objective": facts.objective,
        "direction": facts.direction.value,
        "yours": chosen.is_yours,
        "setting": setting.to_json(),
        # of yours: the call that makes it, or the reason why none does
        "optimizer": own.get("call"),
        "optimizer_reason": own.get("reason", _OF_OLD)
        if chosen.is_yours and "call" not in own
        else None,
        "carried": dict(facts.carried),
        "decay_exclusions": dict(facts.decay_exclusions),
        "loss_scaling": facts.own_optimizer.get("scaling"),
        "batch_size": setting.batch_size,
        "epochs": facts.epochs,
        "total_steps": run.total,
        "accumulation": run.accumulation,
        "seed": run.seed,
        "versions": dict(facts.versions),
        # the study itself, for lrsearch replay
        "record": study_data(study, {}),
    }


def as_python(study: StudyRecord, answer: Answer, chosen: Contender) -> str:
    """A module to paste or to import, with a `make_optimizer(model=None)`.

    Raises CannotExport for yours where its optimizer cannot be written as code.
    """
    if chosen.is_yours:
        _check_own(study.facts)
    run = _run(study, answer, chosen)
    doc = f"{_title(study, answer, chosen)}\n\n{_about(run, chosen)}\n"
    return own_module(run, doc) if chosen.is_yours else searched_module(run, doc)


def _run(study: StudyRecord, answer: Answer, chosen: Contender) -> Run:
    facts, accumulation = study.facts, study.facts.accumulation
    if chosen.is_yours:
        accumulation = facts.own_optimizer.get("accumulation", accumulation)
    seed = search_seed(answer, chosen)
    return Run(
        facts=facts, setting=chosen.setting, accumulation=accumulation, seed=seed
    )


def _check_own(facts: StudyFacts) -> None:
    reason = facts.own_optimizer.get("reason", _OF_OLD)
    if "call" not in facts.own_optimizer:
        fix = "It stands in the study file's build_model; --trial N exports another setting."
        raise CannotExport(
            f"your own optimizer cannot be written as code: {reason}.", fix=fix
        )


def _title(study: StudyRecord, answer: Answer, chosen: Contender) -> str:
    if not chosen.is_yours:
        return f"{'The best' if chosen is answer.best else 'A'} setting of study {study.name!r}"
    if answer.best is not None and answer.best.trial != chosen.trial:
        return (
            f"This is your own compile, which study {study.name!r} did not find best: trial "
            f"{answer.best.trial} is."
        )
    return (
        f"Yours is the setting: study {study.name!r} found none that is better than your own "
        "compile."
    )


def _about(run: Run, chosen: Contender) -> str:
    facts, setting = run.facts, chosen.setting
    versions = ", ".join(
        f"{name} {number}"
        for name, number in facts.versions.items()
        if name != "lrsearch"
    )
    batch = f"{run.accumulation} x batch size {setting.batch_size or 'of the dataset'}"
    lines = [
        (
            f"{setting.optimizer}, peak learning rate {rate_text(setting.learning_rate)}, "
            f"{schedule_text(setting)}."
        ),
        f"{facts.objective} {_value(chosen)}.",
        f"{count_text(facts.epochs, 'epoch')}, {count_text(run.total, 'update')} of {batch}.",
        f"Trial {chosen.trial}, seed {run.seed}; found by lrsearch {VERSION} with {versions}.",
    ]
    if setting.extra:
        lines.append(f"build_model(params) was called with {dict(setting.extra)!r}.")
    if chosen.is_yours:
        lines.append(
            "Its callbacks are not part of it: what stops early or sets the rate goes to fit "
            "as before."
        )
    return "\n".join(lines)


def _value(chosen: Contender) -> str:
    if chosen.retest is None or chosen.retest.mean is None:
        lost = (
            f", whose retests went wrong ({lost_text(chosen.retest)})"
            if chosen.retest
            else ""
        )
        return f"{value_text(chosen.searched)} in one training{lost}"
    spread = (
        f" +- {value_text(chosen.retest.spread)}"
        if chosen.retest.spread is not None
        else ""
    )
    seeds = f"{count_text(chosen.retest.n, 'fresh seed')} {list(chosen.retest.seeds)}"
    folds = len(set(chosen.retest.folds))
    on_folds = f", on {count_text(folds, 'fold')} of the data" if folds else ""
    return f"{value_text(chosen.retest.mean)}{spread} over {seeds}{on_folds}"


def search_seed(answer: Answer, chosen: Contender) -> int | None:
    """The seed of the search trial that found the setting."""
    return next(
        (each.seed for each in answer.ranked if each.number == chosen.trial), None
    )
