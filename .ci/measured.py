"""Run a command, then say how long it took and how much memory its processes held together at the worst moment.

python3 .ci/measured.py COMMAND [ARGUMENT ...]
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

INTERVAL = 0.2  # seconds between looks at /proc


def session_memory(session: int) -> int:
    """Bytes held by all processes of a session, pages they share counted once."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(process.name)) != session:
                continue
            rollup = (process / "smaps_rollup").read_text()
        except OSError:  # it ended while we looked
            continue
        total += sum(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))
    return total


def main(command: list[str]) -> int:
    start, peak = time.monotonic(), 0
    process = subprocess.Popen(command, start_new_session=True)
    while process.poll() is None:
        peak = max(peak, session_memory(process.pid))
        time.sleep(INTERVAL)
    print(f"{' '.join(command)}: {time.monotonic() - start:.1f} s, peak memory {peak / 2**20:.0f} MiB", flush=True)
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
