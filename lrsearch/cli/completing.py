"""Completion in a shell: its script, and the names of studies and trials."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.shell_completion import (
    BashComplete,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

F = TypeVar("F", bound=Callable[..., Any])

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_LRSEARCH_COMPLETE"  # click's, from the program's name
# click's own script splits at the colon of a URL and at a blank in a name. It also
# needs bash 4.4, and macOS has 3.2.
_BASH = r"""
_lrsearch_completion() {
    local line kind value
    COMPREPLY=()
    while IFS= read -r line; do
        kind=${line%%%%,*} value=${line#*,}
        case $kind in
            dir) compopt -o dirnames 2>/dev/null ;;
            file) compopt -o default 2>/dev/null ;;
            plain) COMPREPLY+=("$(printf %%q "$value")") ;;
        esac
    done < <(COMP_WORDS="${COMP_LINE:0:$COMP_POINT}" %(complete_var)s=bash_complete \
        "${1/#\~/$HOME}" 2>/dev/null)
}
complete -o nosort -F _lrsearch_completion %(prog_name)s 2>/dev/null \
    || complete -F _lrsearch_completion %(prog_name)s
"""


class Bash(BashComplete):
    """Completion by the line up to the cursor, in place of bash's words."""

    source_template = _BASH.lstrip()

    @staticmethod
    def _check_version() -> None:
        """Accept every bash."""

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ["COMP_WORDS"]
        words = split_arg_string(line)
        begun = split_arg_string(line + "x") if line else [""]
        # With more words in `begun`, the cursor stands after a blank.
        incomplete = words.pop() if len(begun) == len(words) else ""
        return words[1:], incomplete


add_completion_class(Bash)


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script that lets SHELL complete commands, options, studies and trials.

    For bash and zsh: eval "$(lrsearch completion bash)" in ~/.bashrc or ~/.zshrc. For
    fish: lrsearch completion fish > ~/.config/fish/completions/lrsearch.fish.
    """
    from lrsearch.cli.main import cli

    kind = get_completion_class(shell)
    assert kind is not None  # click has all three
    click.echo(kind(cli, {}, "lrsearch", VARIABLE).source().rstrip())


def complete_study(
    ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[str]:
    from lrsearch.storage.names import study_names

    return [
        each
        for each in study_names(ctx.params.get("storage"))
        if each.startswith(incomplete)
    ]


def _trials(ctx: click.Context, incomplete: str) -> list[str]:
    from lrsearch.storage.names import trial_names

    # In `args` while an option still lacks its value.
    study = ctx.params.get("study") or next(iter(ctx.args), None)
    names = trial_names(ctx.params.get("storage"), study) if study else []
    return [each for each in names if each.startswith(incomplete)]


def complete_trial(
    ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[str]:
    """Complete a trial or a retest: `7`, `7/2`."""
    return _trials(ctx, incomplete)


def complete_search_trial(
    ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[str]:
    """Complete a search trial: `7`."""
    return [each for each in _trials(ctx, incomplete) if "/" not in each]


def study_argument(function: F) -> F:
    """The argument STUDY, the name of a stored study."""
    return click.argument("study", shell_complete=complete_study)(function)
