"""Parents of worker processes."""

from __future__ import annotations

from ferricorn.supervisors.multiprocess import Multiprocess

__all__ = ["Multiprocess"]
