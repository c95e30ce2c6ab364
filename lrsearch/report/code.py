"""The Python of an export: a module with constants and `make_optimizer(model=None)`.

The module needs Keras alone. A searched setting has a schedule class of its own, whose
rates agree with the reference in `lrsearch.space` to 1e-6 of the peak. Yours is the
call that the inspection captured.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lrsearch.report.curve_code import curve_code
from lrsearch.report.words import schedule_text
from lrsearch.space import (
    OPTIMIZERS,
    code_of,
    keras_arguments,
    output_layers,
    registered_names,
    warmup_steps,
)
from lrsearch.values import Json, Setting, StudyFacts

_MODULE = '''{doc}{imports}

BATCH_SIZE = {batch}
EPOCHS = {epochs}
ACCUMULATION = {accumulation}  # batches an update
TOTAL_STEPS = {total}  # updates of the whole run: another length is another schedule, \
and may want another peak
SEED = {seed}  # of the trial that found it

{before}
def make_optimizer(model=None):
    """A new optimizer with its schedule{wants}."""
{need}    {body}
    return optimizer
{finalize}

# model.compile(optimizer=make_optimizer(model), loss=..., metrics=[...])
# model.fit(x, y, {fit}epochs=EPOCHS, ...)
'''

_SCHEDULE = '''
@keras.saving.register_keras_serializable(package="lrsearch_export", name="Schedule_{digest}")
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
        multiplier = ops.where(update < self.warmup_steps, rising, \
self.final + (1 - self.final) * curve)
        return ops.cast(self.peak * multiplier, "float64" if \
keras.config.floatx() == "float64" else "float32")

    def get_config(self):
        return {{}}

'''

_KERAS = ("import keras", "from keras import ops")
_NEED = """    if model is None:
        raise ValueError("make_optimizer needs the built model: {why}")
"""
_BUILD = (
    "optimizer.build(model.trainable_variables)  "
    "# inside fit, Keras 3.15 would lose its start values"
)
_FINALIZE = '''

def finalize(model):
    """After the last epoch: set the averaged weights, which the value was measured at \
(Keras trains at others)."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    for variable, momentum in zip(model.trainable_variables, optimizer._momentums):
        variable.assign((variable - (1 - optimizer.beta_1) * momentum) / optimizer.beta_1)
