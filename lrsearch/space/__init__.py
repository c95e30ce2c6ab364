"""What a study searches: optimizers, schedule shapes, and the space over them."""

from lrsearch.space._keras_layers import output_layers
from lrsearch.space.axis import AXIS, RATE, rate_range, table_range, unit_rate
from lrsearch.space.build import (
    build_optimizer,
    build_schedule,
    keras_arguments,
    keras_class,
)
from lrsearch.space.calls import code_of, registered_names
from lrsearch.space.checks import check_batch_sizes
from lrsearch.space.dimensions import Dimension
from lrsearch.space.optimizers import OPTIMIZERS
from lrsearch.space.schedules import SHAPES, rate, rates, rise_of, warmup_steps
from lrsearch.space.search_space import SearchSpace
from lrsearch.space.suggestion import Suggestion

__all__ = [
    "AXIS",
    "OPTIMIZERS",
    "RATE",
    "SHAPES",
    "Dimension",
    "SearchSpace",
    "Suggestion",
    "build_optimizer",
    "build_schedule",
    "check_batch_sizes",
    "code_of",
    "keras_arguments",
    "keras_class",
    "output_layers",
    "rate",
    "rate_range",
    "rates",
    "registered_names",
    "rise_of",
    "table_range",
    "unit_rate",
    "warmup_steps",
]
