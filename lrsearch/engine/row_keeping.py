"""One attempt's row scores: those of the epoch that counts, through checkpoints to the outcome.

An engine offers the weights that each epoch validates. Where the best epoch counts, the
best so far are kept, and measured only when a checkpoint is taken or the run is over: a
run costs one more evaluation of each split. Nothing here fails an attempt: what has no
row scores gets a note.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TypeAlias, TypeVar, final

import numpy as np

from lrsearch.engine.attempt import Attempt
from lrsearch.engine.attempt_start import kept_model
from lrsearch.engine.blame import PASSING, end_fork
from lrsearch.engine.data import sample_batch
from lrsearch.engine.failure import one_line
from lrsearch.engine.loaded import LoadedStudy
from lrsearch.engine.row_scoring import (
    NO_MEAN,
    NoRowScores,
    RowScorer,
    Weights,
    check_objective,
    to_row_scores,
)
from lrsearch.values import NO_ROW_SCORES, Json, RowScores, Snapshot

T = TypeVar("T")

TakeWeights: TypeAlias = Callable[[], Weights]

# kept models, one for each choice of searched arguments of build_model
MOST_SCORERS = 4
# in a row: then no more evaluations are spent on an objective that does not fit
MOST_MISSES = 3
_LOST = "its best epoch lies before a checkpoint without them"
_GROUP = "rows/"  # begins the names of the arrays in a snapshot


@final
class RowKeeper:
    """See the module. `open` comes before the attempt's model is built: it may build another."""

    def __init__(self, loaded: LoadedStudy, attempt: Attempt) -> None:
        self._loaded, self._attempt = loaded, attempt
        self._scorer: RowScorer | None = None
        self._reason = "they were not asked for"
        self._validated: tuple[int, TakeWeights] | None = None  # the epoch, from 1
        self._best: tuple[int, Weights] | None = None
        # of the best epoch, once they were measured
        self._scores = _read(attempt.spec.resume)

    def open(self) -> None:
        """Find, or build, what measures the rows of such attempts."""
        try:
            self._scorer = _find_scorer(self._loaded, self._attempt.spec.setting.extra)
        except NoRowScores as error:
            self._reason = str(error)

    # -- while the attempt trains ------------------------------------------------------

    def wants(self, *, may_stop: bool = False) -> bool:
        """Whether the epoch under way may be the one that counts.

        `may_stop`: a callback of the user's may end the run with it.
        """
        plan = self._attempt.plan
        last = may_stop or self._attempt.epoch + 1 >= plan.epochs
        return self._scorer is not None and (last or plan.best_epoch_counts)

    def offer(self, take: TakeWeights, *, now: bool = False) -> None:
        """Note how to take the weights that the epoch under way validates; or take them `now`."""
        if now:
            taken = self._take(take)
            take = lambda: taken  # noqa: E731
        self._validated = self._attempt.epoch + 1, take

    def end_epoch(self, *, goes_on: bool) -> None:
        """Keep the weights of an epoch that has ended, if it is the best so far."""
        self._keep_if_best()
        if goes_on or self._attempt.plan.best_epoch_counts:
            self._validated = None

    def _keep_if_best(self) -> None:
        attempt = self._attempt
        if self._validated is None or not attempt.plan.best_epoch_counts:
            return
        epoch, take = self._validated
        if attempt.best_epoch == epoch and (
            self._best is None or self._best[0] != epoch
        ):
            # On the host: memory of a device is for the training.
            self._best = epoch, [np.array(each) for each in self._take(take)]

    def _take(self, take: TakeWeights) -> Weights:
        """The weights; none where they cannot be taken, and then nothing is measured."""
        try:
            return _run_guarded(take)
        except NoRowScores as error:
            self._scorer, self._reason = None, str(error)
            return []

    def snapshot(self) -> tuple[dict[str, np.ndarray], dict[str, Json]]:
        """What a checkpoint holds of the best epoch so far: arrays and JSON."""
        self._keep_if_best()
        if self._scorer is None or self._best is None:
            known = self._scores
        else:
            try:
                known = self._attempt.best_epoch or 0, self._measure_best()
            except NoRowScores:
                return {}, {}
        if known is None:
            return {}, {}
        epoch, scores = known
        about = [
            {"split": each.split, "digest": each.digest, "rows": each.rows}
            for each in scores
        ]
        arrays = {f"{_GROUP}{each.split}": each.values for each in scores}
        return arrays, {"rows": {"epoch": epoch, "splits": about}}

    # -- the end -----------------------------------------------------------------------

    def conclude(self, final: TakeWeights, *, put_back: bool = False) -> None:
        """Give a complete attempt its row scores, or a note that says why there are none.

        `final`: the weights that the run ends with; with `put_back` the value is
        theirs.
        """
        attempt = self._attempt
        if attempt.counting_value is None:
            return
        try:
            attempt.row_scores = self._measure_counting(final, put_back=put_back)
        except NoRowScores as error:
            attempt.note(f"{NO_ROW_SCORES}{error}")

    def _measure_counting(
        self, final: TakeWeights, *, put_back: bool
    ) -> tuple[RowScores, ...]:
        self._keep_if_best()
        if self._scorer is None:
            raise NoRowScores(self._reason)
        if self._attempt.plan.best_epoch_counts:
            return self._measure_best()
        known, take = self._validated, final
        if known is not None and known[0] == self._attempt.epoch and not put_back:
            take = known[1]
        validation = self._measure_validation(_run_guarded(take))
        return (validation, *self._measure_test(final, logged=True))

    def _measure_best(self) -> tuple[RowScores, ...]:
        """Measure the best epoch so far, unless that was done for a checkpoint."""
        epoch = self._attempt.best_epoch
        if self._scores is None or self._scores[0] != epoch:
            if epoch is None or self._best is None or self._best[0] != epoch:
                raise NoRowScores(_LOST)
            weights = self._best[1]
            validation = self._measure_validation(weights)
            test = self._measure_test(lambda: weights, logged=False)
            self._scores = epoch, (validation, *test)
        return self._scores[1]

    def _measure_validation(self, weights: Weights) -> RowScores:
        """Raises NoRowScores where the rows' mean is not the attempt's value."""
        value, scorer = self._attempt.counting_value, self._scorer
        assert value is not None
        assert scorer is not None
        contributions, digest = self._measure("validation", weights)
        if not scorer.fits(contributions, value):
            scorer.misses += 1
            raise NoRowScores(NO_MEAN.format(objective=scorer.objective))
        scorer.misses = 0
        return to_row_scores("validation", contributions, digest)

    def _measure_test(
        self, take: TakeWeights, *, logged: bool
    ) -> tuple[RowScores, ...]:
        """A retest's test split; none where the rows' mean is not what was `logged` of it."""
        attempt, scorer = self._attempt, self._scorer
        assert scorer is not None
        data = self._loaded.data_of(attempt.spec)
        if not attempt.spec.test_split or data.test is None:
            return ()
        contributions, digest = self._measure("test", _run_guarded(take))
        name = f"test_{scorer.objective.removeprefix('val_')}"
        if logged and not scorer.fits(contributions, attempt.logs.get(name, np.nan)):
            attempt.note(f"{NO_ROW_SCORES}{NO_MEAN.format(objective=name)}")
            return ()
        return (to_row_scores("test", contributions, digest),)

    def _measure(self, name: str, weights: Weights) -> tuple[np.ndarray, str]:
        """Raises NoRowScores for whatever fails, and lets no later attempt try it."""
        scorer, spec = self._scorer, self._attempt.spec
        setting = spec.setting
        assert scorer is not None
        split = self._loaded.data_of(spec).splits[name]
        assert split is not None
        steps = (
            self._loaded.definition.validation_steps if name == "validation" else None
        )
        try:
            return _run_guarded(
                lambda: scorer.measure(weights, split, setting.batch_size, steps)
            )
        except NoRowScores as error:
            self._loaded.scorers[_key(setting.extra)] = str(error)
            raise


