"""The command that compares optimizers or schedule shapes: compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lrsearch.cli.completing import complete_study
from lrsearch.cli.opening import columns, open_storage
from lrsearch.cli.options import (
    count_option,
    echo,
    more_training_options,
    show_progress,
    take_options,
)

if TYPE_CHECKING:
    from lrsearch.answer.arms import Comparison


@click.command("compare")
@click.argument(
    "studies",
    nargs=-1,
    required=True,
    metavar="STUDY...",
    shell_complete=complete_study,
)
@click.option(
    "--by",
    type=click.Choice(["optimizer", "schedule"]),
    default="optimizer",
    show_default=True,
    help="What is compared.",
)
@count_option(
    "--top-up",
    metavar="N",
    help="First train until each has N quasi-random trials, in a companion: STUDY-by-optimizer.",
)
@click.option(
    "--methods", is_flag=True, help="Print a paragraph and a table for a paper."
)
@more_training_options
def compare(
    studies: tuple[str, ...],
    *,
    by: str,
    top_up: int | None,
    methods: bool,
    study_file: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Compare the optimizers or schedules of STUDY at equal numbers of trials.

    Says the best value to expect after k trials, with intervals. A verdict takes equal
    numbers of quasi-random trials, which --top-up trains; trials that a search chose
    are described only. An optimizer whose best rate lies at the end of its range gets
    no verdict. Of several studies it also gives performance profiles.
    """
    search, machine = take_options(options)
    if top_up is not None:
        from lrsearch.launch.comparing import top_up as train_more

        for name in studies:
            with show_progress(as_json=as_json, **options) as listen:
                train_more(
                    name,
                    top_up,
                    search,
                    machine,
                    by=by,
                    study_file=study_file,
                    listen=listen,
                )
    _print(_read(studies, machine.storage, by), by=by, methods=methods, as_json=as_json)


def _read(studies: tuple[str, ...], storage: str | None, by: str) -> list[Comparison]:
    """The comparison of each study: by its companion's trials, else by its own."""
    from lrsearch.answer.arms import compare_arms
    from lrsearch.launch.comparing import find_companion

    found = []
    with open_storage(storage) as ledger:
        for name in studies:
            study = ledger.study(name)
            companion = find_companion(ledger, study, by)
            source = companion or study
            records = ledger.trials(source.id)
            found.append(
                compare_arms(study, source, records, by=by, equal=companion is not None)
            )
    return found


def _print(found: list[Comparison], *, by: str, methods: bool, as_json: bool) -> None:
    from lrsearch.answer.arms import TAUS, profiles_of
    from lrsearch.report.comparison_page import (
        comparison_text,
        methods_text,
        profiles_text,
    )

    compared = [one for one in found if one.arms]
    profiles = profiles_of(compared) if len(compared) > 1 else {}
    data = {
        "by": by,
        "studies": [one.to_json() for one in found],
        "profiles": {"taus": list(TAUS), **profiles} if profiles else None,
        "methods": methods_text(compared) if compared else None,
    }
    if methods and compared:
        text = methods_text(compared)
    else:
        parts = [comparison_text(one, width=columns()) for one in found]
        if profiles:
            parts.append(profiles_text(profiles, len(compared), width=columns()))
        text = "\n\n".join(parts)
    echo(data, text, as_json=as_json)
