"""Where a study comes from and what trains it: the study file and Keras, or a stand-in that a test
brings.
"""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from lrsearch.errors import InvalidValue
from lrsearch.messages import Inspection
from lrsearch.values import StudyFacts, StudyRecord
from lrsearch.worker.config import WorkerConfig

if TYPE_CHECKING:
    from lrsearch.definition import StudyDefinition
    from lrsearch.engine import LoadedStudy
    from lrsearch.engine.contract import Engine
    from lrsearch.space import SearchSpace


class Workshop(Protocol):
    """What a worker needs of a study's own code."""

    def prepare(self) -> None:
        """Load what is slow and needs no study file, and bind it to the slot."""
        ...

    def load(self) -> None:
        """Load the study ahead, while another worker inspects it; what goes wrong is for the others
        to say.
        """
        ...

    def inspect(self) -> Inspection:
        """Load the study and try one real step. Raises what `engine.inspect_study` raises."""
        ...

    def open(self, study: StudyRecord) -> tuple[SearchSpace, Engine]:
        """Load the study to train it.

        Raises FingerprintMismatch where it is not the stored one any more.
        """
        ...


class KerasWorkshop:
    """The real one: a study file, trained by Keras."""

    def __init__(self, config: WorkerConfig) -> None:
        self._config = config
        self._found: StudyDefinition | None = None
        self._loaded: LoadedStudy | None = None

    def prepare(self) -> None:
        from lrsearch.definition import check_backend

        check_backend()  # before Keras is imported under another one
        from lrsearch import engine
        from lrsearch.sampling import Proposer
        from lrsearch.storage import open_ledger

        # their libraries are loaded now, while the parent or another worker is busy
        del Proposer, open_ledger
        if self._config.threads is not None:
            engine.bind_threads(self._config.threads)
        engine.bind_memory(self._config.memory_mib)

    def load(self) -> None:
        from lrsearch.engine import load_study

        with suppress(Exception):
            self._loaded = load_study(self._definition())

    def inspect(self) -> Inspection:
        from lrsearch.engine import LoadedStudy, inspect_study

        definition = self._definition()
        self._loaded = LoadedStudy(definition=definition)
        return inspection_of(definition, inspect_study(definition, loaded=self._loaded))

    def open(self, study: StudyRecord) -> tuple[SearchSpace, Engine]:
        from lrsearch.definition import check_definition

        definition = self._definition()
        check_definition(study, definition)
        return open_definition(definition, self._config.engine, study, loaded=self._loaded)

    def _definition(self) -> StudyDefinition:
        from lrsearch.definition import load_study_file

        if self._config.study_file is None:
            raise InvalidValue("study file", got=None, allowed="a path", fix="Give --study-file.")
        if self._found is None:
            self._found = load_study_file(self._config.study_file).with_overrides(
                self._config.overrides
            )
        return self._found


def inspection_of(definition: StudyDefinition, facts: StudyFacts) -> Inspection:
    """What a parent must know of `definition`, beside its facts."""
    space = definition.effective_space()
    return Inspection(
        facts=facts,
        dimensions=tuple(each.to_json() for each in space.public_dimensions()),
        references=space.references(),
        seed=definition.seed,
    )


def open_definition(
    definition: StudyDefinition,
    engine: str,
    study: StudyRecord,
    *,
    loaded: LoadedStudy | None = None,
) -> tuple[SearchSpace, Engine]:
    """Load `definition`'s data, where it is not yet `loaded`, and make the engine that trains it.

    Raises FingerprintMismatch where the data is not what the study was made with.
    """
    from lrsearch.engine import check_same_start, create_engine, open_study

    facts = study.plan.facts
    loaded = open_study(definition, loaded=loaded, facts=facts)
    check_same_start(loaded, facts, study.name)
    return definition.effective_space(), create_engine(engine, loaded)


def workshop_of(config: WorkerConfig) -> Workshop:
    """The workshop that `config` asks for: Keras, or `engine_factory`'s."""
    if config.engine_factory is None:
        return KerasWorkshop(config)
    module, _, name = config.engine_factory.partition(":")
    made: Workshop = getattr(import_module(module), name)(config)
    return made


def host_name() -> str:
    """This machine's name, as workers are listed under."""
    return platform.node() or os.environ.get("HOSTNAME", "unknown")
