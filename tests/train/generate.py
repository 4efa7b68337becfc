"""Golden files from PyTorch for tests/train: losses, CTC, optimisers, schedules, embeddings, in
tests/train/golden/.

What: values and gradients of the losses with their options; ctc_loss over random lengths, repeats, blanks and
impossible alignments; parameters after each step of SGD, Adam and AdamW and their saved state, several
tensors under one optimiser, sparse gradients; what each learning-rate scheduler gives; clip_grad_norm_.
Why: figures that this crate did not make. Everything is computed in float64 from f32 inputs and then rounded.
Form: safetensors, one file for each subject; a tensor's name is CASE.NAME. Options are in the names or are
tensors of one element, so that the test reads them and no list is kept twice. Labels, lengths and tokens are
int64.

usage: python tests/train/generate.py
needs: numpy, torch (versions: benches/peers/requirements.txt)
"""
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "golden"))
import golden  # noqa: E402

IGNORED = 99


class File:
    def __init__(self, name):
        self.name, self.tensors = name, {}

    def put(self, name, value):
        array = value.detach().numpy() if torch.is_tensor(value) else np.asarray(value)
        self.tensors[name] = array.astype(np.int64 if array.dtype.kind in "iu" else np.float32)

    def save(self):
        metadata = {"precision": "float64", "source": f"PyTorch {torch.__version__}"}
        golden.save(HERE / "golden" / f"{self.name}.safetensors", metadata, self.tensors)


def draw(stream, *shape, limit=1.0):
    return torch.tensor(golden.uniform(stream, *shape, limit=limit), dtype=torch.float64)


def gradient(file, case, loss, leaf):
    leaf.grad = None
    loss.backward()
    file.put(f"{case}.loss", loss)
    file.put(f"{case}.gradient", leaf.grad)


def losses():
    file, stream = File("losses"), golden.random("losses")
    rows, classes = 7, 5
    logits = draw(stream, rows, classes, limit=4.0).requires_grad_()
    labels = torch.tensor([0, 4, IGNORED, 2, 2, IGNORED, 1])
    weights = draw(stream, classes).abs() + 0.1
    soft = draw(stream, rows, classes).abs()
    for name, value in (("logits", logits), ("labels", labels), ("weights", weights), ("soft", soft)):
        file.put(f"cross.{name}", value)
    kept = labels != IGNORED
    for reduction in ("mean", "sum"):
        for weighted in ("plain", "weighted"):
            for smoothing in (0.0, 0.1):
                options = dict(weight=weights if weighted == "weighted" else None, reduction=reduction)
                options["label_smoothing"] = smoothing
                case = f"{reduction}-{weighted}-{smoothing}"
                hard = F.cross_entropy(logits, labels, ignore_index=IGNORED, **options)
                gradient(file, f"hard-{case}", hard, logits)
                gradient(file, f"soft-{case}", F.cross_entropy(logits, soft, **options), logits)
                # A mask is a selection of rows.
                gradient(file, f"masked-{case}", F.cross_entropy(logits[kept], soft[kept], **options), logits)

    y = draw(stream, 6, 4, limit=3.0).requires_grad_()
    targets = draw(stream, 6, 4, limit=3.0)
    binary = (targets > 0).double() * 0.75 + draw(stream, 6, 4).abs() * 0.25
    positive = draw(stream, 4).abs() * 3
    real = torch.tensor([1, 0, 1, 1, 0, 1])
    for name, value in (
        ("y", y),
        ("targets", targets),
        ("binary", binary),
        ("positive", positive),
        ("real", real),
    ):
        file.put(f"values.{name}", value)
    real = real.bool()
    functions = {
        "squared": F.mse_loss,
        "absolute": F.l1_loss,
        "huber": lambda y, t, **options: F.huber_loss(y, t, delta=0.7, **options),
        "binary": F.binary_cross_entropy_with_logits,
        "positive": lambda y, t, **o: F.binary_cross_entropy_with_logits(y, t, pos_weight=positive, **o),
    }
    for name, function in functions.items():
        t = binary if name in ("binary", "positive") else targets
        for reduction in ("mean", "sum"):
            gradient(file, f"{name}-{reduction}-all", function(y, t, reduction=reduction), y)
            gradient(file, f"{name}-{reduction}-masked", function(y[real], t[real], reduction=reduction), y)
    file.save()


