"""What plain Keras makes of a study's model, data and setting: `model.fit`, and nothing of the engines."""

import keras
from keras import tree

from lrsearch.space import build_optimizer


def plain_fit(study, spec, *, callbacks=(), adapt=lambda split: split):
    """The history of one `fit` under the trial's seed; yours keeps its own optimizer. The study must not shuffle.

    `adapt` changes what `load_data` returned for forms that Keras refuses.
    """
    assert not study.shuffle
    train, validation = (adapt(each) for each in study.read_data(spec.setting.batch_size)[:2])
    keras.utils.set_random_seed(spec.seed)
    model = study.make_model(spec.setting.extra)
    if not spec.yours:
        examples = len(tree.flatten(train)[0])
        total = study.epochs * -(-examples // spec.setting.batch_size)
        model.optimizer = build_optimizer(spec.setting, total, 1, carried={}, model=model)
    x, y, weight = (*train, None)[:3]
    options = {"batch_size": spec.setting.batch_size, "epochs": study.epochs, "shuffle": False, "verbose": 0}
    fitted = model.fit(x, y, sample_weight=weight, validation_data=validation, callbacks=list(callbacks), **options)
    return model, {name: [float(each) for each in values] for name, values in fitted.history.items()}


def last_of(history):
    return {name: values[-1] for name, values in history.items()}
