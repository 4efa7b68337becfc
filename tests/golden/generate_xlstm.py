"""Golden files of the sLSTM by its authors' own code: outputs and every gradient, in tests/golden/xlstm/.

What: the function `slstm_forward` of the package xlstm (Beck et al. 2024), its form in plain PyTorch
(`backend="vanilla"`), with one, two and four heads, over layers, directions, layouts, lengths and odd sizes.
Why: figures whose formula, stabiliser and layout of heads are the authors', and not ours.
Trust: computed in float64 from f32 inputs, by PyTorch's autograd, and then rounded. (The package's own module
multiplies by W as part of another layer: here W x is PyTorch's product.)
Form of the files: that of cells/, see README.md beside this script; values depend on a file's name alone.

usage: python tests/golden/generate_xlstm.py
needs: numpy, torch, xlstm (versions: benches/peers/requirements.txt; of what xlstm asks for, packaging suffices)
"""
from importlib.metadata import version

import torch
from xlstm.blocks.slstm.src.vanilla import slstm_forward, slstm_pointwise_function_registry

import autograd
import generate_cells
import golden
from generate_cells import Case


def cases():
    for case in generate_cells.cases():
        if case.cell == "slstm":
            yield case
    yield Case("slstm", b=2, t=30, i=4, h=48, heads=4, bf=True, state=True)


def authors(case, p, x, h):
    """One row. The states are y, c, n and m of a batch of one; R of a head has the rows of its units, gate by
    gate."""
    inputs = (x @ p["weight_ih"].T)[:, None]
    size = case.h // case.heads
    recurrent = p["weight_hh"].reshape(4, case.heads, size, size).transpose(0, 1).reshape(case.heads, -1, size)
    states = torch.stack([h, *[torch.zeros_like(h)] * 3])[:, None]
    bias = p["bias_ih"] + p["bias_hh"]
    pointwise = slstm_pointwise_function_registry["slstm"]
    every, last, _ = slstm_forward(inputs, states, recurrent, bias, pointwise)
    return every[0, 1:, 0], last[0, 0]


def main():
    torch.set_num_threads(1)
    generate_cells.CELLS["slstm"] = (*generate_cells.CELLS["slstm"][:3], authors)
    source = f"xlstm {version('xlstm')}, vanilla, with torch {torch.__version__.split('+')[0]}"
    directory = golden.clean("xlstm")
    for case in cases():
        generate_cells.write(case, directory, source)
    autograd.report(directory)


if __name__ == "__main__":
    main()
