"""A study, loaded to be trained: its definition, its data by batch size, and what follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from lrsearch.definition import StudyDefinition
from lrsearch.engine.data import Arrays, Data, Split, Stream, check_data
from lrsearch.errors import InvalidValue
from lrsearch.values import Direction, Json


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What an inspection found that every worker must act on; kept with the study's facts."""

    fixed_seeds: bool = False  # build_model sets seeds: ours are set again after it
    # classes of callbacks that set the rate: taken out of searched trials
    rate_callbacks: tuple[str, ...] = ()
    # classes of those that searched trials keep; None where nobody looked
    callbacks: tuple[str, ...] | None = None
    shared: tuple[Json, ...] = ()  # figures of the start values of layers made outside build_model
    # digests by str(batch size) and split
    data: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Findings:
        known = dict(data)
        for name in ("rate_callbacks", "callbacks", "shared"):
            if known.get(name) is not None:
                known[name] = tuple(known[name])
        return cls(**known)


@dataclass
class LoadedStudy:
    """Data is loaded once, or once a batch size where `load_data` asks for it."""

    definition: StudyDefinition
    direction: Direction = Direction.MINIMIZE
    findings: Findings = field(default_factory=Findings)
    _data: dict[int | None, Data] = field(default_factory=dict)
    # by trial and attempt: the user's callbacks before their first call, or their function's error
    uncalled: dict[tuple[int, int], list[Any] | BaseException] = field(default_factory=dict)

    def data(self, batch_size: int | None) -> Data:
        """The splits for trials of this batch size."""
        key = batch_size if self.definition.data_depends_on_batch else None
        if key not in self._data:
            self._data[key] = check_data(self.definition.read_data(batch_size))
        return self._data[key]

    @property
    def replayable(self) -> bool:
        """Whether all that was loaded is arrays, which a step of inspection leaves as they were."""
        splits = (
            split
            for data in self._data.values()
            for split in (data.train, data.validation, data.test)
        )
        return not any(isinstance(split, Stream) for split in splits)

    def steps_per_epoch(self, batch_size: int | None) -> int:
        """Batches an epoch. Raises InvalidValue where nobody says how many."""
        train, given = self.data(batch_size).train, self.definition.steps_per_epoch
        return _steps("train", train, given, "steps_per_epoch", batch_size)

    def check_validation(self, batch_size: int | None) -> None:
        """Refuse a validation split without an end."""
        validation, given = self.data(batch_size).validation, self.definition.validation_steps
        _steps("validation", validation, given, "validation_steps", batch_size)

    def check_test(self, batch_size: int | None) -> None:
        """Refuse a test split without an end: a retest reads it once, to its end."""
        split = self.data(batch_size).test
        if isinstance(split, Stream) and split.endless:
            got, fix = "a dataset without an end", "Cut it in load_data: dataset.take(N)."
            raise InvalidValue("the test split", got=got, allowed="a dataset that ends", fix=fix)

    def check_accumulation(self, batch_size: int | None, accumulation: int) -> None:
        """Refuse more batches an update than a run has: nothing would ever be updated."""
        batches = self.definition.epochs * self.steps_per_epoch(batch_size)
        if accumulation > batches:
            allowed = f"at most the {batches} batches of a run"
            raise InvalidValue("gradient_accumulation_steps", got=accumulation, allowed=allowed)

    def check_sizes(self, sizes: Sequence[int | None]) -> None:
        """Refuse to search batch sizes of datasets that bring their own batches.

        Every size would train the same batches.
        """
        if len(sizes) == 1 or self.definition.data_depends_on_batch:
            return
        if isinstance(self.data(sizes[0]).train, Stream):
            allowed = "one, where load_data() returns datasets"
            fix = "Take it as an argument: def load_data(batch_size)."
            raise InvalidValue("batch_size", got=list(sizes), allowed=allowed, fix=fix)

    def total_steps(self, batch_size: int | None, accumulation: int) -> int:
        """Updates of a full run."""
        return self.definition.epochs * self.steps_per_epoch(batch_size) // accumulation


def _steps(name: str, split: Split, given: int | None, option: str, batch_size: int | None) -> int:
    """Batches of a split in an epoch: as `given`, or as many as there are."""
    steps = split.steps(batch_size)
    field = f"the {name} split"
    if given is not None:
        if isinstance(split, Arrays) and given > split.steps(batch_size):
            allowed = f"at most the {steps} batches of {field}"
            raise InvalidValue(option, got=given, allowed=allowed)
        return given
    if steps is None:
        got, fix = "a dataset of unknown or infinite length", f"Give {option}= to StudyDefinition."
        raise InvalidValue(field, got=got, allowed="of known length", fix=fix)
    if steps < 1:
        allowed = "at least one batch, not empty"
        raise InvalidValue(field, got="an empty dataset", allowed=allowed)
    return steps
