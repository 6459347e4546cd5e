"""hvproxy whose store's writes fail in turn: `python -m tests.crash.failing_writes FILE serve CONFIG`.

SQLite's own system calls are replaced, so what fails is a write to the disk, wherever in SQLite it is. While FILE is
there one write fails after none has succeeded, then one after one has, and so on: each of a row of writes once, with
ENOSPC and EIO by turns. FILE is made to tell how many have failed.
"""
from __future__ import annotations

import _sqlite3
import ctypes
import errno
import sys
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Protocol

from hvproxy.cli import main

LONGEST = 40
"""Writes that succeed one after the other before it begins anew with the first."""
FAILED = -1
WRITE = ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64,
                         use_errno=True)
TRUNCATE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_int64, use_errno=True)
_IN_VFS = (*(["int"] * 3), *(["pointer"] * 3), *(["pointer"] * 13))
"""struct sqlite3_vfs up to xSetSystemCall: three numbers, the next VFS, name and data, and thirteen functions."""


class Decides(Protocol):
    """Who says what becomes of each write."""

    def fails(self) -> int | None:
        """The error of the next write, if it is to fail."""


class Turns:
    """Which write fails."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._failed = 0
        self._passed = 0
        self._pass = cycle(range(LONGEST))
        self._passing = next(self._pass)
        self._reasons = cycle((errno.ENOSPC, errno.EIO))

    def fails(self) -> int | None:
        """The error of the next write, if it is to fail."""
        if not self._file.exists():
            return None
        if self._passed < self._passing:
            self._passed += 1
            return None
        self._passed, self._passing = 0, next(self._pass)
        self._failed += 1
        try:
            with self._file.open("r+b", buffering=0) as told:  # in one piece, and no number is shorter than the last
                told.write(str(self._failed).encode())
        except FileNotFoundError:
            return None  # taken away since: if it were made anew here, nobody would end this
        return next(self._reasons)


class Vfs(ctypes.Structure):
    """struct sqlite3_vfs."""

    _fields_ = [(f"part{number}", ctypes.c_int if kind == "int" else ctypes.c_void_p)
                for number, kind in enumerate(_IN_VFS)] + [("set", ctypes.c_void_p), ("get", ctypes.c_void_p)]


def install(turns: Decides) -> list[object]:
    """Have SQLite's writes fail when it is their turn. What is returned must be kept."""
    library = ctypes.CDLL(_sqlite3.__file__)
    library.sqlite3_vfs_find.restype = ctypes.POINTER(Vfs)
    vfs = library.sqlite3_vfs_find(None)
    get = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(vfs.contents.get)
    put = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(vfs.contents.set)
    kept: list[object] = []
    for name, kind in (("pwrite", WRITE), ("pwrite64", WRITE), ("ftruncate", TRUNCATE)):
        there = get(vfs, name.encode())
        if there:
            call = kind(_failing(kind(there), turns))
            kept.append(call)
            assert put(vfs, name.encode(), ctypes.cast(call, ctypes.c_void_p)) == 0
    assert kept, "SQLite cannot be made to fail here"
    return kept


def _failing(real: Callable[..., int], turns: Decides) -> Callable[..., int]:
    def call(*arguments: int) -> int:
        reason = turns.fails()
        if reason is not None:
            ctypes.set_errno(reason)
            return FAILED
        return real(*arguments)
    return call


if __name__ == "__main__":
    replaced = install(Turns(Path(sys.argv.pop(1))))
    sys.argv[0] = "hvproxy"
    main()
