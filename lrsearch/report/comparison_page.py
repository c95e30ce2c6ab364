"""Arms beside each other: as tables for people, and as a paragraph for a paper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lrsearch.answer.arms import TAUS, Arm, Comparison
from lrsearch.answer.comparison import DRAWS, LEAST, Contrast
from lrsearch.answer.words import count_text, rate_text
from lrsearch.report.layout import Column, table
from lrsearch.report.words import value_text
from lrsearch.values import Direction

_DIGITS = 4


def comparison_text(one: Comparison, *, width: int | None = None) -> str:
    """A study's arms, best first, what can be said of each pair, and what was tuned."""
    if not one.arms:
        return f"{one.study}: no {one.by} has a trial that counts yet."
    lines = [_head(one), "", *table(_columns(one), width), ""]
    shown = [_sentence(one, each) for each in _shown(one)]
    pairs = count_text(len(one.contrasts), "pair")
    lines += [*shown, _JUDGED.format(pairs=pairs)] if shown else []
    lines += [
        f"{arm.name}: {arm.at_edge}, so that it gets no verdict."
        for arm in _barred(one)
    ]
    if one.untried:
        lines.append(f"Without a trial that counts: {', '.join(one.untried)}.")
    lines += ["", *_tuned(one)]
    return "\n".join(lines)


_JUDGED = (
    "A permutation test judges; its p is corrected for {pairs}. The intervals do not judge: with "
    "few trials a bootstrap's is too narrow."
)


def _head(one: Comparison) -> str:
    each = count_text(one.each, "trial")
    what = f"expected best {one.objective} after k trials, by {one.by}"
    if one.equal:
        return f"{one.study}: {what}, over {each} each at the same quasi-random points."
    return (
        f"{one.study}: {what}, over the {_first(one.each, 'trial')} of each. Descriptive: the "
        "search chose these trials, so that no verdict follows. --top-up N trains equal ones."
    )


def _first(number: int, noun: str) -> str:
    """`first trial`, `first 3 trials`."""
    return f"first {noun}" if number == 1 else f"first {count_text(number, noun)}"


def _columns(one: Comparison) -> list[Column]:
    ks = [each.k for each in one.arms[0].expected]
    cells = [[_expected(arm, place) for arm in one.arms] for place in range(len(ks))]
    shown = {0, len(ks) - 1}
    return [
        Column(one.by, [arm.name for arm in one.arms], least=9),
        *(
            Column(f"k={k}", cells[place], right=True, rank=0 if place in shown else 3)
            for place, k in enumerate(ks)
        ),
        Column("best", [_value(arm.best) for arm in one.arms], right=True, rank=2),
        Column(
            "rate",
            [
                "-" if arm.best_rate is None else rate_text(arm.best_rate)
                for arm in one.arms
            ],
            right=True,
            rank=1,
        ),
        Column("diverged", [_diverged(arm) for arm in one.arms], right=True, rank=4),
    ]


def _diverged(arm: Arm) -> str:
    return f"{arm.diverged}/{arm.trials}"


def _expected(arm: Arm, place: int) -> str:
    found = arm.expected[place]
    if found.low == found.high:  # one trial, or equal ones: draws of them say nothing
        return _value(found.value)
    return f"{_value(found.value)} ({_value(found.low)} to {_value(found.high)})"


def _value(value: float | None) -> str:
    return value_text(value, _DIGITS)


def _barred(one: Comparison) -> list[Arm]:
    return [arm for arm in one.arms if arm.at_edge] if one.equal else []


def _shown(one: Comparison) -> list[Contrast]:
    """The pairs with the leading arm; the others follow from the JSON."""
    if not one.equal:
        return []
    leader = one.arms[0].name
    return [each for each in one.contrasts if leader in {each.first, each.second}]


def _sentence(one: Comparison, each: Contrast) -> str:
    low, high = each.interval
    apart = f"{each.difference:+.3g} ({low:+.3g} to {high:+.3g}; p = {each.p:.2g})"
    after = f"after {count_text(each.k, 'trial')}"
    if each.better is None:
        few = f"; a verdict takes {LEAST} trials each" if one.each < LEAST else ""
        return (
            f"{each.first} and {each.second} are not told apart {after}: {apart}{few}."
        )
    worse = each.second if each.better == each.first else each.first
    return f"{each.better} is better than {worse} {after}: {each.first} less {each.second} {apart}."


