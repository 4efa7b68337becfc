"""Who is compared, how each is started, and at which settings: the one list of peers."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "peers"


class Missing(Exception):
    """A peer cannot be had here; says why."""


def run(command, **settings):
    """Runs a build step; what it said last is the reason where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, **settings)
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        errors = [line for line in lines if "error" in line.lower()] or lines
        raise Missing(f"{Path(command[0]).name}: {errors[0].strip() if errors else done.returncode}")
    return done.stdout


def newer(target, *sources):
    return target.exists() and all(target.stat().st_mtime >= source.stat().st_mtime for source in sources)


def python_worker(name):
    return lambda threads: [
        sys.executable,
        str(HERE / "workers" / f"{name}_worker.py"),
        "--threads",
        str(threads),
    ]


def build_cpp(name, source, flags):
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if not compiler:
        raise Missing("no C++ compiler")
    BUILD.mkdir(parents=True, exist_ok=True)
    target = BUILD / f"{name}_worker"
    sources = [source, HERE / "cpp" / "protocol.hpp"]
    if not newer(target, *sources):
        run([compiler, "-std=c++17", "-O3", "-march=native", "-o", str(target), str(source), *flags])
    return lambda threads: [str(target)]


def build_neighbour():
    """Not a peer: who crowds the machine (crowd.py); the path of the program."""
    return build_cpp("neighbour", HERE / "cpp" / "neighbour.cpp", ["-pthread"])(1)[0]


def build_onednn():
    """oneDNN of the system, with OpenMP."""
    return build_cpp("onednn", HERE / "cpp" / "onednn_worker.cpp", ["-fopenmp", "-ldnnl"])


def build_onednn_sycl():
    """oneDNN of PyPI's onednn-devel, which runs on SYCL's CPU device; DPCPP_CPU_NUM_CUS is its number of threads,
    and of the cores that its worker keeps to."""
    prefix = Path(sys.prefix)
    if not (prefix / "include" / "dnnl_sycl.h").exists():
        raise Missing("no onednn-devel in this environment (pip install onednn onednn-devel)")
    libraries = prefix / "lib"
    flags = [f"-I{prefix / 'include'}", f"-L{libraries}", "-ldnnl"]
    flags += [f"-Wl,{option},{libraries}" for option in ("-rpath", "-rpath-link")]
    command = build_cpp("onednn-sycl", HERE / "cpp" / "onednn_worker.cpp", flags)
    icd = f"OCL_ICD_FILENAMES={libraries / 'libintelocl.so'}"
    paths = f"LD_LIBRARY_PATH={libraries}"
    return lambda threads: ["env", icd, paths, f"DPCPP_CPU_NUM_CUS={threads}", *command(threads)]


def rtneural_folder():
    """RTNEURAL_DIR, or a clone of our own."""
    given = os.environ.get("RTNEURAL_DIR")
    folder = Path(given) if given else BUILD / "RTNeural"
    if not (folder / "RTNeural" / "RTNeural.h").exists():
        if given:
            raise Missing(f"RTNEURAL_DIR={given} has no RTNeural/RTNeural.h")
        BUILD.mkdir(parents=True, exist_ok=True)
        url = "https://github.com/jatinchowdhury18/RTNeural"
        shutil.rmtree(folder, ignore_errors=True)
        run(
            ["git", "clone", "--depth", "1", url, str(folder)], env={**os.environ, "GIT_TERMINAL_PROMPT": "0"}
        )
    return folder


def build_rtneural():
    """Sizes fixed at compile time, Eigen's kernels, which were faster here than xsimd's."""
    folder = rtneural_folder()
    eigen = [folder / "modules" / "Eigen", Path("/usr/include/eigen3")]
    eigen = [path for path in eigen if (path / "Eigen" / "Dense").exists()]
    if not eigen:
        raise Missing("no Eigen (libeigen3-dev)")
    flags = ["-DRTNEURAL_USE_EIGEN=1", "-DRTNEURAL_DEFAULT_ALIGNMENT=32", "-DEIGEN_MAX_ALIGN_BYTES=32"]
    flags += ["-DEIGEN_STACK_ALLOCATION_LIMIT=0", f"-I{folder}", f"-I{eigen[0]}"]
    return build_cpp("rtneural", HERE / "cpp" / "rtneural_worker.cpp", flags)


def build_rust(name):
    target = BUILD / "rust"
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target)}
    # candle and burn choose some of their vector code when they are compiled.
    environment.setdefault("RUSTFLAGS", "-C target-cpu=native")
    command = ["cargo", "build", "--release", "--locked", "--quiet", "-p", f"peer-{name}"]
    run(command, cwd=HERE / "rust", env=environment)
    return lambda threads: [str(target / "release" / f"peer-{name}")]


# This crate's precisions, and those of the peers beside each.
PRECISIONS = {"f32": "f32", "bf16_weights": "bf16", "bf16": "bf16", "int8": "int8"}


def build_own(level=None, precision="f32"):
    """The grid bench as a worker."""
    import json

    command = ["cargo", "bench", "--bench", "grid", "--no-run", "--quiet", "--message-format=json"]
    for line in run(command, cwd=ROOT).splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "grid":
            extra = ["--precision", precision, *(["--level", level] if level else [])]
            return lambda threads: [message["executable"], "--serve", "--threads", str(threads), *extra]
    raise Missing("cargo bench made no grid")


@dataclass
class Peer:
    name: str
    # Makes what is needed and returns the command for so many threads.
    build: object
    # Said in the record: how it is run.
    modes: str
    needs_model: bool = False
    # Those that its worker has.
    precisions: str = "f32"
    # Whether its worker takes a length for each row.
    lengths: bool = False
    environment: dict = field(default_factory=dict)


PEERS = [
    Peer("onednn", build_onednn, "fwd train step"),
    Peer("onednn-sycl", build_onednn_sycl, "fwd train step", precisions="f32 bf16 int8"),
    Peer("torch", lambda: python_worker("torch"), "fwd train step", lengths=True, precisions="f32 bf16 int8"),
    Peer("ort", lambda: python_worker("ort"), "fwd step", precisions="f32 int8"),
    Peer("openvino", lambda: python_worker("openvino"), "fwd step", precisions="f32 bf16"),
    Peer("ncnn", lambda: python_worker("ncnn"), "fwd step", precisions="f32 int8"),
    Peer("tensorflow", lambda: python_worker("tensorflow"), "fwd train step"),
    Peer("jax", lambda: python_worker("jax"), "fwd train step"),
    Peer("tract", lambda: build_rust("tract"), "fwd step", needs_model=True),
    Peer("rten", lambda: build_rust("rten"), "fwd step", needs_model=True, precisions="f32 int8"),
    Peer("candle", lambda: build_rust("candle"), "fwd train step"),
    Peer("burn", lambda: build_rust("burn"), "fwd train step"),
    Peer("rtneural", build_rtneural, "fwd step"),
]


def peer_environment(threads, precision):
    """The variables by which each peer's pool learns its size, and its worker the precision."""
    names = [
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "RAYON_NUM_THREADS",
        "RTEN_NUM_THREADS",
    ]
    own = {"PEER_THREADS": str(threads), "PEER_PRECISION": PRECISIONS[precision]}
    return {**dict.fromkeys(names, str(threads)), **own}


def check_names(text):
    """The names of an option; `None` stands for all peers. A name that is no peer's ends the program."""
    if text is None:
        return None
    known, names = [peer.name for peer in PEERS], text.split(",")
    if not set(names) <= set(known):
        sys.exit(f"--peers: expected some of {','.join(known)}, got {text}")
    return names
