"""optuna-dashboard over a ledger, behind a filter that refuses every change of results."""

from lrsearch.dashboard.guard import Guard
from lrsearch.dashboard.serving import serve

__all__ = ["Guard", "serve"]
