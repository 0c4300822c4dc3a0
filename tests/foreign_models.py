"""Networks that hwnas didn't make: PyTorch modules as such models are commonly written, with seeded weights."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

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


def _convolution(c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(c_out))


class _Residual(nn.Module):
    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = _convolution(c_in, c_out, 3, stride), _convolution(c_out, c_out, 3)
        self.beside = _convolution(c_in, c_out, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.second(functional.relu(self.first(x))) + self.beside(x))


class ResNet8(nn.Module):
    """Like MLPerf Tiny's image classifier: images (B, 3, 32, 32) -> logits (B, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = _convolution(3, 16, 3), nn.Linear(64, 10)
        self.blocks = nn.Sequential(_Residual(16, 16, 1), _Residual(16, 32, 2), _Residual(32, 64, 2))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.blocks(functional.relu(self.stem(images)))
        return self.head(functional.avg_pool2d(x, x.shape[-1]).flatten(1))


class DsCnn(nn.Module):
    """Like MLPerf Tiny's keyword spotter: 49 steps of 10 MFCCs (B, 1, 49, 10) -> probabilities (B, 12)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 64, (10, 4), 2, (4, 1)), nn.BatchNorm2d(64), nn.ReLU())
        pairs = [(_convolution(64, 64, 3, groups=64), nn.ReLU(), _convolution(64, 64, 1), nn.ReLU()) for _ in range(4)]
        self.blocks, self.head = nn.Sequential(*(layer for pair in pairs for layer in pair)), nn.Linear(64, 12)

    def forward(self, sounds: torch.Tensor) -> torch.Tensor:
        return functional.softmax(self.head(self.blocks(self.stem(sounds)).mean((2, 3))), dim=1)


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


def resnet8(seed: int = 0) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """A ResNet-8 whose norms have seen images, and one image as it takes it."""
    return _lived_in(ResNet8, (3, 32, 32), seed)


def ds_cnn(seed: int = 0) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """A DS-CNN whose norms have seen inputs, and one as it takes it."""
    return _lived_in(DsCnn, (1, 49, 10), seed)


def _lived_in(kind: type[nn.Module], chw: tuple[int, ...], seed: int) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        module = kind().train()
        for _ in range(20):
            module(torch.randn(16, *chw))
        module.head.weight *= 10  # type: ignore[operator]  # as sure of its classes as networks that have learnt
        return module.eval(), (torch.randn(1, *chw),)


def onnx_file(path: Path, made: tuple[nn.Module, tuple[torch.Tensor, ...]], *names: str, opset: int = 17) -> Path:
    """What torch's exporter writes of a module and its inputs, these called by their ``names``."""
    module, inputs = made
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # there is a newer exporter
        torch.onnx.export(module, inputs, str(path), dynamo=False, opset_version=opset, input_names=list(names))
    return path
