"""What fit and graph share: one attempt's Keras model, its data, the callbacks around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import final

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from lrsearch.engine._keras_optimizer import averaged_weights, current_rate, inner
from lrsearch.engine._keras_state import changed_by_evaluation
from lrsearch.engine.attempt import Attempt, numbers_of
from lrsearch.engine.attempt_start import make_plan, uses_averaged
from lrsearch.engine.callbacks import may_change_weights
from lrsearch.engine.compiling import accumulation_of
from lrsearch.engine.data import Arrays, Data, Split, training_stream
from lrsearch.engine.kept_weights import AveragedEvaluation, KeptWeights
from lrsearch.engine.loaded import LoadedStudy
from lrsearch.engine.resuming import StreamKeeper
from lrsearch.engine.row_keeping import RowKeeper
from lrsearch.engine.row_scoring import Weights
from lrsearch.engine.snapshot import read_weights, restore_metrics, take_arrays
from lrsearch.engine.types import Batch, Callback, Dataset, Logs, Model, Tensor
from lrsearch.values import Outcome, Snapshot, Status


@final
class KerasTraining:
    """See the module. The engine sets the model by `begin`, before it trains."""

    def __init__(self, loaded: LoadedStudy, attempt: Attempt) -> None:
        self.loaded, self.attempt, self.spec = loaded, attempt, attempt.spec
        self.model: Model = None
        self.averaged = AveragedEvaluation() if uses_averaged(self.spec) else None
        self.keeper = StreamKeeper(attempt.note)
        self.rows = RowKeeper(loaded, attempt)
        self._may_stop = False  # a callback of the user's may end the run early
        self._keeping: KeptWeights | None = None
        # By the variable's id: what a validation changes, as it was before.
        self._aside: dict[int, Tensor] = {}

    @property
    def data(self) -> Data:
        return self.loaded.data_of(self.spec)

    def begin(self, model: Model) -> None:
        """Begin the attempt: the model is compiled, and has the checkpoint's state, if any."""
        self.model, yours = model, self.spec.yours
        plan = make_plan(
            self.loaded,
            self.spec,
            accumulation=accumulation_of(model, self.loaded.definition, yours=yours),
            fill=self._fill,
            rate_of=(lambda _: current_rate(inner(model.optimizer))) if yours else None,
            stopping=lambda: bool(model.stop_training),
        )
        self.attempt.begin(plan)

    def callbacks(self, users: Sequence[Callback]) -> list[Callback]:
        """The user's callbacks with ours around them.

        What is changed for a validation is changed back in reverse order. The reporter
        is last, so that the user's callbacks have seen an epoch before it can be the
        last one.
        """
        if any(may_change_weights(each) for each in users):
            self._keeping = KeptWeights(self.attempt)
        self._may_stop = bool(users)
        first: list[Callback] = [self._keeping] if self._keeping else []
        begin, end = (
            ([self.averaged.begin], [self.averaged.end]) if self.averaged else ([], [])
        )
        return [*first, *begin, *users, *end, Reporter(self)]

    def stream(self, steps: int) -> Dataset:
        """The batches of all epochs from here on, `steps` of each."""
        split, spec, definition = self.data.train, self.spec, self.loaded.definition
        if not isinstance(split, Arrays):
            # A dataset longer than an epoch's steps goes on where the last epoch
            # stopped.
            longer = definition.steps_per_epoch is not None and split.length is not None
            repeats = longer and isinstance(split.source, tf.data.Dataset)
            return split.source.repeat() if repeats else split.source
        done = spec.resume.batch if spec.resume else 0
        stream = training_stream(
            split,
            batch_size=spec.setting.batch_size,
            seed=spec.seed,
            first_epoch=self.attempt.epoch,
            first_batch=done,
            epochs=definition.epochs,
            shuffle=definition.shuffle,
        )
        whole = split.steps(spec.setting.batch_size)
        if steps == whole:
            return stream
        numbered = stream.enumerate(done).filter(
            lambda place, _batch: place % whole < steps
        )
        return numbered.map(lambda _place, batch: batch)

    # -- what the reporter passes on ---------------------------------------------------

    def begin_epoch(self) -> None:
        within = self.attempt.begin_epoch()
        if within is not None:
            restore_metrics(self.model, within)

    def begin_validation(self) -> None:
        self.attempt.begin_validation()
        if self.rows.wants(may_stop=self._may_stop):
            self.rows.offer(partial(read_weights, self.model), now=True)
        # A callback may validate other weights: a snapshot taken meanwhile would hold
        # those.
        if self.attempt.validates_long and self._keeping is None:
            changed = changed_by_evaluation(self.model)
            self._aside = {id(each): ops.copy(each) for each in changed}

    def look_in_validation(self) -> None:
        if self._aside:
            self.attempt.look(self.attempt.batch, self.attempt.batch_logs)

    def end_validation(self) -> None:
        self._aside = {}
        self.attempt.end_validation()

    def _fill(self, place: Snapshot) -> Snapshot:
        """Add the model's state to a snapshot, and where its data stands."""
        arrays, meta = self.keeper.keep()
        aside = self._aside | (self.averaged.kept if self.averaged else {})
        own = take_arrays(self.model, within=bool(place.batch), aside=aside)
        rows, about = self.rows.snapshot()
        return replace(
            place,
            arrays={**own, **arrays, **rows},
            meta={**place.meta, **meta, **about},
        )

    # -- the end -----------------------------------------------------------------------

    def complete(self) -> Outcome:
        """The outcome of a run that came to its end, judged at the weights that it keeps.

        The logs of a retest get what the test split says, as `test_...`.
        """
        attempt, test = self.attempt, self.data.test
        early = attempt.epoch < self.loaded.definition.epochs
        stopped = f"stopped by a callback after epoch {attempt.epoch}" if early else ""
        judged = self._judge_kept_weights()
        if self.spec.test_split and test is not None:
            attempt.logs = attempt.logs_with("test", self._evaluate(test))
        self.rows.conclude(self._final_weights, put_back=bool(judged))
        return attempt.conclude(Status.COMPLETE, stopped, judged)

    def _final_weights(self) -> Weights:
        """The weights at which the finished run is evaluated, in the order of the variables."""
        variables = self.model.trainable_variables
        averaged = (
            averaged_weights(inner(self.model.optimizer), variables)
            if self.averaged
            else None
        )
        other = (
            {}
            if averaged is None
            else dict(zip(map(id, variables), averaged, strict=True))
        )
        return read_weights(self.model, other)

    def _judge_kept_weights(self) -> str:
        """Where a callback put other weights back, let the run's value be theirs; a note of it."""
        attempt, definition = self.attempt, self.loaded.definition
        if self._keeping is None or not self._keeping.has_changed(self.model):
            return ""
        if epoch := self._keeping.epoch_of(self.model):
            attempt.judge_epoch(epoch)
            return f"judged at epoch {epoch}, whose weights a callback put back"
        if not definition.objective.startswith("val_"):
            return "a callback changed the weights at the end; the value is the last epoch's"
        attempt.judge(attempt.logs_with("val", self.evaluate_validation()))
        return "judged once more at the end, since a callback changed the weights"

    def evaluate_validation(self) -> dict[str, float]:
        """What the finished model logs of the validation split, without `val_`."""
        steps = self.loaded.definition.validation_steps
        return self._evaluate(self.data.validation, steps=steps)

    def _evaluate(self, split: Split, *, steps: int | None = None) -> dict[str, float]:
        inputs, batch_size = keras_data(split, self.spec.setting.batch_size)
        x, y, weight = keras.utils.unpack_x_y_sample_weight(inputs)
        logs = self.model.evaluate(
            x,
            y,
            sample_weight=weight,
            batch_size=batch_size,
            return_dict=True,
            verbose=0,
            callbacks=[self.averaged.begin, self.averaged.end] if self.averaged else [],
            steps=steps,
        )
        return numbers_of(logs)


