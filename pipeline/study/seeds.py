"""Seeds that follow from other seeds: one number decides a whole study."""

import hashlib


def derived_seed(*parts: object) -> int:
    """A seed below 2**31 that follows from its parts alone."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4]) >> 1
