"""The report: one file that needs nothing else, says what the answer says, and runs no markup of a study."""

import math
import random
import re
import time
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from lrsearch.answer import summarise
from lrsearch.report.html.headline import stand_of, stand_text, verdict_sentence
from lrsearch.report.html.lines_figures import shown_curves
from lrsearch.report.html.marks import _OTHERS, _SYMBOLS
from lrsearch.report.html.markup import Markup, tag
from lrsearch.report.html.page import ReportPage, report_file
from lrsearch.report.html.rates_figure import rates_figure
from lrsearch.report.html.scales import Scale, rate_scale, value_scale
from lrsearch.report.html.sections import ReportData
from lrsearch.report.picture_parts import search_values
from lrsearch.values import CurvePoint, Direction, StudyState, TrialState

ORDER = [
    "rates",
    "retests",
    "schedules",
    "curves",
    "progress",
    "optimizers",
    "trials",
    "stopped",
    "cost",
    "reproduce",
]
EVIL = "</title></script><script>alert(1)</script><img src=x onerror=alert(2)>\"'`\x00\ud800"


class Page(HTMLParser):
    """What a browser would make of the text: elements, identities, attributes, words."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.ids, self.attributes, self.words = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, name, attributes):
        self.elements.append(name)
        self.attributes += attributes
        self.ids += [value for key, value in attributes if key == "id"]

    def handle_data(self, data):
        self.words += data


def curve(value=0.9, epochs=20):
    return [
        CurvePoint(
            epoch=each,
            step=45 * each,
            rate=1e-3,
            seconds=1.0,
            value=value - 1 / each,
            logs={},
        )
        for each in range(1, epochs + 1)
    ]


def data(study, records, curves=None):
    return ReportData(
        study=study,
        records=records,
        answer=summarise(study, records),
        curves=curves or {},
    )


def report(study, records, curves=None):
    return report_file(data(study, records, curves))


def test_the_sections_come_in_the_order_in_which_they_are_read(study, records, retests):
    everything = [
        *records,
        *retests(0, [0.94, 0.95, 0.96]),
        *retests(3, [0.96, 0.97, 0.98]),
    ]
    page = Page(report(study(), everything, {each.id: curve() for each in records}))
    assert [each for each in page.ids if each in ORDER] == ORDER
    assert page.words.index(
        "adam at a peak learning rate of 1.0e-3"
    ) < page.words.index("Which rate")


def test_the_file_loads_nothing_and_its_policy_lets_nothing_in(study, records):
    text = report(study(), records)
    [policy] = [
        value
        for key, value in Page(text).attributes
        if key == "content" and "src" in value
    ]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert text.count("<script") == text.count("<style") == 1
    links = {
        value
        for key, value in Page(text).attributes
        if key in {"href", "src", "srcdoc", "action"}
    }
    assert all(each.startswith("#") for each in links)
    assert not [
        key
        for key, _ in Page(text).attributes
        if key == "style" or key.startswith("on")
    ]


def test_markup_in_names_reasons_tracebacks_and_hyperparameters_stays_text(
    study, trial, records
):
    plain = report(study(), records)
    named = study()
    named = replace(
        named,
        reason=EVIL,
        plan=replace(
            named.plan,
            name=EVIL,
            study_file=EVIL,
            facts=replace(named.facts, objective=EVIL),
        ),
    )
    failed = trial(
        7, value=None, state=TrialState.FAILED, reason=EVIL, traceback_text=EVIL
    )
    setting = replace(records[3].setting, extra={EVIL: EVIL})
    odd = [*records[:3], replace(records[3], setting=setting), *records[4:], failed]
    text = report(named, odd, {records[3].id: curve()})
    text.encode("utf-8")
    page = Page(text)
    assert set(page.elements) <= {
        *Page(plain).elements,
        "details",
        "summary",
        "figure",
        "path",
    }
    assert page.elements.count("script") == 1
    assert "img" not in page.elements
    assert "<script>alert(1)" in page.words


def test_text_is_escaped_unless_it_is_markup_already():
    assert tag("p", "a < b & c", Markup("<b>")) == "<p>a &lt; b &amp; c<b></p>"
    assert tag("p", title='"<&') == '<p title="&quot;&lt;&amp;"></p>'
    assert tag("input", disabled=True, value=None, hidden=False) == "<input disabled>"


@pytest.mark.parametrize(
    ("retested", "said"),
    [
        ({}, "flattered by luck until it is retested"),
        ({}, "The best so far, of one training, is adam at a peak learning rate of 1.0e-3"),
        ({0: [0.95, 0.951, 0.949], 3: [0.97, 0.971, 0.969]}, "Better than yours: trial 3 gains"),
        ({0: [0.95, 0.951, 0.949], 3: [0.97, 0.971, 0.969]}, "Use adam at a peak learning rate"),
        ({0: [0.95, 0.99, 0.91], 3: [0.96, 0.99, 0.95]}, "Undecided yet; the best so far is"),
        ({0: [0.95, 0.99, 0.91], 3: [0.96, 0.99, 0.95]}, "Undecided: trial 3 gains"),
        ({0: [0.98, 0.981, 0.979], 3: [0.96, 0.97, 0.965]}, "Keep your own compile"),
    ],
)  # fmt: skip
def test_the_verdict_says_what_to_use_and_how_sure_that_is(
    study, records, retests, retested, said
):
    everything = [
        *records,
        *(
            each
            for parent, values in retested.items()
            for each in retests(parent, values)
        ),
    ]
    assert said in verdict_sentence(summarise(study(), everything))


def test_without_a_value_the_verdict_names_no_rate_and_the_page_still_says_why(
    study, trial
):
    diverged = [
        trial(each, value=None, reason="the loss became NaN") for each in range(3)
    ]
    assert (
        verdict_sentence(summarise(study(), diverged))
        == "No rate can be named: all 3 trials diverged."
    )
    page = Page(report(study(), diverged))
    assert "the loss became NaN" in page.words
    assert "rates" in page.ids
    assert "no trial has ended" in Page(report(study(), [])).words


def test_the_page_says_how_far_a_study_is(study, records):
    running = [
        *records,
        replace(records[3], id=90, number=7, state=TrialState.RUNNING, value=None),
    ]
    assert (
        stand_text(stand_of(study(), running)) == "open: 7 of 40 trials done, 1 running"
    )
    assert "progress" in Page(report(study(), running)).elements
    over = replace(study(), state=StudyState.FINISHED)
    assert "progress" not in Page(report(over, records)).elements


@pytest.mark.parametrize("state", list(StudyState))
def test_a_study_in_any_state_has_a_report(study, records, state):
    assert f"{state.value}: 7 of 40 trials done" in report(
        replace(study(), state=state), records
    )


def test_what_was_pruned_is_named_by_rule_and_epoch_and_its_value_widens_no_frame(
    study, trial
):
    pruned = [
        trial(each, rate=1e-1, value=-1e9, state=TrialState.PRUNED, epochs=each // 2)
        for each in (4, 5, 6)
    ]
    done = [trial(each, value=0.9 + each / 100) for each in range(4)]
    of_rule = study()
    of_rule = replace(of_rule, plan=replace(of_rule.plan, pruner="auto"))
    words = Page(report(of_rule, [*done, *pruned])).words
    assert (
        "Further behind than any full run that ended well made up from the same epoch on"
        in words
    )
    assert "after epoch 2 of 20 (trials 4, 5)" in words
    assert "after epoch 3 of 20 (trial 6)" in words
    assert search_values([*done, *pruned]) == [0.9, 0.91, 0.92, 0.93]
    everything = [*done, *pruned]
    figure = rates_figure(of_rule, everything, summarise(of_rule, everything))
    assert "0.92" in figure
    assert not re.search("-[0-9.]+e[+]0", figure), "no label near -1e9"


def test_yours_outside_the_frame_is_said_to_be_there_and_no_line_names_another_value(
    study, trial
):
    far = [
        trial(0, value=0.1),
        *(trial(each, value=0.9 + each / 1000) for each in range(1, 12)),
    ]
    figure = rates_figure(study(), far, summarise(study(), far))
    assert "yours: 0.1000, outside" in figure
    assert 'class="yours"' not in figure.split('class="legend')[0]
    near = [trial(0, value=0.9), *far[1:]]
    assert 'class="yours"' in rates_figure(study(), near, summarise(study(), near))


def test_no_mark_of_how_a_trial_ended_is_an_optimizers_symbol_in_another_colour():
    assert not {*_SYMBOLS} & {*_OTHERS.values()}
    assert all("z" in each for each in _SYMBOLS), "symbols are filled"
    assert not [each for each in _OTHERS.values() if "z" in each], (
        "the others are lines alone"
    )


def test_a_figure_whose_marks_say_something_is_one_stop_of_the_tab_key(study, records):
    everything = {each.id: curve() for each in records}
    figures = report(study(), records, everything).split("<section ")
    stops = {
        each.split('"')[1]: each.count('class="marks" tabindex="0"')
        for each in figures[1:]
    }
    assert {name for name, count in stops.items() if count} == {
        "rates",
        "curves",
        "progress",
    }
    assert max(stops.values()) == 1
    rates = next(each for each in figures if each.startswith('id="rates"'))
    assert rates.count("tabindex") == 1, "no point of the figure is a stop of its own"
    assert 'role="status"' in rates


def test_axes_of_counts_have_whole_numbers():
    for high in (1, 2, 3, 5, 8, 12, 25, 60, 120, 1000):
        ticks = Scale(
            low=0.0, high=float(high), start=0.0, end=700.0, whole=True
        ).ticks()
        assert len(ticks) >= 2
        assert all(value.is_integer() and label.isdigit() for value, label in ticks), (
            ticks
        )


def test_where_every_retest_of_yours_was_lost_the_report_does_not_speak_of_single_trainings(
    study, records, retests
):
    lost = [
        replace(each, value=None, state=TrialState.DIVERGED)
        for each in retests(0, [0.9] * 3)
    ]
    said = verdict_sentence(
        summarise(study(), [*records, *lost, *retests(3, [0.96, 0.97, 0.98])])
    )
    assert "of the retests of yours, 3 diverged" in said
    assert "single trainings" not in said


def test_curves_are_of_the_best_three_yours_and_two_failures(study, trial, records):
    bad = [
        trial(8, value=None, epochs=2), trial(9, value=None, epochs=7),
        trial(10, value=0.2, state=TrialState.PRUNED, epochs=3),
    ]  # fmt: skip
    shown = shown_curves([*records, *bad], summarise(study(), [*records, *bad]))
    assert [each.number for each in shown] == [3, 4, 6, 0, 9, 10]


def thousand(trial, count=1000):
    random.seed(0)
    made = []
    for number in range(count):
        rate = 10 ** random.uniform(-6, 0)
        value = (
            None
            if rate > 0.3
            else 1 - abs(math.log10(rate / 1e-3)) / 10 + random.gauss(0, 0.01)
        )
        optimizer = random.choice(
            ["adam", "sgd", "adamw", "lion", "rmsprop", "momentum"]
        )
        made.append(
            trial(
                number,
                optimizer,
                rate,
                value,
                epochs=20,
                seconds=3.0,
                finished_at=float(number),
            )
        )
    return made


def test_a_thousand_trials_make_a_file_below_its_limits(study, trial):
    many = thousand(trial)
    began = time.perf_counter()
    text = report(study(), many, {each.id: curve() for each in many})
    assert time.perf_counter() - began < 10
    assert len(text.encode()) < 1_500_000
    assert Page(text).elements.count("tr") > 1000


def test_of_very_many_trials_the_best_and_the_newest_are_shown_and_the_page_says_so(
    study, trial
):
    text = report(study(), thousand(trial, 5000))
    assert len(text.encode()) < 3_500_000
    assert "others: lrsearch trials" in text


@pytest.mark.parametrize("direction", list(Direction))
def test_values_outside_the_frame_and_stopped_trials_stand_at_its_worse_edge(
    study, trial, records, direction
):
    far = trial(9, value=-50.0 if direction is Direction.MAXIMIZE else 50.0)
    text = report(study(direction), [*records, far])
    assert 'href="#cross"' in text
    assert f'href="#{"down" if direction is Direction.MAXIMIZE else "up"}"' in text


def test_equal_constant_and_tiny_values_have_a_scale_too():
    for low, high in (
        (0.5, 0.5),
        (0.0, 0.0),
        (-3.0, -3.0),
        (1e-12, 1.1e-12),
        (1e-9, 1e9),
        (-1e30, 1e30),
    ):
        scale = value_scale(low, high, 300.0, 20.0)
        assert 20 <= scale.at(high) <= scale.at(low) <= 300
        ticks = scale.ticks(5)
        assert 1 <= len(ticks) <= 14
        assert len({label for _, label in ticks}) == len(ticks)


def test_a_single_rate_has_an_axis_with_numbers_on_both_sides():
    scale = rate_scale([1e-3], 0.0, 100.0)
    assert scale.at(1e-3) == pytest.approx(50)
    assert len(scale.ticks()) >= 2
    assert Scale(low=0.0, high=1.0, start=0.0, end=10.0).at(7.0) == 10.0


def test_a_notebook_shows_the_report_in_a_frame_that_reaches_nothing_of_the_notebook(
    study, records
):
    text = report(study(), records)
    frame = Page(ReportPage(text)._repr_html_())
    assert frame.elements == ["iframe"]
    given = dict(frame.attributes)
    assert given["srcdoc"] == text
    assert given["sandbox"] == "allow-scripts"


def test_the_band_of_rates_that_do_as_well_is_shaded_and_said(study, trial, retests):
    rates = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2]
    values = [0.5, 0.96, 0.97, 0.965, 0.6]
    records = [
        trial(0, value=0.7),
        *(
            trial(n, rate=r, value=v)
            for n, (r, v) in enumerate(zip(rates, values, strict=True), 1)
        ),
    ]
    found = summarise(study(), [*records, *retests(3, [0.97, 0.96])])
    assert found.band is not None
    text = report(study(), [*records, *retests(3, [0.97, 0.96])])
    assert 'class="band"' in text
    assert "adam does as well at 3.0e-4 to 3.0e-3" in text