def _tuned(one: Comparison) -> Iterator[str]:
    for arm in one.arms:
        kept = f"; kept: {', '.join(arm.kept)}" if arm.kept else ""
        yield f"{arm.name}: tuned {', '.join(arm.tuned)}{kept}"


def profiles_text(
    profiles: Mapping[str, Sequence[float]], studies: int, *, width: int | None = None
) -> str:
    """Performance profiles over several studies."""
    names = list(profiles)
    columns = [
        Column("arm", names, least=9),
        *(
            Column(
                f"{tau:g}",
                [f"{profiles[name][place]:.2f}" for name in names],
                right=True,
            )
            for place, tau in enumerate(TAUS)
        ),
    ]
    head = (
        f"Over {studies} studies: the share in which an arm comes within this part of the way from "
        "the best arm to a single trial of the worst."
    )
    return "\n".join([head, "", *table(columns, width)])


# -- for a paper -----------------------------------------------------------------------


def methods_text(comparisons: Sequence[Comparison]) -> str:
    """A paragraph on the method and a table, as Markdown."""
    parts = [_paragraph(comparisons)]
    parts += ["\n".join(_markdown(one)) for one in comparisons if one.arms]
    return "\n\n".join(parts)


_EQUAL = (
    "For each {by} we trained {each} settings, at the same points of one scrambled Sobol sequence "
    "for all of them (Owen 1998), so that the tuning budgets are equal."
)
_DESCRIPTIVE = (
    "For each {by} we used the {first} that a search had chosen; since the search "
    "adapts to what it saw, the comparison is descriptive and no test is made."
)
_MEASURE = (
    "We report the expected {best} {objective} of k trials (Dodge et al. 2019), by the unbiased "
    "estimate without replacement (Tang et al. 2020), with 95 % percentile intervals of {draws} "
    "bootstrap draws over trials. Trials that diverged count as the worst value that ended."
)
_TEST = (
    "Two {by}s are called different after k = {most} trials where a permutation test, which swaps "
    "the two trials of a point, gives p <= 0.05 after Bonferroni's correction for all pairs. A "
    "{by} whose best rate lies at an end of its range is not judged."
)


def _paragraph(comparisons: Sequence[Comparison]) -> str:
    first, equal = comparisons[0], all(one.equal for one in comparisons)
    words = {
        "by": first.by,
        "each": first.each,
        "first": _first(first.each, "setting"),
        "best": "highest" if first.direction is Direction.MAXIMIZE else "lowest",
        "objective": first.objective,
        "draws": DRAWS,
        "most": first.arms[0].expected[-1].k if first.arms else 0,
    }
    parts = (_EQUAL, _MEASURE, _TEST) if equal else (_DESCRIPTIVE, _MEASURE)
    return " ".join([*(each.format(**words) for each in parts), _tuned_sentence(first)])


def _tuned_sentence(one: Comparison) -> str:
    tuned = "; ".join(f"{arm.name}: {', '.join(arm.tuned)}" for arm in one.arms)
    kept = "; ".join(
        f"{arm.name}: {', '.join(arm.kept)}" for arm in one.arms if arm.kept
    )
    return f"Tuned were {tuned}." + (f" Kept at one value were {kept}." if kept else "")


def _markdown(one: Comparison) -> Iterator[str]:
    ks = [each.k for each in one.arms[0].expected]
    yield f"**{one.study}**, {one.objective}, {count_text(one.each, 'trial')} each"
    yield ""
    yield f"| {one.by} | {' | '.join(f'k = {k}' for k in ks)} | best rate | diverged |"
    yield f"| --- |{' ---: |' * (len(ks) + 2)}"
    for arm in one.arms:
        cells = [_expected(arm, place) for place in range(len(ks))]
        rate = "-" if arm.best_rate is None else rate_text(arm.best_rate)
        edge = " (end of range)" if arm.at_edge else ""
        yield f"| {arm.name} | {' | '.join(cells)} | {rate}{edge} | {_diverged(arm)} |"
