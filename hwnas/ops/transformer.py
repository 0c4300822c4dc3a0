"""`Transformer`: the encoder block of vision transformers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwnas.graph.graph import Graph
from hwnas.ops.block import TokenBlock


@dataclass(frozen=True, kw_only=True)
class Transformer(TokenBlock):
    """Self-attention, then an MLP with GELU, each behind a layer norm and added to what went in (ViT, eqs. 2 and 3).

    Attributes:
        heads, head_width: attention is computed in so many parts of so many channels (Vaswani et al., arXiv
            1706.03762, §3.2.2).
        mlp_ratio: channels inside the MLP, as a multiple of those outside.
    """

    kind: ClassVar[str] = "transformer"
    heads: int
    head_width: int
    mlp_ratio: float

    @property
    def hidden(self) -> int:
        """Channels inside the MLP."""
        return max(1, round(self.c_in * self.mlp_ratio))

    def expand(self) -> Graph:
        net, inside = self.draft(), self.heads * self.head_width

        def heads(name: str, x: str, order: tuple[int, ...]) -> str:
            parts = net.reshape(f"attn.{name}_heads", x, (self.tokens, self.heads, self.head_width))
            return net.transpose(f"attn.{name}_parts", parts, order)

        y = net.layer_norm("norm1", net.input)
        query, key, value = (net.linear(f"attn.{name}", y, inside) for name in ("q", "k", "v"))
        query = heads("q", net.scale("attn.scale", query, self.head_width**-0.5), (2, 1, 3))
        scores = net.matmul("attn.scores", query, heads("k", key, (2, 3, 1)))
        y = net.matmul("attn.mix", net.softmax("attn.softmax", scores), heads("v", value, (2, 1, 3)))
        y = net.reshape("attn.merge", net.transpose("attn.tokens", y, (2, 1, 3)), (self.tokens, inside))
        middle = net.add("add1", net.input, net.linear("attn.proj", y, self.c_in))
        y = net.act("mlp.act", net.linear("mlp.fc1", net.layer_norm("norm2", middle), self.hidden), "gelu")
        return net.graph(net.add("add2", middle, net.linear("mlp.fc2", y, self.c_in)))

    @property
    def label(self) -> str:
        return f"transformer, {self.heads} heads of {self.head_width}, MLP ratio {self.mlp_ratio:g}"

    @property
    def short(self) -> str:
        return f"h{self.heads} r{self.mlp_ratio:g}"

    @property
    def caption(self) -> str:
        return self.kind

    def _details(self) -> str:
        return f" h{self.heads}×{self.head_width} r{self.mlp_ratio:g}"
