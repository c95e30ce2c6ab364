"""Names of studies and numbers of trials for a shell's completion: read fast, or not at all.

SQLite is read by Python's own module: SQLAlchemy takes longer to load than a person
waits for a key, so it is loaded for servers alone. Nothing is created or changed, and
every failure is an empty answer, since a shell cannot show an error.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from threading import Thread
from typing import Any

PATIENCE_SECONDS = 2.0  # a person who pressed a key waits no longer
_SQLITE = "sqlite:///"
_STUDIES = "SELECT name FROM lrsearch_studies ORDER BY created_at DESC"
_TRIALS = """
SELECT t.kind, t.number, t.parent, t.repeat_no
FROM lrsearch_trials t JOIN lrsearch_studies s ON s.id = t.study_id
WHERE s.name = :study ORDER BY t.kind DESC, t.number
"""  # search trials before retests


def study_names(
    storage: str | None, environ: Mapping[str, str] = os.environ
) -> list[str]:
    """Every study's name, the newest first."""
    return [name for (name,) in _read_rows(storage, environ, _STUDIES)]


def trial_names(
    storage: str | None, study: str, environ: Mapping[str, str] = os.environ
) -> list[str]:
    """The trials of a study as commands name them: `7`, and its second retest `7/2`."""
    return [
        str(number) if kind == "search" else f"{parent}/{repeat + 1}"
        for kind, number, parent, repeat in _read_rows(
            storage, environ, _TRIALS, study=study
        )
    ]


def _read_rows(
    storage: str | None, environ: Mapping[str, str], statement: str, **values: str
) -> Sequence[Any]:
    """The statement's rows; none where the reading fails or takes longer than the patience."""
    rows: list[Any] = []
    # The variable and the default as `resolve_url` has them, whose module loads
    # SQLAlchemy.
    variable = environ.get("LRSEARCH_STORAGE")
    url = (variable or f"{_SQLITE}lrsearch.db") if storage is None else storage

    def try_read() -> None:
        with suppress(Exception):
            if url.startswith(_SQLITE):
                rows.extend(_read_sqlite(url, statement, values))
            else:  # a URL with a password is refused unless the variable holds it
                given = None if url == variable else url
                rows.extend(_read_server(given, environ, statement, values))

    # a server that hangs is left to the thread
    thread = Thread(target=try_read, daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    return [] if thread.is_alive() else rows


def _read_sqlite(url: str, statement: str, values: Mapping[str, str]) -> Sequence[Any]:
    path = Path(url.removeprefix(_SQLITE).partition("?")[0]).absolute()
    read_only = f"{path.as_uri()}?mode=ro"
    with closing(
        sqlite3.connect(read_only, uri=True, timeout=PATIENCE_SECONDS / 2)
    ) as connection:
        return connection.execute(statement, values).fetchall()


def _read_server(
    given: str | None,
    environ: Mapping[str, str],
    statement: str,
    values: Mapping[str, str],
) -> Sequence[Any]:
    from sqlalchemy import make_url, text

    from lrsearch.storage.connections import make_engine
    from lrsearch.storage.url import resolve_url

    engine = make_engine(make_url(resolve_url(given, environ)))
    try:
        with engine.connect() as connection:
            return connection.execute(text(statement), values).all()
    finally:
        engine.dispose()
