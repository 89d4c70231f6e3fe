"""Parents of worker processes: `Multiprocess`, and `ChangeReload`, which watches the source too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ferricorn.supervisors.multiprocess import Multiprocess

if TYPE_CHECKING:
    from ferricorn.supervisors.basereload import BaseReload

    ChangeReload: type[BaseReload]

__all__ = ["ChangeReload", "Multiprocess"]


def __getattr__(name: str) -> Any:
    # Who does not reload need not load what watches.
    if name != "ChangeReload":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from ferricorn.supervisors.watchfilesreload import WatchFilesReload

        return WatchFilesReload
    except ImportError:
        from ferricorn.supervisors.statreload import StatReload

        return StatReload
