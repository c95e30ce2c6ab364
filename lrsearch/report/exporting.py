"""The answer to take away: Python that needs Keras alone, or JSON.

The Python states what it was found with: batch size, updates, accumulation, seeds, versions. Its rates agree with the
reference in `lrsearch.space` to 1e-6 of the peak, wherever Keras runs on TensorFlow (tests/contract/test_export.py).
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from typing import Any

from lrsearch.answer import Answer, Contender, lost_text
from lrsearch.errors import InvalidValue, UnknownName
from lrsearch.report.words import counted, rate_text, schedule_text, value_text
from lrsearch.space import OPTIMIZERS, keras_arguments, output_layers, warmup_steps
from lrsearch.values import Json, Origin, Setting, StudyFacts, StudyRecord
from lrsearch.version import VERSION

# Each shape's curve over progress `p` in [0, 1), as in lrsearch/space/schedules.py, with its knobs filled in.
_CURVES = {
    "constant": "ops.ones_like(p)",
    "linear": "1 - p",
    "polynomial": "(1 - p) ** {power!r}",
    "cosine": "0.5 * (1 + ops.cos(math.pi * p))",
    "cosine_restarts": "0.5 * (1 + ops.cos(math.pi * ((p * {cycles!r}) % 1.0)))",
    "exponential": "0.01**p",
    "step": "0.1 ** ops.floor(p * ({drops!r} + 1))",
    "inverse_time": "1 / (1 + 99 * p)",
    "inverse_sqrt": "1 / ops.sqrt(1 + 9999 * p)",
    "one_cycle": "ops.where(\n            p < {rise!r},\n"
    "            0.01 + 0.495 * (1 - ops.cos(math.pi * p / {rise!r})),\n"
    "            0.5 * (1 + ops.cos(math.pi * (p - {rise!r}) / (1 - {rise!r}))),\n        )",
    "warmup_stable_decay": "ops.where(p < {decay_start!r}, ops.ones_like(p), (1 - p) / (1 - {decay_start!r}))",
    "cyclic": "0.1 + 0.9 * ops.abs(2 * ((p * {cycles!r}) % 1.0) - 1)",
}

_PYTHON = '''{doc}
import math
{imports}
import keras
from keras import ops

BATCH_SIZE = {batch}
EPOCHS = {epochs}
ACCUMULATION = {accumulation}  # batches an update
TOTAL_STEPS = {total}  # updates of the whole run: another length is another schedule, and may want another peak
SEED = {seed}  # of the trial that found it


@keras.saving.register_keras_serializable(package="lrsearch_export")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """{words}."""

    peak = {peak!r}
    warmup_steps = {warmup}
    final = {final!r}  # the last rate, as a fraction of the peak

    def __call__(self, step):
        batches = ops.cast(step, "int64")  # Keras counts batches
        update = ops.minimum(ops.cast(batches // ACCUMULATION, "float64"), TOTAL_STEPS - 1.0)
        p = ops.maximum(update - self.warmup_steps, 0.0) / (TOTAL_STEPS - self.warmup_steps)
        curve = {curve}
        rising = (update + 1) / max(self.warmup_steps, 1)
        multiplier = ops.where(update < self.warmup_steps, rising, self.final + (1 - self.final) * curve)
        return ops.cast(self.peak * multiplier, "float32")

    def get_config(self):
        return {{}}


{helper}def make_optimizer({parameter}):
    optimizer = {call}{exclude}{build}
    return optimizer

{finalize}
# model.compile(optimizer=make_optimizer({argument}), loss=..., metrics=[...])
# model.fit(x, y, {fit}epochs=EPOCHS, ...)
'''

_BUILD = """
    optimizer.build(model.trainable_variables)  # the model must be built: inside fit, Keras 3.15 would lose its start values"""
