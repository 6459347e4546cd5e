"""The roles of a logical switch's controllers and their generation id (OF 1.3.5 section 6.3.4). Per logical switch."""
from __future__ import annotations

from collections.abc import Iterable

from hvproxy.errors import Refused
from hvproxy.hypervisor.controller_session import ControllerSession
from hvproxy.openflow import build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.messages import decode_role


class Roles:
    """The role machine: at most one master, and no master of the past."""

    def __init__(self) -> None:
        self.generation_id: int | None = None

    def request(self, session: ControllerSession, sessions: Iterable[ControllerSession], message: bytes) -> None:
        """Carry out a ROLE_REQUEST and answer it. Raises Refused for a stale generation or an unknown role."""
        asked = decode_role(message)
        if asked.role not in (of13.OFPCR_ROLE_NOCHANGE, of13.OFPCR_ROLE_EQUAL, of13.OFPCR_ROLE_MASTER,
                              of13.OFPCR_ROLE_SLAVE):
            raise Refused(of13.OFPET_ROLE_REQUEST_FAILED, of13.OFPRRFC_BAD_ROLE, "unknown role")
        if asked.role in (of13.OFPCR_ROLE_MASTER, of13.OFPCR_ROLE_SLAVE):
            self._check_generation(asked.generation_id)
        if asked.role != of13.OFPCR_ROLE_NOCHANGE:
            if asked.role == of13.OFPCR_ROLE_MASTER:
                for other in sessions:
                    if other.role == of13.OFPCR_ROLE_MASTER:
                        other.role = of13.OFPCR_ROLE_SLAVE
            session.role = asked.role
        unknown = 0xFFFFFFFFFFFFFFFF
        generation = unknown if self.generation_id is None else self.generation_id
        session.send(build.role_reply(asked.xid, session.role, generation))

    def _check_generation(self, generation_id: int) -> None:
        if self.generation_id is not None:
            distance = (generation_id - self.generation_id) & 0xFFFFFFFFFFFFFFFF
            if distance >= 1 << 63:
                raise Refused(of13.OFPET_ROLE_REQUEST_FAILED, of13.OFPRRFC_STALE, "stale generation id")
        self.generation_id = generation_id
