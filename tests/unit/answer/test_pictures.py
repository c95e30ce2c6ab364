"""The pictures: nothing cut off, yours in each, and regions that end where the table says."""

from dataclasses import replace

import numpy as np
import pytest

from lrsearch.answer import summarise
from lrsearch.errors import InvalidValue
from lrsearch.report.curves_picture import curves_figure
from lrsearch.report.pictures import write_plots
from lrsearch.report.progress_picture import progress_figure
from lrsearch.report.rates_picture import rates_figure
from lrsearch.report.schedules_picture import schedules_figure
from lrsearch.report.shapes_picture import shapes_figure
from lrsearch.values import CurvePoint, TrialState

LONG = "val_a_metric_whose_name_is_longer_than_the_axis_that_it_stands_beside_is_high"


def changed(study, *, name="digits", **facts):
    plan = study.plan
    return replace(
        study, plan=replace(plan, name=name, facts=replace(plan.facts, **facts))
    )


def schedules_of(study, records, curves=None):
    return schedules_figure(study, records, curves or {}, summarise(study, records))


def yours_line(figure):
    [line] = [
        each for each in figure.axes[0].get_lines() if "yours" in each.get_label()
    ]
    return line


def curve_of(rates, value=0.9):
    return [
        CurvePoint(
            epoch=place, step=45 * place, rate=rate, seconds=1.0, value=value, logs={}
        )
        for place, rate in enumerate(rates, start=1)
    ]


def spans(panel):
    return {
        each.get_label(): each.get_extents().transformed(panel.transData.inverted())
        for each in panel.patches
    }


def test_the_shaded_regions_end_at_the_rates_of_the_table(study, records):
    figure = rates_figure(study(), records, summarise(study(), records))
    adam, sgd = figure.axes
    assert set(spans(adam)) == {"crawls", "diverges", "as good as the best"}
    assert spans(adam)["crawls"].x1 == pytest.approx(1e-5)
    assert spans(adam)["diverges"].x0 == pytest.approx(1e-1)
    assert adam.texts[0].get_text().replace("\n", " ") == (
        "crawls up to 1.0e-5, as good at 1.0e-3 to 3.0e-3, diverges from 1.0e-1"
    )
    assert not sgd.patches
    assert sgd.get_title(loc="left") == "sgd"


def test_no_region_covers_a_good_rate_that_is_near_its_end(study, trial):
    near = [
        trial(0, value=0.9),
        trial(1, "adam", 1e-3, 0.5, logs={"loss": 2.0}),
        trial(2, "adam", 1.05e-3, 0.97, logs={"loss": 0.1}),
        trial(3, "adam", 1.1e-3),
    ]
    answer = summarise(study(), near)
    [panel] = rates_figure(study(), near, answer).axes
    low, high = answer.by_optimizer[0].good_rates
    assert spans(panel)["crawls"].x1 < low
    assert high < spans(panel)["diverges"].x0


@pytest.mark.parametrize(
    "name",
    [
        "digits",
        "a study whose name alone is longer than a narrow picture is wide, " * 3,
    ],
)
def test_no_text_of_a_picture_is_cut_off(study, records, trial, name):
    shape = {"warmup": 0.123, "final": 0.0456, "decay_start": 0.789}
    wordy = [
        replace(
            each,
            setting=replace(
                each.setting,
                optimizer="schedule_free_adamw",
                schedule="warmup_stable_decay",
                shape=shape,
            ),
        )
        for each in records
    ]
    odd = changed(study(), name=name, objective=LONG)
    answer = summarise(odd, wordy)
    curves = {each.id: curve_of([1e-3]) for each in wordy}
    for figure in (
        rates_figure(odd, wordy, answer),
        schedules_figure(odd, wordy, curves, answer),
        curves_figure(odd, wordy, curves, answer),
    ):
        figure.draw_without_rendering()
        shown = [
            figure._suptitle,
            *figure.legends,
            *(text for axes in figure.axes for text in (axes.yaxis.label, *axes.texts)),
        ]
        boxes = [each.get_window_extent() for each in shown]
        assert all(
            figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes
        )
        assert all(
            figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1 for box in boxes
        )
        top = max(axes.get_tightbbox().y1 for axes in figure.axes)
        assert top <= figure._suptitle.get_window_extent().y0, (
            "the title lies on a panel"
        )


def test_no_panel_has_a_legend_on_its_trials_and_one_names_what_all_of_them_show(
    study, records
):
    figure = rates_figure(study(), records, summarise(study(), records))
    assert all(panel.get_legend() is None for panel in figure.axes)
    [legend] = figure.legends
    shown = [each.get_text() for each in legend.get_texts()]
    assert shown == [
        "trial", "worse than shown", "diverged", "best", "yours", "as good as the best", "crawls", "diverges"
    ]  # fmt: skip


def test_retests_are_bars_and_yours_outside_the_frame_is_no_line(
    study, records, retests
):
    tested = [
        *records,
        *retests(3, [0.96, 0.97, 0.98]),
        *retests(0, [-5.1, -5.0, -4.9]),
    ]
    figure = rates_figure(study(), tested, summarise(study(), tested))
    [legend] = figure.legends
    shown = [each.get_text() for each in legend.get_texts()]
    assert "retests, with mean" in shown
    [yours] = [each for each in shown if each.startswith("yours")]
    assert yours.startswith("yours (-5.0")
    assert yours.endswith(", outside)")
    adam = next(each for each in figure.axes if each.get_title(loc="left") == "adam")
    ends = [segment for bar in adam.containers for segment in bar[2][0].get_segments()]
    assert {0.96, 0.98} <= {round(float(y), 3) for end in ends for _, y in end}
    assert not [each for each in adam.get_lines() if each.get_linestyle() == "--"]


