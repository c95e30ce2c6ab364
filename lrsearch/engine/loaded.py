"""A study, loaded to be trained: its definition, its data by batch size, and the numbers that follow."""

from __future__ import annotations

from dataclasses import dataclass, field

from lrsearch.definition import StudyDefinition
from lrsearch.engine.data import Arrays, Data, Split, Stream, check_data
from lrsearch.errors import InvalidValue
from lrsearch.values import Direction


@dataclass
class LoadedStudy:
    """Data is loaded once, or once a batch size where `load_data` asks for it."""

    definition: StudyDefinition
    direction: Direction = Direction.MINIMIZE
    _data: dict[int | None, Data] = field(default_factory=dict)

    def data(self, batch_size: int | None) -> Data:
        """The splits for trials of this batch size."""
        key = batch_size if self.definition.data_depends_on_batch else None
        if key not in self._data:
            self._data[key] = check_data(self.definition.read_data(batch_size))
        return self._data[key]

    @property
    def replayable(self) -> bool:
        """Whether all that was loaded is arrays, which a step of inspection leaves as they were."""
        splits = (split for data in self._data.values() for split in (data.train, data.validation, data.test))
        return all(split is None or isinstance(split, Arrays) for split in splits)

    def steps_per_epoch(self, batch_size: int | None) -> int:
        """Batches an epoch. Raises InvalidValue where nobody says how many."""
        return self._steps("train", self.data(batch_size).train, self.definition.steps_per_epoch, "steps_per_epoch", batch_size)

    def check_validation(self, batch_size: int | None) -> None:
        """Refuse a validation split without an end."""
        self._steps(
            "validation", self.data(batch_size).validation, self.definition.validation_steps, "validation_steps", batch_size
        )

    def _steps(self, name: str, split: Split, given: int | None, option: str, batch_size: int | None) -> int:
        steps = split.steps(batch_size)
        if given is not None and (steps is None or isinstance(split, Stream) or given <= steps):
            return given
        if given is not None:
            raise InvalidValue(option, got=given, allowed=f"at most the {steps} batches of the {name} split")
        if steps is None:
            fix = f"Give {option}= to StudyDefinition."
            raise InvalidValue(
                f"the {name} split", got="a dataset of unknown or infinite length", allowed="of known length", fix=fix
            )
        if steps < 1:
            raise InvalidValue(f"the {name} split", got="an empty dataset", allowed="at least one batch, not empty")
        return steps

    def total_steps(self, batch_size: int | None, accumulation: int) -> int:
        """Updates of a full run."""
        return max(1, self.definition.epochs * self.steps_per_epoch(batch_size) // accumulation)
