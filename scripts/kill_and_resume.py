#!/usr/bin/env python3
"""Kills bingrasp at random moments (SIGKILL), resumes it, and compares the result with that of an uninterrupted run.

    scripts/kill_and_resume.py                 # every case; 112 kills
    scripts/kill_and_resume.py --only rcan --kills 3
    BINGRASP=path/to/bingrasp scripts/kill_and_resume.py

A case is a command with settings so small that it takes seconds. What has to be equal, by SHA-256: for a training run every
file of its checkpoints (weights, optimizers, replay buffers, state), its metrics, pictures and settings, and the names of all
its files; for a dataset or a recording every file. Ends with 0 if all are equal. Nothing but the standard library of Python 3
is used; the seed of the moments is printed, and --seed repeats them (as far as the machine's speed does).
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import tiny_runs
from tiny_runs import (
    DATASET, FOLDERS, JOINT, PATIENCE_S, PPO, QTOPT, RCAN, RECORDING, SEMANTIC, Failure, difference, digest, has_begun, run,
    started,
)

# Name, kills, command, and whether all moments lie behind the first checkpoint. Of other trainings every second one does.
CASES = [
    ("rcan", 12, RCAN, False),
    ("qtopt", 12, QTOPT + ["--steps", "10"], False),
    ("gan", 8, ["train", "gan"] + FOLDERS + ["--steps", "10"], False),
    ("cyclegan", 8, ["train", "cyclegan"] + FOLDERS + ["--steps", "10"], False),
    ("rl-cyclegan", 20, ["train", "rl-cyclegan"] + JOINT, True),
    ("graspgan", 10, ["train", "graspgan"] + JOINT, False),
    ("semantic-cyclegan", 8, SEMANTIC, False),
    ("ppo", 10, PPO, False),
    ("dataset-folder", 8, DATASET + ["--size", "32", "--count", "1200"], False),
    ("dataset-webdataset", 8, DATASET + ["--size", "32", "--count", "1200", "--format", "webdataset"], False),
    ("recording", 8, RECORDING + ["--count", "420"], False),
]


def has_checkpoint(out):
    return any(Path(out).glob("checkpoints/step-*"))


def exists(out):
    return Path(out).exists()


def reference(program, words, out, log):
    """An uninterrupted run; its digest, and the seconds that it runs behind the first file and behind the first checkpoint."""
    process, begun, since = started(program, words, log), time.monotonic(), {}
    while process.poll() is None:
        for condition in (exists, has_checkpoint):
            if condition not in since and condition(out):
                since[condition] = time.monotonic()
        if time.monotonic() - begun > PATIENCE_S:
            process.kill()
            raise Failure("the reference run hangs")
        time.sleep(0.005)
    if process.returncode != 0:
        raise Failure(f"{' '.join(words)} ended with {process.returncode}: {Path(log).read_text(errors='replace')[-2000:]}")
    return digest(out), {condition: time.monotonic() - at for condition, at in since.items()}


def kill_once(program, words, out, log, condition, delay):
    """Starts the run and kills it `delay` seconds after `condition` holds. None, or the seconds that it took if it was over."""
    process = started(program, words, log)
    while not condition(out) and process.poll() is None:
        time.sleep(0.002)
    begun = time.monotonic()
    while time.monotonic() < begun + delay and process.poll() is None:
        time.sleep(0.002)
    took = time.monotonic() - begun if process.poll() is not None else None
    process.send_signal(signal.SIGKILL)
    process.wait()
    return took


def play(program, name, kills, words, behind, place, rng, keep):
    """All kills of a case; returns how many ended in the expected bytes."""
    words = tiny_runs.filled(words, place)
    folder = place / name
    folder.mkdir()
    log = folder / "log"
    expected, seconds = reference(program, words + ["--out", str(folder / "whole")], folder / "whole", log)
    training = words[0] == "train"
    equal = done = late = 0
    while done < kills:
        out = folder / f"killed-{done}"
        condition = has_checkpoint if behind or (training and done % 2) else exists
        took = kill_once(program, words + ["--out", str(out)], out, log, condition, rng.uniform(0, seconds[condition]))
        if took is not None:
            # It was faster than the run that was timed, on a machine with other work.
            shutil.rmtree(out)
            seconds[condition] = max(took, 0.05)
            continue
        done += 1
        late += has_checkpoint(out) if training else has_begun(out)
        try:
            run(program, tiny_runs.resume_words(words, out), log)
            wrong = difference(expected, digest(out))
        except Failure as failure:
            wrong = str(failure)
        if wrong:
            print(f"{name}, kill {done}: {wrong}", flush=True)
        equal += not wrong
        if not (wrong and keep):
            shutil.rmtree(out)
    where = "behind the first checkpoint" if training else "behind the first file"
    print(f"{name:20} {equal:3} of {kills:3} equal; {late} were killed {where}, of {seconds[exists]:.1f} s", flush=True)
    return equal


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", help="one case; may be repeated")
    parser.add_argument("--kills", type=int, help="kills of every case, in place of its own number")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--keep", action="store_true", help="leave what is not equal for a look at it")
    args = parser.parse_args()
    program = tiny_runs.program()
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(1 << 32)
    rng = random.Random(seed)
    unknown = set(args.only or []) - {name for name, *_ in CASES}
    if unknown:
        parser.error(f"the cases are {', '.join(name for name, *_ in CASES)}")
    place = Path(tempfile.mkdtemp(prefix="kill-and-resume-"))
    equal = total = 0
    print(f"seed {seed}, in {place}", flush=True)
    tiny_runs.inputs(program, place)
    for name, kills, words, behind in CASES:
        if args.only and name not in args.only:
            continue
        kills = args.kills or kills
        total += kills
        try:
            equal += play(program, name, kills, words, behind, place, rng, args.keep)
        except Failure as failure:
            print(f"{name}: {failure}", flush=True)
    print(f"{equal} of {total} killed runs end in the bytes of the uninterrupted run")
    if not (args.keep and equal < total):
        shutil.rmtree(place)
    sys.exit(equal != total)


if __name__ == "__main__":
    main()
