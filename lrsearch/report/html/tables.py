"""The tables of the report: optimizer by shape, the trials, and what was stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from lrsearch.answer import Answer
from lrsearch.answer.words import count_text, rate_text
from lrsearch.report.html.marks import swatch, symbol
from lrsearch.report.html.markup import Content, Markup, join, tag
from lrsearch.report.html.rates_figure import MOST
from lrsearch.report.picture_parts import best_by_shape
from lrsearch.report.words import (
    OPTIMIZER_HEADS,
    duration_text,
    optimizer_cells,
    range_text,
    run_text,
    value_digits,
    value_text,
    varying_of,
)
from lrsearch.values import StudyRecord, TrialRecord, Trials, TrialState

_SHADES = 5  # of a cell, by its rank among all
_MOST_REASONS = 20
_LONGEST = 4000  # characters of a traceback
_PRUNED_BY = {
    "auto": "Further behind than any full run that ended well made up from the same epoch on.",
    "median": "Worse than the median of the others at the same epoch.",
    "asha": "Not among the best third at the same epoch.",
    "hyperband": "Not among the best third at the same epoch.",
}
_STOPPED = (TrialState.DIVERGED, TrialState.PRUNED, TrialState.FAILED)


def table(
    head: Sequence[Content], rows: Sequence[Markup], caption: str, classes: str = ""
) -> Markup:
    """A table within a frame that scrolls sideways, and takes the keyboard for this."""
    cells = [tag("th", each, scope="col") for each in head]
    inner = [tag("thead", tag("tr", cells)), tag("tbody", rows)]
    whole = tag(
        "table", tag("caption", tag("span", caption)), inner, class_=classes or None
    )
    return tag(
        "div", whole, class_="scroll", tabindex="0", role="region", aria_label=caption
    )


# -- optimizers ------------------------------------------------------------------------


def optimizers_table(answer: Answer, places: dict[str, int]) -> Markup | None:
    """A line for each optimizer, as `lrsearch best` has it."""
    rows = answer.by_optimizer
    if not rows:
        return None
    digits = value_digits(
        (each for row in rows for each in (row.best, row.median)), least=4
    )
    lines = []
    for row in rows:
        name, *cells = optimizer_cells(row, digits)
        head = tag("th", swatch(symbol(places[name], 0, 0)), name, scope="row")
        lines.append(tag("tr", head, [tag("td", each) for each in cells]))
    caption = "The optimizers, by their best single training; expected: without the luck in it"
    return table(OPTIMIZER_HEADS, lines, caption, "optimizers")


def shapes_table(study: StudyRecord, answer: Answer) -> Markup | None:
    """The best single value by optimizer and shape; darker is better."""
    best = best_by_shape(study, answer)
    if not best:
        return None
    order = sorted((value for value, _ in best.values()), key=study.direction.cost)
    names = list(
        dict.fromkeys(row.optimizer for row in answer.by_optimizer if row.complete)
    )
    shapes = list(
        dict.fromkeys(shape for _, shape in sorted(best, key=lambda key: key[1]))
    )
    digits = value_digits(order, least=4)
    rows = [
        tag("tr", tag("th", name, scope="row"),
            [_cell(best.get((name, shape)), order, digits)
             for shape in shapes])
        for name in names
    ]  # fmt: skip
    caption = f"The best {study.facts.objective} of one training, and of how many; darker is better"
    return table(["", *shapes], rows, caption, "shades")


def _cell(
    found: tuple[float, int] | None, order: Sequence[float], digits: int
) -> Markup:
    if found is None:
        return tag("td", "-", class_="none")
    value, trials = found
    shade = _SHADES - 1 - order.index(value) * _SHADES // len(order)
    return tag(
        "td",
        value_text(value, digits),
        tag("small", f" of {trials}"),
        class_=f"s{shade}",
    )


# -- trials ----------------------------------------------------------------------------


def trials_table(
    study: StudyRecord, records: Trials, answer: Answer, places: dict[str, int]
) -> Markup:
    """A line for each trial and retest, with its fold where there are folds; headings sort it."""
    shown = shown_trials(records, answer)
    digits = value_digits((each.value for each in shown), least=4)
    varying = varying_of(shown)
    head = [
        tag("button", name, type="button", data_sort=kind)
        for name, kind in (
            ("trial", "n"), *([("fold", "n")] if study.facts.folds else []),
            ("value", "n"), ("state", "t"), ("optimizer", "t"),
            ("peak rate", "n"), ("schedule, and what else", "t"), ("epochs", "n"), ("time", "n"),
        )
    ]  # fmt: skip
    rows = [
        _trial(each, study.facts.fold_of(each.repeat), answer, digits, varying, places)
        for each in shown
    ]
    left = len(records) - len(shown)
    caption = "Every trial and retest" if not left else (
        f"The best and the newest; {left:,} others: lrsearch trials"
    )  # fmt: skip
    return table(head, rows, caption, "trials")


def shown_trials(records: Trials, answer: Answer) -> list[TrialRecord]:
    """All, by value, then those without; of very many the best, the newest and the retests."""
    order = {each.id: place for place, each in enumerate(answer.ranked)}
    shown = list(records)
    if len(shown) > MOST:
        newest = sorted(shown, key=lambda each: each.id)[-MOST // 2 :]
        kept = {each.id for each in [*answer.ranked[: MOST // 2], *newest]}
        shown = [
            each for each in shown if each.id in kept or each.is_retest or each.is_yours
        ]
    return sorted(shown, key=lambda each: (order.get(each.id, len(order)), each.id))


def _trial(
    each: TrialRecord,
    fold: int | None,
    answer: Answer,
    digits: int,
    varying: frozenset[str],
    places: dict[str, int],
) -> Markup:
    setting, best = each.setting, answer.best
    cells: list[Markup] = [
        _sorted_cell(
            each.short_label, float(each.parent or 0) if each.is_retest else each.number
        ),
        *([] if fold is None else [_sorted_cell(str(fold), fold)]),
        _sorted_cell(value_text(each.value, digits), each.value),
        tag("td", each.state.value),
    ]
    if setting is None:
        cells.append(tag("td", "not sampled yet", colspan="3"))
    else:
        name = [swatch(symbol(places[setting.optimizer], 0, 0)), setting.optimizer]
        rate = _sorted_cell(rate_text(setting.learning_rate), setting.learning_rate)
        cells += [
            tag("td", name, class_="name"),
            rate,
            tag("td", run_text(setting, varying), class_="run"),
        ]
    seconds = duration_text(each.seconds) if each.ended else ""
    cells += [tag("td", str(each.epochs)), _sorted_cell(seconds, each.seconds)]
    is_best = best is not None and each.is_search and each.number == best.trial
    names = {"yours": each.is_yours and each.is_search, "best": is_best}
    classes = " ".join(name for name, given in names.items() if given)
    return tag("tr", cells, class_=classes or None)


def _sorted_cell(text: str, value: float | None) -> Markup:
    return tag("td", text, data_v=f"{value:.6g}" if value is not None else "")


# -- stopped ---------------------------------------------------------------------------


def list_stopped(study: StudyRecord, records: Trials) -> Content:
    """What did not run to its end and why: by state, equal reasons together."""
    bad = [each for each in records if each.state in _STOPPED]
    if not bad:
        return tag("p", "Nothing: every training that ended ran to its end.")
    groups = [[each for each in bad if each.state is state] for state in _STOPPED]
    return [_group(study, group) for group in groups if group]


def _group(study: StudyRecord, group: Trials) -> Content:
    state, epochs = group[0].state, study.facts.epochs
    reasons = {each.id: _reason(each, epochs) for each in group}
    common = Counter(reasons.values()).most_common(_MOST_REASONS)
    items = [
        tag("li", f"{reason or 'no reason was kept'} ({_who(reason, group, reasons)})")
        for reason, _ in common
    ]
    rates = [
        each.peak_rate
        for each in group
        if each.setting is not None and each.peak_rate > 0
    ]
    span = f", at peak rates {range_text((min(rates), max(rates)))}" if rates else ""
    title = f"{count_text(len(group), 'training')} {state.value}{span}"
    first = next((each for each in group if each.traceback_text.strip()), None)
    rule = _PRUNED_BY.get(study.plan.pruner) if state is TrialState.PRUNED else None
    return join([tag("h3", title), tag("p", rule) if rule else None, tag("ul", items),
                 _traceback(first)])  # fmt: skip


def _reason(each: TrialRecord, epochs: int) -> str:
    if each.state is TrialState.PRUNED:  # all have one rule, and no reason of their own
        return f"after epoch {each.epochs} of {epochs}"
    return (each.reason.strip().splitlines() or [""])[0][:200]


def _who(reason: str, group: Trials, reasons: Mapping[int, str]) -> str:
    mine = [each.short_label for each in group if reasons[each.id] == reason]
    more = f" and {len(mine) - 8} more" if len(mine) > 8 else ""  # noqa: PLR2004
    return f"trial{'s' * (len(mine) > 1)} {', '.join(mine[:8])}{more}"


def _traceback(each: TrialRecord | None) -> Markup | None:
    if each is None:
        return None
    text = tag("pre", each.traceback_text.strip()[-_LONGEST:])
    return tag("details", tag("summary", f"traceback of {each.label}"), text)
