#!/usr/bin/env python3
"""Mutation testing: changes the library one operator or one function at a time, and names what no test
notices.

    pip install tree-sitter tree-sitter-rust; cargo install cargo-mutants
    python3 tests/mutants.py -f 'src/product/**/*.rs' -f 'src/cell/*.rs' -f 'src/sequence/**/*.rs' \\
        --to mutants.jsonl

The mutants are those that cargo-mutants lists. Building each by itself takes longer than testing it, so all
of them are compiled into one program, which asks at each place whether the mutant there is the one that is
switched on:

    a + b      ->    match (a, b) { (l, r) => if crate::mutant(7) { l - r } else { l + r } }

A mutant that does not compile in that form (the compiler's errors name it) is built by itself, from its own
change; one that does not compile so either (or is a value of another type) is `build`, and no mutant. The
others meet the test programs from the quickest to the slowest, until a test fails: `caught` (by which
program), or `timeout` (caught too). First with a few cases of each property; who survives is `explained`, if
what it changes is listed below with the reason why no test can notice, or meets many cases, and is `missed`
if none of them fails.

All is built for 32-bit x86, where the portable level is the only one and compiles in seconds; that needs
`rustup target add i686-unknown-linux-gnu` and a C compiler for it (Debian: gcc-multilib). One JSON object a
line goes to `--to`; mutants that are in it already are left out, so a run can be stopped and taken up. Most
mutants take a second, who survives minutes.

cargo-mutants leaves unsafe functions out; it is shown a copy in which they are safe, so that they are mutated
as well. What this does not see: files that git does not know, and checks of arguments, for which `errors` and
`edge` ask at sizes of 64 bits and so are not among the programs.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import tree_sitter
import tree_sitter_rust

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = "i686-unknown-linux-gnu"
# Quickest first.
PROGRAMS = ["lib", "golden", "precision", "threads", "layer", "pattern", "exact", "integers", "equivalence",
            "bits", "alloc"]
# Networks that are left out where kernels are not optimised: here they take half a minute.
IGNORED = ["bits"]
# Tests of activations, which are not mutated here and take longest.
SKIPPED = ["exhaustive", "errors_stay_below", "values_and_slopes", "tanh_is_odd"]
# What the compiler would refuse of a mutant that is never reached.
ALLOWED = "#![allow(arithmetic_overflow, unconditional_panic)]\n"
SWITCH = """
/// Whether this mutant is switched on.
pub(crate) fn mutant(number: u32) -> bool {
    static ON: std::sync::LazyLock<u32> =
        std::sync::LazyLock::new(|| std::env::var("FUSED_RNN_MUTANT").map_or(0, |on| on.parse().unwrap()));
    *ON == number
}
"""
# What programs that are not among these depend on, which takes longer to build than the rest.
OF_OTHERS = r"^(clap|fused-rnn-examples-common|indicatif|npyz|rustc-demangle) = .*\n"
# How many cases properties have, at first and for those who survive.
CASES = [4, 48]
# Changes that leave all results as they are: (what the mutant's name and its line match, why). Asked of
# survivors alone.
EXPLAINED = [
    # Speed.
    (r"prefetch|Part::|fetches_next|field quiet|index < quiet|saturating_sub\(quiet\)", "what is prefetched"),
    (r"\(tile \+ 1\) \* to\.next|step_by\(LINE / I::LANES\)", "what is prefetched"),
    (r">::add \| if left > 0 \{|let whole = start == 0|let ahead = if pace == 0", "what is prefetched"),
    (r"replace <impl Gradient for \w+<'_>>::rows|let of_panel = Tile", "what is prefetched"),
    (r"products \| (if self.first && self.at.records.is_step|let \(unit, units\) =)", "what is prefetched"),
    (r"replace is_finished_once -> bool with false", "whether the phases of a row are finished once"),
    (
        r"delete ! in SingleRow<'a, 'b>::make|SingleRow<'a, 'b>::run \| let n = if down",
        "in which direction a step goes through its weights: always up on the portable level, where rows that"
        " are finished once have fewer",
    ),
    (
        r"replace zigzag -> bool|in zigzag\b|const (NEAR|FAR)\b",
        "in which direction a step goes through its weights",
    ),
    (r"if const \{ R > I::HEIGHTS", "in which order a kernel loads the operands of a word"),
    (r">::add \| while rest >= together", "how many words of depth a loop takes at a time: here one"),
    (r"multiply_add \| w\[u\]\[g\] = unsafe", "tiles of more rows than the portable level has"),
    (
        r"let (narrow|widest) =|replace height -> usize with 1|left >= widest|left >= 2 && gates"
        r"|let blocks = widest_of",
        "how many blocks and rows a tile takes",
    ),
    (r"replace is_taken -> bool with true", "tiles that are never asked for are in the program"),
    (r"(> with >=|\+ with \*) in panel .*> SCRATCH|delete match arm 1 in sweep", "how many tiles wait"),
    (
        r"run = like|takes_runs -> bool with false|replace > with < in panel .*if runs",
        "how many tiles are multiplied in a run",
    ),
    (r"Work<'_, G>>::sums -> usize with 1", "how many tiles are multiplied in a run, as none is finished"),
    (r"> with >= in <impl Tiles for Work.*blocks_of_run", "a run of whole blocks, or its tiles one by one"),
    (r"> with >= in <impl Tiles for Work.*one.blocks", "whole blocks, or by way of a copy"),
    (r"let readers =", "whether a product is cut into gates"),
    (r"replace absent with", "a tile that no sweep takes"),
    (r"is_by_row", "how many blocks of a row are finished together"),
    (r"replace (\* with /|== with !=) in Columns.*gather \| (.*depth_stride == 1|done = )",
     "weights that are not transposed by vectors are gathered one by one"),
    (r"of_products", "weights of bf16 have the same sums in either form"),
    (r"in 0\.\.UNITS - 1", "units that are not there are left out in any case"),
    (r"vnni::of", "kernels of x86-64 with the bits of the others"),
    (r"replace Tiles::finish ", "what no sweep asks for"),
    (r"joins -> bool with false|delete ! in .*::joins", "each of two vectors has a sum, or both have one"),
    (r"heads.are_one\(\) with false in pack_states", "a row is all of its only head"),
    (r"> with >= in .*push_segments \| if part.head > 0", "the first head begins on a line"),
    (r"> with >= in .*push_segments \| if inputs.start > 0", "a segment of nothing is added"),
    (
        r"replace CellTile<'a, I, P>::blocks -> usize with 1",
        "how often the moments of a row are found",
    ),
    (r"chunk_steps", "whether and how far input products are done beforehand"),
    (
        r"const (MAX_ROWS|ROWS_OF_BYTES|INPUTS_PER_ROW|WORTH_A_PIECE)",
        "whether and how far input products are done beforehand",
    ),
    (r"chunk_places|const CHUNK_BYTES", "where chunks are cut"),
    (r"in next_piece \| if 4 \* few", "where pieces end"),
    (
        r"replace \+ with \* in load |delete field rows from struct Load|in wavefront_nanoseconds"
        r"|replace Weights::input_bytes",
        "how threads share the work",
    ),
    (r"replace > with (<|>=) in Stages<'_>::wait .*patience", "when helpers are sent home"),
    (r"let own = member \*", "which share a member claims first"),
    (r"replace queue |in queue \| if threads_of_pool", "nobody helps"),
    (r"< with <= in Lately::are_awake", "how long threads count as awake, at the very limit"),
    (r"in Lobby::put \| if self.asking", "how long a caller waits for helpers that ask what others want"),
    (r"in Lobby::linger \| (let mut stays = look|let most = |if offer.is_none\(\) && most)",
     "how long a helper waits for more"),
    (r"if look < SPINNING_LOOKS|if round < SPINS|in 0..SPINS \+ YIELDS", "how a thread waits"),
    (r"in Stages<'_>::attend .*PART_LOST", "how long helpers are waited for"),
    (r"replace == with != in Stages<'_>::call|replace && with \|\| in Stages<'_>::attend", "nobody helps"),
    (r"replace > with >= in State::set_c", "nothing is copied to where there is none"),
    (r"replace > with .* in Packed::pack", "on which thread rows are packed"),
    (
        r"in too_little|saved \* steps as f64|2 \* WORTH_A_THREAD",
        "whether threads are woken, at the very limit",
    ),
    (
        r"replace < with <= in share .*while cut|replace - with . in share",
        "half of all never reaches into the last row",
    ),
    (r"Pattern<'_>::is_whole -> bool with false", "a way around the general one"),
    (r"> with >= in .*::stage \| \(step.checked|step \+ 1 < self.steps", "no row has a step past its last"),
    (r"is_narrow -> bool with false|< with (==|<=) in is_narrow", "another way to the same bits"),
    (
        r"match inputs - input|k \* I::LANES \+ input",
        "with four lanes there are fewer than four inputs, and one turn",
    ),
    (
        r"I::LANES.min\(units - \(unit \+ v \* I::LANES\)\)",
        "several vectors are whole, and the last in part is alone",
    ),
    (r"zoneout.p\[plane\] > 0.0", "a plane without zoneout takes all of what is new, by either way"),
    (r"if with_options && self.new_cell_state\(\) != C", "the same plane is written twice"),
    (r"Rows::in_order -> bool with false", "dropout before all chunks instead of before each"),
    # Memory.
    (r"SingleRow<'a, 'b>::make \| let to = phase.sums_of", "each step moves the sums to their place"),
    (
        r"SingleRow<'a, 'b>::run \| (if \*count == 0|unsafe \{ sums.write_bytes)",
        "sums that a phase without products overwrites, so that it reads no memory that nobody wrote",
    ),
    (r"Zoneout::planes", "a plane that is there and not used"),
    (r"map\(\|row\| 1 \+|reserve\(&mut self.times, batch \* steps\)", "how much is reserved beforehand"),
    (r"reserve\(&mut self.starts|starts.resize|reserve\(&mut self.places", "how much is reserved beforehand"),
    (r"Packed::reserve \| (if shape.hidden_gates|panel.reserve)", "how much is reserved beforehand"),
    (r"FRONT.saturating_add\(width", "a row with more room than it needs"),
    (r"from_raw_parts_mut\(to, LINE / 2\)", "how long a slice is of which half a line is written"),
    (r"OutOfMemory \{ bytes: count \* 64 \}", "asked for by a test for addresses of 64 bits alone"),
    # The same by arithmetic.
    (r"replace \^ with \| .*rotate_left", "the bits of a step and of a unit lie apart"),
    (r"replace \| with \^ in pair ", "the halves of a word have no bit in common"),
    (r"replace \+ with - .*\| .*D[AV] \+ (I|R_),", "zero is added"),
    (r"weights_of .*wrapping_add\(first|replace / with \* in Panel::words_of",
     "panels that are taken in parts have one gate, and words of one input"),
    (r"if m == 0 \|\| n == 0", "an empty product is left alone by matrixmultiply as well"),
]
ARITHMETIC = {"+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>"}
COMPARISONS = {"==", "!=", "<", ">", "<=", ">="}


class Switched:
    """A file of the library with all mutants of it in it, each behind its switch."""

    def __init__(self, path, source, mutants):
        self.path = path
        self.source = source
        self.lines = [0]
        for line in source.splitlines(keepends=True):
            self.lines.append(self.lines[-1] + len(line))
        language = tree_sitter.Language(tree_sitter_rust.language())
        self.tree = tree_sitter.Parser(language).parse(source)
        # Mutants by the node that they change.
        self.at = {}
        self.left_out = set()
        for number, mutant in mutants.items():
            node = self.node(mutant)
            # (Two returns are one type too many where that has no name.)
            unnamed = mutant["genre"] == "FnValue" and "impl " in mutant["function"]["return_type"]
            if node is None or constant(node) or unnamed or takes_all(node):
                self.left_out.add(number)
            else:
                self.at.setdefault(node.id, []).append((number, mutant["replacement"]))

    def place(self, point):
        line = self.source[self.lines[point["line"] - 1]:self.lines[point["line"]]].decode()
        return self.lines[point["line"] - 1] + len(line[:point["column"] - 1].encode())

    def node(self, mutant):
        """What is to be wrapped: an expression, the body of a function, the pattern of an arm, a field."""
        start, end = self.place(mutant["span"]["start"]), self.place(mutant["span"]["end"])
        # (The span of a field has its comma.)
        end = start if mutant["genre"] == "StructField" else end
        node = self.tree.root_node.descendant_for_byte_range(start, end)
        kinds = {
            "BinaryOperator": ("binary_expression", "compound_assignment_expr"),
            "UnaryOperator": ("unary_expression",),
            "FnValue": ("function_item",),
            "MatchArm": ("match_arm",),
            "MatchArmGuard": ("match_pattern",),
            "StructField": ("field_initializer", "shorthand_field_initializer"),
        }.get(mutant["genre"], ())
        while node is not None and node.type not in kinds:
            node = node.parent
        return node.child_by_field_name("body") if node is not None and node.type == "function_item" else node

    def text(self, without):
        """The file with its mutants but those `without`."""
        return self.emit(self.tree.root_node, without).decode()

    def plain(self, node, without):
        """The node with what is mutated inside of it."""
        out, at = b"", node.start_byte
        for child in node.children:
            out += self.source[at:child.start_byte] + self.emit(child, without)
            at = child.end_byte
        return out + self.source[at:node.end_byte]

    def emit(self, node, without):
        here = [(number, by.encode()) for number, by in self.at.get(node.id, []) if number not in without]
        if not here:
            return self.plain(node, without)

        def field(name):
            return self.emit(node.child_by_field_name(name), without)

        def choice(original, changed):
            return b"".join(
                b"if crate::mutant(%d) { /*<%d*/ %s /*%d>*/ } else " % (number, number, changed(by), number)
                for number, by in here
            ) + b"{ " + original + b" }"

        numbers = b",".join(b"%d" % number for number, _ in here)
        if node.type == "binary_expression":
            operator = node.child_by_field_name("operator").text
            left, right = field("left"), field("right")
            if operator.decode() in ARITHMETIC | COMPARISONS:
                operands = b"(%s), (%s)" if operator.decode() in ARITHMETIC else b"&(%s), &(%s)"
                body = choice(b"l " + operator + b" r", lambda by: b"l " + by + b" r")
                changed = b"match (" + operands % (left, right) + b") { (l, r) => " + body + b" }"
            else:
                changed = choice(left + operator + right, lambda by: left + by + right)
            changed = b"(" + changed + b")"
        elif node.type == "compound_assignment_expr":
            operator, left, right = node.child_by_field_name("operator").text, field("left"), field("right")
            assign = choice(left + operator + b" r", lambda by: left + by + b" r")
            changed = b"match " + right + b" { r => " + assign + b" }"
        elif node.type == "unary_expression":
            operator, operand = node.children[0].text, self.emit(node.children[1], without)
            changed = (
                b"(match (" + operand + b") { v => " + choice(operator + b"v", lambda by: by + b"v") + b" })"
            )
        elif node.type in ("field_initializer", "shorthand_field_initializer"):
            # Without the field it is that of the base.
            base = next(child for child in node.parent.children if child.type == "base_field_initializer")
            name, value = node, self.plain(node, without)
            if node.type == "field_initializer":
                name, value = node.child_by_field_name("field"), field("value")
            of_base = b"(" + self.plain(base.children[1], without) + b")." + name.text
            changed = name.text + b": " + choice(value, lambda by: of_base)
        elif node.type == "match_pattern":
            pattern = self.source[node.start_byte:node.child_by_field_name("condition").start_byte]
            condition = field("condition")
            changed = pattern + b"(" + choice(condition, lambda by: by) + b")"
        elif node.type == "match_arm":
            pattern = node.child_by_field_name("pattern")
            off = b"!crate::mutant(%d)" % here[0][0]
            condition = pattern.child_by_field_name("condition")
            head = self.emit(pattern, without)
            if condition is None:
                head += b" if " + off
            else:
                head = self.source[pattern.start_byte:condition.start_byte] + off + b" && (" + self.emit(
                    condition, without) + b")"
            changed = head + b" => " + field("value") + b","
        else:
            body = self.plain(node, without)
            early = b"".join(
                b"if crate::mutant(%d) { /*<%d*/ return %s; /*%d>*/ } " % (number, number, by, number)
                for number, by in here
            )
            changed = b"{ " + early + body[1:]
            # An error elsewhere in a body is not of its mutants.
            return changed
        return b"/*[" + numbers + b"*/" + changed + b"/*" + numbers + b"]*/"


def constant(node):
    """Whether the node is in a place where nothing can be asked at run time."""
    kinds = {"const_item", "static_item", "const_parameter", "array_type", "type_arguments", "const_block"}
    while node is not None:
        if node.type in kinds:
            return True
        if node.type == "function_item":
            modifiers = [child for child in node.children if child.type == "function_modifiers"]
            return any(b"const" in modifier.text for modifier in modifiers)
        node = node.parent
    return False


def takes_all(node):
    """Whether the node is the arm of a match that takes whatever is left: a match cannot do without it."""
    pattern = node.child_by_field_name("pattern") if node.type == "match_arm" else None
    return pattern is not None and re.fullmatch(rb"_|[a-z]\w*", pattern.text) is not None


def blamed(text, start):
    """The mutants that an error at this byte of a file is about: of the branch that it is in, or else of the
    place."""
    before, after = text[:start], text[start:]
    best = (-1, set())
    for opened in re.finditer(rb"/\*<(\d+)\*/", before):
        if b"/*%s>*/" % opened[1] in after and opened.start() > best[0]:
            if b"/*%s>*/" % opened[1] not in before[opened.end():]:
                best = (opened.start(), {int(opened[1])})
    for opened in re.finditer(rb"/\*\[([\d,]+)\*/", before):
        if b"/*%s]*/" % opened[1] not in before[opened.end():] and opened.start() > best[0]:
            best = (opened.start(), {int(number) for number in opened[1].split(b",")})
    return best[1]


class Tree:
    """A copy of the project, to be changed."""

    def __init__(self, folder, name):
        self.path = folder / name
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True)
        names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
        packed = subprocess.run(["tar", "c", "--null", "-T", "-"], cwd=ROOT, input=names, check=True,
                                capture_output=True).stdout
        subprocess.run(["tar", "x", "-C", self.path], input=packed, check=True)
        manifest = self.path / "tests/Cargo.toml"
        manifest.write_text(re.sub(OF_OTHERS, "", manifest.read_text(), flags=re.MULTILINE))
        self.environment = {
            **os.environ,
            # One for all trees: what the project depends on is built once.
            "CARGO_TARGET_DIR": str(folder / "target"),
            "CARGO_INCREMENTAL": "1",
            "RUST_BACKTRACE": "0",
        }

    def cargo(self, *command):
        done = subprocess.run(
            ["cargo", *command, "--target", TARGET, "--message-format", "json"],
            cwd=self.path,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        return done, [json.loads(line) for line in done.stdout.splitlines()]

    def errors(self):
        """Where the library does not compile: (file, byte)."""
        done, messages = self.cargo("check", "--package", "fused-rnn", "--lib")
        found = set()
        for message in messages:
            if message.get("reason") == "compiler-message" and message["message"]["level"] == "error":
                for span in message["message"]["spans"]:
                    primary = span["is_primary"]
                    while span.get("expansion"):
                        span = span["expansion"]["span"]
                    if primary:
                        found.add((span["file_name"], span["byte_start"]))
        if done.returncode != 0 and not found:
            sys.exit("the compiler names no place:\n" + done.stderr + done.stdout[-4000:])
        return found

    def build(self):
        """Builds the test programs: their paths by name, or None where the tree does not compile."""
        self.environment["CARGO_PROFILE_DEV_OPT_LEVEL"] = "1"
        command = ["test", "--no-run", "--package", "fused-rnn", "--package", "fused-rnn-tests", "--lib"]
        for name in (name for name in PROGRAMS if name != "lib"):
            command += ["--test", name]
        done, messages = self.cargo(*command)
        if done.returncode != 0:
            return None
        found = {}
        for message in messages:
            if message.get("executable"):
                name = message["target"]["name"].replace("fused_rnn", "lib").replace("fused-rnn", "lib")
                found[name] = message["executable"]
        return found

    def timeouts(self, programs):
        """After how much processor time each program has got stuck. Without any mutant it must pass, and how
        long that takes decides."""
        found = {}
        for name in PROGRAMS:
            start = resource.getrusage(resource.RUSAGE_CHILDREN)
            environment = {**self.environment, "PROPTEST_CASES": str(CASES[0])}
            if run(programs[name], self.path, environment, 1 << 20) != "passed":
                sys.exit(f"{name} must pass before anything is changed")
            end = resource.getrusage(resource.RUSAGE_CHILDREN)
            took = end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime
            found[name] = 10 + 10 * took
            print(f"{name}: {took:.1f} s", flush=True)
        return found

    def verdict(self, programs, mutant, number, timeouts):
        """What the test programs say while this number is switched on."""
        for cases in CASES:
            environment = {**self.environment, "FUSED_RNN_MUTANT": str(number), "PROPTEST_CASES": str(cases)}
            for name in PROGRAMS:
                said = run(programs[name], self.path, environment, timeouts[name] * cases / CASES[0])
                if said != "passed":
                    return f"{said} {name}"
            why = explained(mutant)
            if why:
                return f"explained: {why}"
        return "missed"


def idle(process):
    """Whether all threads of a process sleep, and the processor time that it has used."""
    states, used = set(), 0
    for stat in pathlib.Path(f"/proc/{process}/task").glob("*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        states.add(fields[0])
        used += int(fields[11]) + int(fields[12])
    return states <= {"S"}, used


def run(program, tree, environment, timeout):
    """Runs a test program until its first failure, for so many seconds of processor time. One that sleeps for
    half a minute waits for itself. (One that runs may have to wait for others, on a machine with much to do.)
    """
    arguments = [argument for test in SKIPPED for argument in ("--skip", test)]
    if pathlib.Path(program).name.split("-")[0] in IGNORED:
        arguments.append("--include-ignored")

    def limit():
        # A wrong size may ask for any amount of memory.
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
        resource.setrlimit(resource.RLIMIT_CPU, (int(timeout), int(timeout) + 1))

    process = subprocess.Popen([program, *arguments], cwd=tree, env=environment, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True, preexec_fn=limit)
    late, ended = threading.Event(), threading.Event()

    def watch():
        before = None
        while not ended.wait(30):
            now = idle(process.pid)
            if now == before and now[0]:
                late.set()
                return process.kill()
            before = now

    watcher = threading.Thread(target=watch)
    watcher.start()
    failed = False
    for line in process.stdout:
        if line.endswith("... FAILED\n"):
            failed = True
            process.kill()
            break
    status = process.wait()
    ended.set()
    watcher.join()
    process.stdout.close()
    if late.is_set() or status in (-signal.SIGXCPU, -signal.SIGKILL) and not failed:
        return "timeout in"
    return "caught by" if failed or status != 0 else "passed"


def explained(mutant):
    """Why no test can notice this mutant, where that is so."""
    line = mutant["line"]
    place = f"{mutant['name']} | {line.strip()}"
    return next((why for what, why in EXPLAINED if re.search(what, place)), None)


def listed(files):
    # As long as the words, so that every place stays where it is.
    unsafe, safe = "unsafe fn", "/*uns*/fn"
    with tempfile.TemporaryDirectory(prefix="fused-rnn-mutants-") as folder:
        copy = Tree(pathlib.Path(folder), "listed").path
        for path in copy.glob("src/**/*.rs"):
            path.write_text(path.read_text().replace(unsafe, safe))
        found = {}
        for pattern in files:
            command = ["cargo", "mutants", "--list", "--json", "--diff", "-f", pattern]
            done = subprocess.run(command, cwd=copy, check=True, capture_output=True, text=True)
            for mutant in json.loads(done.stdout.replace(safe, unsafe)):
                found.setdefault(mutant["name"], mutant)
    mutants = list(found.values())
    # The lines as they are now: a run may take an hour, in which somebody edits the files.
    lines = {name: (ROOT / name).read_text().splitlines() for name in {mutant["file"] for mutant in mutants}}
    for mutant in mutants:
        mutant["line"] = lines[mutant["file"]][mutant["span"]["start"]["line"] - 1]
    return mutants


def uninlined(source):
    return source.replace("#[inline(always)]", "#[inline]")


def switch(tree, mutants):
    """Puts all mutants into the tree. Returns the numbers of those that do not fit, and which of them do not
    compile by themselves either: values of another type than their function's."""
    files = {}
    for name in sorted({mutant["file"] for mutant in mutants.values()}):
        of_file = {number: mutant for number, mutant in mutants.items() if mutant["file"] == name}
        files[name] = Switched(name, (ROOT / name).read_bytes(), of_file)
    lib = tree.path / "src/lib.rs"
    lib.write_text(ALLOWED + lib.read_text() + SWITCH)
    # Kernels in one piece with all their mutants in them take the compiler many minutes.
    for path in tree.path.glob("src/**/*.rs"):
        path.write_text(uninlined(path.read_text()))
    left_out = set().union(*(file.left_out for file in files.values()))
    without = set(left_out)
    while True:
        for name, file in files.items():
            (tree.path / name).write_text(uninlined(file.text(without)))
        errors = tree.errors()
        if not errors:
            values = {number for number in without if mutants[number]["genre"] == "FnValue"}
            return without, values - left_out
        found = set()
        for name, byte in errors:
            text = (tree.path / name).read_bytes()
            of_error = blamed(text, byte)
            if not of_error - without:
                line = text[:byte].count(b"\n") + 1
                print(f"{name}:{line}: an error that belongs to no mutant", file=sys.stderr)
            found |= of_error
        if found <= without:
            sys.exit(f"{len(errors)} errors belong to no mutant; the tree is {tree.path}")
        without |= found
        print(f"{len(without)} of {len(mutants)} mutants do not fit", flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-f", "--file", action="append", required=True,
                        help="files to mutate, a pattern; in the order of several")
    parser.add_argument("--to", type=pathlib.Path, required=True, help="where results go, a line each")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="mutants that are tested at a time")
    parser.add_argument("--folder", type=pathlib.Path, help="where copies are built, kept for the next run")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="no new mutant after so many")
    arguments = parser.parse_args()
    begin = time.monotonic()
    done = set()
    if arguments.to.exists():
        done = {json.loads(line)["mutant"] for line in arguments.to.read_text().splitlines()}
    mutants = {number: mutant for number, mutant in enumerate(listed(arguments.file), 1)
               if mutant["name"] not in done}
    if not mutants:
        return

    def tell(mutant, said):
        with lock, arguments.to.open("a") as to:
            print(json.dumps({"mutant": mutant["name"], "result": said}), file=to)
            print(f"{said:20} {mutant['name']}", flush=True)

    lock = threading.Lock()
    with tempfile.TemporaryDirectory(prefix="fused-rnn-mutants-") as folder:
        folder = (arguments.folder or pathlib.Path(folder)).absolute()
        tree = Tree(folder, "switched")
        singly, never = switch(tree, mutants)
        for number in sorted(never):
            tell(mutants[number], "build")
        programs = tree.build()
        if programs is None:
            sys.exit("the tree with all mutants does not build")
        timeouts = tree.timeouts(programs)

        def test(number):
            if time.monotonic() - begin < arguments.seconds:
                tell(mutants[number], tree.verdict(programs, mutants[number], number, timeouts))

        with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
            # Those that may survive take longest, and come last.
            order = sorted(
                set(mutants) - singly, key=lambda number: (explained(mutants[number]) is not None, number)
            )
            list(pool.map(test, order))

        # What does not fit: each in a tree of its own, one tree per job.
        rest = iter(sorted(singly - never))

        def singles(job):
            tree, timeouts = Tree(folder, f"single-{job}"), None
            while time.monotonic() - begin < arguments.seconds:
                with lock:
                    number = next(rest, None)
                if number is None:
                    return
                mutant = mutants[number]
                file = tree.path / mutant["file"]
                original = file.read_text()
                patched = subprocess.run(["patch", "--silent", str(file)], input=mutant["diff"], text=True)
                if patched.returncode != 0:
                    sys.exit(f"{mutant['name']}: its change does not fit the file")
                said = "build"
                if not tree.errors():
                    if timeouts is None:
                        changed, _ = file.read_text(), file.write_text(original)
                        timeouts = tree.timeouts(tree.build())
                        file.write_text(changed)
                    programs = tree.build()
                    said = "build" if programs is None else tree.verdict(programs, mutant, 0, timeouts)
                tell(mutant, said)
                file.write_text(original)

        with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
            list(pool.map(singles, range(arguments.jobs)))


if __name__ == "__main__":
    main()
