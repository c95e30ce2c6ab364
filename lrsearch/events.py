"""Messages with their time and sender, and who gets them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from lrsearch.jsonable import to_json
from lrsearch.messages import Message, WorkerMessage
from lrsearch.values import Json

Send: TypeAlias = Callable[[WorkerMessage], None]
"""Sends a worker's message; never raises, and never waits for a reader."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """A message with its time and its sender, as listeners get it."""

    message: Message
    slot: str = ""  # of the worker; empty for the parent's own message
    at: float = field(default_factory=time.time)  # seconds since 1970

    def to_json(self) -> dict[str, Json]:
        slot = {"slot": self.slot} if self.slot else {}
        return {
            "event": self.message.event,
            "at": self.at,
            **slot,
            **to_json(self.message),
        }


Listener: TypeAlias = Callable[[Event], None]
