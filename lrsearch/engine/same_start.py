"""Whether a worker trains on what the study was made with.

Digests of its data say that, and figures of the layers that its models share.
"""

from __future__ import annotations

import hashlib
import json

from lrsearch.definition import StudyDefinition, check_fields
from lrsearch.engine.compiling import fresh_model
from lrsearch.engine.data import Data, digest_parts
from lrsearch.engine.loaded import LoadedStudy
from lrsearch.engine.shared import alike, shared_layers
from lrsearch.values import Json, StudyFacts

SPLITS = ("train", "validation", "test")


def check_same_start(loaded: LoadedStudy, facts: StudyFacts, study: str) -> None:
    """Refuse to train on other data, or from other start values, than the study was made with.

    Each worker calls `load_data` and makes the file's own layers for itself; a split that is drawn
    anew, or a layer without a seed, would differ from worker to worker. Raises FingerprintMismatch.
    """
    base = first_batch_size(loaded.definition)
    stored: dict[str, Json] = {
        f"data.{name}": facts.fingerprint.get(f"data.{name}") for name in SPLITS
    }
    here: dict[str, Json] = {
        f"data.{name}": found for name, found in digests_of(loaded.data(base)).items()
    }
    for size, known in loaded.findings.data.items():
        stored |= {f"data.{name} of batch size {size}": each for name, each in known.items()}
        found = digests_of(loaded.data(None if size == "None" else int(size)))
        here |= {f"data.{name} of batch size {size}": each for name, each in found.items()}
    if loaded.findings.shared:
        fresh_model(loaded.definition, first_extra(loaded.definition))
        figures = shared_layers(loaded.definition.build_model).described()
        if not alike(list(loaded.findings.shared), figures):
            place = "layers outside build_model"
            stored[place], here[place] = "their start values", "others"
    known = {name: value for name, value in stored.items() if value is not None}
    check_fields(study, known, here)


def digests_of(data: Data) -> dict[str, str]:
    return {name: digest(digest_parts(getattr(data, name))) for name in SPLITS}


def digests_of_other_sizes(loaded: LoadedStudy) -> dict[str, dict[str, str]]:
    """Digests by batch size, but for the first one: its digests stand in the fingerprint.

    Empty where `load_data` does not take the batch size.
    """
    depends = loaded.definition.data_depends_on_batch
    sizes = loaded.definition.effective_space().batch_sizes[1:] if depends else ()
    return {str(size): digests_of(loaded.data(size)) for size in sizes}


def digest(parts: Json) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def first_batch_size(definition: StudyDefinition) -> int | None:
    return definition.effective_space().batch_sizes[0]


def first_extra(definition: StudyDefinition) -> dict[str, Json]:
    """Values for build_model(params) before there is a trial: the first reference setting's."""
    return dict(definition.effective_space().references()[0].extra)
