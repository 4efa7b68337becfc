"""The example `generate` in PyTorch; it writes 600 characters too, as a stream."""
import math

from common import Clock, Learner, arguments, read, result

args = arguments()
import torch
from torch import nn

WIDTH = 32
data = read(args.data)
kinds, units, rows, steps = data["sizes"].tolist()
training, test = data["training"], data["test"]
length = (len(training) - 1) // rows
read_, next_ = (training[shift : shift + rows * length].view(rows, length) for shift in (0, 1))
starts = range(0, length, steps)

embedding = nn.Embedding(kinds, WIDTH)
lstm, head = nn.LSTM(WIDTH, units, batch_first=True), nn.Linear(units, kinds)
learner = Learner([lstm, head], [embedding], 6e-3, args.epochs * len(starts))

clock = Clock()
for _ in range(args.epochs):
    with clock:
        state = None
        for start in starts:
            y, state = lstm(embedding(read_[:, start : start + steps]), state)
            state = tuple(part.detach() for part in state)
            labels = next_[:, start : start + steps].flatten()
            learner.step(nn.functional.cross_entropy(head(y).flatten(0, 1), labels))
    with torch.inference_mode():
        y, _ = lstm(embedding(test[None, :-1]))
        bits = nn.functional.cross_entropy(head(y)[0], test[1:]).item() / math.log(2)
with torch.inference_mode():
    state, last = None, test[:1][None]
    for _ in range(600):
        y, state = lstm(embedding(last), state)
        last = torch.multinomial((head(y)[0] / 0.7).softmax(1), 1)
result(bits, clock)
