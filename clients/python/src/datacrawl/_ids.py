from __future__ import annotations

import secrets
import time
import uuid


def uuid7() -> str:
    """A UUID of version 7 (RFC 9562)."""
    value = int(time.time() * 1000) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def fraction() -> float:
    """Uniform from 0 to 1, without 1. From the system, because forked processes would share another source's state."""
    return secrets.randbits(32) / 2**32
