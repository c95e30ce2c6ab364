"""The command `retest`: more seeds or more settings, for a more certain answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lrsearch.cli.completing import complete_search_trial, study_argument
from lrsearch.cli.options import (
    count_option,
    echo,
    more_training_options,
    show_progress,
    take_options,
)
from lrsearch.cli.run import print_answer
from lrsearch.cli.tracking import log_to_option, track

if TYPE_CHECKING:
    from lrsearch.launch.queueing import RetestsAdded
    from lrsearch.launch.racing import Race


@click.command("retest")
@study_argument
@count_option(
    "--seeds",
    metavar="N",
    help="So many seeds in all for each setting. [default: as many as its retests have]",
)
@count_option(
    "--top",
    metavar="N",
    help="The best N settings, and yours. [default: as many as were retested; none beside --trial]",
)
@click.option(
    "--trial",
    "trials",
    type=click.IntRange(min=0),
    multiple=True,
    metavar="N",
    shell_complete=complete_search_trial,
    help="This trial, and yours; again for another.",
)
@count_option(
    "--total",
    metavar="N",
    help="So many retests in all: five settings and yours once, then the best against whatever it "
    "is hardest to tell from, until it is told apart or N are spent.",
)
@click.option(
    "--plan-only", is_flag=True, help="Add them and leave; attached workers train them."
)
@log_to_option
@more_training_options
def retest(
    study: str,
    *,
    seeds: int | None,
    top: int | None,
    trials: tuple[int, ...],
    total: int | None,
    plan_only: bool,
    log_to: tuple[str, ...],
    study_file: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Train the best settings of STUDY and yours on more seeds, and show the answer.

    All settings share their seeds.

    Earlier retests count: --seeds 7 trains four more of a setting with three. A
    finished study is open again for its retests alone. While the search goes on,
    nothing is trained here: the retests at its end have these seeds and settings.
    """
    from lrsearch.launch.racing import race
    from lrsearch.launch.retesting import retest as train_retests
    from lrsearch.options import RetestOptions

    if not (seeds or top or trials or total):
        text = "say how far: --seeds N in all, --top N settings, --trial N, or --total N retests."
        raise click.UsageError(text)
    if total and (seeds or top or trials):
        raise click.UsageError(
            "--total chooses settings and seeds itself: give it alone."
        )
    search, machine = take_options(options)
    with track(log_to, machine) as tracker:
        with show_progress(tracker, as_json=as_json, **options) as listen:
            common: Any = {
                "plan_only": plan_only,
                "study_file": study_file,
                "listen": listen,
            }
            added: Race | RetestsAdded
            if total:
                added = race(study, total, search, machine, **common)
            else:
                wanted = RetestOptions(seeds=seeds, top=top, trials=trials)
                added = train_retests(study, wanted, search, machine, **common)
        if added.taken.over and not plan_only and not added.study.state.is_stopped:
            print_answer(
                study, machine.storage, as_json=as_json, beside=added.to_json()
            )
            return
    data = {**added.to_json(), "answer": None}
    echo(data, f"{added}. {added.next_step}".strip(), as_json=as_json)
