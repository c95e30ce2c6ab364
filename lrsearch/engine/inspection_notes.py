"""What a worker says of a study that it has inspected: facts that change how to read its answer."""

from __future__ import annotations

from collections.abc import Iterator

from lrsearch.engine.attempt import numbers_of
from lrsearch.engine.first_look import CallbackLook, StepLook
from lrsearch.engine.loaded import Findings
from lrsearch.engine.types import Strategy
from lrsearch.space import OPTIMIZERS, SearchSpace
from lrsearch.values import Setting

INEXACT = (
    "the training data brings its own order, so a trial that is interrupted resumes"
    " inexactly"
)


def comparison_notes(
    yours: Setting,
    findings: Findings,
    space: SearchSpace,
    *,
    same_weights: bool,
    averages: bool,
) -> Iterator[str]:
    """What to know of a comparison with yours, and of start values.

    `averages`: the optimizer keeps a moving average of the weights, for the end alone.
    """
    if yours.optimizer == "schedule_free_adamw":
        yield (
            "yours is validated at the weights that Keras trains, "
            "searched ScheduleFreeAdamW at its averaged ones"
        )
    yield from _decay_note(yours, space)
    if averages:
        yield (
            "the optimizer keeps a moving average (use_ema): values are those of the weights "
            "before fit puts the average in, and a test split is measured with the average; to "
            "choose by it, add keras.callbacks.SwapEMAWeights(swap_on_epoch=True)"
        )
    if findings.fixed_seeds:
        yield (
            "build_model sets seeds of its own; after it, lrsearch's hold again, for dropout and "
            "whatever else draws"
        )
    if same_weights:
        yield (
            "every training begins with the same weights: a retest's seed changes the data's order "
            "and dropout alone"
        )
    if findings.shared:
        yield "layers made outside build_model get their start values back before every training"


def _decay_note(yours: Setting, space: SearchSpace) -> Iterator[str]:
    """Say that the weight decay of yours is not that of the searched optimizers."""
    decay = float(yours.hyper.get("weight_decay", 0.0))
    usual = {
        name: spec.hyper["weight_decay"].default
        for name, spec in OPTIMIZERS.items()
        if "weight_decay" in spec.hyper
    }
    given = any(
        "weight_decay" in name for each in space.hyper.values() for name in each
    )
    if decay and decay != usual.get(yours.optimizer, 0.0) and not given:
        theirs = [f"{name} {each:g}" for name, each in usual.items() if each]
        yield (
            f"yours has a weight_decay of {decay:g}, and searched optimizers their own: "
            f"{', '.join(theirs)}, the others none; to search with yours, give "
            f"space=SearchSpace(hyper={{'adamw': {{'weight_decay': {decay:g}}}}})"
        )


def device_notes(gpus: int, strategy: Strategy) -> Iterator[str]:
    """Say where a worker's GPUs and the model's strategy (None without one) do not fit."""
    replicas = 1 if strategy is None else strategy.num_replicas_in_sync
    if replicas < gpus:
        yield (
            f"a worker has {gpus} GPUs, and the model trains on {replicas} of them: build it under "
            "tf.distribute.MirroredStrategy(), or leave --gpus-per-trial out"
        )
    elif strategy is not None and replicas == 1:
        yield (
            "the model is built under a strategy and trains on one device: --gpus-per-trial N "
            "gives every worker N GPUs"
        )


def unkept_logs(step: StepLook, calls: CallbackLook) -> Iterator[str]:
    if others := sorted(
        {*step.others, *(set(calls.logs) - set(numbers_of(calls.logs)))}
    ):
        yield f"not kept, since it is no number: {', '.join(others)}"
