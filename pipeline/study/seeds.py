"""Seeds that follow from other seeds: one number decides a whole study."""

import hashlib


def derived_seed(*parts: object) -> int:
    """Derives a seed below 2**31 from its parts alone, so that a rerun gets the same seed."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4]) >> 1
