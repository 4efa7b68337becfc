"""One thread for PyTorch where a test does not ask for more: its threads spin while they wait, and where the
machine is busy or has two cores that is most of the time of small tensors."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
