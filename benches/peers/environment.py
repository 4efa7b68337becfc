"""The virtual environment that has the Python peers: where it is, how it is built, how a program goes on
inside it."""
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


def enter(venv=DEFAULT):
    """Starts this program again inside it, if there is one."""
    python = python_of(venv)
    if not python.exists() and "FUSED_RNN_PEERS_VENV" in os.environ:
        print(f"no environment at {venv}: going on with {sys.prefix}", file=sys.stderr, flush=True)
    if python.exists() and Path(sys.prefix).resolve() != venv.resolve():
        again = [argument for argument in sys.argv if argument != "--setup"]
        os.execv(python, [str(python), *again])