'''


@dataclass(frozen=True, kw_only=True)
class Run:
    """A setting, and what it was trained with."""

    facts: StudyFacts
    setting: Setting
    accumulation: int
    seed: int | None

    @property
    def total(self) -> int:
        """Updates of the whole run."""
        steps = self.facts.steps_per_epoch[str(self.setting.batch_size)]
        return self.facts.epochs * steps // self.accumulation


def searched_module(run: Run, doc: str) -> str:
    """The module of a searched setting."""
    setting, facts = run.setting, run.facts
    muon, averaged = setting.optimizer == "muon", OPTIMIZERS[setting.optimizer].averaged
    decays = bool(keras_arguments(setting, 1, {}).get("weight_decay"))
    why = {
        "its output layers are left out": muon,
        "the optimizer begins at its weights": averaged,
        "some weights are left out of weight decay": decays
        and bool(facts.decay_exclusions.get("places")),
    }
    helper = f"\n{_source_of(output_layers)}\n" if muon else ""
    return _module(
        run,
        doc,
        imports="\n".join(
            [
                "import math",
                *(["import re", "from typing import Any"] if muon else []),
                "",
                *_KERAS,
            ]
        ),
        before=_schedule(run) + helper,
        why=[reason for reason, holds in why.items() if holds],
        body=[
            f"optimizer = {_call(run)}",
            *_wrapping_lines(facts, decays=decays),
            *([_BUILD] if averaged else []),
        ],
        finalize=_FINALIZE if averaged else "",
    )


def own_module(run: Run, doc: str) -> str:
    """The module of the user's own compile, which the inspection captured as a call."""
    facts, call = run.facts, run.facts.own_optimizer["call"]
    names = registered_names(call)
    ours = (
        "import lrsearch.keras  # registers its schedule\n"
        if any(each.startswith("lrsearch>") for each in names)
        else ""
    )
    others = [each for each in names if not each.startswith("lrsearch>")]
    decays = bool(facts.own_optimizer["decays"])
    return _module(
        run,
        doc,
        imports=f"import keras\n{ours}".rstrip(),
        before="".join(
            f"# Import the module that registers {each!r} before make_optimizer is called.\n"
            for each in others
        ),
        why=["some weights are left out of weight decay"]
        if decays and facts.decay_exclusions.get("places")
        else [],
        body=[*_optimizer_lines(call), *_wrapping_lines(facts, decays=decays)],
    )


def _optimizer_lines(call: Mapping[str, Json]) -> list[str]:
    """The lines that make the optimizer, its schedule before it."""
    arguments = dict(call.get("arguments", {}))
    rate = arguments.pop("learning_rate", None)
    if not isinstance(rate, Mapping):
        return [f"optimizer = {code_of(call)}"]
    written = [
        "schedule",
        *(f"{name}={code_of(value)}" for name, value in arguments.items()),
    ]
    return [
        f"schedule = {code_of(rate)}",
        f"optimizer = {call['class']}({', '.join(written)})",
    ]


def _module(
    run: Run,
    doc: str,
    *,
    imports: str,
    before: str,
    why: Sequence[str],
    body: Sequence[str],
    finalize: str = "",
) -> str:
    batch = run.setting.batch_size
    return _MODULE.format(
        doc=docstring(doc),
        imports=imports,
        batch=f"{batch!r}" + ("" if batch else "  # the dataset brings its own"),
        epochs=run.facts.epochs,
        accumulation=run.accumulation,
        total=run.total,
        seed=run.seed,
        before=before,
        wants=", for the built model" if why else "; the model may be left out",
        need=_NEED.format(why="; ".join(why)) if why else "",
        body="\n    ".join(body),
        finalize=finalize,
        fit="batch_size=BATCH_SIZE, " if batch else "",
    )


def docstring(text: str) -> str:
    """`text` as a module's docstring, whatever names and values it quotes."""
    inside = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f'"""{inside}"""\n'


def _schedule(run: Run) -> str:
    setting = run.setting
    known = [setting.to_json(), run.total, run.accumulation]
    return _SCHEDULE.format(
        # Keras tells two exports in one process apart by name: a saved model finds its
        # own class.
        digest=hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[
            :8
        ],
        words=schedule_text(setting).capitalize(),
        peak=setting.learning_rate,
        warmup=warmup_steps(setting, run.total),
        final=setting.shape.get("final", 0.0)
        if setting.schedule != "constant"
        else 0.0,
        curve=curve_code(setting.schedule, setting.shape),
    )


def _call(run: Run) -> str:
    spec = OPTIMIZERS[run.setting.optimizer]
    arguments: dict[str, Any] = keras_arguments(
        run.setting, run.accumulation, run.facts.carried
    )
    written = [
        f"{name}={value!r}"
        for name, value in arguments.items()
        if name != "gradient_accumulation_steps"
    ]
    if run.accumulation > 1:
        written.append("gradient_accumulation_steps=ACCUMULATION")
    if run.setting.optimizer == "muon":
        written.append("exclude_layers=output_layers(model)")  # hidden matrices only
    return f"keras.optimizers.{spec.keras}({', '.join(['Schedule()', *written])})"


def _wrapping_lines(facts: StudyFacts, *, decays: bool) -> list[str]:
    """The lines that leave weights out of decay and scale the loss, as yours does."""
    excluded = facts.decay_exclusions if decays else {}
    scaling = facts.own_optimizer.get("scaling")
    arguments, lines = [], []
    if excluded.get("places"):
        places = f"[model.trainable_variables[place] for place in {excluded['places']}]"
        arguments.append(f"var_list={places}")
    if excluded.get("var_names"):
        arguments.append(f"var_names={excluded['var_names']!r}")
    if arguments:
        lines.append(f"optimizer.exclude_from_weight_decay({', '.join(arguments)})")
    if scaling:
        named = ", ".join(f"{name}={value!r}" for name, value in scaling.items())
        lines.append(
            f"optimizer = keras.optimizers.LossScaleOptimizer(optimizer, {named})"
        )
    return lines


def _source_of(function: Any) -> str:
    """A function as it stands in lrsearch, for code that must run without it."""
    return re.sub(r"  # noqa.*", "", inspect.getsource(function))
