"""Transaction ids of one connection: which requests are outstanding, and what each was for.

Nothing is forgotten before it is answered or a barrier confirms it, however many are outstanding: an error about
the first of 100 000 flow-mods still finds its cause. Knows nothing of messages or time.
"""
from __future__ import annotations

from collections import OrderedDict
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_LAST: Final = 0xffffffff


class Xids(Generic[T]):
    """Ids from 1 to 2**32 - 1, round and round; 0 is left to the channel's own messages."""

    __slots__ = ("_last", "_outstanding")

    def __init__(self, last: int = 0) -> None:
        self._last = last
        self._outstanding: OrderedDict[int, T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._outstanding)

    def __contains__(self, xid: int) -> bool:
        return xid in self._outstanding

    @property
    def sent(self) -> list[int]:
        """The outstanding ids in the order they were remembered, which is the order of sending."""
        return list(self._outstanding)

    def next(self) -> int:
        """A fresh id: not 0, and none that is outstanding."""
        xid = self._last
        while True:
            xid = xid + 1 if xid < _LAST else 1
            if xid not in self._outstanding:
                self._last = xid
                return xid

    def remember(self, xid: int, value: T) -> None:
        """Note that the request `xid` was sent now; ValueError if that id is outstanding already."""
        if xid in self._outstanding:
            raise ValueError(f"xid {xid:#x} is outstanding")
        self._outstanding[xid] = value

    def peek(self, xid: int) -> T | None:
        """What `xid` was for; it stays outstanding (one of several answers has come)."""
        return self._outstanding.get(xid)

    def take(self, xid: int) -> T | None:
        """What `xid` was for; it is outstanding no more. None if it is not."""
        return self._outstanding.pop(xid, None)

    def release(self, barrier: int) -> list[tuple[int, T]]:
        """The switch has confirmed the barrier with this id: forget it and all before it, and return them in order.

        An answer or an error to any of them would have come before the barrier's reply (OF 1.3.5 section 7.3.8).
        An id that is not outstanding releases nothing.
        """
        released: list[tuple[int, T]] = []
        if barrier in self._outstanding:
            while True:
                xid, value = self._outstanding.popitem(last=False)
                released.append((xid, value))
                if xid == barrier:
                    break
        return released
