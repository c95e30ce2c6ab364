"""What the cautions look at: a study, its records, and who leads."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrsearch.answer.next_steps import Ways
from lrsearch.values import StudyRecord, StudyState, TrialRecord, Trials

if TYPE_CHECKING:
    from lrsearch.answer.leaderboard import Contender, Leaderboard


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What the rules of `cautions` look at."""

    study: StudyRecord
    records: Trials
    leaderboard: Leaderboard
    not_separable: Collection[int]
    tolerance: float
    ways: Ways

    @property
    def best(self) -> Contender | None:
        return self.leaderboard.best

    @property
    def yours(self) -> Contender | None:
        return self.leaderboard.yours

    def way(self, way: str, **numbers: object) -> str:
        """What to do next, as the reader would type it."""
        return self.ways.say(way, self.study.name, **numbers)

    @property
    def goes_on(self) -> bool:
        """Whether the study is open and trials of its search are to come."""
        left = self.study.trials is None or len(self.search) < self.study.trials
        all_ended = all(each.ended for each in self.search)
        return self.study.state is StudyState.OPEN and (left or not all_ended)

    @property
    def search(self) -> list[TrialRecord]:
        """The search trials, yours among them."""
        return [each for each in self.records if each.is_search]
