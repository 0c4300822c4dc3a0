"""Transformers that hwnas didn't make: PyTorch modules as such models are commonly written, with seeded weights."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional


class _VitBlock(nn.Module):
    """Pre-norm, one projection for query, key and value, softmax written out."""

    def __init__(self, width: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        hidden = int(width * mlp_ratio)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, width = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(batch, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        scores = (q @ k.transpose(-2, -1)) * (width // self.heads) ** -0.5
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, tokens, width)
        x = x + self.proj(mixed)
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """ViT (arXiv 2010.11929) with a class token: images (B, 3, size, size) -> logits (B, classes)."""

    def __init__(
        self, *, size: int, patch: int, width: int, depth: int, heads: int, mlp_ratio: float = 4, classes: int
    ) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.position = nn.Parameter(torch.randn(1, (size // patch) ** 2 + 1, width) * 0.02)
        self.blocks = nn.Sequential(*(_VitBlock(width, heads, mlp_ratio) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.patches(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1) + self.position
        return self.head(self.norm(self.blocks(x))[:, 0])


class _TextBlock(nn.Module):
    """Post-norm, as BERT has it (arXiv 1810.04805), with PyTorch's own attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        batch, tokens, width = x.shape
        parts = (layer(x).view(batch, tokens, self.heads, -1).transpose(1, 2) for layer in self._inward())
        mixed = functional.scaled_dot_product_attention(*parts, attn_mask=mask)
        x = self.norm1(x + self.out(mixed.transpose(1, 2).reshape(batch, tokens, width)))
        return self.norm2(x + self.down(functional.gelu(self.up(x))))

    def _inward(self) -> tuple[nn.Module, nn.Module, nn.Module]:
        return self.query, self.key, self.value


class TextEncoder(nn.Module):
    """Token ids (B, N) and a mask of them (B, N), 1 where there is a token -> an embedding (B, width) of length 1."""

    def __init__(self, *, words: int, tokens: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.words, self.position = nn.Embedding(words, width), nn.Embedding(tokens, width)
        self.norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(_TextBlock(width, heads) for _ in range(depth))

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.words(ids) + self.position.weight[: ids.shape[1]])
        for block in self.blocks:
            x = block(x, mask[:, None, None, :] > 0)
        there = mask[:, :, None].float()
        mean = (x * there).sum(1) / there.sum(1)
        return mean / math.sqrt(mean.shape[-1]) / (mean.square().mean(-1, keepdim=True) + 1e-6).sqrt()


def vit(seed: int = 0) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """A small ViT, and images (1, 3, 32, 32) as it takes them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = VisionTransformer(size=32, patch=8, width=48, depth=3, heads=3, classes=10)
        return module.eval(), (torch.randn(1, 3, 32, 32),)


def text_encoder(seed: int = 0) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """A small text encoder, and ids and mask, int64 (1, 16) each, as it takes them; the last four words are none."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = TextEncoder(words=100, tokens=16, width=32, depth=2, heads=4)
        return module.eval(), (torch.randint(0, 100, (1, 16)), torch.tensor([[1] * 12 + [0] * 4]))
