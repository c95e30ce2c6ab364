"""Optuna's rows follow the ledger: one trial, one number, in both.

A short lease lets one process mirror at a time. Rows are created in the order of trial numbers without a gap, so that Optuna counts as
we do; a trial that is reserved and not yet sampled holds up only those after it. Every step is safe to repeat, and whoever mirrors next
completes what a crash left half-done: a row that was created and not yet noted down is found again by its number.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import DuplicatedStudyError
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState
from sqlalchemy import and_, func, or_, select, update

from lrsearch.errors import InvalidValue
from lrsearch.storage._optuna import DIVERGED_KEY, open_optuna, write_intermediate
from lrsearch.storage.claims import Move
from lrsearch.storage.tables import curves, studies, trials
from lrsearch.values import Json, Kind, StudyRecord, TrialState

if TYPE_CHECKING:
    from collections.abc import Callable

    from optuna.storages import RDBStorage

    from lrsearch.storage.ledger import Ledger

LEASE_SECONDS = 20.0  # a trial's rows take 0.05 s; a mirror that died is replaced after this
BATCH = 20  # rows a look; a call goes on while there are more
MARK = "lrsearch"  # the study's user attribute that says whose it is

_NOTHING, _BEGUN, _FINAL = 0, 1, 2
_DIRECTIONS = {"minimize": StudyDirection.MINIMIZE, "maximize": StudyDirection.MAXIMIZE}
# Divergence is a result that samplers may learn from: COMPLETE, but infeasible. Optuna would take NaN for a failure.
_STATES = {
    TrialState.COMPLETE: OptunaState.COMPLETE,
    TrialState.DIVERGED: OptunaState.COMPLETE,
    TrialState.PRUNED: OptunaState.PRUNED,
    TrialState.FAILED: OptunaState.FAIL,
}
_KINDS: dict[str, Callable[[Mapping[str, Json]], BaseDistribution]] = {
    "float": lambda each: FloatDistribution(each["low"], each["high"], log=each["log"]),
    "int": lambda each: IntDistribution(int(each["low"]), int(each["high"]), log=each["log"]),
    "categorical": lambda each: CategoricalDistribution(tuple(each["choices"])),
}


def _no_seam(_name: str) -> None:
    """Where a drill kills the process."""


@dataclass
class Mirror:
    """Writes Optuna's rows of the studies in one ledger. `seam` is called at every point where a crash could fall between two writes."""

    ledger: Ledger
    seam: Callable[[str], None] = _no_seam
    _storage: RDBStorage | None = None
    _me: str = field(default_factory=lambda: secrets.token_hex(16))

    def sync(self, study_id: int) -> int:
        """Bring Optuna's rows up to date, unless another process is at it; returns how many trials were written."""
        if not self._pending(study_id) or not self._take(study_id):
            return 0
        written = 0
        try:
            study = self._study_row(study_id)
            while rows := self._pending(study_id):
                done = sum(self._write(study, row) for row in rows)
                written += done
                if not done:
                    break
        finally:
            self._leave(study_id)
        return written

    @property
    def storage(self) -> RDBStorage:
        if self._storage is None:
            self._storage = open_optuna(self.ledger.engine.url)
        return self._storage

    # -- the lease -------------------------------------------------------------------------------------------------------

    def _take(self, study_id: int) -> bool:
        def taken(move: Move) -> bool:
            owner, until = move.study.mirror_owner, move.study.mirror_until
            if owner not in {None, self._me} and until > move.now:
                return False
            mine = update(studies).where(studies.c.id == study_id)
            move.connection.execute(mine.values(mirror_owner=self._me, mirror_until=move.now + LEASE_SECONDS))
            return True

        return self.ledger._move(study_id, taken)  # noqa: SLF001 - the mirror is the ledger's own

    def _leave(self, study_id: int) -> None:
        mine = and_(studies.c.id == study_id, studies.c.mirror_owner == self._me)
        self._execute(update(studies).where(mine).values(mirror_owner=None, mirror_until=None))

    # -- rows ------------------------------------------------------------------------------------------------------------

    def _pending(self, study_id: int) -> list[Any]:
        """Trials whose Optuna row is behind, by number, up to the first that is reserved and not sampled."""
        behind = or_(
            and_(trials.c.mirrored == _NOTHING, trials.c.params.is_not(None)),
            and_(trials.c.mirrored == _BEGUN, trials.c.state.not_in(["running", "waiting"])),
        )
        unsampled = and_(
            trials.c.study_id == study_id,
            trials.c.kind == Kind.SEARCH.value,
            trials.c.mirrored == _NOTHING,
            trials.c.params.is_(None),
        )
        first = select(func.min(trials.c.number)).where(unsampled).scalar_subquery()
        query = select(trials).where(trials.c.study_id == study_id, trials.c.kind == Kind.SEARCH.value, behind)
        query = query.where(or_(trials.c.mirrored == _BEGUN, first.is_(None), trials.c.number < first))
        query = query.order_by(trials.c.number).limit(BATCH)
        return self.ledger._run(lambda connection: list(connection.execute(query)))  # noqa: SLF001

    def _write(self, study: Any, row: Any) -> bool:
        """Bring one trial's row up to date; False where nothing could be done."""
        plan = json.loads(study.plan)
        optuna_id = row.optuna_trial_id
        if row.mirrored == _NOTHING:
            optuna_id = self._find(study, row) or self._create(study, row, plan)
            self.seam("created")
            self._note(row.id, mirrored=_BEGUN, optuna_trial_id=optuna_id)
            self.seam("noted")
        if row.state not in {"running", "waiting"}:
            self._conclude(optuna_id, row, plan)
            self.seam("concluded")
            self._note(row.id, mirrored=_FINAL)
        return True

    def _find(self, study: Any, row: Any) -> int | None:
        """The row that an earlier mirror created and could not note down."""
        try:
            found: int = self.storage.get_trial_id_from_study_id_trial_number(study.optuna_study_id, row.number)
        except KeyError:
            return None
        return found

    def _create(self, study: Any, row: Any, plan: Mapping[str, Json]) -> int:
        distributions = {each["name"]: _KINDS[each["kind"]](each) for each in plan["dimensions"]}
        params = {name: value for name, value in json.loads(row.params).items() if _holds(distributions.get(name), value)}
        template = FrozenTrial(
            number=row.number,
            trial_id=-1,
            state=OptunaState.RUNNING,
            value=None,
            datetime_start=datetime.fromtimestamp(row.started_at, UTC).replace(tzinfo=None),
            datetime_complete=None,
            params=params,
            distributions={name: distributions[name] for name in params},
            user_attrs={"origin": row.origin},
            system_attrs={},
            intermediate_values={},
        )
        created: int = self.storage.create_new_trial(study.optuna_study_id, template)
        return created

    def _conclude(self, optuna_id: int, row: Any, plan: Mapping[str, Json]) -> None:
        """The final state, once; Optuna refuses a second."""
        if self.storage.get_trial(optuna_id).state.is_finished():
            return
        state = _STATES[TrialState(row.state)]
        write_intermediate(self.storage, optuna_id, self._curve(row.id))
        self.storage.set_trial_system_attr(optuna_id, DIVERGED_KEY, 1.0 if row.state == "diverged" else 0.0)
        self.seam("attributes")
        values = None if state is OptunaState.FAIL else [self._value(row, plan)]
        if state is OptunaState.PRUNED and row.last_value is None:
            values = None
        self.storage.set_trial_state_values(optuna_id, state, values)

    def _curve(self, trial_id: int) -> dict[int, float]:
        query = select(curves.c.epoch, curves.c.value).where(curves.c.trial_id == trial_id, curves.c.value.is_not(None))
        rows = self.ledger._run(lambda connection: list(connection.execute(query)))  # noqa: SLF001
        return {row.epoch: row.value for row in rows}

    def _value(self, row: Any, plan: Mapping[str, Json]) -> float:
        """The objective; a diverged trial, which has none, gets the worst there is: the constraint keeps it from being best."""
        if row.value is not None and row.state != "diverged":
            return float(row.value)
        if row.state == "pruned" and row.last_value is not None:
            return float(row.last_value)
        worst = func.max if plan["facts"]["direction"] == "minimize" else func.min
        ended = and_(trials.c.study_id == row.study_id, trials.c.kind == Kind.SEARCH.value, trials.c.state == "complete")
        found = self.ledger._run(lambda connection: connection.execute(select(worst(trials.c.value)).where(ended)).scalar_one())  # noqa: SLF001
        return 0.0 if found is None else float(found)

    def _note(self, trial_id: int, **columns: Any) -> None:
        self._execute(update(trials).where(trials.c.id == trial_id).values(**columns))

    def _study_row(self, study_id: int) -> Any:
        return self.ledger._run(lambda connection: connection.execute(select(studies).where(studies.c.id == study_id)).one())  # noqa: SLF001

    def _execute(self, statement: Any) -> None:
        self.ledger._run(lambda connection: connection.execute(statement) and None)  # noqa: SLF001


