"""What a split's arrays are called, and what an error says of data that cannot be trained on."""

import numpy as np
import pandas as pd
import pytest

from lrsearch.engine.data import check_split
from lrsearch.errors import InvalidValue

pytestmark = pytest.mark.tensorflow
AGES, CITIES = pd.Series([31.0, 42.0]), pd.Series(["Rome", "Oslo"])
TARGET = np.array([0, 1])


def refused(x):
    with pytest.raises(InvalidValue) as caught:
        check_split("train", (x, TARGET))
    return str(caught.value)


def test_a_column_is_called_by_its_name():
    columns = {"age": pd.Series([31.0, np.nan]), "place": {"city": CITIES}}
    assert list(check_split("train", (columns, TARGET)).bad) == [
        "x['age'] of the train split"
    ]
    columns["place"] = {"city": pd.Series(["Rome", None])}
    assert refused(columns).startswith("x['place']['city'] of the train split must be")


@pytest.mark.parametrize("none", [None, np.nan, pd.NA])
def test_missing_texts_are_counted_and_the_fix_fills_them(none):
    cities = pd.Series(["Rome", none, none], dtype=object)
    with pytest.raises(InvalidValue) as caught:
        check_split("train", (cities, np.arange(3)))
    assert "strings, 2 of 3 missing" in str(caught.value)
    assert "fillna('missing')" in str(caught.value)
    check_split("train", (cities.fillna("missing"), np.arange(3)))


def test_a_table_of_texts_and_numbers_is_asked_for_by_columns():
    table = pd.DataFrame({"age": AGES, "city": CITIES})
    assert "dict(table)" in refused(table)
    check_split("train", (dict(table), TARGET))


def test_a_type_of_pandas_is_named_and_the_fix_converts_it():
    ages = AGES.astype("Float64").where(AGES > 40)
    assert "an array of Float64" in refused(ages)
    check_split("train", (ages.astype("float32"), TARGET))


def test_a_date_is_asked_for_as_a_number():
    assert "days since a date" in refused(pd.to_datetime(["2020-01-01", "2020-01-02"]))


def test_a_list_of_numbers_is_asked_for_as_an_array():
    assert "numpy.array" in refused([1.0, 2.0])


def test_texts_beside_numbers_are_all_tensors_for_a_model_that_is_called():
    split = check_split("train", ({"age": AGES, "city": CITIES}, TARGET))
    inputs, targets = split.for_keras()
    kinds = {type(each).__name__ for each in (*inputs.values(), targets)}
    assert kinds == {"EagerTensor"}
