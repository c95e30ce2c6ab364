"""The seeds of trainings: hashes, so that neighbouring seeds are unrelated."""

from __future__ import annotations

import hashlib

from lrsearch.values import Kind


def seed_of(study_seed: int, kind: Kind, number: int) -> int:
    """The seed of a trial by its number, or of a retest by its repeat; below 2**31."""
    digest = hashlib.sha256(f"{study_seed}/{kind.value}/{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
