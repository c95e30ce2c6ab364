"""`lrsearch skill`: what a coding agent needs to know to search with lrsearch."""

from __future__ import annotations

from pathlib import Path

import click

SKILL = Path(__file__).with_name("skill.md")


@click.command("skill")
def skill() -> None:
    """Print a skill file for coding agents: how to search, wait and read the answer.

    mkdir -p .claude/skills/lrsearch && lrsearch skill >
    .claude/skills/lrsearch/SKILL.md
    """
    click.echo(SKILL.read_text(encoding="utf-8"), nl=False)
