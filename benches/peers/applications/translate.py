"""The example `translate` in PyTorch."""
from common import Clock, Learner, arguments, batches, error_rate, ragged, read, result

args = arguments()
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

WIDTH, UNITS, BATCH, START, END = 32, 96, 32, 1, 2
data = read(args.data)
characters, words = data["sizes"].tolist()
sources, targets = ragged(data, "training.sources"), ragged(data, "training.targets")
test_sources = ragged(data, "test.sources")
truth = [row.tolist() for row in ragged(data, "test.targets")]
longest = 2 + max(map(len, truth))

embeddings = nn.Embedding(characters, WIDTH), nn.Embedding(words, WIDTH)
reader, writer = nn.LSTM(WIDTH, UNITS, batch_first=True), nn.LSTM(WIDTH, UNITS, batch_first=True)
head = nn.Linear(UNITS, words)
learner = Learner([reader, writer, head], embeddings, 5e-3, args.epochs * -(-len(sources) // BATCH))


def packed(embedding, rows):
    lengths = torch.tensor([len(row) for row in rows])
    x = embedding(pad_sequence(rows, batch_first=True))
    return pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)


def read_all(rows):
    return reader(packed(embeddings[0], rows))[1]


def translate(rows):
    state, last = read_all(rows), torch.full((len(rows), 1), START)
    ended, said = torch.zeros(len(rows), 1, dtype=torch.bool), []
    for _ in range(longest):
        y, state = writer(embeddings[1](last), state)
        last = head(y).argmax(2).masked_fill(ended, END)
        ended |= last == END
        said.append(last)
    return [[word for word in row if word != END] for row in torch.cat(said, 1).tolist()]


clock = Clock()
for _ in range(args.epochs):
    with clock:
        for chosen in batches(len(sources), BATCH):
            chosen = chosen.tolist()
            given = [torch.cat([torch.tensor([START]), targets[row]]) for row in chosen]
            wanted = [torch.cat([targets[row], torch.tensor([END])]) for row in chosen]
            state = read_all([sources[row] for row in chosen])
            y, _ = writer(packed(embeddings[1], given), state)
            # The labels in the order of the packed steps.
            lengths = torch.tensor([len(row) for row in wanted])
            labels = pack_padded_sequence(
                pad_sequence(wanted, batch_first=True), lengths, batch_first=True, enforce_sorted=False
            ).data
            learner.step(nn.functional.cross_entropy(head(y.data), labels))
    with torch.inference_mode():
        score = error_rate(truth, translate(test_sources))
result(score, clock)
