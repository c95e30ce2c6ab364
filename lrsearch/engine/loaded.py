"""A study that is loaded to be trained: its definition, its data, and what follows from both.

Knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lrsearch.definition import StudyDefinition, check_fields
from lrsearch.engine.data import Arrays, Data, Stream, check_data
from lrsearch.engine.folds import FoldedArrays, fold_arrays
from lrsearch.errors import InvalidValue
from lrsearch.values import Direction, Json, Setting, TrialSpec


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What an inspection found that every worker must act on; kept with the study's facts."""

    fixed_seeds: bool = False  # build_model sets seeds: ours are set again after it
    # Callbacks that set the rate, by `placed_name`: searched trials do without them.
    rate_callbacks: tuple[str, ...] = ()
    # The classes of the callbacks that searched trials keep; None where nobody looked.
    callbacks: tuple[str, ...] | None = None
    # figures of the start values of layers made outside build_model
    shared: tuple[Json, ...] = ()
    # Digests by str(batch size) and split, where the data depends on the batch size.
    data: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    # Digests of folds, by `str(batch size)/fold`: a worker that loads a fold compares
    # them.
    folds: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    step_bytes: int = 0  # of a GPU, that the first step took; 0 where it ran on a CPU


@dataclass
class LoadedStudy:
    """A definition with its data, which is loaded once, or once per batch size if it depends on it.

    `findings` and `direction` are what an inspection found, here or in the stored
    study.
    """

    definition: StudyDefinition
    direction: Direction = Direction.MINIMIZE
    findings: Findings = field(default_factory=Findings)
    _data: dict[tuple[int | None, int], Data] = field(default_factory=dict)
    # Arrays that folds divide, by batch size where the data depends on it.
    _folded: dict[int | None, FoldedArrays] = field(default_factory=dict)
    # By trial and attempt: the user's callbacks before their first call, or their
    # function's error.
    uncalled: dict[tuple[int, int], list[Any] | BaseException] = field(
        default_factory=dict
    )

    # What measures the rows of a split, by the searched arguments of `build_model`;
    # text: why not.
    scorers: dict[str, Any] = field(default_factory=dict)

    def data(self, batch_size: int | None, fold: int = 0) -> Data:
        """The splits for trainings of this batch size on this fold.

        Beside the search's fold one more is kept. Raises FingerprintMismatch for
        another fold than the inspection found.
        """
        size = batch_size if self.definition.data_depends_on_batch else None
        if (size, fold) not in self._data:
            if fold:
                self._data = {
                    key: each for key, each in self._data.items() if not key[1]
                }
            data = self._read(batch_size, size, fold)
            self._check_fold(size, fold, data)
            self._data[size, fold] = data
        return self._data[size, fold]

    def data_of(self, spec: TrialSpec) -> Data:
        """The splits of an attempt."""
        return self.data(spec.setting.batch_size, spec.fold)

    @property
    def folds(self) -> int | None:
        """How many folds there are; None without folds."""
        folds = self.definition.folds
        if folds is None or self.definition.data_depends_on_fold:
            return None if folds is None else int(folds)
        self.data(self.first_size)
        return len(next(iter(self._folded.values())).folds)

    def _read(self, batch_size: int | None, size: int | None, fold: int) -> Data:
        definition = self.definition
        if definition.folds is None or definition.data_depends_on_fold:
            return check_data(definition.read_data(batch_size, fold))
        if size not in self._folded:
            self._folded[size] = fold_arrays(
                definition, definition.read_data(batch_size)
            )
        return self._folded[size].data(fold)

    def _check_fold(self, size: int | None, fold: int, data: Data) -> None:
        stored = self.findings.folds.get(f"{size}/{fold}")
        if stored is not None:
            then, now = (
                {f"data.{name} of fold {fold}": each for name, each in digests.items()}
                for digests in (stored, data.digests())
            )
            check_fields("this study", then, now)

    @property
    def class_weight(self) -> dict[int, float] | None:
        """The class weights as Keras takes them: a dict, or None where there are none."""
        return dict(self.definition.class_weight or {}) or None

    @property
    def first_size(self) -> int | None:
        """The batch size of an inspection: the first one that is searched."""
        return self.definition.effective_space().batch_sizes[0]

    @property
    def first_data(self) -> Data:
        """The splits of an inspection."""
        return self.data(self.first_size)

    @property
    def first_setting(self) -> Setting:
        """The setting of an inspection: the first reference."""
        return self.definition.effective_space().references()[0]

    @property
    def replayable(self) -> bool:
        """Whether all loaded data is arrays, which the step of an inspection leaves unchanged."""
        splits = [
            split for data in self._data.values() for split in data.splits.values()
        ]
        return not any(isinstance(split, Stream) for split in splits)

    def steps_per_epoch(self, batch_size: int | None, fold: int = 0) -> int:
        """Count the batches of an epoch. Raises InvalidValue where the number is unknown."""
        return self._steps("train", "steps_per_epoch", batch_size, fold)

    def total_steps(
        self, batch_size: int | None, accumulation: int, fold: int = 0
    ) -> int:
        """Count the updates of a full run."""
        return (
            self.definition.epochs
            * self.steps_per_epoch(batch_size, fold)
            // accumulation
        )

    def check_steps(
        self, batch_size: int | None, accumulation: int = 1, fold: int = 0
    ) -> int:
        """Return the batches of an epoch, where every split has a number of batches that works.

        Raises InvalidValue for a split without an end (a retest reads the test split
        once, to its end), and for more batches per update than a run has: it would
        never update.
        """
        self._steps("validation", "validation_steps", batch_size, fold)
        test = self.data(batch_size, fold).test
        if isinstance(test, Stream) and test.endless:
            got = "a dataset without an end"
            fix = "Cut it in load_data: dataset.take(N)."
            raise InvalidValue(
                "the test split", got=got, allowed="a dataset that ends", fix=fix
            )
        steps = self.steps_per_epoch(batch_size, fold)
        batches = self.definition.epochs * steps
        if accumulation > batches:
            allowed = f"at most the {batches} batches of a run"
            raise InvalidValue(
                "gradient_accumulation_steps", got=accumulation, allowed=allowed
            )
        return steps

    def check_sizes(self) -> None:
        """Refuse several batch sizes for a dataset that is batched: all would train the same."""
        sizes = self.definition.effective_space().batch_sizes
        if len(sizes) == 1 or self.definition.data_depends_on_batch:
            return
        if isinstance(self.first_data.train, Stream):
            allowed = "one, where load_data() returns datasets"
            fix = "Take it as an argument: def load_data(batch_size)."
            raise InvalidValue("batch_size", got=list(sizes), allowed=allowed, fix=fix)

    def _steps(self, name: str, option: str, batch_size: int | None, fold: int) -> int:
        """Count the batches of a split in an epoch: as many as the option says, or as there are."""
        data, asked = self.data(batch_size, fold), getattr(self.definition, option)
        split = getattr(data, name)
        steps: int | None = split.steps(batch_size)
        field = f"the {name} split"
        if asked is not None:
            if isinstance(split, Arrays) and asked > split.steps(batch_size):
                allowed = f"at most the {steps} batches of {field}"
                raise InvalidValue(option, got=asked, allowed=allowed)
            return int(asked)
        if steps is None:
            got = "a dataset of unknown or infinite length"
            fix = f"Give {option}= to StudyDefinition."
            raise InvalidValue(field, got=got, allowed="of known length", fix=fix)
        if steps < 1:
            allowed = "at least one batch, not empty"
            raise InvalidValue(field, got="an empty dataset", allowed=allowed)
        return steps
