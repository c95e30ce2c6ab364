"""The worker around its engine needs no TensorFlow, which takes seconds to load: a stand-in trains
without it.
"""

import subprocess
import sys


def test_the_session_loads_without_tensorflow():
    code = (
        "import lrsearch.worker.session, sys; assert not {'keras', 'tensorflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
