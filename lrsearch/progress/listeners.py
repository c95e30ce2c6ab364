"""Listeners: whoever hears the messages of a pool of workers."""

from __future__ import annotations

from collections.abc import Mapping

from lrsearch.errors import Interrupted
from lrsearch.messages import Event, Listener, Note


def to_all(listeners: Mapping[str, Listener]) -> Listener:
    """One listener that passes on to several, each named for people, in this order.

    One that fails (a closed pipe, a full disk) is dropped, and the others hear so: training does
    not end with its progress.
    """
    left = dict(listeners)

    def listen(event: Event) -> None:
        for name, each in tuple(left.items()):
            if name not in left:  # it failed at the news of another's end
                continue
            try:
                each(event)
            except Interrupted:  # the second Ctrl-C, which came while a line was printed
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it is not worth the training
                del left[name]
                listen(_dropped(name, error))

    return listen


def _dropped(name: str, error: Exception) -> Event:
    why = (
        error.strerror
        if isinstance(error, OSError) and error.strerror
        else f"{type(error).__name__}: {error}"
    )
    return Event(message=Note(text=f"{name} ends here ({why}); training goes on"))


def silent(event: Event) -> None:
    """A listener that says nothing."""
    del event
