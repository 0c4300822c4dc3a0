"""`TokenHead`: what turns a transformer's tokens into classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwnas.graph.graph import Graph
from hwnas.ops.block import TokenBlock


@dataclass(frozen=True, kw_only=True)
class TokenHead(TokenBlock):
    """The class token, or the mean of all tokens; layer norm; linear layer to ``c_out`` classes.

    Attributes:
        token: whether the first token is a class token.
    """

    kind: ClassVar[str] = "token-head"
    c_out: int
    token: bool

    def expand(self) -> Graph:
        net = self.draft()
        y = net.layer_norm("norm", net.token_pool("pool", net.input, self.token))
        return net.graph(net.linear("classifier", y, self.c_out))

    @property
    def label(self) -> str:
        return f"head of {'the class token' if self.token else 'the mean token'}"

    @property
    def caption(self) -> str:
        return "class token" if self.token else "mean"

    def _details(self) -> str:
        return " token" if self.token else " mean"
