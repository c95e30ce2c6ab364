"""optuna-dashboard over a ledger, behind a filter that lets nobody change results."""

from lrsearch.dashboard.guard import Guard
from lrsearch.dashboard.serving import serve

__all__ = ["Guard", "serve"]
