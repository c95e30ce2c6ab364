"""The command line: parses, calls, prints.

Heavy imports come late, so that `lrsearch --help` is quick.
"""

from lrsearch.cli.main import main

__all__ = ["main"]
