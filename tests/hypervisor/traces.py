"""A frame traced through a world of tests/hypervisor/worlds.py."""
from __future__ import annotations

from hvproxy.hypervisor.tracing import Trace, TraceSpec, trace
from tests.harness import World

FRAME = "tcp,dl_dst=2:0:0:0:0:2,tp_dst=80"


def traced(world: World, port: int | str = 1, frame: str = FRAME, name: str = "red") -> Trace:
    return trace(world.hv, name, TraceSpec(port=port, frame=frame))
