"""How a worker loads a study and its engine: from Keras, or from a test's stand-in."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lrsearch.errors import InvalidValue
from lrsearch.messages import Inspection
from lrsearch.values import StudyFacts, StudyRecord
from lrsearch.worker._keras_extras import defer_extras
from lrsearch.worker.config import WorkerConfig

if TYPE_CHECKING:
    from lrsearch.definition import StudyDefinition
    from lrsearch.engine import LoadedStudy
    from lrsearch.engine.contract import Engine
    from lrsearch.space import SearchSpace


class StudyLoader(Protocol):
    """What a worker needs of a study's own code."""

    def prepare(self) -> None:
        """Load the libraries and bind them to the slot; takes seconds and needs no study."""
        ...

    def load(self) -> None:
        """Load the study ahead, while another worker inspects it and reports its errors."""
        ...

    def inspect(self) -> Inspection:
        """Load the study and try one real step. Raises what `engine.inspect_study` raises."""
        ...

    def open(self, study: StudyRecord | None) -> tuple[SearchSpace, Engine]:
        """Load the study to train it; None: the study that was inspected here and is not stored.

        Raises FingerprintMismatch where the study's code is not the stored study's any
        more.
        """
        ...


class KerasLoader:
    """Loads a study file, or takes a `definition` that lives in this process."""

    def __init__(
        self, config: WorkerConfig, definition: StudyDefinition | None = None
    ) -> None:
        self._config, self._given = config, definition
        self._overridden: StudyDefinition | None = None
        self._loaded: LoadedStudy | None = None
        self._inspected: StudyFacts | None = None

    def prepare(self) -> None:
        from lrsearch.definition import check_backend

        check_backend()  # before Keras is imported under another one
        defer_extras()
        from lrsearch import engine
        from lrsearch.sampling import make_sampler
        from lrsearch.storage import open_ledger

        # Their libraries are loaded now, while the parent or another worker is busy.
        del make_sampler, open_ledger
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
        # An inspected study was compared before. By now the study's code may have
        # changed its own globals, which belong to the fingerprint.
        if study is not None and self._inspected is None:
            check_definition(study, definition)
        loaded = open_study(definition, loaded=self._loaded, facts=facts)
        if study is not None:
            check_same_start(loaded, study.facts, study.name)
        return definition.effective_space(), create_engine(self._config.engine, loaded)

    def _definition(self) -> StudyDefinition:
        if self._overridden is None:
            definition, path = self._given, self._config.study_file
            if definition is None:
                from lrsearch.definition import load_study_file

                if path is None:
                    fix = "Give --study-file."
                    raise InvalidValue(
                        "study file", got=None, allowed="a path", fix=fix
                    )
                definition = load_study_file(path)
            self._overridden = definition.with_overrides(self._config.overrides)
        return self._overridden


def load_stored(study: StudyRecord, study_file: str | Path) -> StudyDefinition:
    """Load a stored study's file, with the overrides of its command line.

    Raises StudyFileError, and FingerprintMismatch where the file is not the study's any
    more.
    """
    from lrsearch.definition import check_definition, load_study_file

    definition = load_study_file(study_file).with_overrides(study.plan.overrides)
    check_definition(study, definition)
    return definition


def make_loader(config: WorkerConfig) -> StudyLoader:
    """Make the loader of `config`: Keras', or `engine_factory`'s."""
    if config.engine_factory is None:
        return KerasLoader(config)
    module, _, name = config.engine_factory.partition(":")
    loader: StudyLoader = getattr(import_module(module), name)(config)
    return loader
