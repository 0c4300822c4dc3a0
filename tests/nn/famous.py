"""Networks that everybody has a count of, written down shortly."""

from __future__ import annotations

from torch import Tensor, nn


def _conv(c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(c_out)]


class _Residual(nn.Module):
    def __init__(self, main: list[nn.Module], shortcut: list[nn.Module], act: nn.Module) -> None:
        super().__init__()
        self.main, self.shortcut, self.act = nn.Sequential(*main), nn.Sequential(*shortcut), act

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.main(x) + self.shortcut(x))  # type: ignore[no-any-return]


def resnet50() -> nn.Sequential:
    """He et al. 2015, with the stride in the 3×3 convolution, as torchvision has it."""
    layers: list[nn.Module] = [*_conv(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    c_in = 64
    for stage, depth in enumerate((3, 4, 6, 3)):
        width = 64 << stage
        for place in range(depth):
            stride = 2 if stage and not place else 1
            main = [*_conv(c_in, width, 1), nn.ReLU(), *_conv(width, width, 3, stride), nn.ReLU()]
            shortcut = [] if place else _conv(c_in, 4 * width, 1, stride)
            layers.append(_Residual([*main, *_conv(width, 4 * width, 1)], shortcut, nn.ReLU()))
            c_in = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c_in, 1000))


def mobilenet_v2() -> nn.Sequential:
    """Sandler et al. 2018, table 2."""
    layers: list[nn.Module] = [*_conv(3, 32, 3, 2), nn.ReLU6()]
    c_in = 32
    for expand, c_out, depth, stride in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    ):  # fmt: skip
        for place in range(depth):
            width = c_in * expand
            wider = [*_conv(c_in, width, 1), nn.ReLU6()] if expand > 1 else []
            main = [*wider, *_conv(width, width, 3, 1 if place else stride, width), nn.ReLU6(), *_conv(width, c_out, 1)]
            layers.append(_Residual(main, [], nn.Identity()) if place else nn.Sequential(*main))
            c_in = c_out
    layers += [*_conv(c_in, 1280, 1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 1000)]
    return nn.Sequential(*layers)
