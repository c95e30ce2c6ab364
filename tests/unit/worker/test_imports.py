"""TensorFlow takes four seconds to import: only what trains with it loads it."""

import subprocess
import sys

PARTS = (
    "lrsearch.launch, lrsearch.worker.process, lrsearch.worker.opening, lrsearch.worker.loop, lrsearch.sampling, lrsearch.storage"
)


def test_parent_and_worker_load_without_tensorflow():
    code = f"import {PARTS}, sys; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
