"""What Triton loads; the model's code is the program's, its data the snapshots'."""

from adserver.selection.backend import TritonPythonModel

__all__ = ["TritonPythonModel"]
