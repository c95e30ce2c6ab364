"""Modules of others whose code runs when something of them is asked for."""

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from lrsearch.lazy import defer_modules


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a module and defers it; returns a file that each run of its code makes longer."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])

    def write(name, text):
        log = tmp_path / f"{name}.log"
        log.touch()
        note = f"with open({str(log)!r}, 'a') as file: file.write('x')\n"
        (tmp_path / f"{name}.py").write_text(note + text)
        monkeypatch.delitem(sys.modules, name, raising=False)
        defer_modules([name])
        return log

    return write


def test_it_runs_once_when_a_name_of_it_is_asked_for(write):
    log = write("deferred_a", "VALUE = 3")
    import deferred_a

    # What TensorFlow asks every module for, whenever it traces a function.
    assert deferred_a.__file__.endswith("deferred_a.py")
    assert log.read_text() == ""
    assert deferred_a.VALUE == deferred_a.VALUE == 3
    assert log.read_text() == "x"
    with pytest.raises(AttributeError, match="nothing"):
        _ = deferred_a.nothing


def test_a_name_that_is_imported_from_it_is_its_own(write):
    write("deferred_b", "def answer(): return __name__")
    from deferred_b import answer

    assert answer() == "deferred_b"


def test_what_its_code_raises_is_raised_whenever_it_is_asked(write):
    write("deferred_c", "raise ImportError('scikit-learn is broken')")
    import deferred_c

    for _ in range(2):
        with pytest.raises(ImportError, match="broken"):
            _ = deferred_c.VALUE


def test_threads_that_ask_at_once_all_get_the_name(write):
    log = write("deferred_d", "import time\ntime.sleep(0.1)\nVALUE = 3")
    import deferred_d

    with ThreadPoolExecutor() as pool:
        assert list(pool.map(lambda _: deferred_d.VALUE, range(4))) == [3] * 4
    assert log.read_text() == "x"
