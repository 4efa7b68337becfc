"""This crate beside its peers: recurrent layers of the same weights and inputs, interleaved, shape by shape.

    python benches/peers/compare.py --setup               once: a virtual environment with pinned packages
    python benches/peers/compare.py --mode fwd,train,step --threads 1,2 --out benches/record/MACHINE/DATE
    python benches/peers/compare.py --mode train --shapes "lstm B32 T100 I256 H256 L1; gru B3 T7 I33 H97 L1"
    python benches/peers/compare.py --peers onednn,torch --rounds 9 --seconds 0.3
    python benches/peers/compare.py --crowd --threads 1   calm, and beside a neighbour that fills the shared cache
    python benches/peers/compare.py --precision int8 --mode fwd,step          peers in int8; or bf16_weights, bf16
    python benches/peers/compare.py --report benches/record/MACHINE/DATE     tables and charts, from a record

Needs Rust, Python 3.11 or later and a C++ compiler (for oneDNN also libdnnl-dev); a peer that is missing is
skipped by name. For each shape every peer gets the same weights and the same input and must give this crate's
results, or it is named and not ranked; then rounds of A B C A B C, each peer for --seconds, so that what else
the machine does falls on all. Each is a process that lives for all shapes and is stopped (SIGSTOP) while it
is not its turn: never do two run. README.md beside this file has the protocol, what is counted, and every
peer's settings.
"""

import argparse
import contextlib
import datetime
import json
import signal
import subprocess
import sys
from pathlib import Path

import environment

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "workers")]


def arguments():
    parser = argparse.ArgumentParser(
        description="This crate beside its peers, interleaved.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--mode", default="fwd", help="fwd, train, step, or several with commas")
    parser.add_argument("--threads", default="1", help="numbers of threads, with commas")
    parser.add_argument("--shapes", help="semicolons between them; without it the grid of the mode")
    parser.add_argument("--peers", help="names with commas; without it all")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each peer at each shape")
    parser.add_argument("--seconds", type=float, default=0.5, help="of each peer in each round")
    parser.add_argument("--slow", type=float, default=8.0, help="a peer so many times slower gets one round")
    parser.add_argument(
        "--precision",
        default="f32",
        help="f32, bf16_weights, bf16 or int8 of this crate; peers in f32, bf16 or int8",
    )
    parser.add_argument(
        "--crowd",
        action="store_true",
        help="each run also beside a neighbour that streams through the shared cache (crowd.py)",
    )
    parser.add_argument("--level", help="pins this crate's SIMD level")
    parser.add_argument(
        "--out", type=Path, help="folder of the record; without it one under target/peers/records"
    )
    environment.arguments(parser)
    parser.add_argument("--report", type=Path, metavar="DIR", help="only tables and charts of a record")
    return parser.parse_args()


def check_shape(text):
    from protocol import Shape

    shape = Shape.parse(text)
    if 0 in (shape.batch, shape.steps, shape.input, shape.hidden, shape.layers):
        raise ValueError(f"shape {text!r}: expected sizes from 1")
    return shape


def shapes_of(args, mode, own_command):
    if args.shapes is not None:
        return [text.strip() for text in args.shapes.split(";") if text.strip()]
    listed = subprocess.run(
        [*own_command(1)[:1], "--list", "--mode", mode], capture_output=True, text=True, check=True
    )
    return listed.stdout.splitlines()


def checked(args):
    """Modes, numbers of threads, peers. Wrong options end the program before it builds an environment."""
    from workers_list import PRECISIONS, check_names

    modes, threads = args.mode.split(","), args.threads.split(",")
    if not set(modes) <= {"fwd", "train", "step"}:
        sys.exit(f"--mode: expected fwd, train or step, got {args.mode}")
    if not all(n.isdecimal() and int(n) > 0 for n in threads):
        sys.exit(f"--threads: expected numbers from 1, with commas, got {args.threads}")
    if args.precision not in PRECISIONS:
        sys.exit(f"--precision: expected one of {', '.join(PRECISIONS)}, got {args.precision}")
    if args.precision == "int8" and "train" in modes:
        sys.exit("--precision int8: expected no mode train")
    peers = check_names(args.peers or None)
    if args.rounds < 1:
        sys.exit(f"--rounds: expected at least 1, got {args.rounds}")
    if not 0 <= args.seconds <= 1e6:
        sys.exit(f"--seconds: expected a number from 0 to 1000000, got {args.seconds}")
    return modes, [int(n) for n in threads], peers


def main():
    args = arguments()
    if args.report:
        import report

        print(report.write(args.report))
        return
    modes, threads, asked = checked(args)
    environment.need(args)

    import crowd
    import record
    import report
    from session import Session, build_all
    from workers_list import BUILD, Missing, build_neighbour

    if args.shapes is not None:
        try:
            if not [check_shape(text) for text in shapes_of(args, None, None)]:
                sys.exit("--shapes: expected at least one")
        except ValueError as error:
            sys.exit(f"--shapes: {error}")
    now = datetime.datetime.now().astimezone()
    out = args.out or BUILD / "records" / now.strftime("%Y-%m-%d-%H%M%S")
    measured = record.crate()
    # Ended so, too, it ends its workers.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    own, peers, missing = build_all(asked, args.level, args.precision)
    if args.crowd:
        try:
            neighbour = build_neighbour()
        except Missing as reason:
            sys.exit(f"--crowd: {reason}")
    out.mkdir(parents=True, exist_ok=True)
    for name, reason in missing.items():
        print(f"{name}: skipped: {reason}", flush=True)
    gaps = []
    for mode in modes:
        shapes = shapes_of(args, mode, own)
        for count in threads:
            about = {
                "date": now.isoformat(timespec="seconds"),
                "command": " ".join(["python benches/peers/compare.py", *map(record.quoted, sys.argv[1:])]),
                "machine": record.machine(),
                "crate": measured,
                "mode": mode,
                "precision": args.precision,
                "threads": count,
                "rounds": args.rounds,
                "seconds": args.seconds,
                "missing": dict(missing),
            }
            with contextlib.ExitStack() as stack:
                crowded = None
                if args.crowd:
                    place = crowd.place(count)
                    crowded = stack.enter_context(crowd.Crowd(neighbour, place, BUILD / "logs"))
                    about["crowd"] = crowded.about()
                    print(crowd.said(about["crowd"]), flush=True)
                session = Session(own, peers, mode, count, BUILD / "logs", args.precision, crowded)
                stack.enter_context(session)
                about["missing"] |= session.missing
                about["peers"] = session.settings()
                rows = []
                for shape in shapes:
                    rows.append(session.compare(shape, args.rounds, args.seconds, args.slow))
                    record.write(out, about, rows)
                gaps += [f"{mode}, {shape}" for shape in record.gaps({"shapes": rows}) if count == threads[0]]
    print(report.write(out))
    print(f"record: {out}")
    if gaps:
        sys.exit(f"this crate did not run: {'; '.join(gaps)}")


if __name__ == "__main__":
    main()
