#!/usr/bin/env python3
"""Lets every system call that changes a file fail once, and looks whether the old or the new state loads.

    scripts/failing_calls.py                      # every case, no space left on the device
    scripts/failing_calls.py --only training --error EIO
    scripts/failing_calls.py --for all            # the disk stays full from that call on

A case is a tiny training, dataset or recording. It is run once to count its calls (open for writing, write, sync, rename,
mkdir, truncate, removal) below its folder, and then once for every call with that one failing. Such a run has to end with a
sentence that names the cause, without a panic, or with a result as if nothing had happened. Resumed without failures, it has
to end in the bytes of a run without failures: so whatever it loads is whole. Needs a C compiler and Linux.
"""

import argparse
import concurrent.futures
import errno
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import tiny_runs
from tiny_runs import DATASET, FOLDERS, QTOPT, RECORDING, Failure, difference, digest, resume_words

FEW = ["--steps", "2", "--set", "checkpoint_interval=1", "--set", "image_interval=2", "--set", "log_interval=1"]
# Name, command, and the number of steps after which the failing run begins: the old state that it may fall back to.
CASES = [
    ("training", ["train", "cyclegan", *FOLDERS, *FEW], None),
    ("training-on", ["train", "cyclegan", *FOLDERS, *FEW], "3"),
    ("replay", ["train", "qtopt", *QTOPT[2:], *FEW], None),
    ("dataset-folder", [*DATASET, "--count", "2", "--size", "16"], None),
    ("dataset-webdataset", [*DATASET, "--count", "2", "--size", "16", "--format", "webdataset"], None),
    ("recording", [*RECORDING, "--count", "2"], None),
]


class Injector:
    def __init__(self, program, place, error, every):
        self.program, self.error, self.every = program, error, every
        self.library = place / "failing_calls.so"
        source = Path(__file__).with_suffix(".c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", self.library, source, "-ldl"], check=True)

    def run(self, words, out, at):
        """Runs with call number `at` failing (0: none). Returns exit code, standard error, calls, and the call that failed."""
        calls = Path(f"{out}.calls")
        calls.unlink(missing_ok=True)
        environment = dict(
            os.environ, LD_PRELOAD=str(self.library), FAIL_AT=str(at), FAIL_ERRNO=str(getattr(errno, self.error)),
            FAIL_BELOW=str(out), FAIL_LOG=str(calls), FAIL_FOR="all" if self.every else "one")
        try:
            ended = subprocess.run([self.program, *words], env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                                   text=True, errors="replace", timeout=tiny_runs.PATIENCE_S, check=False)
        except subprocess.TimeoutExpired as hang:
            raise Failure(f"call {at}: the program hangs") from hang
        lines = calls.read_text().splitlines() if calls.exists() else []
        count = max((int(line.split()[1]) for line in lines if line.startswith("calls ")), default=0)
        failed = next((line.removeprefix("failed ") for line in lines if line.startswith("failed ")), None)
        return ended.returncode, ended.stderr, count, failed


def try_call(injector, words, again, old, expected, out, at):
    """One failing call; returns its name and what is wrong, or nothing."""
    if old:
        shutil.copytree(old, out)
    code, says, _, failed = injector.run(words(out), out, at)
    if failed is None:
        shutil.rmtree(out, ignore_errors=True)
        return None, None
    wrong = None
    sentence = next((line for line in says.splitlines() if line.startswith("error:")), "")
    if "panicked" in says or code not in (0, 1):
        wrong = f"it ended with {code}: {says[-1000:]}"
    elif code == 1 and not sentence:
        wrong = f"it failed without a sentence: {says[-1000:]}"
    else:
        try:
            if code == 1:
                log = Path(f"{out}.log")
                tiny_runs.run(injector.program, again(out), log)
            wrong = difference(expected, digest(out))
        except Failure as failure:
            wrong = str(failure)
        if wrong:
            wrong = f"it ended with {code} ({sentence}); then {wrong}"
    shutil.rmtree(out, ignore_errors=True)
    return failed, wrong


def play(injector, name, command, more, place, jobs):
    """All calls of a case: how many there were, and how many went well."""
    folder = place / name
    folder.mkdir()
    command = tiny_runs.filled(command, place)
    old = None
    words, again = (lambda out: [*command, "--out", str(out)]), (lambda out: resume_words(command, out))
    if more:
        old = folder / "old"
        tiny_runs.run(injector.program, words(old), folder / "log")
        words = again = lambda out: ["train", command[1], "--resume", "--steps", more, "--out", str(out)]
    whole = folder / "whole"
    if old:
        shutil.copytree(old, whole)
    code, says, count, _ = injector.run(words(whole), whole, 0)
    if code != 0:
        raise Failure(f"the run without failures ended with {code}: {says}")
    expected = digest(whole)
    reached = good = 0
    # Threads may order their calls otherwise: a few more, until none is reached.
    numbers = range(1, count + 20)
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        results = pool.map(lambda at: try_call(injector, words, again, old, expected, folder / f"call-{at}", at), numbers)
        for at, (failed, wrong) in zip(numbers, results):
            if failed is None:
                continue
            reached += 1
            good += wrong is None
            if wrong:
                print(f"{name}, call {at} ({failed}): {wrong}", flush=True)
    print(f"{name:20} {good} of {reached} calls: the old or the new state loads", flush=True)
    return reached, good


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", help="one case; may be repeated")
    parser.add_argument("--error", default="ENOSPC", help="ENOSPC (default), EIO, EDQUOT, EACCES, ...")
    parser.add_argument("--for", dest="every", choices=["one", "all"], default="one", help="one call, or all from it on")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs side by side")
    args = parser.parse_args()
    names = [name for name, *_ in CASES]
    if set(args.only or []) - set(names):
        parser.error(f"the cases are {', '.join(names)}")
    place = Path(tempfile.mkdtemp(prefix="failing-calls-")).resolve()
    injector = Injector(tiny_runs.program(), place, args.error, args.every == "all")
    tiny_runs.inputs(injector.program, place, ("folders",))
    reached = good = 0
    failures = 0
    for name, command, more in CASES:
        if args.only and name not in args.only:
            continue
        try:
            r, g = play(injector, name, command, more, place, args.jobs)
            reached, good = reached + r, good + g
        except Failure as failure:
            failures += 1
            print(f"{name}: {failure}", flush=True)
    print(f"{good} of {reached} failing calls ({args.error}) left a state that loads and resumes to the same bytes")
    shutil.rmtree(place)
    sys.exit(failures > 0 or good != reached or reached == 0)


if __name__ == "__main__":
    main()
