"""The worker around its engine needs no TensorFlow, which takes seconds to load: a stand-in trains
without it.
"""

import subprocess
import sys


def test_the_loop_and_its_desk_load_without_tensorflow():
    code = "import lrsearch.worker.loop, lrsearch.worker.opening, lrsearch.storage, sys; assert not {'keras', 'tensorflow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
