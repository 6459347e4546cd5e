"""What an audit of a switch found, for operators: what differed, and whose it is."""
from __future__ import annotations

from collections.abc import Callable

from hvproxy.errors import Conflict
from hvproxy.hypervisor.audit import Drift
from hvproxy.hypervisor.auditing import described, explained, kinds
from hvproxy.hypervisor.explain import Explanations
from hvproxy.hypervisor.hypervisor import Hypervisor
from hvproxy.hypervisor.report import Row, find_datapath
from hvproxy.model.schema import format_dpid
from hvproxy.model.view import Dpid


def audit(hv: Hypervisor, dpid: Dpid, done: Callable[[Row | None], None], now: float) -> None:
    """Compare a switch with what it should hold, and put right what differs; `done` gets what was found, or None when
    its session ended meanwhile. Raises NotFound, and Conflict where the switch is not in use."""
    dp = find_datapath(hv, dpid)
    if not dp.ready:
        raise Conflict("", f"datapath {format_dpid(dpid)} is {dp.state.value}: it can be compared when it is ready")

    def compared(drift: Drift | None, at: float) -> None:
        done(None if drift is None else _row(hv, dpid, drift))

    hv.auditing.audit(hv, dp, compared, now)


def _row(hv: Hypervisor, dpid: Dpid, drift: Drift) -> Row:
    why = Explanations(hv)
    found = []
    for kind, items in kinds(drift).items():
        for item in items:
            reason = explained(why, kind, item)
            ls = None if reason.logical_switch is None else hv.logical_switches.get(reason.logical_switch)
            found.append({
                "kind": kind, "what": described(item), "why": reason.text, "logical_switch": reason.logical_switch,
                "tenant": None if ls is None else ls.spec.tenant})
    return {"dpid": format_dpid(dpid), "repaired": drift.repaired, "foreign": drift.foreign_total, "drift": found}
