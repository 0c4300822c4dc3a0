"""Blocks, one file each. Naming one here makes it known to files, which hold Ops by their kind."""

from hwnas.ops.block import Block
from hwnas.ops.downsample import Downsample
from hwnas.ops.foreign import ForeignOp
from hwnas.ops.head import Head
from hwnas.ops.mbconv import MBConv
from hwnas.ops.stabilizer import Stabilizer
from hwnas.ops.stem import Stem

__all__ = ["Block", "Downsample", "ForeignOp", "Head", "MBConv", "Stabilizer", "Stem"]
