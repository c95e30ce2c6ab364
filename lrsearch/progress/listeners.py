"""Listeners, which receive the messages of a pool of workers."""

from __future__ import annotations

from collections.abc import Mapping

from lrsearch.errors import Interrupted
from lrsearch.events import Event, Listener
from lrsearch.messages import Note


def broadcast(listeners: Mapping[str, Listener]) -> Listener:
    """Make one listener that passes events on to several, in this order, each named for people.

    A listener that fails (a closed pipe, a full disk) is dropped, and the others get a
    note: training goes on without a view of it.
    """
    left = dict(listeners)

    def listen(event: Event) -> None:
        for name, listener in tuple(left.items()):
            if name not in left:  # it failed while it got the note about another one
                continue
            try:
                listener(event)
            except Interrupted:
                # the second Ctrl-C, which came while a line was printed
                raise
            except Exception as error:  # noqa: BLE001 - no view is worth the training
                del left[name]
                why = (
                    getattr(error, "strerror", None)
                    or f"{type(error).__name__}: {error}"
                )
                send_note(listen, f"{name} ends here ({why}); training goes on")

    return listen


def protect_training(listen: Listener) -> Listener:
    """Make a listener that is dropped where it fails, so that training goes on."""
    return broadcast({"progress": listen})


def send_note(listen: Listener, text: str) -> None:
    """Send a line for people."""
    listen(Event(message=Note(text=text)))


def ignore(event: Event) -> None:
    """A listener that does nothing."""
    del event
