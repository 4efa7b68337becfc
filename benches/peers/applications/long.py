"""The example `long` in PyTorch: the training with gradients through all steps, on a whole tape."""
import math

from common import Clock, Learner, arguments, result

args = arguments()
import torch
from torch import nn

UNITS, BATCH = 32, 16


def count(steps):
    return math.ceil(steps * args.work)


short = [(10, 800), (20, 300), (40, 300), (80, 300), (160, 400), (320, 400), (640, 250)]
short = [(length, count(steps)) for length, steps in short]
long = [(args.length, count(60))]
while long[0][0] > 1280:
    long.insert(0, (long[0][0] // 2, long[0][1] * 3 // 2))


def draw(batch, steps):
    x = torch.stack([torch.rand(batch, steps), torch.zeros(batch, steps)], 2)
    rows, total = torch.arange(batch), torch.zeros(batch)
    for half in (0, steps // 2):
        marked = half + torch.randint(steps // 2, (batch,))
        x[rows, marked, 1] = 1.0
        total += x[rows, marked, 0]
    return x, total


gru, head = nn.GRU(2, UNITS, batch_first=True), nn.Linear(UNITS, 1)
clock = Clock()
with clock:
    for plan, rate in ((short, 0.01), (long, 0.005)):
        learner = Learner([gru, head], [], rate, sum(steps for _, steps in plan))
        for length, steps in plan:
            for _ in range(steps):
                x, total = draw(BATCH, length)
                learner.step(nn.functional.mse_loss(head(gru(x)[1][0])[:, 0], total))
with torch.inference_mode():
    x, total = draw(64, args.length)
    score = nn.functional.mse_loss(head(gru(x)[1][0])[:, 0], total).item()
result(score, clock)