_FINALIZE = '''
def finalize(model):
    """After the last epoch: set the averaged weights, which the value was measured at (Keras trains at others)."""
    beta = model.optimizer.beta_1
    for variable, momentum in zip(model.trainable_variables, model.optimizer._momentums):
        variable.assign((variable - (1 - beta) * momentum) / beta)

'''


def export_text(study: StudyRecord, answer: Answer, *, form: str, trial: int | None = None) -> str:
    """The best setting, or that of `trial`, as `form`: `python` or `json`.

    Raises UnknownName where there is no such trial, InvalidValue where no trial has a setting to export yet.
    """
    chosen = choose(answer, trial)
    return json.dumps(as_json(study, answer, chosen), indent=2) if form == "json" else as_python(study, answer, chosen)


def choose(answer: Answer, trial: int | None) -> Contender:
    """The contender to export: the best, or the one of that number."""
    if trial is None:
        if answer.best is None:
            fix = "Let the study go on: lrsearch status shows how far it is."
            raise InvalidValue("export", got="a study without a trial that ended well", allowed="a study with one", fix=fix)
        return answer.best
    contenders = [each for each in (answer.best, answer.yours, *answer.retested) if each is not None]
    for each in contenders:
        if each.trial == trial:
            return each
    for record in answer.ranked:
        if record.number == trial and record.setting is not None:
            value = record.value
            return Contender(
                trial=trial, origin=record.origin, state=record.state, setting=record.setting, searched=value, retest=None
            )
    known = [str(record.number) for record in answer.ranked]
    raise UnknownName("trial that ran to its end", got=str(trial), known=known)


def as_json(study: StudyRecord, answer: Answer, chosen: Contender) -> dict[str, Json]:
    """All that a program needs to train it again."""
    facts, setting = study.plan.facts, chosen.setting
    return {
        "study": study.name,
        **chosen.to_json(),
        "objective": facts.objective,
        "direction": facts.direction.value,
        "yours": chosen.origin is Origin.YOURS,
        "setting": setting.to_json(),
        "carried": dict(facts.carried),
        "batch_size": setting.batch_size,
        "epochs": facts.epochs,
        "total_steps": facts.total_steps(setting.batch_size),
        "accumulation": facts.accumulation,
        "seed": _seed(answer, chosen),
        "versions": dict(facts.versions),
    }


def as_python(study: StudyRecord, answer: Answer, chosen: Contender) -> str:
    """A module to paste or to import, with a `make_optimizer`."""
    if chosen.origin is Origin.YOURS:
        return _keep_yours(study, answer, chosen)
    facts, setting = study.plan.facts, chosen.setting
    total = facts.total_steps(setting.batch_size)
    muon, averaged = setting.optimizer == "muon", OPTIMIZERS[setting.optimizer].averaged
    exclude = _exclude(facts, setting)
    parameter = "model" if muon or averaged or "model." in exclude else ""
    title = f"The best setting of study {study.name!r}" if chosen is answer.best else f"A setting of study {study.name!r}"
    return _PYTHON.format(
        doc=_docstring(f"{title}\n\n{_about(study, answer, chosen, total)}\n"),
        batch=f"{setting.batch_size!r}" + ("" if setting.batch_size else "  # the dataset brings its own"),
        epochs=facts.epochs,
        accumulation=facts.accumulation,
        total=total,
        seed=_seed(answer, chosen),
        words=schedule_text(setting).capitalize(),
        peak=setting.learning_rate,
        warmup=warmup_steps(setting, total),
        final=setting.shape.get("final", 0.0) if setting.schedule != "constant" else 0.0,
        curve=_CURVES[setting.schedule].format(**setting.shape),
        imports="import re\nfrom typing import Any\n" if muon else "",
        helper=f"{_source_of(output_layers)}\n\n" if muon else "",
        parameter=parameter,
        argument=parameter,
        exclude=exclude,
        build=_BUILD if averaged else "",
        call=_call(setting, facts.accumulation, facts.carried),
        fit="batch_size=BATCH_SIZE, " if setting.batch_size else "",
        finalize=_FINALIZE if averaged else "",
    )