def test_where_every_trial_diverged_no_axis_shows_a_made_up_number(study, trial):
    wild = [trial(0), trial(1, "sgd", 1.0), trial(2, "sgd", 2.0)]
    answer = summarise(study(), wild)
    assert not rates_figure(study(), wild, answer).axes[0].get_yticks().size
    curves = curves_figure(study(), wild, {}, answer)
    assert not curves.axes[0].get_yticks().size
    assert "(diverged)" in yours_line(curves).get_label()


def test_a_pruned_trial_is_in_the_picture_of_rates(study, records, trial):
    more = [*records, trial(7, "sgd", 2e-1, state=TrialState.PRUNED)]
    [legend] = rates_figure(study(), more, summarise(study(), more)).legends
    assert "pruned" in [each.get_text() for each in legend.get_texts()]


def test_yours_is_among_the_schedules_as_its_own_optimizer_has_it(study, records):
    rates = (1e-3, 5e-4, 0.0)
    line = yours_line(schedules_of(changed(study(), yours_rates=rates), records))
    assert list(line.get_xdata()) == [0, 0.5, 1]
    assert list(line.get_ydata()) == [1, 0.5, 0]


def test_a_callback_that_sets_yours_rate_is_seen_in_what_was_recorded(study, records):
    halved = [1e-3 * 0.5**epoch for epoch in range(20)]
    curves = {records[0].id: curve_of(halved)}
    line = yours_line(
        schedules_of(changed(study(), yours_rates=(1e-3,)), records, curves)
    )
    assert list(line.get_ydata()) == pytest.approx([0.5**epoch for epoch in range(20)])
    assert "rates at epochs' ends" in line.get_label()


def test_a_schedule_that_was_followed_is_drawn_whole(study, records):
    falling = tuple(np.linspace(1e-3, 0, 200))
    curves = {
        records[0].id: curve_of([1e-3 * (1 - epoch / 20) for epoch in range(1, 21)])
    }
    line = yours_line(
        schedules_of(changed(study(), yours_rates=falling), records, curves)
    )
    assert len(line.get_xdata()) == 200


def test_a_study_of_0_1_0_shows_yours_by_its_epochs_a_constant_one_whole_and_an_unknown_one_in_words(
    study, records
):
    constant = yours_line(schedules_of(study(), records))
    assert list(constant.get_ydata()) == [1, 1]
    cosine = changed(
        study(), yours=replace(study().plan.facts.yours, schedule="cosine")
    )
    curves = {records[0].id: curve_of([1e-3, 5e-4])}
    assert list(yours_line(schedules_of(cosine, records, curves)).get_xdata()) == [
        0.05,
        0.1,
    ]
    unknown = yours_line(schedules_of(cosine, records))
    assert "not known" in unknown.get_label()
    assert not len(unknown.get_xdata())


def test_a_notebook_shows_the_picture(study, records):
    figure = rates_figure(study(), records, summarise(study(), records))
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_a_dollar_in_a_name_is_no_formula_in_a_picture(study, records):
    odd = changed(study(), name="$_$ a^$", objective="$^$")
    assert rates_figure(odd, records, summarise(odd, records))._repr_png_()


def test_the_pictures_of_the_best_trials_begin_with_the_answers_best(
    study, records, retests
):
    tested = [*records, *retests(3, [None]), *retests(6, [0.9])]
    assert (
        schedules_of(study(), tested)
        .axes[0]
        .get_lines()[0]
        .get_label()
        .startswith("best, trial 6: sgd")
    )


def test_two_equal_schedules_can_both_be_seen(study, records):
    first, second = schedules_of(study(), records).axes[0].get_lines()[:2]
    assert first.get_ydata() == pytest.approx(second.get_ydata())
    assert first.get_linewidth() > second.get_linewidth()
    assert first.get_color() != second.get_color()


def test_the_best_after_k_trials_falls_where_a_trial_improved_it(study, trial):
    values = [0.5, 0.7, 0.6, None, 0.9]
    records = [
        trial(number, value=value, finished_at=float(number))
        for number, value in enumerate(values)
    ]
    [panel] = progress_figure(study(), records, summarise(study(), records)).axes
    best = panel.get_lines()[0]
    assert list(best.get_xdata()) == [1, 2, 5, 5]
    assert list(best.get_ydata()) == [0.5, 0.7, 0.9, 0.9]


def test_shapes_have_a_cell_for_each_pair_that_was_tried(study, records):
    [panel] = shapes_figure(study(), summarise(study(), records)).axes
    texts = {each.get_text() for each in panel.texts}
    assert texts == {"0.9700  (4)", "0.9000  (1)"}


def test_a_study_without_values_has_neither_and_its_other_pictures_are_written(
    study, trial, tmp_path
):
    records = [trial(number) for number in range(3)]
    answer = summarise(study(), records)
    with pytest.raises(InvalidValue, match="plot"):
        progress_figure(study(), records, answer)
    with pytest.raises(InvalidValue, match="plot"):
        shapes_figure(study(), answer)
    written = write_plots(study(), records, {}, answer, folder=tmp_path)
    assert {each.stem for each in written} == {"rates", "schedules", "curves"}


def test_an_svg_is_the_same_every_time_it_is_drawn(study, records, tmp_path):
    answer = summarise(study(), records)
    first, second = (
        write_plots(study(), records, {}, answer, folder=tmp_path / name)
        for name in "ab"
    )
    assert [each.read_bytes() for each in first] == [
        each.read_bytes() for each in second
    ]
