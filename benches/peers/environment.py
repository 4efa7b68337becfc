"""The virtual environment that has the Python peers: where it is, how it is built, how a program goes on
inside it."""
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
DEFAULT = Path(os.environ.get("FUSED_RNN_PEERS_VENV", HERE / ".venv"))


def python_of(venv):
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def build(venv):
    """Makes it where it is missing, and installs requirements.txt."""
    python = python_of(venv)
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet"]
    # One package that cannot be had must not keep the others out.
    for line in (HERE / "requirements.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            if subprocess.run([*pip, line.strip()]).returncode:
                print(f"{line.strip()}: not installed", flush=True)


def arguments(parser):
    """What programs that need it ask for."""
    parser.add_argument("--venv", type=Path, default=DEFAULT, help="the virtual environment of Python peers")
    parser.add_argument("--setup", action="store_true", help="build the virtual environment first")


def need(args):
    """Goes on inside it, built first where that is asked for; ends where there are no packages."""
    if args.setup:
        build(args.venv)
    enter(args.venv)
    if importlib.util.find_spec("numpy") is None:
        sys.exit(
            f"numpy is missing, and there is no environment at {args.venv}: run with --setup once, or inside "
            "an environment that has requirements.txt"
        )


def enter(venv=DEFAULT):
    """Starts this program again inside it, if there is one."""
    python = python_of(venv)
    if not python.exists() and "FUSED_RNN_PEERS_VENV" in os.environ:
        print(f"no environment at {venv}: going on with {sys.prefix}", file=sys.stderr, flush=True)
    if python.exists() and Path(sys.prefix).resolve() != venv.resolve():
        again = [argument for argument in sys.argv if argument != "--setup"]
        os.execv(python, [str(python), *again])