def _keep_yours(study: StudyRecord, answer: Answer, chosen: Contender) -> str:
    setting, best = chosen.setting, answer.best
    if best is not None and best.trial != chosen.trial:
        verdict = f"This is your own compile, which study {study.name!r} did not find best: trial {best.trial} is."
    else:
        verdict = f"Yours is the setting: study {study.name!r} found none that is better than your own compile."
    return _docstring(
        f"{verdict}\n\nIt is {setting.optimizer} at {rate_text(setting.learning_rate)}, {setting.schedule}; "
        f"{study.plan.facts.objective} {value_text(chosen.value)}.\n"
    )


def _docstring(text: str) -> str:
    """`text` as a module's docstring, whatever names and values it quotes."""
    inside = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f'"""{inside}"""\n'


def _about(study: StudyRecord, answer: Answer, chosen: Contender, total: int) -> str:
    facts, setting = study.plan.facts, chosen.setting
    versions = ", ".join(f"{name} {number}" for name, number in facts.versions.items() if name != "lrsearch")
    batch = f"{facts.accumulation} x batch size {setting.batch_size or 'of the dataset'}"
    lines = [
        f"{setting.optimizer}, peak learning rate {rate_text(setting.learning_rate)}, {schedule_text(setting)}.",
        f"{facts.objective} {_value(chosen)}.",
        f"{counted(facts.epochs, 'epoch')}, {counted(total, 'update')} of {batch}.",
        f"Trial {chosen.trial}, seed {_seed(answer, chosen)}; found by lrsearch {VERSION} with {versions}.",
    ]
    if setting.extra:
        lines.append(f"build_model(params) was called with {dict(setting.extra)!r}.")
    return "\n".join(lines)


def _value(chosen: Contender) -> str:
    if chosen.retest is None or chosen.retest.mean is None:
        lost = f", whose retests went wrong ({lost_text(chosen.retest)})" if chosen.retest else ""
        return f"{value_text(chosen.searched)} in one training{lost}"
    spread = f" +- {value_text(chosen.retest.spread)}" if chosen.retest.spread is not None else ""
    return f"{value_text(chosen.retest.mean)}{spread} over {counted(chosen.retest.n, 'fresh seed')} {list(chosen.retest.seeds)}"


def _call(setting: Setting, accumulation: int, carried: Mapping[str, Json]) -> str:
    spec = OPTIMIZERS[setting.optimizer]
    arguments: dict[str, Any] = keras_arguments(setting, accumulation, carried)
    written = [f"{name}={value!r}" for name, value in arguments.items() if name != "gradient_accumulation_steps"]
    if accumulation > 1:
        written.append("gradient_accumulation_steps=ACCUMULATION")
    if setting.optimizer == "muon":
        written.append("exclude_layers=output_layers(model)")  # hidden matrices only
    return f"keras.optimizers.{spec.keras}({', '.join(['Schedule()', *written])})"


def _source_of(function: Any) -> str:
    """A function as it stands in lrsearch, for code that must run without it."""
    return re.sub(r"  # noqa.*", "", inspect.getsource(function))


def _exclude(facts: StudyFacts, setting: Setting) -> str:
    """The line that leaves out of weight decay what the user's own compile leaves out."""
    told = facts.decay_exclusions
    if not told or not keras_arguments(setting, 1, {}).get("weight_decay"):
        return ""
    places = f"[model.trainable_variables[place] for place in {told['places']}]" if told.get("places") else None
    given = {"var_list": places, "var_names": repr(told["var_names"]) if told.get("var_names") else None}
    written = ", ".join(f"{name}={value}" for name, value in given.items() if value)
    return f"\n    optimizer.exclude_from_weight_decay({written})"


def _seed(answer: Answer, chosen: Contender) -> int | None:
    return next((each.seed for each in answer.ranked if each.number == chosen.trial), None)
