"""Files that commands write: the option, the check of the folder, the error of a failed write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from lrsearch.errors import InvalidValue


def output_option(text: str, *, required: bool = True) -> Callable[[Any], Any]:
    """Make the option --output of one file; `text` is its help."""
    kind = click.Path(dir_okay=False, path_type=Path)
    return click.option("--output", "-o", type=kind, required=required, help=text)


def check_folder(file: Path, *, field: str = "--output") -> None:
    """Raise InvalidValue where the folder of `file` does not exist."""
    if not file.parent.is_dir():
        allowed, fix = "in a folder that exists", f"Create {file.parent} first."
        raise InvalidValue(field, got=str(file), allowed=allowed, fix=fix)


def check_model_file(file: Path) -> None:
    """Raise InvalidValue where `file` can hold neither a model nor weights, or has no folder."""
    from lrsearch.values import WEIGHTS_FILE

    if file.name.endswith(WEIGHTS_FILE):
        check_folder(file)
    else:
        check_keras_file(file)


def check_keras_file(file: Path | None) -> None:
    """Raise InvalidValue where `file` does not end in .keras, or its folder does not exist."""
    if file is None or file.suffix != ".keras":
        fix = f"Give {file.with_suffix('.keras')}." if file and file.name else ""
        got, allowed = file and str(file), "a file that ends in .keras"
        raise InvalidValue("--output", got=got, allowed=allowed, fix=fix)
    check_folder(file)


@contextmanager
def refuse_unwritable(file: Path, *, field: str = "--output") -> Iterator[None]:
    """Turn an OSError of writing `file` into InvalidValue."""
    try:
        yield
    except OSError as error:
        allowed = f"a file that can be written ({error.strerror})"
        raise InvalidValue(
            field, got=str(file), allowed=allowed, fix="Give another one."
        ) from None
