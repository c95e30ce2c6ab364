"""Starting, attaching, retesting and planning with options by their names, as the
command line has them.
"""

from lrsearch.launch import attaching, estimating, retesting, run
from lrsearch.options import split_options


def run_study(study_file, *, create_only=False, listen=lambda _event: None, **given):
    return run.run_study(
        study_file, *split_options(given), create_only=create_only, listen=listen
    )


def attach(
    name, *, study_file=None, leave_by=None, listen=lambda _event: None, **given
):
    return attaching.attach(
        name,
        *split_options(given),
        study_file=study_file,
        leave_by=leave_by,
        listen=listen,
    )


def retest(name, wanted, *, listen=lambda _event: None, **given):
    return retesting.retest(name, wanted, *split_options(given), listen=listen)


def plan_study(study_file, **given):
    return estimating.plan_study(study_file, *split_options(given))
