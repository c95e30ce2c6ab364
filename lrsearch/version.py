"""The versions that results depend on: of lrsearch, Python and the libraries under it."""

from __future__ import annotations

import platform
from importlib import metadata

VERSION = "0.1.0"
_LIBRARIES = ("keras", "tensorflow", "optuna", "numpy")
# the same library under other names
_ALSO = {"tensorflow": ("tensorflow-cpu", "tensorflow-rocm", "tf-nightly")}


def versions() -> dict[str, str]:
    """By name, without importing any; "unknown" where a library is not installed under a name we
    know.
    """
    return {"lrsearch": VERSION, "python": platform.python_version()} | {
        name: installed(name) for name in _LIBRARIES
    }


def minor_version(version: str) -> str:
    """`3.11` of `3.11.9`."""
    return ".".join(version.split(".")[:2])


def installed(library: str) -> str:
    """The installed version of a library, or "unknown"."""
    for name in (library, *_ALSO.get(library, ())):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "unknown"