def ctc():
    file = File("ctc")
    for number in range(48):
        stream = golden.random(f"ctc {number}")
        batch, classes = int(stream.randint(1, 5)), int(stream.randint(2, 9))
        steps = int(stream.randint(1, 31))
        if number == 0:
            batch, classes, steps = 2, 30, 150
        blank = int(stream.randint(classes)) if number % 2 else 0
        lengths = stream.randint(1, steps + 1, batch)
        lengths[0] = steps
        # From rows of no labels to impossible ones; every third draws from two labels alone, so that many
        # repeat.
        label_lengths = np.array([stream.randint(0, max(2, int(n * 0.75) + 1)) for n in lengths])
        if number % 5 == 4:
            label_lengths[-1] = lengths[-1] + 1
        symbols = [label for label in range(classes) if label != blank]
        symbols = symbols[:2] if number % 3 == 0 else symbols
        labels = stream.choice(symbols, int(label_lengths.sum()))
        logits = draw(stream, steps, batch, classes, limit=[0.5, 3.0, 12.0][number % 3]).requires_grad_()
        for name, value in (("logits", logits), ("lengths", lengths), ("labels", labels), ("blank", [blank])):
            file.put(f"{number}.{name}", value)
        file.put(f"{number}.label_lengths", label_lengths)

        def loss(reduction, zero_infinity):
            arguments = [torch.tensor(values) for values in (labels, lengths, label_lengths)]
            options = dict(blank=blank, reduction=reduction, zero_infinity=zero_infinity)
            return F.ctc_loss(logits.log_softmax(-1), *arguments, **options)

        file.put(f"{number}.none", loss("none", False))
        gradient(file, f"{number}.mean", loss("mean", True), logits)
        gradient(file, f"{number}.sum", loss("sum", False), logits)
    file.save()


def optimizers():
    file, stream = File("optimizers"), golden.random("optimizers")
    steps, before, sizes = 12, 6, (5, 2)
    start = [draw(stream, n) for n in sizes]
    gradients = [[draw(stream, n, limit=2.0) for n in sizes] for _ in range(steps)]
    file.put("start", torch.cat(start))
    file.put("gradients", torch.stack([torch.cat(of_step) for of_step in gradients]))
    file.put("sizes", list(sizes))
    file.put("before", [before])
    optim = torch.optim
    makers = {
        "adam": lambda p: optim.Adam(p, lr=0.02, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1),
        "adamw": lambda p: optim.AdamW(p, lr=0.02, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1),
        "sgd": lambda p: optim.SGD(p, lr=0.05, weight_decay=0.1),
        "momentum": lambda p: optim.SGD(p, lr=0.05, momentum=0.9),
        "nesterov": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.1),
    }
    for name, make in makers.items():
        parameters = [values.clone().requires_grad_() for values in start]
        optimizer, trace = make(parameters), []
        for step, of_step in enumerate(gradients):
            # One change of the rate on the way.
            if step == steps // 2:
                optimizer.param_groups[0]["lr"] *= 0.5
            for parameter, values in zip(parameters, of_step):
                parameter.grad = values.clone()
            optimizer.step()
            trace.append(torch.cat([parameter.detach().clone() for parameter in parameters]))
            if step + 1 == before:
                state = [optimizer.state_dict()["state"].get(index, {}) for index in range(len(sizes))]
                for key in ("exp_avg", "exp_avg_sq", "momentum_buffer"):
                    if key in state[0]:
                        file.put(f"{name}.{key}", torch.cat([of[key] for of in state]))
                if "step" in state[0]:
                    file.put(f"{name}.step", state[0]["step"])
        file.put(f"{name}.trace", torch.stack(trace))

    # Sparse gradients: the rows of an embedding.
    rows, width, batches = 6, 3, 5
    table = draw(stream, rows, width)
    tokens = torch.tensor(stream.randint(0, rows, (batches, 4)))
    dy = draw(stream, batches, 4, width, limit=2.0)
    for name, value in (("table", table), ("tokens", tokens), ("dy", dy)):
        file.put(f"rows.{name}", value)
    # Its epsilon stands at the uncorrected root: with a small one the two forms agree.
    for name, make in {
        "adam": lambda p: optim.SparseAdam(p, lr=0.02, betas=(0.8, 0.95), eps=1e-12),
        "sgd": lambda p: optim.SGD(p, lr=0.05),
    }.items():
        embedding = torch.nn.Embedding(rows, width, sparse=True, dtype=torch.float64)
        with torch.no_grad():
            embedding.weight.copy_(table)
        optimizer, trace = make(embedding.parameters()), []
        for batch in range(batches):
            optimizer.zero_grad()
            embedding(tokens[batch]).backward(dy[batch])
            if batch == 0 and name == "sgd":
                file.put("rows.gradient", embedding.weight.grad.to_dense())
            optimizer.step()
            trace.append(embedding.weight.detach().clone())
        file.put(f"rows.{name}.trace", torch.stack(trace))

    groups = [draw(stream, n, limit=3.0).requires_grad_() for n in sizes]
    for number, limit in enumerate((1.0, 100.0)):
        for group in groups:
            group.grad = group.detach().clone()
        norm = torch.nn.utils.clip_grad_norm_(groups, limit)
        file.put(f"clip.{number}.limit", [limit])
        file.put(f"clip.{number}.norm", norm)
        file.put(f"clip.{number}.clipped", torch.cat([group.grad for group in groups]))
    file.put("clip.gradients", torch.cat([group.detach() for group in groups]))
    file.save()


