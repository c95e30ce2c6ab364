"""The versions of lrsearch, Python and the libraries, on which results depend."""

from __future__ import annotations

import platform

VERSION = "0.1.0"
_LIBRARIES = ("keras", "tensorflow", "optuna", "numpy")
# other packages that contain the library
_ALSO = {"tensorflow": ("tensorflow-cpu", "tensorflow-rocm", "tf-nightly")}


def versions() -> dict[str, str]:
    """Versions by name, without an import; "unknown" where no known package is installed."""
    return {"lrsearch": VERSION, "python": platform.python_version()} | {
        name: installed(name) for name in _LIBRARIES
    }


def minor_version(version: str) -> str:
    """`3.11` of `3.11.9`."""
    return ".".join(version.split(".")[:2])


def installed(library: str) -> str:
    """The installed version of a library, or "unknown"."""
    from importlib import metadata  # late: 0.03 s of `lrsearch --help`

    for name in (library, *_ALSO.get(library, ())):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "unknown"
