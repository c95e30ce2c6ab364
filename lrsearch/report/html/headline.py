"""The head of the report: the verdict in a sentence, how the study stands, what to beware of."""

from __future__ import annotations

from dataclasses import dataclass

from lrsearch.answer import Answer, Contender, Decision, evidence_text, verdict_text
from lrsearch.answer.words import count_text, lost_text, rate_text
from lrsearch.report.html.markup import Content, Markup, tag
from lrsearch.report.words import knob_texts, mean_text, schedule_text
from lrsearch.values import StudyRecord, Trials, TrialState


def verdict_sentence(answer: Answer) -> str:
    """Both sentences: what to do, and how sure that is."""
    return " ".join(filter(None, [headline(answer), sureness(answer)]))


def headline(answer: Answer) -> str:
    """What to train with, and what it reaches beside yours: one sentence."""
    best = answer.best
    if best is None:
        return _nothing(answer)
    setting, decision = best.setting, answer.verdict.decision
    rate = f"{setting.optimizer} at a peak learning rate of {rate_text(setting.learning_rate)}"
    reached = f"{schedule_text(setting)}: {answer.objective} {_values(best)}"
    if best.is_yours:
        open_yet = answer.verdict.gain is not None and decision is Decision.UNDECIDED
        keep = f"Keep your own compile{' for now' if open_yet else ''}"
        if not best.seeds and answer.counts.get(TrialState.RUNNING.value):
            keep = "Nothing has beaten your own compile yet"
        return f"{keep}, {rate}, {reached}; {_beside_yours(answer)}."
    result = f"{rate}, {reached}{_of_yours(answer)}."
    if not best.seeds:
        return f"The best so far, of one training, is {result}"
    if answer.verdict.gain is None or decision is Decision.BETTER:
        return f"Use {result}"
    if decision is Decision.AS_GOOD:
        return (
            f"Keep your own compile: it is as good as the best that was found, {result}"
        )
    return f"Undecided yet; the best so far is {result}"


def _of_yours(answer: Answer) -> str:
    yours = answer.yours
    if yours is None or yours.value is None:
        return "; yours has no value to compare with"
    return f", yours {_values(yours)}"


def sureness(answer: Answer) -> str:
    """How sure that is, and what would tell more; empty where nothing is best yet."""
    best, yours = answer.best, answer.yours
    if best is None:
        return ""
    if answer.verdict.gain is not None:
        return f"{verdict_text(answer.verdict)} {answer.next.text}"
    if yours is None or yours.value is None:
        return ""
    if not yours.seeds and yours.retest is not None and yours.retest.lost:
        return f"By how much is not known: of the retests of yours, {lost_text(yours.retest)}."
    if not best.seeds or not yours.seeds:
        return (
            "These are single trainings: the best of many is flattered by luck until it is "
            "retested."
        )
    return verdict_text(answer.verdict)


def _nothing(answer: Answer) -> str:
    ended = {state: number for state, number in answer.counts.items() if number}
    done = sum(ended.get(each.value, 0) for each in TrialState if each.terminal)
    if done and done == ended.get(TrialState.DIVERGED.value, 0):
        return f"No rate can be named: all {count_text(done, 'trial')} diverged."
    if done:
        return "No rate can be named: no trial ran to its end with a value."
    return "Nothing is known yet: no trial has ended."


def _values(each: Contender) -> str:
    """`0.102 +- 0.009 (3 seeds)`."""
    spread = (
        each.retest.spread if each.retest and each.retest.mean is not None else None
    )
    shown = "-" if each.value is None else mean_text(each.value, spread)
    return f"{shown} ({evidence_text(each.retest)})"


def _beside_yours(answer: Answer) -> str:
    tried = sum(row.trials for row in answer.by_optimizer)
    if any(each.seeds and not each.is_yours for each in answer.retested):
        return f"none of {count_text(tried, 'other setting')} beat it on fresh seeds"
    return f"the best single training of {count_text(tried + 1, 'trial')}, not retested"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stand:
    """How far a study is."""

    state: str
    done: int
    budget: int | None
    running: int
    retests_done: int
    retests: int

    @property
    def ended(self) -> bool:
        return self.state in {"finished", "broken"} and not self.running


def stand_of(study: StudyRecord, records: Trials) -> Stand:
    """How far the study with these records is."""
    search = [each for each in records if each.is_search]
    retests = [each for each in records if each.is_retest]
    return Stand(
        state=study.state.value,
        done=sum(each.ended for each in search),
        budget=study.trials,
        running=sum(each.state is TrialState.RUNNING for each in records),
        retests_done=sum(each.ended for each in retests),
        retests=len(retests),
    )


def stand_text(stand: Stand) -> str:
    """`open: 23 of 60 trials done, 2 running; 3 of 12 retests done`."""
    of = f" of {stand.budget:,}" if stand.budget else ""
    parts = [f"{stand.state}: {stand.done:,}{of} trials done"]
    parts[0] += f", {stand.running} running" if stand.running else ""
    if stand.retests:
        parts.append(
            f"{stand.retests_done} of {count_text(stand.retests, 'retest')} done"
        )
    return "; ".join(parts)


def progress_bar(stand: Stand) -> Markup | None:
    """Trials and retests done of all that are to be; None where time alone limits them."""
    if not stand.budget:
        return None
    done, whole = stand.done + stand.retests_done, stand.budget + stand.retests
    label = f"{done} of {whole} trainings"
    return tag(
        "progress", label, value=str(done), max=str(max(whole, 1)), aria_label=label
    )


def head(study: StudyRecord, records: Trials, answer: Answer) -> Content:
    """The title, the verdict, how the study stands, what to beware of."""
    stand = stand_of(study, records)
    reason = study.reason.strip().splitlines()
    notes = [tag("li", each) for each in answer.warnings]
    return [
        tag("p", "lrsearch report", class_="kind"),
        tag("h1", study.name),
        tag(
            "p", headline(answer), class_=f"verdict{'' if is_sure(answer) else ' open'}"
        ),
        tag("p", sureness(answer)) if answer.best else None,
        tag("p", _key(answer), class_="soft"),
        tag("p", stand_text(stand), class_=f"state {stand.state}"),
        None if stand.ended else progress_bar(stand),
        tag("p", reason[-1], class_="reason") if reason else None,
        tag("div", tag("h2", "Beware"), tag("ul", notes), class_="notes")
        if notes
        else None,
    ]


def is_sure(answer: Answer) -> bool:
    """Whether the verdict is settled: retests have told yours and the best apart, or equal."""
    retested = answer.best is not None and answer.best.seeds > 0
    return retested and answer.verdict.decision in {Decision.BETTER, Decision.AS_GOOD}


def _key(answer: Answer) -> str:
    """How the numbers of the verdict are read."""
    better = "higher" if answer.direction.better(1.0, 0.0) else "lower"
    parts = [f"{answer.objective}: {better} is better."]
    knobs = knob_texts(answer.best.setting) if answer.best else []
    ends = [each for each in knobs if each.startswith("to ")]
    parts += [f"The schedule ends at {each[3:]} of its peak." for each in ends]
    retest = answer.best.retest if answer.best else None
    if retest is not None and retest.spread is not None:
        over = "folds" if retest.folds else "seeds"
        parts.append(f"After \u00b1: the standard deviation over the {over}.")
    if answer.verdict.gain is not None:
        parts.append("After a gain: its 95 % interval.")
    return " ".join(parts)
