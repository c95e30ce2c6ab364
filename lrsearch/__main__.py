"""`python -m lrsearch` is `lrsearch`."""

from lrsearch.cli import main

main()
