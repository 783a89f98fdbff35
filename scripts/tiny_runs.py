"""Commands with settings so small that they take seconds, their inputs, and what has to be equal in their results.

Shared by kill_and_resume.py and failing_calls.py.
"""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

PATIENCE_S = 900


def sets(prefix, **values):
    """--set words: sets("rcan", size=32) is --set rcan.size=32; two underscores stand for a dot."""
    pairs = ((name.replace("__", "."), value) for name, value in values.items())
    return [word for name, value in pairs for word in ("--set", f"{prefix}{name}={value}")]


RCAN = ["train", "rcan", "--steps", "24", "--batch", "2", "--seed", "3"] + sets(
    "rcan.", size=32, generator__filters="[8, 12, 16]", generator__num_strided=1, discriminator__filters="[8, 8]",
    discriminator__strides="[2, 2]", discriminator__num_scales=2, num_pool_blocks=2, reuse=0.5, num_warmup_steps=5,
) + sets("", data__num_envs=2, checkpoint_interval=3, log_interval=2, image_interval=8)
QTOPT = ["train", "qtopt", "--batch", "8"] + sets(
    "qtopt.", exploration__initial_episodes=4, episodes_per_iteration=4, updates_per_iteration=4, bellman_batch=16,
    training_buffer=64, segment_len=64, network__features=64,
) + sets("", data__num_envs=4, checkpoint_interval=2, image_interval=6)
# Little is judged, so that most moments fall into steps of the joint phase.
JOINT = ["--init", "{agent}", "--real", "{real}", "--steps", "8", "--batch", "2"] + sets(
    "rl-cyclegan.", held_out_episodes=1, judged_episodes=0, q_interval=1, qtopt__episodes_per_iteration=2,
    qtopt__updates_per_iteration=2,
) + sets("", checkpoint_interval=2, log_interval=2)
FOLDERS = ["--data", "{folders}", "--batch", "2"] + sets(
    "cyclegan.", size=32) + sets("", data__images__load_size=36, checkpoint_interval=3, log_interval=2, image_interval=5)
SEMANTIC = ["train", "semantic-cyclegan", "--simulation", "{simulation}", "--reality", "{reality}", "--batch", "1"] + sets(
    "", **{"semantic-cyclegan__filters": 1}, checkpoint_interval=2, image_interval=4) + ["--steps", "6", "--seed", "3"]
PPO = ["train", "ppo", "--steps", "8", "--seed", "3"] + sets(
    "ppo.", num_envs=4, num_steps=5, minibatch_size=8) + sets(
    "", data__size=36, data__eval_episodes=4, checkpoint_interval=2, image_interval=4)
DATASET = ["dataset", "generate", "--num-envs", "4"]
RECORDING = ["episodes", "record", "--size", "16", "--domain", "canonical"]


class Failure(Exception):
    pass


def program():
    """The binary under test: $BINGRASP, or the release build."""
    return str(Path(os.environ.get("BINGRASP", "target/release/bingrasp")).resolve(strict=True))


def started(program, words, log):
    with open(log, "wb") as file:
        return subprocess.Popen([program, *words], stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)


def run(program, words, log):
    process = started(program, words, log)
    try:
        code = process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired as error:
        process.kill()
        raise Failure(f"{' '.join(words)} hangs") from error
    if code != 0:
        raise Failure(f"{' '.join(words)} ended with {code}: {Path(log).read_text(errors='replace')[-2000:]}")


def inputs(program, place, wanted=("agent", "real", "folders")):
    """What the cases read: an agent, a recording of reality, datasets and folders of their pictures."""
    log = place / "inputs.log"
    make = lambda *words: run(program, [str(word) for word in words], log)
    if "agent" in wanted:
        make(*QTOPT, "--steps", "4", "--out", place / "agent")
    if "real" in wanted:
        make("episodes", "record", "--out", place / "real", "--domain", "reality", "--count", "4", "--seed", "2")
    if "folders" not in wanted:
        return
    for name, domain, seed in (("simulation", "canonical", 1), ("reality", "reality", 2)):
        make("dataset", "generate", "--out", place / name, "--domain", domain, "--seed", seed, "--sensed-depth", "--count",
             "12", "--num-envs", "4", "--size", "64")
    for side, name in (("A", "simulation"), ("B", "reality")):
        shutil.copytree(place / name / "train" / "randomized", place / "folders" / f"train{side}")


def filled(words, place):
    """A command with the places of its inputs."""
    names = ("agent", "real", "folders", "simulation", "reality")
    return [str(place / word.strip("{}")) if word.strip("{}") in names and word.startswith("{") else word for word in words]


def digest(out):
    """The names of all files, and the SHA-256 of those that may not differ."""
    found = {}
    for path in sorted(Path(out).rglob("*")):
        name = str(path.relative_to(out))
        # A lock that could not be removed is nobody's: it is taken over.
        if path.is_dir() or name.startswith("events.out.") or name == ".lock":
            continue
        # Reports hold speeds and times.
        timed = "/" not in name and name.startswith("report.")
        found[name] = None if timed else hashlib.sha256(path.read_bytes()).hexdigest()
    # The list that a checkpoint holds must be true as well.
    for path in Path(out).glob("checkpoints/*/checksums.txt"):
        for line in path.read_text().splitlines():
            sha, name = line.split("  ")
            if found[str((path.parent / name).relative_to(out))] != sha:
                raise Failure(f"{path}: the checksum of {name} is another")
    return found


def difference(expected, found):
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            return f"{name} is missing"
        if name not in expected:
            return f"{name} is left over"
        if expected[name] != found[name]:
            return f"{name} differs"
    return None


def has_begun(out):
    """Whether there is something to resume."""
    return any((Path(out) / name).exists() for name in ("config.toml", "dataset.toml", "episodes.toml"))


def resume_words(words, out):
    """The command that continues what `words` began in `out`, or begins it where nothing is there yet."""
    fresh = [*words, "--out", str(out)]
    if not has_begun(out):
        return fresh
    return ["train", words[1], "--resume", "--out", str(out)] if words[0] == "train" else [*fresh, "--resume"]
