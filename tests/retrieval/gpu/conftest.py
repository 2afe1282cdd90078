"""Kernels are interpreted: what they compute is tested, not how fast."""

import os

os.environ.setdefault("TRITON_INTERPRET", "1")
