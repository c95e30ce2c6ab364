"""Checks that a worker trains on the data and the shared layers that the study was made with."""

from __future__ import annotations

from lrsearch.definition import check_fields
from lrsearch.engine.compiling import fresh_model
from lrsearch.engine.loaded import LoadedStudy
from lrsearch.engine.shared import are_alike, shared_layers
from lrsearch.values import Json, StudyFacts


def check_same_start(loaded: LoadedStudy, facts: StudyFacts, study: str) -> None:
    """Refuse to train on other data, or from other start values, than the study was made with.

    Each worker calls `load_data` and makes the file's own layers for itself; a split
    that is drawn anew, or a layer without a seed, would differ from worker to worker.
    Raises FingerprintMismatch.
    """
    definition, findings = loaded.definition, loaded.findings
    here: dict[str, Json] = {
        f"data.{name}": digest for name, digest in loaded.first_data.digests().items()
    }
    stored = {place: facts.fingerprint.get(place) for place in here}
    for size, digests in findings.data.items():
        data = loaded.data(None if size == "None" else int(size))
        for name, digest in data.digests().items():
            place = f"data.{name} of batch size {size}"
            stored[place], here[place] = digests.get(name), digest
    if findings.shared:
        fresh_model(definition, loaded.first_setting.extra)
        if not are_alike(
            list(findings.shared), shared_layers(definition.build_model).figures()
        ):
            place = "layers outside build_model"
            stored[place], here[place] = "their start values", "others"
    known = {place: value for place, value in stored.items() if value is not None}
    check_fields(study, known, here)