# -- what measures ---------------------------------------------------------------------


def _find_scorer(loaded: LoadedStudy, extra: Mapping[str, Json]) -> RowScorer:
    """The kept scorer of models with these arguments, or a new one. Raises NoRowScores."""
    key, known = _key(extra), loaded.scorers
    if key not in known:
        check_objective(loaded.definition.objective)
        while len(known) >= MOST_SCORERS:
            known.pop(next(iter(known)))
        known[key] = _make_scorer(loaded, extra)
    found = known[key]
    if isinstance(found, RowScorer):
        if found.misses < MOST_MISSES:
            return found
        raise NoRowScores(NO_MEAN.format(objective=found.objective))
    raise NoRowScores(str(found))


def _make_scorer(loaded: LoadedStudy, extra: Mapping[str, Json]) -> RowScorer | str:
    """A scorer, or why there is none."""
    definition, size = loaded.definition, loaded.first_size

    def make() -> RowScorer:
        model, _ = kept_model(loaded, definition.seed, extra)
        sample = sample_batch(loaded.first_data.validation, size)
        return RowScorer(model, sample, definition.objective)

    try:
        return _run_guarded(make)
    except NoRowScores as error:
        return str(error)


def _run_guarded(work: Callable[[], T]) -> T:
    """Do `work`; raises NoRowScores for whatever fails in it, the study's own code included."""
    try:
        return work()
    except (NoRowScores, *PASSING):
        raise
    except (Exception, SystemExit) as error:
        end_fork(error)
        reason = f"the rows cannot be measured one by one: {one_line(error)}"
        raise NoRowScores(reason) from error


def _key(extra: Mapping[str, Json]) -> str:
    return json.dumps(dict(extra), sort_keys=True)


def _read(resume: Snapshot | None) -> tuple[int, tuple[RowScores, ...]] | None:
    """The row scores of the best epoch, from a checkpoint that holds them."""
    known = None if resume is None else resume.meta.get("rows")
    if resume is None or known is None:
        return None
    scores = (
        RowScores(**each, values=resume.arrays[f"{_GROUP}{each['split']}"])
        for each in known["splits"]
    )
    return int(known["epoch"]), tuple(scores)
