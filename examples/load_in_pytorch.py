"""A trained RCAN generator in PyTorch, its weights loaded by name.

    pip install torch safetensors numpy pillow
    python examples/load_in_pytorch.py runs/rcan photo.png canonical.png
"""
import pathlib
import sys
import tomllib

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import load_file


class Block(nn.Module):
    def __init__(self, inputs, outputs, kernel=3, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.InstanceNorm2d(outputs, affine=True)

    def forward(self, *x):
        return F.relu(self.norm(self.conv(torch.cat(x, 1))))


class Generator(nn.Module):
    """Image [n, 3, h, w] in [-1, 1] to the canonical image in [-1, 1], depth in [-1, 1] and class probabilities."""

    def __init__(self, filters, num_strided, num_bottleneck, stem_kernel, head_kernel, num_refine, raw_input=False):
        super().__init__()
        deepest, raw = len(filters) - 1, 3 * raw_input
        self.num_strided, self.raw_input = num_strided, raw_input
        self.levels, self.num_bottleneck, self.num_refine = deepest, num_bottleneck, num_refine
        self.stem = Block(3, filters[0], stem_kernel)
        for i in range(deepest):
            self.add_module(f"down{i + 1}", Block(filters[i], filters[i + 1], stride=2 if i < num_strided else 1))
            self.add_module(f"up{i}", Block(filters[i + 1], filters[i]))
            self.add_module(f"mix{i}", Block(2 * filters[i], filters[i], 1))
        for i in range(num_bottleneck):
            self.add_module(f"bottleneck{i}", Block(filters[-1], filters[-1]))
        for i in range(num_refine):
            self.add_module(f"refine{i}", Block(filters[0] + (raw if i == 0 else 0), filters[0]))
        self.heads = nn.Conv2d(filters[0] + raw, 9, head_kernel, padding=head_kernel // 2)

    def forward(self, image):
        raw, x, skips = ([image] if self.raw_input else []), self.stem(image), []
        for i in range(self.levels):
            skips.append(x)
            x = self.get_submodule(f"down{i + 1}")(x if i < self.num_strided else F.avg_pool2d(x, 2))
        for i in range(self.num_bottleneck):
            x = self.get_submodule(f"bottleneck{i}")(x)
        for i in reversed(range(self.levels)):
            x = F.interpolate(x, size=skips[i].shape[2:], mode="bilinear", align_corners=False)
            x = self.get_submodule(f"mix{i}")(self.get_submodule(f"up{i}")(x), skips[i])
        for i in range(self.num_refine):
            x = self.get_submodule(f"refine{i}")(x, *(raw if i == 0 else []))
        maps = self.heads(torch.cat([x, *raw], 1))
        return maps[:, :3].tanh(), maps[:, 3:4].tanh(), maps[:, 4:].softmax(1)


def load(run):
    """The averaged generator of a run's newest checkpoint."""
    settings = tomllib.loads((pathlib.Path(run) / "config.toml").read_text())
    generator = Generator(**settings["rcan"]["generator"])
    newest = max((pathlib.Path(run) / "checkpoints").glob("step-*"))
    generator.load_state_dict(load_file(newest / "generator_averaged.safetensors"))
    return generator.eval()


if __name__ == "__main__":
    import numpy as np
    from PIL import Image

    run, source, target = sys.argv[1:]
    pixels = torch.from_numpy(np.array(Image.open(source).convert("RGB"))).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        image, depth, mask = load(run)(pixels)
    Image.fromarray(((image[0].permute(1, 2, 0) + 1) * 127.5).round().byte().numpy()).save(target)
