"""What is known of a network apart from its files: of an arch its graph, of somebody's file what was counted in it."""

from __future__ import annotations

from hwnas.artifacts.structure import check_figures, check_structure
from hwnas.errors import ModelError
from hwnas.files import to_json
from hwnas.graph.count import count
from hwnas.graph.opaque import is_opaque
from hwnas.records.network import Figures, NetworkRecord, OfArch
from hwnas.records.optimized import OptimizedRecord
from hwnas.space.arch import arch_keys

ARCH = "arch.json"


def check_graph(network: NetworkRecord, graph: bytes, optimized: OptimizedRecord | None) -> int:
    """Hold an ONNX graph in any precision against its network; returns how many declared zeros it has beside.

    Raises:
        CountError: it isn't that network's.
    """
    if isinstance(network, OfArch) and not network.figures:
        return check_structure(graph, network.graph, optimized)
    figures = network.figures if isinstance(network, OfArch) else None
    return check_figures(graph, figures or Figures(madds=network.madds, params=network.params), optimized)


def check_counts(network: NetworkRecord) -> str:
    """Hold what is said of a network's size against what it is; returns what was found.

    Raises:
        ModelError: they differ.
        ArchError, SpaceError: there is no such arch.
    """
    if isinstance(network, OfArch) and not network.space.own_code:
        if network.figures and not is_opaque(network.graph):
            raise ModelError("the manifest has figures of somebody's own code, and the arch has none of that")
        counted, chw = count(network.graph), network.graph.in_shapes[0]
        if (network.madds, network.params, network.input_chw) != (counted.madds, counted.params, chw):
            raise ModelError(
                f"the arch has {counted.madds:,} multiply-adds, {counted.params:,} parameters and input {chw}, the "
                f"manifest says {network.madds:,}, {network.params:,} and {network.input_chw}"
            )
        return f"{counted.madds:,} multiply-adds, {counted.params:,} parameters"
    what = ", ".join(network.space.own_code) if isinstance(network, OfArch) else network.name
    return (
        f"{network.madds:,} multiply-adds and {network.params:,} parameters of {what}, which isn't looked at here: "
        "each file is held against what was counted"
    )


def own_files(network: NetworkRecord) -> tuple[str, ...]:
    """Names of the files that :func:`tell_what` gives, for whatever the record says."""
    return (ARCH,) if isinstance(network, OfArch) else ()


def tell_what(network: NetworkRecord) -> dict[str, bytes]:
    """{name: content} of the files that tell what the network is."""
    if isinstance(network, OfArch):
        return {ARCH: to_json(arch_keys(network.space, list(network.choices))).encode()}
    return {}
