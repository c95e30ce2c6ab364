"""The process that sends a search's trainings: `python -m lrsearch.trackers.process PLACE...`.

The search starts this process before its workers. The process loads the trackers'
libraries, which takes 1 to 3 seconds of a core and ends before the workers have loaded
TensorFlow. Then it reads the study's name, the only line of its input, and writes
nothing before. The end of the input says that the search is over. LRSEARCH_STORAGE
holds the database's URL.

The process has the priority of a training, since a run costs it 10 to 40 ms alone. At
niceness 10 it had a fiftieth of a core on a machine that others keep busy, and the
search had to wait for its last runs.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

from lrsearch.errors import LrSearchError
from lrsearch.storage import open_ledger
from lrsearch.trackers.places import Place
from lrsearch.trackers.sending import Sender, follow


def main() -> None:
    places = [Place.parse(each) for each in sys.argv[1:]]
    load_libraries(places)
    if not (study := sys.stdin.readline().rstrip("\n")):
        return  # the search has ended before there was a study
    try:
        with open_ledger(os.environ["LRSEARCH_STORAGE"]) as ledger:
            senders = [Sender(ledger, study, each) for each in places]
            follow(senders, end_of_input(), say)
    except LrSearchError as error:
        say(str(error))


def load_libraries(places: Sequence[Place]) -> None:
    """Load what the first runs and the answer need, before there are any.

    What is loaded stays, so no collection of garbage looks at it: an eighth of the
    time.
    """
    gc.disable()
    import_module("lrsearch.report.reading")
    for each in places:
        # it fails again with the first runs, and is said then
        with suppress(Exception):
            each.open()
    gc.freeze()
    gc.enable()


def end_of_input() -> threading.Event:
    """An event that is set at the end of the standard input: the search has ended."""
    over = threading.Event()

    def watch() -> None:
        with suppress(OSError, ValueError):
            while sys.stdin.buffer.read(1):
                pass
        over.set()

    threading.Thread(target=watch, daemon=True).start()
    return over


def say(text: str) -> None:
    """Write a line that the search passes on."""
    sys.stderr.write(f"lrsearch: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
