"""What the table ASIDE holds of a logical switch: the ports that bundles choose and that entries which resubmit write
into action sets, and which packets teach nothing new; and the table HOP.

What a packet teaches is known while the entry that teaches it and the one that was learnt are as they were; when one
of them changes or goes, its packets go up again. A learnt entry's hard timeout begins anew with each of them, also of
those that do not go up, so what their answers count matters. Pure; knows no datapath, and not what is learnt.
"""
from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from hvproxy.compiler.connections import emptying
from hvproxy.compiler.learning import FIRST_KNOWN, LAST_KNOWN, UNKNOWN, known, unknown
from hvproxy.compiler.members import ENDINGS, SPECIAL, ending, outlet
from hvproxy.compiler.normal import HiddenEntry
from hvproxy.hypervisor.entries import Entry
from hvproxy.openflow.instructions import Instructions

MOST_KNOWN: Final = 1 << 16
"""Of a logical switch; the one that was learnt longest ago goes for a new one, and comes up again."""
_Key = tuple[Entry, int, int, int]
"""(the entry that teaches, which of its actions, value and mask of the packet's fields)."""


@dataclass(eq=False, slots=True)
class Known:
    """What packets with certain fields teach."""

    key: _Key
    answer: HiddenEntry
    number: int
    """Of the entry that teaches; the answer is to it."""
    teaches: Instructions
    learnt: Entry | None
    """None: nothing is learnt of such packets, and nothing ever will be."""
    does: Instructions | None
    cookie: int

    @property
    def holds(self) -> bool:
        """Both entries are as they were."""
        teacher, learnt = self.key[0], self.learnt
        return (teacher.number == self.number and teacher.instructions == self.teaches
                and (learnt is None or learnt.instructions == self.does and learnt.cookie == self.cookie))


class Aside:
    """The entries of these tables. Nothing until `learn`, `choose`, `write` and `track`, which the first use of each
    calls."""

    def __init__(self) -> None:
        self.learning = self.choosing = self.writing = self.tracking = False
        self._fixed: list[HiddenEntry] = []
        self._outlets: dict[int, HiddenEntry] = {}
        self._endings: dict[int, HiddenEntry] = {}
        self._known: dict[_Key, Known] = {}
        self._by_number: dict[int, Known] = {}
        self._by_entry: dict[Entry, dict[Known, None]] = {}
        self._next = FIRST_KNOWN

    def __len__(self) -> int:
        return len(self._known)

    def entries(self) -> Iterator[HiddenEntry]:
        """All there should be."""
        yield from self._fixed
        yield from self._outlets.values()
        yield from self._endings.values()
        for each in self._known.values():
            yield each.answer

    def learn(self) -> list[HiddenEntry]:
        """The entries that are needed for learning, if they are new."""
        if self.learning:
            return []
        self.learning = True
        return self._add(unknown())

    def track(self) -> list[HiddenEntry]:
        """The entries that are needed for tracking connections, if they are new."""
        if self.tracking:
            return []
        self.tracking = True
        return self._add(emptying())

    def choose(self, ports: Collection[int]) -> tuple[list[HiddenEntry], list[HiddenEntry]]:
        """(what is needed for choosing among these ports that was not there, what is not needed any more)."""
        self.choosing = True
        return _follow(self._outlets, {*ports, *SPECIAL}, outlet)

    def write(self, ports: Collection[int]) -> tuple[list[HiddenEntry], list[HiddenEntry]]:
        """The same for writing outputs to these ports."""
        self.writing = True
        return _follow(self._endings, {*ports, *ENDINGS}, ending)

    def follow(self, ports: Collection[int]) -> list[HiddenEntry]:
        """The ports are these now, of what is in use: what is not needed any more."""
        return [*(self.choose(ports)[1] if self.choosing else ()), *(self.write(ports)[1] if self.writing else ())]

    def knows(self, teacher: Entry, index: int, value: int, mask: int) -> Known | None:
        """What is known of packets with such fields."""
        return self._known.get((teacher, index, value, mask))

    def know(self, teacher: Entry, index: int, value: int, mask: int, learnt: Entry | None,
             ) -> tuple[HiddenEntry, list[HiddenEntry]]:
        """(the answer for packets with such fields, which teach nothing new from now on; those that go for it)."""
        gone = [] if len(self._known) < MOST_KNOWN else self._forget([next(iter(self._known.values()))])
        while self._next in self._by_number:
            self._next = _after(self._next)
        number, self._next = self._next, _after(self._next)
        key = (teacher, index, value, mask)
        found = Known(key, known(number, teacher.number, index, value, mask), teacher.number, teacher.instructions,
                      learnt, None if learnt is None else learnt.instructions, 0 if learnt is None else learnt.cookie)
        self._known[key] = self._by_number[number] = found
        for entry in {teacher, learnt} - {None}:
            assert entry is not None
            self._by_entry.setdefault(entry, {})[found] = None
        return found.answer, gone

    def outdated(self, entry: Entry, *, present: bool) -> list[HiddenEntry]:
        """An entry has changed or gone: the answers that do not hold any more, which go."""
        concerned = self._by_entry.get(entry)
        if concerned is None:
            return []
        return self._forget([each for each in concerned if not present or not each.holds])

    def learnt_again(self, number: int) -> Entry | None:
        """The answer of that number has counted packets: the entry that they have taught."""
        found = self._by_number.get(number - UNKNOWN)
        return None if found is None else found.learnt

    @property
    def refreshes(self) -> bool:
        """Packets that teach nothing new may still put off the end of what was learnt."""
        return any(each.learnt is not None and each.learnt.hard_timeout for each in self._known.values())

    def of(self, learnt: Entry) -> list[HiddenEntry]:
        """The answers for packets that teach an entry."""
        return [each.answer for each in self._by_entry.get(learnt, ()) if each.learnt is learnt]

    def emptied(self) -> list[HiddenEntry]:
        """Everything goes: all the entries there were."""
        gone = [*self._fixed, *self._outlets.values(), *self._endings.values(),
                *self._forget(list(self._known.values()))]
        self._fixed, self._outlets, self._endings = [], {}, {}
        self.learning = self.choosing = self.writing = self.tracking = False
        return gone

    def _add(self, fixed: HiddenEntry) -> list[HiddenEntry]:
        self._fixed.append(fixed)
        return [fixed]

    def _forget(self, several: Iterable[Known]) -> list[HiddenEntry]:
        gone = []
        for each in several:
            del self._known[each.key], self._by_number[each.answer.number - UNKNOWN]
            for entry in {each.key[0], each.learnt} - {None}:
                assert entry is not None
                concerned = self._by_entry[entry]
                del concerned[each]
                if not concerned:
                    del self._by_entry[entry]
            gone.append(each.answer)
        return gone


def _follow(known: dict[int, HiddenEntry], wanted: set[int], make: Callable[[int], HiddenEntry],
            ) -> tuple[list[HiddenEntry], list[HiddenEntry]]:
    gone = [known.pop(port) for port in known.keys() - wanted]
    new = {port: make(port) for port in sorted(wanted - known.keys())}
    known.update(new)
    return list(new.values()), gone


def _after(number: int) -> int:
    return number + 1 if number < LAST_KNOWN else FIRST_KNOWN
