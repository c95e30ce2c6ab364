"""Adds retests to a study that exists, and trains them with this machine's workers.

Where the search is over, retests of the best settings and yours are queued, and train now. Where it
goes on, the wish is kept: which settings are the best is known at its end.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from lrsearch.answer import best_settings, standing
from lrsearch.errors import InvalidValue, Refused, UnknownName
from lrsearch.launch.attaching import file_of, train_more
from lrsearch.launch.devices import this_machine
from lrsearch.launch.events import silent, to_all
from lrsearch.launch.parent import config_of
from lrsearch.launch.planning import plan_further
from lrsearch.launch.request import RETEST_SEEDS, broken
from lrsearch.launch.run import completed
from lrsearch.launch.slots import SlotRequest
from lrsearch.messages import Event, Listener, Note
from lrsearch.report.words import counted
from lrsearch.values import Json, Kind, StudyRecord, StudyState, TrialRecord

if TYPE_CHECKING:
    from lrsearch.storage import Ledger, Retest, RetestsTaken

STOPPED = frozenset({StudyState.STOPPED, StudyState.DRAINING})


@dataclass(frozen=True, kw_only=True, slots=True)
class RetestWish:
    """What somebody asks for; None where nothing was said."""

    seeds: int | None = None  # in all, of each setting; as many as the study's retests have
    # the best so many settings, and yours; as many as the study retests, unless `trials` are named
    top: int | None = None
    trials: tuple[int, ...] = ()  # these, and yours
    lasting: bool = False  # what is retested after an extension has as many seeds

    def __post_init__(self) -> None:
        for name in ("seeds", "top"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidValue(name, got=value, allowed="at least 1")
        if self.seeds is None and self.top is None and not self.trials:
            fix = "Say how many seeds in all, how many of the best settings, or which trial."
            raise InvalidValue(
                "a retest", got="nothing", allowed="given by seeds, top or trial", fix=fix
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """The settings that a wish comes to."""

    seeds: int
    top: int | None  # None: only `named`
    best: tuple[int, ...]  # trials, best first
    named: tuple[int, ...]
    yours: int | None  # None where it has no value, or none yet
    without_yours: bool  # it ended without one
    lacking: int  # retests of them that are not queued yet
    waiting: int  # that are queued, of whatever setting, and not ended
    failed: int  # of them that ended without a value
    ended: int  # search trials that had, when this was chosen

    @property
    def trials(self) -> tuple[int, ...]:
        """All of them, yours last."""
        chosen = (*self.best, *self.named)
        mine = () if self.yours is None else (self.yours,)
        return tuple(dict.fromkeys((*(each for each in chosen if each != self.yours), *mine)))


@dataclass(frozen=True, kw_only=True, slots=True)
class RetestsAdded:
    """What was done with a wish. `study` is as it stands then."""

    study: StudyRecord
    choice: Choice
    taken: RetestsTaken

    @property
    def stopped(self) -> bool:
        """No worker trains what was added until the study is resumed."""
        return self.study.state in STOPPED

    @property
    def next_step(self) -> str:
        """What lets workers train what waits."""
        name = quote(self.study.name)
        resume = (
            f"It is {self.study.state.value}: lrsearch resume {name}, then lrsearch attach {name}."
        )
        if self.stopped:
            return resume
        return (
            f"Workers train them by: lrsearch attach {name}"
            if self.taken.waiting or not self.taken.over
            else ""
        )

    def to_json(self) -> dict[str, Json]:
        return {
            "study": self.study.name,
            "state": self.study.state.value,
            "search_over": self.taken.over,
            "seeds": self.choice.seeds,
            "top": self.choice.top,
            "trials": list(self.choice.trials if self.taken.over else self.choice.named),
            "added": self.taken.added,
            "waiting": self.taken.waiting,
        }

    def __str__(self) -> str:
        """One sentence for people."""
        parts = self._now() if self.taken.over else [self._later()]
        if self.choice.without_yours:
            parts.append("yours has no value and is not retested")
        return "; ".join(parts)

    def _now(self) -> list[str]:
        if not self.choice.trials:
            return ["no trial has a value: no setting is retested"]
        what, added, lost = (
            f"{self._names()} on {_in_all(self.choice.seeds)}",
            self.taken.added,
            self.choice.failed,
        )
        said = [
            f"{counted(added, 'more retest')}: {what}" if added else f"{what}: no retest is missing"
        ]
        if (earlier := self.taken.waiting - added) > 0:
            said.append(
                f"{counted(earlier, 'earlier retest')} {'are' if earlier > 1 else 'is'} still to train"
            )
        if lost:
            stays = "stay" if lost > 1 else "stays"
            said.append(
                f"{counted(lost, 'retest')} of them ended without a value before, and {stays} so"
            )
        return said

    def _later(self) -> str:
        parts, plan, choice = [], self.study.plan, self.choice
        if choice.top is not None:
            best = f"the best {counted(plan.retest_top, 'setting')}{'' if choice.without_yours else ' and yours'}"
            parts.append(f"at its end {best} are retested on {_in_all(plan.retest_seeds)}")
        if choice.named:
            parts.append(f"after it {self._names()} train on {_in_all(choice.seeds)}")
        return f"the search of {self.study.name} is not over: {'; '.join(parts)}"

    def _names(self) -> str:
        numbers = [str(each) for each in self.choice.trials if each != self.choice.yours]
        named = [f"trial{'s' * (len(numbers) > 1)} {', '.join(numbers)}"] if numbers else []
        return " and ".join([*named, *([] if self.choice.yours is None else ["yours"])])


def _in_all(seeds: int) -> str:
    return f"{counted(seeds, 'seed')} in all"


def retest(
    name: str,
    wish: RetestWish,
    *,
    plan_only: bool = False,
    study_file: str | Path | None = None,
    storage: str | None = None,
    devices: str | None = None,
    workers: int | None = None,
    threads: int | None = None,
    per_device: int | None = None,
    engine: str = "auto",
    trial_timeout: float | None = None,
    checkpoints: str | Path | None = None,
    checkpoint_every: float | None = None,
    checkpoint_quota: int | None = None,
    allow_version_drift: bool = False,
    accept_change: Sequence[str] = (),
    listen: Listener = silent,
    engine_factory: str | None = None,
) -> RetestsAdded:
    """Add retests to the study `name`, and train them with this machine's workers unless
    `plan_only`; returns what was done.

    A study that has finished is open again for them. Where its search is not over, or it was
    stopped, nothing is trained here.

    Raises what `lrsearch.launch.attach` raises, and UnknownName or InvalidValue for a trial that
    cannot be retested.
    """
    from lrsearch.storage import open_ledger, resolve_url

    listen = to_all({"progress": listen})  # whatever it raises, training goes on
    asked = SlotRequest(devices=devices, workers=workers, threads=threads, per_device=per_device)
    url = resolve_url(storage, os.environ)
    ledger = open_ledger(url)
    try:
        study = ledger.study(name)
        if study.state is StudyState.BROKEN:
            raise broken(study)
        choice = choose(study, ledger.trials(study.id), wish)
        over = _search_is_over(ledger, study)
        if over and not choice.trials:
            fix = f"See lrsearch trials {quote(name)}."
            raise Refused(
                f"no trial of study {name!r} ran to its end with a value: there is nothing to retest. {fix}"
            )
        if plan_only or not over or study.state in STOPPED:
            # its caller says what was done, in place of the answer
            return add_retests(ledger, study, wish)
        if not choice.lacking + choice.waiting:
            return add_retests(ledger, study, wish, listen=listen)
        slots = plan_further(
            this_machine(), asked, ledger, study, left=choice.lacking + choice.waiting
        )
        path, kept = file_of(study, study_file), study.plan.overrides
        config = config_of(
            url,
            path,
            kept,
            engine,
            engine_factory,
            checkpoints,
            every=checkpoint_every,
            quota=checkpoint_quota,
        )
        added: list[RetestsAdded] = []

        def begin() -> StudyRecord | None:
            added.append(add_retests(ledger, study, wish, listen=listen))
            now = added[0].study
            return now if added[0].taken.over and now.state is StudyState.OPEN else None

        train_more(
            ledger,
            study,
            slots,
            config,
            listen,
            trial_timeout=trial_timeout,
            accept_change=accept_change,
            allow_version_drift=allow_version_drift,
            begin=begin,
        )
        counts = ledger.counts(study.id)
    finally:
        ledger.close()
    taken = replace(added[0].taken, waiting=counts.retests - counts.retests_done)
    return RetestsAdded(study=completed(url, name), choice=added[0].choice, taken=taken)


def _search_is_over(ledger: Ledger, study: StudyRecord) -> bool:
    from lrsearch.storage.claims import search_is_over

    return ledger.move(study.id, search_is_over, gone=True)


def add_retests(
    ledger: Ledger, study: StudyRecord, wish: RetestWish, *, listen: Listener = silent
) -> RetestsAdded:
    """Queue the retests of a wish, or keep it for the search's end; says which."""
    from lrsearch.storage import RetestsAsked

    if study.state is StudyState.BROKEN:
        raise broken(study)
    taken = None
    while taken is None:  # a search trial ended meanwhile: perhaps it is among the best
        choice = choose(study, ledger.trials(study.id), wish)
        mine = () if choice.yours is None else (choice.yours,)
        asked = RetestsAsked(
            seeds=choice.seeds,
            top=choice.top,
            best=_retests(study, (*choice.best, *mine), choice.seeds),
            named=_retests(study, (*choice.named, *mine), choice.seeds) if choice.named else (),
            ended=choice.ended,
            lasting=wish.lasting,
        )
        taken = ledger.ask_retests(study.id, asked)
    added = RetestsAdded(study=ledger.study(study.name), choice=choice, taken=taken)
    listen(Event(message=Note(text=str(added))))
    return added