@final
class Reporter(keras.callbacks.Callback):
    """Reports to the attempt what Keras does; asks for a look after every batch."""

    def __init__(self, training: KerasTraining) -> None:
        super().__init__()
        self._training, self._attempt = training, training.attempt

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._training.begin_epoch()

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        attempt = self._attempt
        if attempt.rate_is_due(batch):
            used = current_rate(inner(self.model.optimizer))
            attempt.enter_rates(batch, np.array([used]))

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        logs = logs or {}
        # Where an execution has several steps, the last one may have fewer.
        done = min(batch + 1, self._attempt.plan.steps_per_epoch)
        self._attempt.count(done, float(logs["loss"]) if "loss" in logs else None)
        self._attempt.look(done, logs)

    def on_test_begin(self, logs: Logs = None) -> None:
        self._training.begin_validation()

    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        self._training.look_in_validation()

    def on_test_end(self, logs: Logs = None) -> None:
        self._training.end_validation()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._attempt.end_epoch(logs or {})
        self._training.rows.end_epoch(goes_on=False)


def keras_data(split: Split, batch_size: int | None) -> tuple[Batch, int | None]:
    """A split as Keras takes it, and its batch size; None for a dataset, which brings its own.

    The split is (x,), (x, y) or (x, y, weight); a dataset stands alone, as x.
    """
    if isinstance(split, Arrays):
        return split.for_keras(), batch_size
    return (split.source,), None
