"""The example `transcribe` in PyTorch."""
from common import Clock, Learner, arguments, batches, error_rate, ragged, read, result

args = arguments()
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

UNITS, BATCH = 64, 16
data = read(args.data)
features, classes = data["sizes"].tolist()


def lines(name):
    lengths = data[f"{name}.lengths"]
    x = data[f"{name}.x"].view(-1, features).split(lengths.tolist())
    return x, lengths, ragged(data, f"{name}.classes")


x, lengths, labels = lines("training")
test_x, test_lengths, truth = lines("test")
truth = [row.tolist() for row in truth]
lstm = nn.LSTM(features, UNITS, bidirectional=True, batch_first=True)
head = nn.Linear(2 * UNITS, classes)
learner = Learner([lstm, head], [], 5e-3, args.epochs * -(-len(x) // BATCH))


def log_softmax(rows, lengths):
    packed = pack_padded_sequence(
        pad_sequence(rows, batch_first=True), lengths, batch_first=True, enforce_sorted=False
    )
    y, _ = pad_packed_sequence(lstm(packed)[0], batch_first=True)
    return head(y).log_softmax(2)


def greedy(logs, lengths):
    said = []
    for row, length in zip(logs.argmax(2), lengths.tolist()):
        merged = row[:length].unique_consecutive()
        said.append(merged[merged != 0].tolist())
    return said


clock = Clock()
for _ in range(args.epochs):
    with clock:
        for chosen in batches(len(x), BATCH):
            logs = log_softmax([x[row] for row in chosen.tolist()], lengths[chosen])
            targets = [labels[row] for row in chosen.tolist()]
            counts = torch.tensor([len(row) for row in targets])
            loss = nn.functional.ctc_loss(logs.transpose(0, 1), torch.cat(targets), lengths[chosen], counts)
            learner.step(loss)
    with torch.inference_mode():
        score = error_rate(truth, greedy(log_softmax(test_x, test_lengths), test_lengths))
result(score, clock)