def choose(study: StudyRecord, records: Sequence[TrialRecord], wish: RetestWish) -> Choice:
    """The settings and seeds of a wish, by how the study stands.

    Raises UnknownName, InvalidValue, Refused.
    """
    plan = study.plan
    stands = standing(plan.facts, records)
    retests = [each for each in records if each.kind is Kind.RETEST]
    seeds = wish.seeds or max(
        [plan.retest_seeds or RETEST_SEEDS, *(1 + (each.repeat or 0) for each in retests)]
    )
    top = wish.top if wish.top is not None or wish.trials else plan.retest_top
    best = () if top is None else best_settings(stands, plan.facts.direction, top=top)
    good = {each.number for each in stands.ranked}
    yours = stands.yours.trial if stands.yours is not None and stands.yours.trial in good else None
    for number in wish.trials:
        _check_trial(study, records, number, good)
    chosen = {*best, *wish.trials, *(() if yours is None else (yours,))}
    there = [each for each in retests if each.parent in chosen and (each.repeat or 0) < seeds]
    return Choice(
        seeds=seeds,
        top=top,
        best=best,
        named=wish.trials,
        yours=yours,
        without_yours=stands.yours is not None and yours is None,
        lacking=len(chosen) * seeds - len(there),
        waiting=sum(not each.state.terminal for each in retests),
        failed=sum(each.state.terminal and each.value is None for each in there),
        ended=sum(each.kind is Kind.SEARCH and each.state.terminal for each in records),
    )


def _check_trial(
    study: StudyRecord, records: Sequence[TrialRecord], number: int, good: set[int]
) -> None:
    search = {each.number: each for each in records if each.kind is Kind.SEARCH}
    if number not in search:
        known = f"0 to {max(search)}" if search else "none yet"
        raise UnknownName("trial", got=str(number), known=(), fix=f"{study.name} has {known}.")
    if number not in good:
        raise InvalidValue(
            "trial",
            got=number,
            allowed="one that ran to its end with a value",
            fix=f"It is {_end(search[number])}.",
        )


def _end(record: TrialRecord) -> str:
    return "complete, without a value" if record.state.value == "complete" else record.state.value


def _retests(study: StudyRecord, trials: Sequence[int], seeds: int) -> tuple[Retest, ...]:
    """All repeats of some trials, on the seeds that the study's plan gives."""
    from lrsearch.storage import Retest
    from lrsearch.worker.seeds import seed_of

    return tuple(
        Retest(parent=number, repeat=repeat, seed=seed_of(study.plan.seed, Kind.RETEST, repeat))
        for repeat in range(seeds)
        for number in dict.fromkeys(trials)
    )
