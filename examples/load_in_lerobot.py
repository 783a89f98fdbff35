"""A recording exported for LeRobot, opened by LeRobot's own reader and compared with the recording.

    pip install lerobot safetensors        (lerobot >= 0.4; from 0.6 on: "lerobot[dataset]")
    bingrasp episodes export real --format lerobot --out real-lerobot
    python examples/load_in_lerobot.py real-lerobot [real]
"""
import io
import os
import pathlib
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import load_file

try:
    from lerobot.datasets import LeRobotDataset
except ImportError:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

IMAGE = "observation.images.camera"


def decisions(recording):
    """Every decision of a recording in order, as the frame that it should have become."""
    for path in sorted(pathlib.Path(recording).glob("episodes-*.safetensors")):
        shard = load_file(path)
        offset, image_offset = shard["episode_offset"], shard["image_offset"]
        for e in range(len(offset) - 1):
            for i in range(offset[e], offset[e + 1]):
                o, last = i + e, i + 1 == offset[e + 1]
                png = shard["image_png"][image_offset[o] : image_offset[o + 1]].tobytes()
                yield {
                    IMAGE: np.asarray(Image.open(io.BytesIO(png))).transpose(2, 0, 1) / np.float32(255),
                    "observation.state": shard["gripper"][o],
                    "action": shard["action"][i],
                    "next.reward": shard["reward"][i],
                    "next.done": bool(shard["terminated"][i] or shard["truncated"][i] or shard["invalid"][i]),
                    "next.truncated": bool(shard["truncated"][i]),
                    "next.success": bool(last and shard["success"][e]),
                    "frame_index": i - offset[e],
                }


def check_frames(dataset, recording):
    """Every frame is the decision of the recording, to the bit."""
    count = 0
    for frame, expected in zip(dataset, decisions(recording), strict=True):
        for key, value in expected.items():
            assert np.array_equal(frame[key].numpy(), value), f"{key} of frame {count} differs"
        assert frame["index"] == count and frame["task"] == "grasp any object from the bin"
        count += 1
    print(f"{count} frames are those of {recording}")


def check_statistics(dataset):
    """Figures of `meta/stats.json` worked out anew by NumPy."""
    columns = {key: [] for key in dataset.features}
    for frame in dataset:
        for key, values in columns.items():
            value = frame[key].numpy().astype(np.float64)
            values.append(value.reshape(3, -1).T if key == IMAGE else value.reshape(1, -1))
    for key, values in columns.items():
        values, stats = np.concatenate(values), dataset.meta.stats[key]
        figures = {"min": values.min(0), "max": values.max(0), "mean": values.mean(0), "std": values.std(0)}
        figures |= {f"q{q:02}": np.quantile(values, q / 100, axis=0) for q in (1, 10, 50, 90, 99)}
        for name, expected in figures.items():
            assert stats[name].shape == ((3, 1, 1) if key == IMAGE else expected.shape), (key, name)
            assert np.allclose(stats[name].ravel(), expected, rtol=1e-4, atol=1e-5), (key, name, stats[name], expected)
        assert stats["count"].tolist() == [len(dataset)]
    print(f"statistics of {len(columns)} features hold")


if __name__ == "__main__":
    folder, *recording = sys.argv[1:]
    dataset = LeRobotDataset("local/bingrasp", root=folder)
    print(dataset)
    if recording:
        check_frames(dataset, *recording)
    check_statistics(dataset)

    # Batches as a policy is trained on them: the image now and one decision before, the actions of three decisions. A
    # decision counts as a second.
    ahead = LeRobotDataset(
        "local/bingrasp", root=folder, delta_timestamps={IMAGE: [-1.0, 0.0], "action": [0.0, 1.0, 2.0]}
    )
    frames = 0
    for batch in torch.utils.data.DataLoader(ahead, batch_size=16, shuffle=True):
        frames += len(batch["index"])
        assert batch[IMAGE].shape[1:] == (2, 3, *dataset.features[IMAGE]["shape"][:2])
        assert batch["action"].shape[1:] == (3, 6) and batch["observation.state"].shape[1:] == (3,)
    assert frames == len(dataset)
    last = LeRobotDataset("local/bingrasp", root=folder, episodes=[dataset.num_episodes - 1])
    assert len(last) == dataset.meta.episodes[dataset.num_episodes - 1]["length"]
    print(f"{frames} frames came in batches, {len(last)} of them in the last episode")
