"""The roles of a logical switch's controllers and their generation id (OF 1.3.5 section 6.3.4). Per logical switch."""
from __future__ import annotations

from collections.abc import Iterable

from hvproxy.errors import Refused
from hvproxy.hypervisor.controller_session import ControllerSession
from hvproxy.openflow import build
from hvproxy.openflow.constants import of13
from hvproxy.openflow.experimenters import NiciraRole, role_status
from hvproxy.openflow.messages import decode_role

MASTER_REQUEST = 0
"""Why a role has changed: another controller became master (OpenFlow 1.4's OFPCRR_MASTER_REQUEST)."""
_OF_NICIRA: dict[int, int] = {
    NiciraRole.OTHER: of13.OFPCR_ROLE_EQUAL, NiciraRole.MASTER: of13.OFPCR_ROLE_MASTER,
    NiciraRole.SLAVE: of13.OFPCR_ROLE_SLAVE,
}


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
                self._displace(session, sessions)
            session.role = asked.role
        session.send(build.role_reply(asked.xid, session.role, self._told_generation))

    def request_nicira(self, session: ControllerSession, sessions: Iterable[ControllerSession], wanted: int) -> int:
        """Carry out Nicira's ROLE_REQUEST, which knows no generations; the role to tell."""
        role = _OF_NICIRA.get(wanted)
        if role is None:
            raise Refused(of13.OFPET_ROLE_REQUEST_FAILED, of13.OFPRRFC_BAD_ROLE, "unknown role")
        if role == of13.OFPCR_ROLE_MASTER:
            self._displace(session, sessions)
        session.role = role
        return wanted

    @property
    def _told_generation(self) -> int:
        return 0xFFFFFFFFFFFFFFFF if self.generation_id is None else self.generation_id

    def _displace(self, session: ControllerSession, sessions: Iterable[ControllerSession]) -> None:
        """There is at most one master: who was it becomes a slave, and is told, as Open vSwitch does over 1.3 too."""
        for other in sessions:
            if other is not session and other.role == of13.OFPCR_ROLE_MASTER:
                other.role = of13.OFPCR_ROLE_SLAVE
                other.send(role_status(other.role, MASTER_REQUEST, self._told_generation))

    def _check_generation(self, generation_id: int) -> None:
        if self.generation_id is not None:
            distance = (generation_id - self.generation_id) & 0xFFFFFFFFFFFFFFFF
            if distance >= 1 << 63:
                raise Refused(of13.OFPET_ROLE_REQUEST_FAILED, of13.OFPRRFC_STALE, "stale generation id")
        self.generation_id = generation_id
