"""A tabular regression: scikit-learn's 442 patients, of whom 120 validate; noisy, and overfitted."""

import keras
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split
from wide import WIDE

from lrsearch import StudyDefinition


def load_data():
    x, y = load_diabetes(return_X_y=True)
    x = (x / x.std(axis=0)).astype("float32")
    y = ((y - y.mean()) / y.std()).astype("float32")
    x, x_val, y, y_val = train_test_split(x, y, test_size=120, random_state=0)
    return (x, y), (x_val, y_val)


def build_model():
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((10,)),
            layers.Dense(64, "relu"),
            layers.Dense(64, "relu"),
            layers.Dense(1),
        ]
    )
    model.compile("adam", "mse")
    return model


definition = StudyDefinition(objective="val_loss", epochs=20, batch_size=16, space=WIDE)
