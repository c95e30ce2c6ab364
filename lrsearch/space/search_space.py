"""The search space: what a study tries, as a flat list of dimensions and as settings.

Knows nothing of Optuna and Keras. The sampler sees one learning-rate axis for all
optimizers and schedules (`lr_over_reference`, see `axis`); people see real peak rates.
Every knob is sampled in every trial and made canonical where it has no effect, so that
the distributions never change (docs/decisions.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from lrsearch.choices import SPACE
from lrsearch.errors import InvalidValue, UnknownName
from lrsearch.space.axis import AXIS, RATE, fold, rate_range, table_range, unit_rate
from lrsearch.space.checks import (
    check_batch_sizes,
    check_choices,
    check_fraction,
    check_hyper,
    check_names,
    check_rates,
)
from lrsearch.space.dimensions import (
    PUBLIC_AXIS,
    Dimension,
    Range,
    extra_dimension,
    extra_from_json,
    fixed_or,
    knob_dimension,
)
from lrsearch.space.optimizers import OPTIMIZERS, OptimizerSpec, find_optimizer
from lrsearch.space.schedules import SHAPES, find_shape
from lrsearch.space.suggestion import SuggestingTrial, Suggestion, ask
from lrsearch.values import Json, Setting

RESERVED = {
    "optimizer",
    "schedule",
    "learning_rate",
    RATE,
    "warmup",
    "final",
    "batch_size",
} | {name for shape in SHAPES.values() for name in shape.knobs}


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """What a study tries.

    optimizers: names of the optimizer table.
    schedules: names of the shape table.
    learning_rate: `(low, high)` peak rates, or a dict of such pairs by optimizer; by default each
        optimizer's usual range, which the sampler `auto` widens where the best lies near its end.
    warmup: fraction of the run that rises to the peak; a pair searches it, a number fixes it.
    final: the last rate as a fraction of the peak; likewise.
    batch_size: one or several; by default the definition's. Reference rates hold for the first.
    hyper: further hyperparameters by optimizer, such as
        `{"adamw": {"weight_decay": (1e-4, 1e-1)}}`; a number fixes one.
    extra: values for `build_model(params)`: a pair of floats is a range, a pair of ints a
        whole-number range, a list a choice of numbers, strings, booleans or None.
    """

    optimizers: Sequence[str] = (
        "sgd",
        "momentum",
        "adagrad",
        "rmsprop",
        "adam",
        "adamw",
    )
    schedules: Sequence[str] = ("constant", "linear", "cosine", "warmup_stable_decay")
    learning_rate: Range | Mapping[str, Range] | None = None
    warmup: float | Range = (0.0, 0.2)
    final: float | Range = (0.0, 0.1)
    batch_size: int | Sequence[int | None] | None = None
    hyper: Mapping[str, Mapping[str, float | Range]] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("optimizers", "schedules"):
            object.__setattr__(self, name, check_names(name, getattr(self, name)))
        for each in self.optimizers:
            find_optimizer(each)
        for each in self.schedules:
            find_shape(each)
        object.__setattr__(
            self, "learning_rate", check_rates(self.learning_rate, self.optimizers)
        )
        for name, limit in (("warmup", 0.9), ("final", 1.0)):
            object.__setattr__(
                self, name, check_fraction(name, getattr(self, name), limit)
            )
        object.__setattr__(self, "batch_size", check_batch_sizes(self.batch_size))
        check_hyper(self.hyper, self.optimizers)
        for name, value in self.extra.items():
            if not name.isidentifier() or name in RESERVED:
                raise InvalidValue(
                    "extra",
                    got=name,
                    allowed="an identifier that is no name of lrsearch's own",
                )
            check_choices(name, value)
            extra_dimension(name, value)

    @classmethod
    def fine_tuning(cls, **changes: Any) -> SearchSpace:
        """A space for pretrained models: adaptive optimizers, low rates, always a warm-up."""
        chosen = {
            "optimizers": ("adam", "adamw", "lion"),
            "schedules": ("linear", "cosine", "constant"),
            "learning_rate": {
                "adam": (1e-6, 1e-3),
                "adamw": (1e-6, 1e-3),
                "lion": (1e-7, 1e-4),
            },
            "warmup": (0.02, 0.2),
        }
        if "optimizers" in changes and "learning_rate" not in changes:
            chosen["learning_rate"] = _only(
                chosen["learning_rate"], changes["optimizers"]
            )
        return cls(**{**chosen, **changes})

    @property
    def batch_sizes(self) -> tuple[int | None, ...]:
        """The batch sizes to search; the first is the base that reference rates hold for."""
        return self.batch_size or (None,)  # type: ignore[return-value]

    def with_batch_sizes(self, sizes: Sequence[int | None]) -> SearchSpace:
        return replace(self, batch_size=tuple(sizes))

    def with_overrides(self, overrides: Mapping[str, Json]) -> SearchSpace:
        """This space with some fields replaced, as the command line's options of the same names do.

        Rates and hyperparameters of optimizers that are left out go with them.
        `fine_tuning` replaces the fields that the other overrides do not name.
        """
        for name in overrides:
            if name not in SPACE:
                raise UnknownName("option of the search space", got=name, known=SPACE)
        changes: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in overrides.items()
        }
        extra = {
            name: extra_from_json(value)
            for name, value in changes.get("extra", {}).items()
        }
        changes["extra"] = {**self.extra, **extra}
        if changes.pop("fine_tuning", False):
            return SearchSpace.fine_tuning(**{"batch_size": self.batch_size, **changes})
        if "optimizers" in changes:
            for name in ("learning_rate", "hyper"):
                changes.setdefault(
                    name, _only(getattr(self, name), changes["optimizers"])
                )
        return replace(self, **changes)

    def to_json(self) -> dict[str, Json]:
        return asdict(self)

    @property
    def asked_rates(self) -> dict[str, Range]:
        """The ranges of peak rates that were asked for, by optimizer."""
        given = self.learning_rate
        if given is None or isinstance(given, Mapping):
            return dict(given or {})
        return dict.fromkeys(self.optimizers, given)

    def unit_rate(self, setting: Setting) -> float:
        """The peak rate at 1 on the sampler's axis, for all of `setting` but its rate."""
        return unit_rate(setting, self.batch_sizes[0])

    def rates_for(
        self, setting: Setting, reach: Mapping[str, Range] | None = None
    ) -> Range:
        """The lowest and highest peak rate that may be tried, for all of `setting` but its rate.

        `reach` replaces the table's range on the axis, by optimizer, where no rates
        were asked for.
        """
        base = self.batch_sizes[0]
        return rate_range(setting, asked=self.asked_rates, base=base, reach=reach)

    def axis_range(
        self, setting: Setting, reach: Mapping[str, Range] | None = None
    ) -> Range:
        """`rates_for` the setting, on the axis."""
        name = setting.optimizer
        if name not in self.asked_rates and math.isinf(OPTIMIZERS[name].clamp):
            # the unit rate is slow to reckon
            return (reach or {}).get(name) or table_range(name)
        unit = self.unit_rate(setting)
        low, high = self.rates_for(setting, reach)
        return max(low / unit, AXIS[0]), min(high / unit, AXIS[1])

    def dimensions(self) -> tuple[Dimension, ...]:
        """The flat space as a sampler sees it."""
        return self._with_rate(RATE, AXIS)

    def public_dimensions(self) -> tuple[Dimension, ...]:
        """The space as people read it: the real learning rate in place of the relative one."""
        return self._with_rate("learning_rate", PUBLIC_AXIS)

    def _with_rate(self, name: str, axis: Range) -> tuple[Dimension, ...]:
        rate = Dimension(name=name, kind="float", low=axis[0], high=axis[1], log=True)
        return (*self._names(), rate, *self._knobs())

    def _names(self) -> tuple[Dimension, ...]:
        return (
            Dimension(
                name="optimizer", kind="categorical", choices=tuple(self.optimizers)
            ),
            Dimension(
                name="schedule", kind="categorical", choices=tuple(self.schedules)
            ),
        )

    def _knobs(self) -> tuple[Dimension, ...]:
        found: dict[str, Dimension] = {}
        for name, value in (("warmup", self.warmup), ("final", self.final)):
            if isinstance(value, tuple):
                found[name] = Dimension(
                    name=name, kind="float", low=value[0], high=value[1]
                )
        for schedule in self.schedules:
            for name, knob in SHAPES[schedule].knobs.items():
                found[name] = knob_dimension(name, knob, (knob.low, knob.high))
        for optimizer, knobs in self.hyper.items():
            for name, value in knobs.items():
                if not isinstance(value, int | float):
                    found[f"{optimizer}.{name}"] = knob_dimension(
                        f"{optimizer}.{name}", OPTIMIZERS[optimizer].hyper[name], value
                    )
        if len(self.batch_sizes) > 1:
            found["batch_size"] = Dimension(
                name="batch_size", kind="categorical", choices=self.batch_sizes
            )
        for name, value in self.extra.items():
            found[name] = extra_dimension(name, value)
        return tuple(found.values())

    def suggest(
        self, trial: SuggestingTrial, *, total_steps: int, batch_size: int | None = None
    ) -> Suggestion:
        """Ask any Optuna trial for a setting of this space, for a loop of any framework."""
        params = {each.name: ask(trial, each) for each in self.dimensions()}
        if batch_size is not None:
            params["batch_size"] = batch_size
        setting = self.setting_from(params)
        if hasattr(trial, "set_user_attr"):
            trial.set_user_attr("learning_rate", setting.learning_rate)
        return Suggestion(setting=setting, total_steps=total_steps)

    def setting_from(
        self, params: Mapping[str, Json], reach: Mapping[str, Range] | None = None
    ) -> Setting:
        """The setting of one point of `dimensions()`, without what has no effect.

        A rate outside `rates_for` the setting is folded into that range.
        """
        return self.setting_at(self.setting_without_rate(params), params[RATE], reach)

    def setting_at(
        self, setting: Setting, place: float, reach: Mapping[str, Range] | None = None
    ) -> Setting:
        """`setting` with the peak rate at `place` on the axis, folded into its range."""
        wanted = place * self.unit_rate(setting)
        return replace(
            setting, learning_rate=fold(wanted, *self.rates_for(setting, reach))
        )

    def setting_without_rate(self, params: Mapping[str, Json]) -> Setting:
        """The setting of one point of `dimensions()`, with 1 for its rate."""
        optimizer = params["optimizer"]
        return Setting(
            optimizer=optimizer,
            learning_rate=1.0,
            schedule=params["schedule"],
            batch_size=params.get("batch_size", self.batch_sizes[0]),
            shape=self._shape(params["schedule"], params),
            hyper=self._hyper(OPTIMIZERS[optimizer], params),
            extra={name: params[name] for name in self.extra},
        )

    def _shape(self, schedule: str, params: Mapping[str, Json]) -> dict[str, float]:
        shape = SHAPES[schedule]
        used = {
            "warmup": fixed_or(self.warmup, params.get("warmup")),
            "final": fixed_or(self.final, params.get("final")),
        }
        if schedule == "one_cycle":  # its rise is its warm-up
            del used["warmup"]
        if not shape.falls:
            del used["final"]
        return used | {
            name: params.get(name, knob.default) for name, knob in shape.knobs.items()
        }

    def _hyper(
        self, spec: OptimizerSpec, params: Mapping[str, Json]
    ) -> dict[str, float]:
        asked = self.hyper.get(spec.name, {})
        chosen = {name: knob.default for name, knob in spec.hyper.items()}
        for name, value in asked.items():
            chosen[name] = (
                value
                if isinstance(value, int | float)
                else params[f"{spec.name}.{name}"]
            )
        if "independent_weight_decay" in asked:
            chosen["weight_decay"] = 0.0  # the two would add up
        return chosen

    def params_of(self, setting: Setting) -> dict[str, Json]:
        """The point of `dimensions()` that `setting` came from.

        What has no effect there gets its canonical value. A rate that was asked for and
        lies beyond the axis stands at its end. Raises UnknownName where the setting's
        optimizer or schedule is none of ours.
        """
        find_optimizer(setting.optimizer), find_shape(setting.schedule)
        place = setting.learning_rate / self.unit_rate(setting)
        if setting.optimizer in self.asked_rates:
            place = min(max(place, AXIS[0]), AXIS[1])
        return self.params_at(setting, place)

    def params_at(self, setting: Setting, place: float) -> dict[str, Json]:
        """The point of `dimensions()` of `setting` with its rate at `place` on the axis."""
        return self._params(setting, RATE, place)

    def public_params(self, setting: Setting) -> dict[str, Json]:
        """The point that `setting` came from, as people read it: with its real rate."""
        return self._params(setting, "learning_rate", setting.learning_rate)

    def _params(self, setting: Setting, rate_name: str, rate: float) -> dict[str, Json]:
        known: dict[str, Json] = {
            "optimizer": setting.optimizer,
            "schedule": setting.schedule,
            rate_name: rate,
        }
        known |= {"batch_size": setting.batch_size, **setting.shape, **setting.extra}
        known |= {
            f"{setting.optimizer}.{name}": value
            for name, value in setting.hyper.items()
        }
        return {
            each.name: known.get(each.name, each.canonical())
            for each in (*self._names(), *self._knobs())
        } | {rate_name: rate}

    def references(self) -> tuple[Setting, ...]:
        """Each optimizer at its reference rate, on the study's plainest falling schedule.

        The rate is clipped into what was asked for. Linear decay to zero, or as near as
        was asked for, with a short warm-up is a hard default to beat (Li 2020; Bergsma
        2025).
        """
        preferred = ("linear", "cosine", "warmup_stable_decay", *self.schedules)
        schedule = next(name for name in preferred if name in self.schedules)
        batch = self.batch_sizes[0]
        return tuple(self._reference(name, schedule, batch) for name in self.optimizers)

    def _reference(self, name: str, schedule: str, batch: int | None) -> Setting:
        params: dict[str, Json] = {
            each.name: each.canonical() for each in self._knobs()
        }
        params |= {
            "optimizer": name,
            "schedule": schedule,
            "batch_size": batch,
            RATE: 1.0,
        }
        if isinstance(self.warmup, tuple):
            params["warmup"] = min(max(0.05, self.warmup[0]), self.warmup[1])
        if isinstance(self.final, tuple):
            params["final"] = self.final[0]
        setting = self.setting_from(params)
        low, high = self.rates_for(setting)
        return replace(
            setting, learning_rate=min(max(self.unit_rate(setting), low), high)
        )


def _only(given: Any, optimizers: Sequence[str]) -> Any:
    """A dict by optimizer without the others' entries; anything else as it is."""
    return (
        {name: each for name, each in given.items() if name in optimizers}
        if isinstance(given, Mapping)
        else given
    )


assert {each.name for each in fields(SearchSpace)} >= set(SPACE) - {"fine_tuning"}
