"""How long TensorRT-RTX takes to build the released archs, for GPUs that needn't be here; the bar is 10 s on 2 cores.

python benchmarks/tensorrt_build.py
"""

from __future__ import annotations

import time

from common import machine

from hwnas.nn.layers import weights_of
from hwnas.nn.released import load_scarlet
from hwnas.onnx.precision.half import to_half
from hwnas.onnx.precision.int8 import TENSORRT, quantize, random_feeds
from hwnas.onnx.write import to_onnx
from hwnas.runtimes.tensorrt import TensorRt

ARCHS = ("scarlet-a", "scarlet-b", "scarlet-c")
CAPABILITIES = ("86", "89")
ROUNDS = 3
BAR_S = 10.0


def main() -> None:
    graphs = {}
    for arch in ARCHS:
        network = load_scarlet(arch)
        model = to_onnx(network.graph, weights_of(network))
        graphs[arch, "fp32"] = model
        graphs[arch, "fp16"] = to_half(model)
        graphs[arch, "int8"] = quantize(model, random_feeds(model), TENSORRT)
    runtimes = {capability: TensorRt("tensorrt-rtx", {"capability": capability}) for capability in CAPABILITIES}
    found: dict[tuple[str, str, str], list[float]] = {}
    sizes = {}
    for _ in range(ROUNDS):
        for (arch, precision), graph in graphs.items():
            for capability, runtime in runtimes.items():
                begin = time.perf_counter()
                sizes[arch, precision, capability] = len(runtime.build(graph).engine)
                found.setdefault((arch, precision, capability), []).append(time.perf_counter() - begin)
    print(f"{machine()}, tensorrt-rtx {next(iter(runtimes.values())).version()}, {ROUNDS} builds each")
    for (arch, precision, capability), seconds in found.items():
        size_mb = sizes[arch, precision, capability] / 1e6
        times = f"{min(seconds):.2f} to {max(seconds):.2f} s"
        print(f"{arch}  {precision}  capability {capability}  {times}  {size_mb:.1f} MB")
    slowest_s = max(max(seconds) for seconds in found.values())
    print(f"slowest {slowest_s:.2f} s, {'within' if slowest_s <= BAR_S else 'over'} the bar of {BAR_S:g} s")


if __name__ == "__main__":
    main()
