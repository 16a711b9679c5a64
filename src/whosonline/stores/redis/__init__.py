"""The store of many processes: Redis or Valkey, alone, behind Sentinel or as a cluster."""

from .addresses import Address, BadAddress
from .handles import RedisStore
from .sync import RedisSyncStore

__all__ = ["Address", "BadAddress", "RedisStore", "RedisSyncStore"]
