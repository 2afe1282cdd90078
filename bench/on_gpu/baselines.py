"""What the fused kernel is measured against: the same scores by other means on the same device."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import torch

from bench.on_gpu.machine import Line, line, seconds_each, unmeasured
from bench.on_gpu.ranked import RELEASED, FloatNet, IntNet, owners
from ranking.gpu.onnx_file import constants
from ranking.gpu.resident import Ads, Constants
from ranking.scorer import Pairs

FIGURE: Final = "candidates per second, baseline"
HONEST: Final = "FP16, CUDA graph"
Network = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Inputs:
    """Pairs as tensors on the device."""

    owner: torch.Tensor
    ad: torch.Tensor
    vector: torch.Tensor

    @classmethod
    def of(cls, pairs: Pairs, device: torch.device) -> Inputs:
        vector = np.column_stack((pairs.vector, pairs.bias)).astype(np.float32)
        arrays = (owners(pairs), pairs.ad.astype(np.int64), vector)
        return cls(*(torch.from_numpy(one).to(device) for one in arrays))


def baselines(
    model: Constants, ads: Ads, inputs: list[Inputs], fused: float, until: float
) -> Iterator[Line]:
    """Each one's candidates a second; of the honest one, how many times as fast the kernel is.

    `fused` is the kernel's rate on batches of the same size.
    """
    fp32, fp16 = (FloatNet(model, ads, dtype) for dtype in (torch.float32, torch.float16))
    works: dict[str, Callable[[], Network | None]] = {
        "FP32 eager": lambda: fp32,
        "FP16 eager": lambda: fp16,
        HONEST: lambda: None,
        "torch._int_mm, CUDA graph": lambda: None,
        "FP32, torch.compile": lambda: _compiled(fp32, "default"),
        "FP16, torch.compile, CUDA graph": lambda: _compiled(fp16, "reduce-overhead"),
    }
    graphs: dict[str, Network] = {HONEST: fp16, "torch._int_mm, CUDA graph": IntNet(model, ads)}
    for name, made in works.items():
        if time.monotonic() > until:
            yield unmeasured(FIGURE, "1/s", "no time was left", baseline=name)
            continue
        try:
            network = made()
            run = _eager(network, inputs) if network else _graph(graphs[name], inputs)
            took = float(np.mean(seconds_each(run)))
        except (RuntimeError, ImportError) as error:
            yield unmeasured(FIGURE, "1/s", f"{type(error).__name__}: {error}"[:300], baseline=name)
            continue
        rate = len(inputs[0].ad) / took
        yield line(FIGURE, rate, "1/s", baseline=name, device_us=took * 1e6)
        if name == HONEST:
            yield line("candidates per second over FP16 with CUDA graph", fused / rate, "1")
    yield from _onnxruntime(len(inputs[0].ad))


def _compiled(network: Network, mode: str) -> Network:
    compiled: Network = torch.compile(network, mode=mode)
    return compiled


def _eager(network: Network, inputs: list[Inputs]) -> list[Callable[[], object]]:
    return [partial(network, one.owner, one.ad, one.vector) for one in inputs]


def _graph(network: Network, inputs: list[Inputs]) -> list[Callable[[], object]]:
    """A graph for each set of inputs, so that the cache holds none of them."""
    replays: list[Callable[[], object]] = []
    for work in _eager(network, inputs):
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        with torch.cuda.stream(side):
            work()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            work()
        replays.append(graph.replay)
    return replays


def _onnxruntime(rows: int) -> Iterator[Line]:
    """The network behind the first layer alone, which is less than the kernel does."""
    providers = (
        ("CUDAExecutionProvider", "ctr_ranker_fp32.onnx"),
        ("TensorrtExecutionProvider", "ctr_ranker_s8s8.onnx"),
    )
    for provider, graph in providers:
        about: dict[str, Any] = {"baseline": f"ONNX Runtime {provider}", "graph": graph}
        try:
            import onnxruntime as ort  # noqa: PLC0415 - need not be installed
        except ImportError as error:
            yield unmeasured(FIGURE, "1/s", str(error), **about)
            continue
        if provider not in ort.get_available_providers():
            yield unmeasured(FIGURE, "1/s", "this package has no such provider", **about)
            continue
        options = {"trt_int8_enable": True, "trt_fp16_enable": True}
        chosen = (provider, options if provider.startswith("Tensorrt") else {})
        session = ort.InferenceSession(RELEASED / graph, providers=[chosen])
        took = _bound_s(ort, session, rows)
        yield line(FIGURE, rows / took, "1/s", device_us=took * 1e6, **about)


def _bound_s(ort: Any, session: Any, rows: int) -> float:
    """Median time of a run whose input and output stay on the device."""
    hidden = len(constants((RELEASED / "ctr_ranker_fp32.onnx").read_bytes())["second.weight"])
    x = np.random.default_rng(2).random((rows, hidden), np.float32)
    binding = session.io_binding()
    binding.bind_ortvalue_input("hidden", ort.OrtValue.ortvalue_from_numpy(x, "cuda", 0))
    binding.bind_output("logit", "cuda")
    took = []
    for _ in range(30):
        began = time.perf_counter()
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        took.append(time.perf_counter() - began)
    return float(np.median(took[10:]))
