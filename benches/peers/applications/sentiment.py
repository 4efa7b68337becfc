"""The example `sentiment` in PyTorch."""
from common import Clock, Learner, arguments, batches, ragged, read, result

args = arguments()
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

WIDTH, UNITS, BATCH = 32, 32, 32
data = read(args.data)
words, classes = data["sizes"].tolist()
training, test = ragged(data, "training.tokens"), ragged(data, "test.tokens")
labels, test_labels = data["training.labels"], data["test.labels"]

embedding = nn.Embedding(words, WIDTH)
lstm = nn.LSTM(WIDTH, UNITS, bidirectional=True, batch_first=True)
head = nn.Sequential(nn.Dropout(0.2), nn.Linear(2 * UNITS, classes))
learner = Learner([lstm, head], [embedding], 4e-3, args.epochs * -(-len(training) // BATCH))


def logits(rows):
    packed = pack_sequence(rows, enforce_sorted=False)
    packed = nn.utils.rnn.PackedSequence(
        embedding(packed.data), packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices
    )
    _, (h, _) = lstm(packed)
    return head(torch.cat([h[0], h[1]], 1))


clock = Clock()
for _ in range(args.epochs):
    head.train()
    with clock:
        for rows in batches(len(training), BATCH):
            loss = nn.functional.cross_entropy(logits([training[row] for row in rows.tolist()]), labels[rows])
            learner.step(loss)
    head.eval()
    with torch.inference_mode():
        accuracy = (logits(test).argmax(1) == test_labels).float().mean().item()
result(accuracy, clock)
