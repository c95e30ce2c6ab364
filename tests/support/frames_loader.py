"""A loader for a worker process that notes which frames of lrsearch lie between its
`main` and the SQL of its first claim, and then ends the process.

The deepest statement's frames go to the file "frames.json" beside the study file.
"""

import json
import os
import traceback
from pathlib import Path

import lrsearch
from lrsearch.worker.loading import KerasLoader

HOME = Path(lrsearch.__file__).parent


class FramesLoader(KerasLoader):
    def open(self, study):
        from lrsearch.engine import create_engine, open_study

        _note_frames(Path(self._config.study_file).with_name("frames.json"))
        definition = self._definition()
        loaded = open_study(definition, facts=study.plan.facts)
        return definition.effective_space(), create_engine("auto", loaded)


def _note_frames(path):
    from sqlalchemy import Engine, event

    deepest = []

    @event.listens_for(Engine, "before_cursor_execute")
    def note(*_):
        nonlocal deepest
        frames = list(_frames())
        if any(
            place.startswith("storage/") and name == "claim" for place, name in frames
        ):
            deepest = max(deepest, frames, key=len)
        elif deepest:  # the claim is over
            path.write_text(json.dumps(deepest))
            os._exit(0)


def _frames():
    """The frames of lrsearch from `main` on, as (file below lrsearch, function)."""
    found = [
        (Path(each.filename).relative_to(HOME).as_posix(), each.name)
        for each in traceback.extract_stack()
        if Path(each.filename).is_relative_to(HOME)
    ]
    names = [name for _, name in found]
    return found[names.index("main") :] if "main" in names else found


loader = FramesLoader
