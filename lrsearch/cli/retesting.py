"""The command that makes a study's answer more certain: retests on more seeds, or of more settings."""

from __future__ import annotations

from typing import Any

import click

from lrsearch.cli.completing import complete_search_trial, study_argument
from lrsearch.cli.options import (
    echo_json,
    json_option,
    output_options,
    storage_option,
    worker_options,
)
from lrsearch.cli.run import study_file_option, tell_answer, training_options


@click.command("retest")
@study_argument
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    metavar="N",
    help="So many seeds in all for each setting. [default: as many as its retests have]",
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
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
@click.option("--plan-only", is_flag=True, help="Add them and leave; attached workers train them.")
@storage_option
@study_file_option
@worker_options
@training_options
@output_options
@json_option
def retest(
    study: str,
    *,
    plan_only: bool,
    quiet: bool,
    verbose: bool,
    log_file: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Train the best settings of STUDY and yours on more seeds, and show the answer.

    All settings share their seeds.

    What was retested already counts: --seeds 7 trains four more of a setting with three. A study
    that has finished is open again for its retests alone. Where its search goes on, its end has as
    many seeds and settings; nothing is trained here.
    """
    from lrsearch.launch import RetestWish, watching
    from lrsearch.launch import retest as train_retests

    wanted = {name: options.pop(name) for name in ("seeds", "top", "trials")}
    if not any(wanted.values()):
        raise click.UsageError("say how far: --seeds N in all, --top N settings, or --trial N.")
    wish = RetestWish(**wanted)
    with watching(quiet=quiet or as_json, verbose=verbose, log_file=log_file) as listen:
        added = train_retests(study, wish, plan_only=plan_only, listen=listen, **options)
    if added.taken.over and not plan_only and not added.stopped:
        tell_answer(study, options["storage"], as_json=as_json, beside=added.to_json())
    elif as_json:
        echo_json({**added.to_json(), "answer": None})
    else:
        click.echo(f"{added}. {added.next_step}".strip())
