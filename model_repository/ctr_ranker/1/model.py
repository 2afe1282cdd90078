"""What Triton loads; the model's code is the program's, not the version's."""

from ranking.backend import TritonPythonModel

__all__ = ["TritonPythonModel"]
