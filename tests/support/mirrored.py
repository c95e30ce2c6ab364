"""Trains one study on one device and on two logical CPUs under MirroredStrategy; prints
what came of both as JSON.
"""

import json
import sys

import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)

from engine_world import World, spec  # noqa: E402
from plain_keras import X, Y, dense, inspected, split, study  # noqa: E402

from lrsearch.engine import create_engine, inspect_study  # noqa: E402
from lrsearch.errors import InvalidValue  # noqa: E402


def under(strategy):
    def build_model():
        with strategy.scope():
            return dense()()

    return build_model


def outcomes(engine, *, resume, **changes):
    loaded, facts = inspected(study(load_data=split(X, Y), **changes))
    world, made = World(spec(1), keep=True), create_engine(engine, loaded)
    found = world.run(made) + World(spec(2, yours=True)).run(made)
    again = World(*[spec(1, attempt=2, resume=world.snapshots[0])] * resume).run(made)
    return {
        "rate": facts.yours.learning_rate,
        "ends": {
            each.trial_id: [
                each.status,
                each.engine,
                dict(each.logs),
                list(each.notes),
                each.traceback_text,
            ]
            for each in found
        },
        "resumed": [
            [each.status, dict(each.logs), each.traceback_text] for each in again
        ],
    }


def refused(strategy):
    try:
        inspect_study(study(build_model=under(strategy)))
    except InvalidValue as error:
        return str(error)
    return ""


mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
json.dump(
    {
        "two": outcomes("vectorized", resume=True, build_model=under(mirrored)),
        "one": outcomes("graph", resume=False),
        "refused": refused(tf.distribute.OneDeviceStrategy("CPU:0")),
    },
    sys.stdout,
)
