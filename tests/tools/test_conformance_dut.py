"""What tools/conformance-dut makes of the suites' wishes. That all of it works shows when tools/conformance runs."""
from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hvproxy.config import parse
from tools.conformance_dut import EDGES, NAME, Wanted, end, main

LISTENING = {"CF_LISTEN": "6634", "CF_PROTO": "OpenFlow13", "CF_NPORTS": "6", "CF_DPID": "00000000000000d7"}


def test_the_ports_are_spread_over_the_edges() -> None:
    wanted = Wanted.read(LISTENING)
    (switch,) = parse(yaml.safe_dump(wanted.configuration())).tenants[0].logical_switches
    assert switch.datapath_id == 0xD7 and [str(each) for each in switch.listen] == ["ptcp:6634:127.0.0.1"]
    places = [(port.attach.datapath, port.attach.port) for port in switch.ports if port.attach]
    assert places == [(1, 1), (2, 1), (3, 1), (4, 1), (1, 2), (2, 2)] == [wanted.place(n) for n in range(1, 7)]
    assert [port.name for port in switch.ports if not port.attach] == [NAME]
    assert {port.name for port in switch.ports if port.attach} == {f"cfd{number}" for number in range(1, 7)}
    assert len(parse(yaml.safe_dump(wanted.configuration())).fabric.links) == EDGES


def test_the_answer_is_what_the_runners_evaluate() -> None:
    answer = Wanted.read(LISTENING).answer()
    said = subprocess.run(["bash", "-c", 'eval "$0"; echo "$DPID,$PORTS,$LISTEN"', answer], check=True,
                          capture_output=True, text=True).stdout
    assert said == "00000000000000d7,1:cft1 2:cft2 3:cft3 4:cft4 5:cft5 6:cft6,tcp:127.0.0.1:6634\n"


def test_by_default_four_ports_and_no_listener() -> None:
    wanted = Wanted.read({"CF_CTRL": "tcp:127.0.0.1:6653"})
    (switch,) = parse(yaml.safe_dump(wanted.configuration())).tenants[0].logical_switches
    assert [str(each) for each in switch.controllers] == ["tcp:127.0.0.1:6653"] and not switch.listen
    assert len(switch.ports) == 4 + 1
    assert wanted.answer() == 'DPID=00000000000000c1\nPORTS="1:cft1 2:cft2 3:cft3 4:cft4"'


@pytest.mark.parametrize("arguments", [[], ["sideways"], ["up", "down"]])
def test_other_words_are_bad_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "up|down" in capsys.readouterr().err


def test_a_failure_is_told_and_left_for_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("OVS_RUNDIR", "CF_OUT", "CF_SUITES"):
        monkeypatch.setenv(name, str(tmp_path))
    (tmp_path / "lib.sh").write_text("ovs_start() { echo no switch today >&2; return 1; }\n")
    assert main(["up"]) == 1
    assert "no switch today" in capsys.readouterr().err
    assert "no switch today" in (tmp_path / "dut-failed").read_text()


def test_a_process_is_ended_and_one_that_is_gone_is_no_fault() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    end(process.pid)
    assert process.wait() == -signal.SIGTERM
    end(process.pid)
