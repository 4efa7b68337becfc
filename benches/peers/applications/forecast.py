"""The example `forecast` in PyTorch."""
from copy import deepcopy

from common import Clock, Learner, arguments, batches, read, result

args = arguments()
import torch
from torch import nn

data = read(args.data)
window, horizon, training, validation, units = data["sizes"].tolist()
values = data["values"]


def part(start, end):
    """Windows and what follows, in units of the windows' means; and these units."""
    origins = range(max(start, window), end + 1 - horizon)
    x = torch.stack([values[o - window : o] for o in origins])
    y = torch.stack([values[o : o + horizon] for o in origins])
    unit = x.abs().mean(1, keepdim=True).clamp_min(1e-3)
    return (x / unit)[:, :, None], y / unit, unit


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(1, units, batch_first=True), nn.Linear(units, horizon)
        self.dropout = nn.Dropout(0.2)

    def forward(self, x):
        return self.head(self.dropout(self.lstm(x)[1][0][0]))


def train(number):
    torch.manual_seed(args.seed + number)
    net = Network()
    learner, loss = Learner([net], [], 3e-3, 3000), nn.HuberLoss()
    x, y, _ = part(0, training)
    check_x, check_y, _ = part(training, validation)
    best, least, waited = deepcopy(net.state_dict()), float("inf"), 0
    for _ in range(args.epochs):
        net.train()
        for rows in batches(len(x), 32):
            learner.step(loss(net(x[rows]), y[rows]))
        net.eval()
        with torch.inference_mode():
            value = loss(net(check_x), check_y).item()
        if value < least:
            best, least, waited = deepcopy(net.state_dict()), value, 0
        else:
            waited += 1
            if waited >= 120:
                break
    net.load_state_dict(best)
    return net.eval()


clock = Clock()
with clock:
    networks = [train(number) for number in range(args.networks)]
with torch.inference_mode():
    x, y, unit = part(validation, len(values))
    mean = torch.stack([net(x) for net in networks]).mean(0)
    score = ((mean - y) * unit).abs().mean().item()
result(score, clock)
