"""What a reader can do next: a shell's commands, or a notebook's calls."""

from __future__ import annotations

from dataclasses import dataclass
from shlex import quote


@dataclass(frozen=True, kw_only=True, slots=True)
class Ways:
    """Templates; `study` is the study's name."""

    trials: str  # the table of trials
    show: str  # one `trial`, such as 12 or 12/2
    attach: str  # workers that train what is left
    extend: str  # `more` trials, `total` in all
    retest: str  # on so many `seeds` in all
    time: str  # more of it
    export: str  # the best as code
    quoted: bool = True  # the study's name goes through a shell

    def say(self, way: str, study: str, **numbers: object) -> str:
        """A template, filled in."""
        template: str = getattr(self, way)
        return template.format(study=quote(study) if self.quoted else study, **numbers)


SHELL = Ways(
    trials="lrsearch trials {study}",
    show="lrsearch show {study} {trial}",
    attach="lrsearch attach {study}",
    extend="lrsearch extend {study} --trials {more}, then lrsearch attach {study}, goes on",
    retest="lrsearch retest {study} --seeds {seeds}",
    time="lrsearch extend {study} --timeout TIME gives it more",
    export="lrsearch export {study}",
)
NOTEBOOK = Ways(
    trials="result.trials",
    show='result.show("{trial}")',
    attach="the same lrsearch.search(...)",
    extend="The same lrsearch.search(...) with trials={total} goes on",
    retest="result.retest(seeds={seeds})",
    time="the same lrsearch.search(...) with a timeout goes on",
    export="result.export()",
    quoted=False,
)
