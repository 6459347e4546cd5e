"""tools/crash: kill after kill, until so many are done or something is lost."""
from __future__ import annotations

import argparse
import faulthandler
import signal
import sys
import traceback
from pathlib import Path

from tests.crash.faults import FailingWrites, Fault, Flap, FullStore, HeldStore
from tests.crash.trial import Failed, Trial
from tests.crash.world import World


def run(arguments: argparse.Namespace) -> int:
    """Do what the command line says; the exit status."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(f"ended by {signal.Signals(number).name}"))
    faulthandler.register(signal.SIGUSR1)
    with World(arguments.seed) as world:
        trial = Trial(world, arguments.seed, arguments.fault)
        shown = 0
        try:
            while trial.tally.kills < arguments.kills:
                arguments.kill(trial)
                if trial.tally.kills >= shown + 10:
                    shown = trial.tally.kills
                    print(trial.tally, flush=True)
        except (Failed, TimeoutError, AssertionError, OSError) as failure:
            folder = Path(arguments.keep)
            world.evidence(folder)
            said = f"LOST, seed {arguments.seed}, kill {trial.tally.kills}:\n{failure}\n"
            if not isinstance(failure, Failed):
                said += traceback.format_exc()
            (folder / "what").write_text(said)
            print(f"{said}evidence is in {folder}", flush=True)
            return 1
        finally:
            print(f"in all, seed {arguments.seed}: {trial.tally}", flush=True)
    return 0


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="tools/crash", description="Kill hvproxy again and again while tenants work and frames flow, and see that "
        "nothing is lost that was promised.")
    parser.add_argument("--kills", type=int, default=20, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--links", dest="fault", action="store_const", const=Flap, help="flap links meanwhile")
    what.add_argument("--store", dest="fault", action="store_const", const=FullStore,
                      help="fill the disk of the store meanwhile")
    what.add_argument("--writes", dest="fault", action="store_const", const=FailingWrites,
                      help="have each write of the store fail in turn meanwhile")
    what.add_argument("--held", dest="fault", action="store_const", const=HeldStore,
                      help="kill hvproxy between changes of the switches and their commit to the store")
    what.add_argument("--switches", dest="kill", action="store_const", const=Trial.kill_switches,
                      help="kill the switches instead of hvproxy")
    what.add_argument("--both", dest="kill", action="store_const", const=Trial.kill_both,
                      help="kill the switches and hvproxy at once")
    parser.set_defaults(fault=Fault, kill=Trial.kill)
    parser.add_argument("--keep", default="crash.evidence", metavar="FOLDER", help="where a failure's evidence is left")
    sys.exit(run(parser.parse_args()))


if __name__ == "__main__":
    main()
