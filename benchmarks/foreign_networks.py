"""Networks that hwnas didn't make, with random weights: what benchmarks of anyone's models are run on.

`pytorchcv` has the convolutional ones, `transformers` those with attention. They go into an environment of their own:
``pip install torch==2.13.0 pytorchcv==0.0.74 transformers==4.46.3``, and then ``pip uninstall torchvision``, which
pytorchcv asks for, doesn't need here, and which isn't there for every PyTorch.

python benchmarks/foreign_networks.py FOLDER writes their ONNX files.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
from torch import nn

CONVOLUTIONAL = {  # module of pytorchcv.models, which is a family: its networks
    "airnet": "airnet50_1x64d_r2", "airnext": "airnext50_32x4d_r2", "alexnet": "alexnet",
    "bagnet": "bagnet9 bagnet17", "bamresnet": "bam_resnet18 bam_resnet50", "bninception": "bninception",
    "cbamresnet": "cbam_resnet18", "condensenet": "condensenet74_c4_g4 condensenet74_c8_g8",
    "darknet": "darknet_ref darknet_tiny darknet19", "darknet53": "darknet53", "densenet": "densenet121 densenet169",
    "diaresnet": "diaresnet18", "dicenet": "dicenet_wd2 dicenet_w1", "diracnetv2": "diracnet18v2",
    "dla": "dla34 dla46c dla46xc dla60xc", "dpn": "dpn68", "drn": "drnd22",
    "efficientnet": "efficientnet_b0 efficientnet_b1 efficientnet_b0b efficientnet_b2b",
    "efficientnetedge": "efficientnet_edge_small_b", "espnetv2": "espnetv2_wd2 espnetv2_w1", "fbnet": "fbnet_cb",
    "fdmobilenet": "fdmobilenet_w1 fdmobilenet_wd2", "fishnet": "fishnet99", "ghostnet": "ghostnet",
    "hardnet": "hardnet39ds hardnet68ds hardnet68", "hrnet": "hrnet_w18_small_v1 hrnet_w18_small_v2",
    "ibnresnet": "ibn_resnet50", "igcv3": "igcv3_w1 igcv3_wd2", "inceptionv3": "inceptionv3",
    "menet": "menet108_8x1_g3 menet160_8x1_g8 menet228_12x1_g3 menet256_12x1_g4",
    "mixnet": "mixnet_s mixnet_m mixnet_l", "mnasnet": "mnasnet_b1 mnasnet_a1 mnasnet_small",
    "mobilenet": "mobilenet_w1 mobilenet_wd2 mobilenet_wd4", "mobilenetb": "mobilenetb_w1 mobilenetb_wd2",
    "mobilenetv2": "mobilenetv2_w1 mobilenetv2_wd2 mobilenetv2b_w3d4",
    "mobilenetv3": "mobilenetv3_small_w1 mobilenetv3_small_w7d20 mobilenetv3_large_w1 mobilenetv3_large_wd2",
    "msdnet": "msdnet22", "nasnet": "nasnet_4a1056", "octresnet": "octresnet10_ad2", "peleenet": "peleenet",
    "preresnet": "preresnet10 preresnet18 preresnet26 preresnetbc26b",
    "proxylessnas": "proxylessnas_cpu proxylessnas_mobile",
    "regnet": "regnetx002 regnetx006 regnetx016 regnety002 regnety008 regnety016", "resattnet": "resattnet56",
    "resnesta": "resnestabc14 resnesta18", "resnet": "resnet10 resnet18 resnetbc14b resnet34 resnet50",
    "resneta": "resneta10 resneta18", "resnetd": "resnetd50b", "resnext": "resnext14_32x4d resnext26_32x2d",
    "scnet": "scnet50", "selecsls": "selecsls42b selecsls60", "senet": "senet16", "sepreresnet": "sepreresnet18",
    "seresnet": "seresnet10 seresnet18 seresnetbc26b seresnet50", "seresnext": "seresnext50_32x4d",
    "sharesnet": "sharesnet18", "shufflenet": "shufflenet_g1_w1 shufflenet_g3_w1 shufflenet_g8_w1 shufflenet_g3_wd2",
    "shufflenetv2": "shufflenetv2_wd2 shufflenetv2_w1 shufflenetv2_w3d2", "shufflenetv2b": "shufflenetv2b_w1",
    "sknet": "sknet50", "sparsenet": "sparsenet121", "spnasnet": "spnasnet",
    "squeezenet": "squeezenet_v1_0 squeezenet_v1_1", "squeezenext": "sqnxt23_w1 sqnxt23v5_w1", "vgg": "vgg11",
    "vovnet": "vovnet27s vovnet39", "xception": "xception", "xdensenet": "xdensenet121_2", "zfnet": "zfnet",
}  # fmt: skip

_PIXELS = {"inceptionv3": 299, "xception": 299}


def _vision(name: str, **config: object) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        transformers = importlib.import_module("transformers")
        made = getattr(transformers, f"{name}Config")(num_labels=1000, image_size=224, **config)
        return _Logits(getattr(transformers, f"{name}ForImageClassification")._from_config(made))

    return build


class _Logits(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(images).logits
        return logits


def _vit(name: str, width: int, depth: int, heads: int, **more: object) -> Callable[[], nn.Module]:
    return _vision(
        name, hidden_size=width, num_hidden_layers=depth, num_attention_heads=heads, intermediate_size=4 * width, **more
    )


WITH_ATTENTION: dict[str, dict[str, Callable[[], nn.Module]]] = {
    "vit": {
        "vit_tiny": _vit("ViT", 192, 12, 3),
        "vit_small": _vit("ViT", 384, 8, 6),
        "vit_tiny32": _vit("ViT", 192, 12, 3, patch_size=32),
        "vit_msn_tiny": _vit("ViTMSN", 192, 6, 3),
    },
    "deit": {"deit_tiny": _vit("DeiT", 192, 12, 3)},
    "beit": {"beit_tiny": _vit("Beit", 192, 12, 3)},
    "dinov2": {"dinov2_tiny": _vit("Dinov2", 192, 8, 3, patch_size=14)},
    "swin": {"swin_tiny": _vision("Swin", embed_dim=48, depths=[2, 2, 6, 2], num_heads=[2, 4, 8, 16])},
    "swinv2": {"swinv2_tiny": _vision("Swinv2", embed_dim=48, depths=[2, 2, 2, 2], num_heads=[2, 4, 8, 16])},
    "pvt": {"pvt_tiny": _vision("Pvt")},
    "pvtv2": {"pvtv2_b0": _vision("PvtV2")},
    "mobilevit": {
        "mobilevit_s": _vision("MobileViT"),
        "mobilevit_xs": _vision(
            "MobileViT", hidden_sizes=[96, 120, 144], neck_hidden_sizes=[16, 32, 48, 64, 80, 96, 384]
        ),
    },
    "levit": {"levit_128s": _vision("Levit")},
    "convnext": {"convnext_atto": _vision("ConvNext", hidden_sizes=[40, 80, 160, 320], depths=[2, 2, 6, 2])},
    "convnextv2": {"convnextv2_atto": _vision("ConvNextV2", hidden_sizes=[40, 80, 160, 320], depths=[2, 2, 6, 2])},
    "poolformer": {"poolformer_s12": _vision("PoolFormer")},
    "segformer": {"segformer_b0": _vision("Segformer")},
    "focalnet": {"focalnet": _vision("FocalNet", embed_dim=48)},
}


class ForeignNetwork(NamedTuple):
    """A network of a family, not built yet."""

    family: str
    name: str
    pixels: int
    build: Callable[[], nn.Module]


def _pytorchcv(family: str, name: str) -> nn.Module:
    network: nn.Module = getattr(importlib.import_module(f"pytorchcv.models.{family}"), name)()
    return network


def networks() -> Iterator[ForeignNetwork]:
    """All of them."""
    for family, names in CONVOLUTIONAL.items():
        for name in names.split():
            yield ForeignNetwork(family, name, _PIXELS.get(family, 224), partial(_pytorchcv, family, name))
    for family, builders in WITH_ATTENTION.items():
        for name, build in builders.items():
            yield ForeignNetwork(family, name, 224, build)


def as_onnx(network: ForeignNetwork) -> bytes:
    """As PyTorch's exporter writes it, opset 17, batch 1; random weights of seed 0."""
    torch.manual_seed(0)
    module = network.build().eval()
    images = torch.randn(1, 3, network.pixels, network.pixels)
    with TemporaryDirectory() as folder, warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        _normalize(module, images)
        path = f"{folder}/network.onnx"
        torch.onnx.export(
            module, (images,), path, dynamo=False, opset_version=17, input_names=["images"], output_names=["logits"]
        )
        return Path(path).read_bytes()


def _normalize(module: nn.Module, images: torch.Tensor) -> None:
    """Give each BatchNorm the statistics of random images.

    Without them the activations of deep networks of random weights fade until they are denormal numbers, with which
    processors are several times slower than any trained network is.
    """
    norms = [each for each in module.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    module(images.new_empty(4, *images.shape[1:]).normal_())
    for norm in norms:
        norm.eval()


def exported(folder: Path, only: str = "") -> list[tuple[ForeignNetwork, Path]]:
    """The ONNX files of all networks that can be built here, made where they aren't in the folder yet."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for network in networks():
        path = folder / f"{network.name}.onnx"
        if only in network.name and not path.exists():
            try:
                path.write_bytes(as_onnx(network))
            except Exception as error:  # of a package that changed its ways
                print(
                    f"{network.name}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:150]
                )
                continue
        if path.exists():
            found.append((network, path))
    return found


if __name__ == "__main__":
    import sys

    print(len(exported(Path(sys.argv[1]), *sys.argv[2:])), "networks")
