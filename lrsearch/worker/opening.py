"""Lays a worker's desk: everything between one study's ledger and one engine."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from lrsearch.messages import EngineReady, Note, Say
from lrsearch.sampling import Proposer, pruning_rule
from lrsearch.storage import Mirror
from lrsearch.worker.checkpoints import CheckpointStore
from lrsearch.worker.config import WorkerConfig
from lrsearch.worker.desk import Desk
from lrsearch.worker.heart import Heart

if TYPE_CHECKING:
    from lrsearch.engine.contract import Engine
    from lrsearch.space import SearchSpace
    from lrsearch.storage import Ledger
    from lrsearch.values import StudyRecord

LONGEST_FOLDER = 255  # bytes of a file's name: ext4, XFS, APFS, NTFS


def desk_for(
    config: WorkerConfig,
    ledger: Ledger,
    study: StudyRecord,
    *,
    worker_id: int,
    space: SearchSpace,
    say: Say,
) -> tuple[Desk, Heart]:
    """A desk for `study`, with its heart (not started), sampler, pruning rule, mirror and
    checkpoints.
    """
    plan = study.plan
    heart = Heart(
        lambda holds: ledger.beat(holds, worker_id=worker_id, lease_seconds=config.lease_seconds),
        lease_seconds=config.lease_seconds,
        trouble=lambda text: say(Note(text=text)),
    )
    desk = Desk(
        ledger=ledger,
        mirror=Mirror(ledger),
        study=study,
        worker_id=worker_id,
        space=space,
        proposer=Proposer(
            space, direction=plan.facts.direction, sampler=plan.sampler, seed=plan.seed
        ),
        rule=pruning_rule(plan.pruner, epochs=plan.facts.epochs, direction=plan.facts.direction),
        heart=heart,
        store=CheckpointStore(config.checkpoint_root, folder_of(study), config.checkpoint_policy),
        say=say,
        lease_seconds=config.lease_seconds,
    )
    return desk, heart


def settle_engine(
    config: WorkerConfig, ledger: Ledger, study: StudyRecord, engine: Engine, *, say: Say
) -> None:
    """Let an engine that measures take the study's figures for this machine; the first worker
    measures and says what it chose.
    """
    machine = f"{config.host}/{config.slot.partition(':')[0]}/{config.threads or 'all'}"
    known = ledger.calibration(study.id, machine)
    found = engine.calibrate(known)
    say(EngineReady(figures=dict(found or engine.time_steps())))
    if known is not None or not found:
        return
    if ledger.note_calibration(study.id, machine, dict(found)):
        say(Note(text=str(found["reason"])))
    else:
        # another worker was quicker: all of a machine go one way
        engine.calibrate(ledger.calibration(study.id, machine))


def folder_of(study: StudyRecord) -> str:
    """A study's folder below the checkpoint root: its name and birth, since two databases may share
    a root and a name.

    Where that is longer than file systems allow, the name is cut, and a hash of all of it keeps it
    apart from others.
    """
    birth = f"{int(study.created_at):x}"
    whole = f"{study.name}-{birth}"
    if len(whole.encode()) <= LONGEST_FOLDER:
        return whole
    digest = hashlib.sha256(study.name.encode()).hexdigest()[:16]
    room = LONGEST_FOLDER - len(f"-{digest}-{birth}")
    return f"{study.name.encode()[:room].decode(errors='ignore')}-{digest}-{birth}"