def schedules():
    file, base = File("schedules"), 0.4
    lr = torch.optim.lr_scheduler

    def sequential(optimizer):
        parts = [lr.LinearLR(optimizer, 0.1, 1.0, 5), lr.CosineAnnealingLR(optimizer, 20, eta_min=0.04)]
        return lr.SequentialLR(optimizer, parts, milestones=[5])

    def chained(optimizer):
        return lr.ChainedScheduler([lr.LinearLR(optimizer, 0.5, 1.0, 4), lr.StepLR(optimizer, 6, 0.3)])

    makers = {
        "step": lambda optimizer: lr.StepLR(optimizer, 7, 0.5),
        "exponential": lambda optimizer: lr.ExponentialLR(optimizer, 0.9),
        "cosine": lambda optimizer: lr.CosineAnnealingLR(optimizer, 12, eta_min=0.04),
        "linear": lambda optimizer: lr.LinearLR(optimizer, 0.25, 0.75, 10),
        "sequential": sequential,
        "chained": chained,
    }
    file.put("base", [base])
    for name, make in makers.items():
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=base)
        scheduler, rates = make(optimizer), []
        for _ in range(30):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        file.put(name, np.array(rates))

    stream = golden.random("plateau")
    values = np.round(np.exp(-np.arange(80) / 15.0) + 0.2 * stream.uniform(size=80), 3).astype(np.float32)
    file.put("plateau.values", values)
    for name, options in {
        "default": dict(),
        "patient": dict(factor=0.5, patience=3, threshold=0.05, cooldown=4, min_lr=0.01),
        "absolute": dict(factor=0.5, patience=2, threshold=0.01, threshold_mode="abs", eps=0.03),
        "maximize": dict(mode="max", factor=0.7, patience=1, threshold=0.02),
    }.items():
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=base)
        scheduler, rates = lr.ReduceLROnPlateau(optimizer, **options), []
        for value in values:
            scheduler.step(float(value))
            rates.append(optimizer.param_groups[0]["lr"])
        file.put(f"plateau.{name}", np.array(rates))
    file.save()


if __name__ == "__main__":
    (HERE / "golden").mkdir(exist_ok=True)
    losses()
    ctc()
    optimizers()
    schedules()
