"""Blocks, one file each. Naming one here makes it known to files, which hold Ops by their kind."""

from hwnas.ops.block import Block, TokenBlock
from hwnas.ops.downsample import Downsample
from hwnas.ops.foreign import ForeignOp
from hwnas.ops.head import Head
from hwnas.ops.identity import Identity
from hwnas.ops.mbconv import MBConv
from hwnas.ops.patches import Patches
from hwnas.ops.stabilizer import Stabilizer
from hwnas.ops.stem import Stem
from hwnas.ops.token_head import TokenHead
from hwnas.ops.transformer import Transformer

__all__ = [
    "Block", "Downsample", "ForeignOp", "Head", "Identity", "MBConv", "Patches", "Stabilizer", "Stem", "TokenBlock",
    "TokenHead", "Transformer",
]  # fmt: skip
