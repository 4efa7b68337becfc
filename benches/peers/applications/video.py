"""The example `video` in PyTorch."""
from common import Clock, Learner, arguments, batches, read, result

args = arguments()
import torch
from torch import nn

UNITS, BATCH = 128, 32
data = read(args.data)
frames, pixels, classes = data["sizes"].tolist()
x, test_x = (data[f"{name}.x"].view(-1, frames, pixels) for name in ("training", "test"))
labels, test_labels = data["training.labels"], data["test.labels"]
lstm = nn.LSTM(pixels, UNITS, batch_first=True)
head = nn.Sequential(nn.Dropout(0.2), nn.Linear(UNITS, classes))
learner = Learner([lstm, head], [], 4e-3, args.epochs * -(-len(x) // BATCH))

clock = Clock()
for _ in range(args.epochs):
    head.train()
    with clock:
        for rows in batches(len(x), BATCH):
            learner.step(nn.functional.cross_entropy(head(lstm(x[rows])[1][0][0]), labels[rows]))
    head.eval()
    with torch.inference_mode():
        accuracy = (head(lstm(test_x)[1][0][0]).argmax(1) == test_labels).float().mean().item()
result(accuracy, clock)
