"""The command `python -m tools.emulator`."""
from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

from tests.tools.controller import SAFETY_NET, Controller

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "tools.emulator")


def test_it_says_where_things_are_dials_and_ends_on_interrupt() -> None:
    async def main() -> None:
        controller = Controller()
        await controller.start()
        process = await asyncio.create_subprocess_exec(
            *COMMAND, "--leaves", "2", "--spines", "1", "--hosts-per-leaf", "1", "--controller", controller.address,
            cwd=ROOT, stdout=subprocess.PIPE)
        async with asyncio.timeout(SAFETY_NET):
            while len(controller.channels) < 3:
                await asyncio.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        text = (await process.stdout.read()).decode()
        assert await process.wait() == 0
        assert "leaf2: datapath 0x2, ports 1, 1001" in text and "h2-1: leaf2 port 1, 10.0.2.1" in text
        assert sorted(controller.channels) == [1, 2, 0x101]
        await controller.stop()
    asyncio.run(main())


def test_a_wrong_address_is_bad_usage() -> None:
    done = subprocess.run([*COMMAND, "--controller", "127.0.0.1:6633"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "expected tcp:HOST:PORT" in done.stderr
