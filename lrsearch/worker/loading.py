"""Where a study comes from and what trains it: Keras, or a stand-in that a test brings."""

from __future__ import annotations

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


class StudyLoader(Protocol):
    """What a worker needs of a study's own code."""

    def prepare(self) -> None:
        """Load the libraries, which takes seconds and needs no study, and bind them to the slot."""
        ...

    def load(self) -> None:
        """Load the study ahead, while another worker inspects it.

        Says nothing of what goes wrong: the others do.
        """
        ...

    def inspect(self) -> Inspection:
        """Load the study and try one real step. Raises what `engine.inspect_study` raises."""
        ...

    def open(self, study: StudyRecord | None) -> tuple[SearchSpace, Engine]:
        """Load the study to train it; None: the one that was inspected here and is not stored.

        Raises FingerprintMismatch where it is not the stored one any more.
        """
        ...


class KerasLoader:
    """Loads a study file, or takes a `definition` that lives in this process."""

    def __init__(self, config: WorkerConfig, definition: StudyDefinition | None = None) -> None:
        self._config = config
        self._given = definition
        self._found: StudyDefinition | None = None
        self._loaded: LoadedStudy | None = None
        self._inspected: StudyFacts | None = None

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
        space = definition.effective_space()
        self._loaded = LoadedStudy(definition=definition)
        self._inspected = inspect_study(definition, loaded=self._loaded)
        return Inspection(
            facts=self._inspected,
            dimensions=tuple(each.to_json() for each in space.public_dimensions()),
            references=space.references(),
            seed=definition.seed,
        )

    def open(self, study: StudyRecord | None) -> tuple[SearchSpace, Engine]:
        from lrsearch.definition import check_definition
        from lrsearch.engine import check_same_start, create_engine, open_study

        definition = self._definition()
        facts = self._inspected if study is None else study.facts
        # Whoever asked for an inspection has compared it; the study's code may have changed its
        # own globals by now, and they count.
        if study is not None and self._inspected is None:
            check_definition(study, definition)
        loaded = open_study(definition, loaded=self._loaded, facts=facts)
        if study is not None:
            check_same_start(loaded, study.facts, study.name)
        return definition.effective_space(), create_engine(self._config.engine, loaded)

    def _definition(self) -> StudyDefinition:
        if self._found is None:
            found = self._given or self._load_file()
            self._found = found.with_overrides(self._config.overrides)
        return self._found

    def _load_file(self) -> StudyDefinition:
        from lrsearch.definition import load_study_file

        if self._config.study_file is None:
            raise InvalidValue("study file", got=None, allowed="a path", fix="Give --study-file.")
        return load_study_file(self._config.study_file)


def make_loader(config: WorkerConfig) -> StudyLoader:
    """The loader that `config` asks for: Keras', or `engine_factory`'s."""
    if config.engine_factory is None:
        return KerasLoader(config)
    module, _, name = config.engine_factory.partition(":")
    made: StudyLoader = getattr(import_module(module), name)(config)
    return made
