"""The version of hwnas; apart from the package's top, which names everything that is public."""

__version__ = "0.1.0"