def _holds(distribution: BaseDistribution | None, value: Json) -> bool:
    """Whether a row with this value is one that Optuna can read back; yours may lie outside the space."""
    if distribution is None or value is None and not isinstance(distribution, CategoricalDistribution):
        return False
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    return isinstance(value, int | float) and distribution._contains(distribution.to_internal_repr(value))  # noqa: SLF001


def ensure_optuna_study(ledger: Ledger, study: StudyRecord) -> None:
    """Make the Optuna study beside ours, and note its id; any number of processes may try at once.

    Raises InvalidValue where an Optuna study of that name is somebody else's.
    """
    if study.optuna_study_id:
        return
    storage = open_optuna(ledger.engine.url)
    try:
        optuna_id = storage.create_new_study([_DIRECTIONS[study.plan.facts.direction.value]], study_name=study.name)
        storage.set_study_user_attr(optuna_id, MARK, study.id)
        storage.set_study_system_attr(optuna_id, "study:metric_names", [study.plan.facts.objective])
    except DuplicatedStudyError:
        optuna_id = storage.get_study_id_from_name(study.name)
        if storage.get_all_trials(optuna_id, deepcopy=False) and MARK not in storage.get_study_user_attrs(optuna_id):
            fix = "Choose another with --name."
            raise InvalidValue(
                "study name", got=study.name, allowed="no other Optuna study's in this database", fix=fix
            ) from None
    finally:
        storage.engine.dispose()
    ledger._run(
        lambda connection: (
            connection.execute(update(studies).where(studies.c.id == study.id).values(optuna_study_id=optuna_id)) and None
        )
    )  # noqa: SLF001


def delete_optuna_study(ledger: Ledger, study: StudyRecord) -> None:
    """Delete the Optuna study that mirrors `study`."""
    storage = open_optuna(ledger.engine.url)
    try:
        storage.delete_study(study.optuna_study_id)
    except KeyError:
        pass
    finally:
        storage.engine.dispose()
