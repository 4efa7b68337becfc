"""What the applications in PyTorch share: data that the Rust examples export, the optimiser, the result.

Data: `cargo run --example NAME -- --export FILE` writes one safetensors file of flat tensors; rows of different
lengths lie one after the other, with their lengths in another tensor.
Training: as in `examples/common`: AdamW (weight decay 0.01), gradients clipped to a global norm of 1, a rate
that warms up linearly over a twentieth of the steps and then falls as a cosine to a hundredth; embeddings
without weight decay, their gradients clipped by themselves. Embeddings are dense here: faster in PyTorch than
its sparse gradients at these sizes.
"""
import argparse
import json
import math
import os
import time


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--networks", type=int, default=5, help="forecast: networks that are averaged")
    parser.add_argument("--length", type=int, default=10_000, help="long: steps of the longest rows")
    parser.add_argument("--work", type=float, default=1.0, help="long: work of the training, as a share")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    import torch

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    return args


def read(path):
    import safetensors.torch

    return safetensors.torch.load_file(path)


def ragged(data, name, width=1):
    """The rows of `name`, whose lengths are `name.lengths`."""
    lengths = data[f"{name}.lengths"].tolist()
    return data[name].split([n * width for n in lengths])


class Learner:
    def __init__(self, modules, embeddings, rate, steps):
        import torch

        self.parameters = [p for module in modules for p in module.parameters()]
        self.tables = [embedding.weight for embedding in embeddings]
        self.optimizer = torch.optim.AdamW(
            [{"params": self.parameters, "weight_decay": 0.01}]
            + ([{"params": self.tables, "weight_decay": 0.0}] if self.tables else []),
            lr=rate,
        )
        warm = steps // 20 + 1
        falling = max(1, steps - min(warm, steps - 1))

        def factor(t):
            if t < warm:
                return 0.1 + 0.9 * t / warm
            return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, (t - warm) / falling)))

        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, factor)

    def step(self, loss):
        from torch.nn.utils import clip_grad_norm_

        self.optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(self.parameters, 1.0)
        for table in self.tables:
            clip_grad_norm_([table], 1.0)
        self.optimizer.step()
        self.schedule.step()


class Clock:
    """Adds up what happens between `with` and its end."""

    def __init__(self):
        self.seconds = 0.0

    def __enter__(self):
        self.start = time.perf_counter()

    def __exit__(self, *_):
        self.seconds += time.perf_counter() - self.start


def batches(count, batch):
    import torch

    return torch.randperm(count).split(batch)


def error_rate(truth, said):
    """Levenshtein distances over all rows, for each label of the truth."""

    def distance(a, b):
        row = list(range(len(b) + 1))
        for i, x in enumerate(a):
            corner, row[0] = i, i + 1
            for j, y in enumerate(b):
                corner, row[j + 1] = row[j + 1], min(row[j + 1] + 1, row[j] + 1, corner + (x != y))
        return row[-1]

    return sum(map(distance, truth, said)) / sum(map(len, truth))


def result(score, clock):
    import torch

    print(json.dumps({"score": score, "fit": clock.seconds, "versions": {"torch": torch.__version__}}))
