"""What optuna-dashboard's page of a study says beside its own: our figure, the verdict, a warning.

The figure is JSON as plotly reads it, made by hand: plotly itself takes a third of a
second to load. It holds at most 400 points, which is about 20 KB: every visitor's page
loads it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Final

from lrsearch.answer import Answer
from lrsearch.report.html.headline import verdict_sentence
from lrsearch.report.html.rates_figure import optimizer_places
from lrsearch.report.picture_parts import (
    best_and_newest,
    frame_of_rates,
    pad_frame,
    rated_trials,
)
from lrsearch.report.words import value_text
from lrsearch.values import Json, StudyRecord, TrialRecord, Trials, TrialState

if TYPE_CHECKING:
    from lrsearch.storage import Ledger, Mirror

MOST = 400  # points
LEAST_SECONDS = 60.0  # between two figures of a study
_GRAPH = "lrsearch-rates"  # the figure's identity in optuna-dashboard
_STAMP = "lrsearch:figure"  # when it was written
FLATTERED: Final = (
    "What this page calls the best value is that of one training, the luckiest of many. The "
    "verdict rests on retests on fresh seeds: see lrsearch best or lrsearch report."
)
# Okabe and Ito (2008), and symbols of plotly's in the same order as the report's
_COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#b5478c",
    "#8f6500",
    "#3a86c8",
    "#5b5b5b",
    "#6a3fa0",
)
_SYMBOLS = (
    "circle",
    "square",
    "triangle-up",
    "diamond",
    "pentagon",
    "cross",
    "triangle-down",
)


def show_in_optuna(
    ledger: Ledger,
    mirror: Mirror,
    study: StudyRecord,
    records: Trials,
    answer: Answer,
    *,
    last: bool = False,
) -> bool:
    """Write figure, verdict and warning into Optuna's study; returns whether they are there now.

    Under the mirror's lease, so that one process at a time does it, and at most once a
    minute unless it is the `last` time. Raises StorageUnavailable.
    """
    text = json.dumps(rates_json(study, records, answer), separators=(",", ":"))
    now, there = ledger.now(), False

    def renew(
        attrs: Mapping[str, Json], _numbers: Mapping[int, int]
    ) -> dict[str, Json]:
        nonlocal there
        rows = _rows(attrs, text)
        same = all(attrs.get(key) == value for key, value in rows.items())
        early = not last and now - float(attrs.get(_STAMP, 0.0)) < LEAST_SECONDS
        there = same or not early
        return {} if same or early else {**rows, _STAMP: now}

    def write() -> None:
        ledger.change_optuna_attrs(study.optuna_study_id, renew, says=_says(answer))

    return mirror.run_alone(study.id, write) and there


def _says(answer: Answer) -> dict[str, Json]:
    """Attributes that the page shows."""
    return {"verdict": verdict_sentence(answer), "beware": FLATTERED}


def _rows(attrs: Mapping[str, Json], text: str) -> dict[str, Json]:
    """The rows of a figure; further rows of a longer figure before it are emptied.

    Private names, read in optuna-dashboard 0.21.0: its public function takes a figure
    of plotly's, and a transaction for each row.
    """
    from optuna_dashboard._custom_plot_data import (
        SYSTEM_ATTR_PLOT_DATA,
        split_plot_data,
    )

    prefix = f"{SYSTEM_ATTR_PLOT_DATA}{_GRAPH}:"
    rows = dict(split_plot_data(text, prefix))
    longer = [key for key in attrs if key.startswith(prefix) and key not in rows]
    return {**rows, **dict.fromkeys(longer, "")}


# -- the figure ------------------------------------------------------------------------


def rates_json(study: StudyRecord, records: Trials, answer: Answer) -> dict[str, Json]:
    """Value against rate: a trace for each optimizer, what diverged, the retests, yours."""
    rated = best_and_newest(rated_trials(records), answer, MOST)
    low, high = pad_frame(frame_of_rates(study, records, answer))
    places = optimizer_places(records, answer)
    traces = [
        _trace(
            name,
            place,
            [each for each in rated if _optimizer(each) == name and each.has_value],
        )
        for name, place in places.items()
    ]
    worse = low if study.direction.better(1.0, 0.0) else high
    traces += [
        _edge(rated, state, worse) for state in (TrialState.DIVERGED, TrialState.PRUNED)
    ]
    found = [each for each in (*traces, _retests(answer)) if each["x"]]
    layout = _layout(study, answer, (low, high))
    return {"data": found, "layout": layout}


def _optimizer(each: TrialRecord) -> str:
    return each.setting.optimizer if each.setting else ""


def _trace(name: str, place: int, group: Trials) -> dict[str, Json]:
    marker = {
        "color": _COLOURS[place % len(_COLOURS)],
        "symbol": _SYMBOLS[place % len(_SYMBOLS)],
        "size": 8,
    }
    return _scatter(name, group, [_short(each.final_value) for each in group], marker)


def _edge(rated: Trials, state: TrialState, at: float) -> dict[str, Json]:
    group = [each for each in rated if each.state is state]
    sign = "x" if state is TrialState.DIVERGED else "line-ns-open"
    marker = {
        "color": "#d55e00" if sign == "x" else "#5b5b5b",
        "symbol": sign,
        "size": 8,
    }
    return _scatter(state.value, group, [_short(at)] * len(group), marker)


def _scatter(
    name: str, group: Trials, values: Sequence[float], marker: Mapping[str, Json]
) -> dict[str, Json]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [_short(each.peak_rate) for each in group],
        "y": list(values),
        "text": [each.label for each in group],
        "hovertemplate": "%{text}: %{y}<br>rate %{x}",
        "marker": dict(marker),
    }


def _retests(answer: Answer) -> dict[str, Json]:
    """The mean of each retested setting, with a bar from its lowest to its highest value."""
    shown = [
        (each, each.retest.values, each.retest.mean)
        for each in answer.retested
        if each.retest
        and each.retest.mean is not None
        and each.setting.learning_rate > 0
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "retests: mean and range",
        "x": [_short(each.setting.learning_rate) for each, _, _ in shown],
        "y": [_short(mean) for _, _, mean in shown],
        "text": [f"trial {each.trial}" for each, _, _ in shown],
        "hovertemplate": "%{text} on fresh seeds: %{y}",
        "marker": {"color": "#888888", "symbol": "line-ew-open", "size": 14},
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [_short(max(values) - mean) for _, values, mean in shown],
            "arrayminus": [_short(mean - min(values)) for _, values, mean in shown],
        },
    }


def _layout(
    study: StudyRecord, answer: Answer, ends: tuple[float, float]
) -> dict[str, Json]:
    yours = answer.yours.value if answer.yours else None
    name = study.facts.objective
    inside = yours is not None and ends[0] <= yours <= ends[1]
    where = "the dashed line" if inside else "outside"
    level = f"yours: {value_text(yours)}, {where}" if yours is not None else ""
    line = {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": yours,
        "y1": yours,
        "line": {"color": "#888888", "dash": "dash"},
    }
    return {
        # in two lines: the page's column is narrow, and its tools lie above
        "title": {
            "text": escape(f"{name} by peak learning rate")
            + f"<br>{escape(level)}" * bool(level),
            "font": {"size": 13},
            "y": 0.88,
        },
        "xaxis": {"type": "log", "title": {"text": "peak learning rate"}},
        "yaxis": {
            "range": [_short(each) for each in ends],
            "title": {"text": escape(name)},
        },
        "shapes": [line] if yours is not None else [],
        "height": 450,
        "legend": {"orientation": "h", "y": -0.4},
        "margin": {"l": 60, "r": 20, "t": 90},
    }


def _short(value: float) -> float:
    return float(f"{value:.4g}")
