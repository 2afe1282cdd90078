"""Triton's configuration of the click model, for repositories that have none yet."""

from typing import Final

TEMPLATE: Final = """\
# The click model. A row is one ad request: its candidates and its request vector.
name: "ctr_ranker"
backend: "python"
max_batch_size: 64

# Written by the registry: the versions that are in use.
version_policy: { specific: { versions: [1] } }

input [
  {
    # Ad rows of the snapshot, -1 where the request has no more. Rows of equal width are merged.
    name: "AD"
    data_type: TYPE_INT32
    dims: [ -1 ]
  },
  {
    # The request tower's vector, then its bias. The model version decides the width.
    name: "REQUEST"
    data_type: TYPE_FP32
    dims: [ -1 ]
  },
  {
    # The snapshot whose ad rows these are.
    name: "VERSION"
    data_type: TYPE_INT64
    dims: [ 1 ]
  }
]

output [
  {
    # Log-odds of a click before the slot's share; 0 where AD is -1.
    name: "LOGIT"
    data_type: TYPE_FP32
    dims: [ -1 ]
  }
]

# Where it runs: "cpu", "gpu" (then a start without one fails), or "auto": on a GPU if the model's
# Python finds one with torch and the Triton language, else on the CPU. The scores are the same.
parameters: { key: "device" value: { string_value: "auto" } }
# How the GPU's kernel is cut, as `bench/gpu.py` finds it best on a chip; empty: the usual.
parameters: { key: "tiling" value: { string_value: "" } }

# No waiting for company: whatever came while the last batch was computing forms the next one.
# No queue policy: with one that rejects what is late, a request that meets the last answer on its
# way out is overlooked for half a second (measured).
dynamic_batching {
  max_queue_delay_microseconds: 0
}

instance_group [
  {
    kind: KIND_CPU
    count: 1
  }
]
"""
