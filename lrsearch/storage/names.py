"""Names of studies and numbers of trials, for a shell that completes them: read fast, or not at
all.

SQLite is read by Python's own module, since SQLAlchemy takes longer to load than a person waits for
a key; it is loaded for servers alone. Nothing is created or changed, and every trouble is an empty
answer: a shell has no place for an error.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from threading import Thread
from typing import Any

PATIENCE_SECONDS = 2.0  # whoever pressed a key has no more
_SQLITE = "sqlite:///"
_STUDIES = "SELECT name FROM lrsearch_studies ORDER BY created_at DESC"
_TRIALS = """
SELECT t.kind, t.number, t.parent, t.repeat_no
FROM lrsearch_trials t JOIN lrsearch_studies s ON s.id = t.study_id
WHERE s.name = :study ORDER BY t.kind DESC, t.number
"""  # search trials before retests


def study_names(storage: str | None, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Every study's name, the newest first."""
    return [name for (name,) in _within(PATIENCE_SECONDS, storage, environ, _STUDIES, {})]


def trial_names(
    storage: str | None, study: str, environ: Mapping[str, str] = os.environ
) -> list[str]:
    """The trials of a study as commands name them: `7`, and its second retest `7/2`."""
    rows = _within(PATIENCE_SECONDS, storage, environ, _TRIALS, {"study": study})
    return [
        str(number) if kind == "search" else f"{parent}/{repeat + 1}"
        for kind, number, parent, repeat in rows
    ]


def _within(
    seconds: float,
    storage: str | None,
    environ: Mapping[str, str],
    statement: str,
    values: Mapping[str, str],
) -> Sequence[Any]:
    """The statement's rows; none where that goes wrong or takes longer.

    A server that hangs is left to a thread.
    """
    found: list[Any] = []

    def look() -> None:
        with suppress(Exception):
            found.extend(_rows(storage, environ, statement, values))

    thread = Thread(target=look, daemon=True)
    thread.start()
    thread.join(seconds)
    return [] if thread.is_alive() else found


def _rows(
    storage: str | None, environ: Mapping[str, str], statement: str, values: Mapping[str, str]
) -> Sequence[Any]:
    # The variable and the default as `resolve_url` has them, whose module loads SQLAlchemy.
    text = (
        storage
        if storage is not None
        else environ.get("LRSEARCH_STORAGE") or f"{_SQLITE}lrsearch.db"
    )
    if not text.startswith(_SQLITE):
        return _server_rows(text, environ, statement, values)
    path = Path(text.removeprefix(_SQLITE).partition("?")[0]).absolute()
    with closing(
        sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=PATIENCE_SECONDS / 2)
    ) as connection:
        return connection.execute(statement, values).fetchall()


def _server_rows(
    text: str, environ: Mapping[str, str], statement: str, values: Mapping[str, str]
) -> Sequence[Any]:
    from sqlalchemy import make_url
    from sqlalchemy import text as prepared

    from lrsearch.storage.connections import make_engine
    from lrsearch.storage.url import resolve_url

    engine = make_engine(
        make_url(resolve_url(text if text != environ.get("LRSEARCH_STORAGE") else None, environ))
    )
    try:
        with engine.connect() as connection:
            return connection.execute(prepared(statement), values).all()
    finally:
        engine.dispose()
