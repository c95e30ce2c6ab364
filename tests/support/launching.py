"""Starting, attaching, retesting and planning with options by their names, as the command line has
them.
"""

from lrsearch import launch
from lrsearch.launch.options import split_options


def run_study(study_file, *, create_only=False, listen=lambda _event: None, **given):
    return launch.run_study(
        study_file, *split_options(given), create_only=create_only, listen=listen
    )


def attach(name, *, study_file=None, listen=lambda _event: None, **given):
    return launch.attach(name, *split_options(given), study_file=study_file, listen=listen)


def retest(name, wanted, *, listen=lambda _event: None, **given):
    return launch.retest(name, wanted, *split_options(given), listen=listen)


def plan_study(study_file, **given):
    return launch.plan_study(study_file, *split_options(given))
