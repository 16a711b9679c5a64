"""The store of one process: the embedded default, and the model the others are measured by."""

from .backend import MemoryBackend
from .handles import MemoryStore, MemorySyncStore

__all__ = ["MemoryBackend", "MemoryStore", "MemorySyncStore"]
