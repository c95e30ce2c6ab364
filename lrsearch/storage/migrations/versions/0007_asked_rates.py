"""The ranges of peak rates that a study was asked for, as a value of its plan.

Before, the answer read them out of the fingerprint.
"""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_STUDIES = sa.table(
    "lrsearch_studies", sa.column("id", sa.BigInteger), sa.column("plan", sa.Text)
)


def upgrade() -> None:
    connection = op.get_bind()
    for row in connection.execute(sa.select(_STUDIES.c.id, _STUDIES.c.plan)).all():
        plan = json.loads(row.plan)
        plan["facts"]["asked_rates"] = _asked(plan["facts"]["fingerprint"])
        text = json.dumps(plan, separators=(",", ":"), allow_nan=False)
        connection.execute(
            sa.update(_STUDIES).where(_STUDIES.c.id == row.id).values(plan=text)
        )


def _asked(fingerprint: dict[str, Any]) -> dict[str, Any]:
    """By optimizer, from the fingerprint's pair for all, its pairs by optimizer, or its None."""
    asked = fingerprint.get("space.learning_rate") or {}
    if isinstance(asked, dict):
        return asked
    return dict.fromkeys(fingerprint.get("space.optimizers", ()), asked)
