"""The old names, until every engine imports from the module of its subject."""

from __future__ import annotations

from typing import Any

import keras

from lrsearch.engine._keras_data import (
    EpochIterator,
    adapted_array,
    batches_left,
    batches_seen,
    class_weights,
    current_iterator,
    dataset_of,
    element_spec,
    epoch_iterator,
    ran_out,
    rest_of_pass,
    stop_workers,
    taking_epoch_iterator,
)
from lrsearch.engine._keras_model import (
    _flat,
    asked_for_jit,
    build_fully,
    build_layers,
    compile_again,
    has_own,
    is_built,
    known_direction,
    measure_batch,
    metrics_of,
    noting_auto_jit,
    output_names,
    overrides_compile,
    own_loop,
    running_loss,
    scope_of,
    set_last_logs,
    strategy_of,
    tracks_each_loss,
    trains_under_jit,
    unsupported_strategy,
    without_optionals,
)
from lrsearch.engine._keras_optimizer import (
    averaged_weights,
    copy_decay_exclusions,
    current_rate,
    decay_exclusions,
    finalize,
    holds_moving_average,
    inner,
    leave_out_reduction,
    optimizer_state,
    put_rate_back,
    rate_is_function,
    rate_of,
    scaled_like,
    scaling_of,
)
from lrsearch.engine._keras_state import (
    adopt_seed_generator,
    changed_by_evaluation,
    clear_session,
    draws_of_tensorflow,
    kernel_draws,
    other_variables,
    same_names,
    seed_layers,
    seed_state,
    seeds_now,
    set_seeds,
)

LossScaleOptimizer = keras.optimizers.LossScaleOptimizer


def number(value: Any) -> float:
    return float(keras.ops.convert_to_numpy(value))


def flat_logs(results: Any) -> dict[str, Any]:
    return _flat(results)


def own_metrics(model: Any) -> bool:
    return has_own(model, "compute_metrics")


__all__ = [
    "EpochIterator",
    "LossScaleOptimizer",
    "adapted_array",
    "adopt_seed_generator",
    "asked_for_jit",
    "averaged_weights",
    "batches_left",
    "batches_seen",
    "build_fully",
    "build_layers",
    "changed_by_evaluation",
    "class_weights",
    "clear_session",
    "compile_again",
    "copy_decay_exclusions",
    "current_iterator",
    "current_rate",
    "dataset_of",
    "decay_exclusions",
    "draws_of_tensorflow",
    "element_spec",
    "epoch_iterator",
    "finalize",
    "flat_logs",
    "has_own",
    "holds_moving_average",
    "inner",
    "is_built",
    "kernel_draws",
    "known_direction",
    "leave_out_reduction",
    "measure_batch",
    "metrics_of",
    "noting_auto_jit",
    "number",
    "optimizer_state",
    "other_variables",
    "output_names",
    "overrides_compile",
    "own_loop",
    "own_metrics",
    "put_rate_back",
    "ran_out",
    "rate_is_function",
    "rate_of",
    "rest_of_pass",
    "running_loss",
    "same_names",
    "scaled_like",
    "scaling_of",
    "scope_of",
    "seed_layers",
    "seed_state",
    "seeds_now",
    "set_last_logs",
    "set_seeds",
    "stop_workers",
    "strategy_of",
    "taking_epoch_iterator",
    "tracks_each_loss",
    "trains_under_jit",
    "unsupported_strategy",
    "without_optionals",
]
