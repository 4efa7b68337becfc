"""The node tests of LSTM, GRU and RNN of the onnx package, in tests/golden/onnx_node/.

What: every test_lstm_*, test_gru_*, test_rnn_* and test_simple_rnn_* that the package generates, in its own
form: NAME/model.onnx and NAME/test_data_set_0/{input,output}_*.pb. With --run, the example onnx_node is run
on each.
Why: ONNX's own statement of what the operators compute, and of how a model says so.

usage: python tests/golden/generate_onnx_nodes.py [--run] [FOLDER]
needs: numpy, onnx (versions: benches/peers/requirements.txt); --run: cargo
"""
import argparse
import shutil
import subprocess
from pathlib import Path

import numpy as np
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases

HERE = Path(__file__).resolve().parent
PREFIXES = ("test_lstm_", "test_gru_", "test_rnn_", "test_simple_rnn_")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", action="store_true", help="run the example onnx_node on each")
    parser.add_argument("folder", nargs="?", type=Path, default=HERE / "onnx_node")
    options = parser.parse_args()
    shutil.rmtree(options.folder, ignore_errors=True)
    np.random.seed(0)
    names = []
    for case in collect_testcases(None):
        if not case.name.startswith(PREFIXES):
            continue
        names.append(case.name)
        folder = options.folder / case.name
        ((inputs, outputs),) = case.data_sets
        data = folder / "test_data_set_0"
        data.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(case.model.SerializeToString(deterministic=True))
        graph = case.model.graph
        for kind, arrays, infos in (("input", inputs, graph.input), ("output", outputs, graph.output)):
            for index, (array, info) in enumerate(zip(arrays, infos, strict=True)):
                tensor = numpy_helper.from_array(array, info.name)
                (data / f"{kind}_{index}.pb").write_bytes(tensor.SerializeToString(deterministic=True))
    print(f"{len(names)} tests: {', '.join(sorted(names))}")
    if options.run:
        command = [
            "cargo",
            "run",
            "--quiet",
            "--release",
            "--features",
            "onnx",
            "--example",
            "onnx_node",
            "--",
        ]
        for name in sorted(names):
            folder = options.folder / name
            print(name, flush=True)
            subprocess.run([*command, folder / "model.onnx", folder / "test_data_set_0"], check=True)


if __name__ == "__main__":
    main()
