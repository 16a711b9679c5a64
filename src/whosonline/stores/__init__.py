"""Floor 1: where the facts live. The contract is in :mod:`whosonline.stores.base`."""
