"""Nested rows as flat ones, and flat rows as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping

from lrsearch.values import Json


def flatten(row: Mapping[str, Json], *, whole: tuple[str, ...] = ()) -> dict[str, Json]:
    """One dict of plain values: `{"a": {"b": 1}}` becomes `{"a.b": 1}`.

    The keys of the dicts named in `whole` get no prefix. Lists become JSON text.
    """
    flat: dict[str, Json] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            prefix = "" if name in whole else f"{name}."
            flat |= {f"{prefix}{key}": each for key, each in flatten(value).items()}
        else:
            flat[name] = json.dumps(value) if isinstance(value, list | tuple) else value
    return flat


def csv_text(rows: Iterable[Mapping[str, Json]]) -> str:
    """Flat rows as CSV (RFC 4180), with a header.

    A column for every key, in the order in which the keys first appear. None is an
    empty cell; floats are written so that reading them gives the same number.
    """
    rows = list(rows)
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
