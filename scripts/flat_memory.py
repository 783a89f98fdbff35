#!/usr/bin/env python3
"""Watches the resident memory of a long training and looks whether it grows after the warm-up.

    scripts/flat_memory.py                       # 6,000 steps of train rcan and of train qtopt, with tiny settings
    scripts/flat_memory.py --only rcan --steps 20000

The viewer watches itself: xvfb-run bingrasp bench viewer --random-minutes 10. Memory is read from /proc once a second. The first third of the samples is warm-up: caches fill, the allocator keeps what is
freed. Memory is flat where the median of the last tenth is at most 2% (and 8 MB) above that of the tenth after the warm-up.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tiny_runs
from tiny_runs import QTOPT, RCAN


def resident_mb(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def watch(words, log):
    """Exit code, and samples (seconds, MB) until the process ends."""
    with open(log, "wb") as file:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
    begun, samples = time.monotonic(), []
    while process.poll() is None:
        try:
            samples.append((time.monotonic() - begun, resident_mb(process.pid)))
        except (FileNotFoundError, ProcessLookupError):
            break
        time.sleep(1)
    return process.wait(), [sample for sample in samples if sample[1] > 0]


def judged(name, samples, what):
    if len(samples) < 30:
        print(f"{name:8} only {len(samples)} samples: run it longer")
        return False
    memory = [mb for _, mb in samples]
    tenth = len(memory) // 10
    warm = statistics.median(memory[len(memory) // 3 :][:tenth])
    last = statistics.median(memory[-tenth:])
    flat = last <= max(warm * 1.02, warm + 8)
    print(f"{name:8} {what}, {samples[-1][0]:.0f} s: {warm:.0f} MB after the warm-up, {last:.0f} MB at the end, "
          f"{max(memory):.0f} MB at most: {'flat' if flat else 'GROWS'}", flush=True)
    return flat


def training(program, name, words, steps, place):
    out, log = place / name, place / f"{name}.log"
    words = [program, *words, "--steps", str(steps), "--set", "checkpoint_interval=500", "--set", "log_interval=50", "--set",
             "image_interval=1000", "--out", str(out), "--json"]
    code, samples = watch(words, log)
    if code != 0:
        print(f"{name} ended with {code}: {log.read_text(errors='replace')[-1000:]}")
        return False
    text = log.read_text(errors="replace")
    report = json.loads(text[text.index("{"):])
    return judged(name, samples, f"{report['steps']} steps")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=["rcan", "qtopt"], help="may be repeated")
    parser.add_argument("--steps", type=int, default=6000, help="training steps")
    args = parser.parse_args()
    program = tiny_runs.program()
    place = Path(tempfile.mkdtemp(prefix="flat-memory-"))
    flat = True
    for name in args.only or ["rcan", "qtopt"]:
        flat &= training(program, name, RCAN if name == "rcan" else QTOPT, args.steps, place)
    shutil.rmtree(place)
    sys.exit(not flat)


if __name__ == "__main__":
    main()
