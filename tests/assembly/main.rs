//! The kernels, as the compiler has made them: all of them there, everything inlined, and no spill in their
//! loops.
//!
//! A helper that is not inlined into a function of its level, or an accumulator too many, turns a product
//! loop into calls or into traffic with the stack, and nobody is told: results stay right and only the time
//! grows. So this compiles the library to assembly, cut into codegen units as every release build is, and
//! reads it:
//!
//! ```text
//! ..::product::registry::LEVEL::multiply::<F, G, U, R>      the kernels: those of f32, their loops, and that
//!                                                         none is missing; of other precisions, that nothing
//!                                                         is called
//! ..::pointer::LEVEL, ..::dispatch::LEVEL, simd::outlined::LEVEL     the other functions of a level
//! all of them                                            which functions they name
//! ```
//!
//! `cargo test --release --test assembly -- --ignored` (it compiles the library once more) reads the assembly
//! of this machine; with `FUSED_RNN_ASSEMBLY_TARGET=aarch64-unknown-linux-gnu` that of another, for which the
//! toolchain needs the standard library.
#![cfg(target_os = "linux")]

mod aarch64;
mod x86_64;

use rustc_demangle::demangle;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An instruction: its name and its operands.
type Instruction<'a> = (&'a str, &'a str);

/// How to read the assembly of an architecture.
struct Machine {
    levels: &'static [Level],
    /// What a comment begins with.
    comment: char,
    /// A multiply-add of floats.
    is_fused: fn(Instruction<'_>) -> bool,
    /// The label that an instruction jumps to, if it jumps.
    jump_target: for<'a> fn(Instruction<'a>) -> Option<&'a str>,
    /// It goes to a symbol, to come back or not.
    calls: fn(Instruction<'_>) -> bool,
    /// The symbols that operands name, and whether each certainly is one.
    symbols_of: for<'a> fn(&'a str) -> Vec<(&'a str, bool)>,
    /// The function has a frame pointer.
    keeps_frame_pointer: fn(&[Instruction<'_>]) -> bool,
    /// What a product loop is not to have: a call, a vector to or from the stack, a store of a vector. The
    /// flag says if there is a frame pointer.
    is_costly: fn(Instruction<'_>, bool) -> bool,
}

/// A level whose kernels are read.
struct Level {
    name: &'static str,
    /// What the operands of its multiply-adds have in them.
    register: &'static str,
    /// Registers of a vector.
    registers: usize,
    /// The most rows of each of [`TILES`]: its register budget, which its file in `src/simd/` explains.
    heights: [usize; TILES.len()],
    /// The least share of multiply-adds in the product loops of tiles of full height.
    least_share: f64,
}

/// The tiles that sweeps take, as `src/product/table.rs` lists them: gates and blocks.
const TILES: [(usize, usize); 13] = [
    (4, 1),
    (3, 1),
    (2, 2),
    (2, 1),
    (1, 4),
    (1, 2),
    (1, 1),
    // Of a single row.
    (4, 3),
    (4, 2),
    (3, 4),
    (3, 3),
    (3, 2),
    (2, 4),
];

/// The target whose assembly is read, where it is not this machine.
fn target() -> Option<String> {
    std::env::var("FUSED_RNN_ASSEMBLY_TARGET").ok().filter(|target| !target.is_empty())
}

/// How to read it.
fn machine() -> &'static Machine {
    match target().as_deref().unwrap_or(std::env::consts::ARCH).split('-').next() {
        Some("x86_64") => &x86_64::MACHINE,
        Some("aarch64") => &aarch64::MACHINE,
        other => panic!("FUSED_RNN_ASSEMBLY_TARGET: expected one of x86_64 or aarch64, got {other:?}"),
    }
}

/// Functions of this crate outside of all levels that a level may call: of plain floats in memory, of places of
/// packed sequences, and of a fringe, whose products are kernels of the same level.
const OUTSIDE: [&str; 6] = [
    "fused_rnn::train::dense::rows::halve",
    "fused_rnn::memory::grid::by_table",
    "fused_rnn::product::narrow::read",
    "fused_rnn::product::narrow::write",
    "fused_rnn::product::fringe::OfRows::place",
    "fused_rnn::product::fringe::OfRows::multiply",
];

/// What a level may call of others: copies of memory, and panics, which the standard library has compiled.
/// (What is compiled here, a generic function or an instruction, is defined in the assembly.)
fn is_foreign_allowed(name: &str) -> bool {
    ["memcpy", "memmove", "memset", "memcmp", "bcmp"].contains(&name)
        || ["core::panicking::", "core::slice::index::", "core::option::", "core::result::"]
            .iter()
            .any(|path| name.starts_with(path))
}

/// A function: its name as one reads it, and its lines.
struct Function<'a> {
    name: String,
    lines: Vec<&'a str>,
}

impl Function<'_> {
    /// The level that it is a function of, if it is: the part of its path that names the level stands where
    /// the macros of `src/simd/trampolines.rs` and `src/product/registry.rs` put it.
    fn level(&self) -> Option<&str> {
        level_of(&self.name)
    }

    /// Whether it is a kernel of any precision.
    fn is_kernel(&self) -> bool {
        self.name.split("::<").next().is_some_and(|path| path.ends_with("::multiply"))
    }

    /// Gates, blocks and rows, if it is a kernel of f32.
    fn tile(&self) -> Option<(usize, usize, usize)> {
        let (path, arguments) = self.name.split_once("::<")?;
        if !arguments.split(", ").next()?.ends_with("::F32") {
            return None;
        }
        let sizes = arguments.trim_end_matches('>').split(", ").skip(1).map(|size| size.parse().ok());
        let sizes: Vec<usize> = sizes.collect::<Option<_>>()?;
        match (path.ends_with("::multiply"), &sizes[..]) {
            (true, &[gates, blocks, rows]) => Some((gates, blocks, rows)),
            _ => None,
        }
    }
}

fn level_of(name: &str) -> Option<&str> {
    let path: Vec<&str> = name.split("::<").next()?.split("::").collect();
    match path[..] {
        ["fused_rnn", "product", "registry", level, "multiply"] => Some(level),
        ["fused_rnn", "product", "registry", level, "vnni", "multiply"] => Some(level),
        ["fused_rnn", .., "pointer" | "dispatch" | "outlined", level] => Some(level),
        _ => None,
    }
}

/// A symbol as one reads it, with its parameters and without hashes.
fn readable(symbol: &str) -> String {
    format!("{:#}", demangle(symbol))
}

/// All functions, by their symbols: from their label to the directive that states their size.
fn functions(assembly: &str) -> HashMap<&str, Function<'_>> {
    let mut functions = HashMap::new();
    let mut start = None;
    let lines: Vec<&str> = assembly.lines().collect();
    let of_function =
        |line: &str| line.trim().strip_prefix(".type")?.trim().strip_suffix(",@function").map(str::len);
    for (k, line) in lines.iter().enumerate() {
        if of_function(line).is_some() {
            start = Some((k, line.trim()[".type".len()..].trim().trim_end_matches(",@function")));
        }
        let Some((from, symbol)) = start.filter(|_| line.trim_start().starts_with(".size")) else { continue };
        start = None;
        functions.insert(symbol, Function { name: readable(symbol), lines: lines[from..k].to_vec() });
    }
    functions
}

/// The instructions of a function, and where its labels are among them.
fn code<'a>(function: &Function<'a>, machine: &Machine) -> (Vec<Instruction<'a>>, HashMap<&'a str, usize>) {
    let (mut labels, mut code) = (HashMap::new(), Vec::new());
    for line in &function.lines {
        let line = line.trim();
        if let Some(label) = line.strip_suffix(':') {
            labels.insert(label, code.len());
        } else if !line.starts_with(['.', machine.comment]) && !line.is_empty() {
            let (name, operands) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            code.push((name, operands.trim()));
        }
    }
    (code, labels)
}

/// The innermost loops that multiply and add.
fn product_loops<'a>(
    machine: &Machine,
    code: &[Instruction<'a>],
    labels: &HashMap<&'a str, usize>,
) -> Vec<Vec<Instruction<'a>>> {
    let back = |at: usize| {
        let start = labels.get((machine.jump_target)(code[at])?).copied();
        start.filter(|&start| start <= at)
    };
    let mut loops = Vec::new();
    for end in 0..code.len() {
        let Some(start) = back(end) else { continue };
        let innermost = !(start..end).any(|at| back(at).is_some_and(|inner| inner >= start));
        let body = &code[start..=end];
        if innermost && body.iter().any(|&instruction| (machine.is_fused)(instruction)) {
            loops.push(body.to_vec());
        }
    }
    loops
}

/// The loops of a kernel: their multiply-adds and all their instructions; and what is wrong with them.
struct Loops {
    sizes: Vec<(usize, usize)>,
    faults: Vec<String>,
}

/// The loops of a kernel of so many multiply-adds. (Of some tiles a loop takes two words of depth at a time.
/// The odd one has a loop, or comes once after it where all loops take two.)
fn loops_of(function: &Function<'_>, machine: &Machine, register: &str, multiply_adds: usize) -> Loops {
    let (code, labels) = code(function, machine);
    let frame = (machine.keeps_frame_pointer)(&code);
    let mut loops = Loops { sizes: Vec::new(), faults: Vec::new() };
    let mut inside = 0;
    for body in product_loops(machine, &code, &labels) {
        let is_fused = |&&(name, operands): &&Instruction<'_>| {
            (machine.is_fused)((name, operands)) && operands.contains(register)
        };
        let fused = body.iter().filter(is_fused).count();
        inside += fused;
        loops.sizes.push((fused, body.len()));
        if fused != multiply_adds && fused != 2 * multiply_adds {
            loops.faults.push(format!("{fused} multiply-adds in a loop for {multiply_adds}"));
        }
        let mut costs = body.iter().filter(|&&instruction| (machine.is_costly)(instruction, frame));
        if let Some((name, operands)) = costs.next() {
            let count = 1 + costs.count();
            let first = format!("{name} {operands}");
            loops.faults.push(format!("{count} costs in a loop of {fused} multiply-adds, the first {first}"));
        }
    }
    let all = code.iter().filter(|&&instruction| (machine.is_fused)(instruction)).count();
    let take_two = loops.sizes.iter().all(|&(fused, _)| fused == 2 * multiply_adds);
    let odd = if take_two && inside != all { multiply_adds } else { 0 };
    if loops.sizes.is_empty() || inside + odd != all {
        loops.faults.push(format!("{inside} of {all} multiply-adds in innermost loops"));
    }
    loops
}

/// The functions that a function names: calls, jumps to, or takes the address of.
fn named<'a>(
    function: &Function<'a>,
    machine: &Machine,
    functions: &HashMap<&str, Function<'_>>,
) -> BTreeSet<&'a str> {
    let mut named = BTreeSet::new();
    for instruction in code(function, machine).0 {
        let called = (machine.calls)(instruction);
        for (symbol, is_symbol) in (machine.symbols_of)(instruction.1) {
            if functions.contains_key(symbol) || is_symbol || called {
                named.insert(symbol);
            }
        }
    }
    named
}

/// Compiles the library, and gives its assembly.
fn compile() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the folder of the library");
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), |of| root.join(of)).join("assembly");
    let other = self::target();
    let folder = other.iter().fold(target.clone(), |path, other| path.join(other)).join("release/deps");
    let assembly = || -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(&folder) else { return Vec::new() };
        let paths = entries.map(|entry| entry.expect("an entry").path());
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "s")).collect()
    };
    // Files of another compilation may have other names, and be left.
    assembly().iter().for_each(|path| std::fs::remove_file(path).expect("an old file"));
    let cargo = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO"));
        let status = command.current_dir(root).args(arguments).arg("--target-dir").arg(&target).status();
        assert!(status.expect("cargo").success(), "cargo {arguments:?}");
    };
    cargo(&["clean", "--release", "--quiet", "--package", "fused-rnn"]);
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root).args(["rustc", "--package", "fused-rnn", "--release", "--lib", "--quiet"]);
    command.arg("--target-dir").arg(&target);
    command.args(other.iter().flat_map(|other| ["--target", other]));
    // Assembly would otherwise be made in one unit. These names have the parameters.
    let options = ["debuginfo=0", "codegen-units=16", "symbol-mangling-version=v0"];
    command.args(["--", "--emit", "asm"]).args(options.iter().flat_map(|option| ["-C", option]));
    assert!(command.status().expect("cargo").success(), "the library compiles");
    let files = assembly();
    files.iter().map(|path| std::fs::read_to_string(path).expect("assembly")).collect()
}

#[test]
#[ignore = "compiles the library once more; run by .ci/run"]
fn levels_have_all_their_kernels_inlined_and_without_spills() {
    let (machine, assembly) = (machine(), compile());
    let functions = functions(&assembly);
    let mut faults = String::new();
    for function in functions.values().filter(|function| function.name.starts_with("core::core_arch::")) {
        writeln!(faults, "an instruction is a function: {}", function.name).unwrap();
    }
    let mut others = BTreeSet::new();
    for level in machine.levels {
        let mine: Vec<_> =
            functions.values().filter(|function| function.level() == Some(level.name)).collect();
        let found: BTreeSet<_> = mine.iter().filter_map(|function| function.tile()).collect();
        let expected: BTreeSet<_> = (TILES.iter().zip(level.heights))
            .flat_map(|(&(gates, blocks), rows)| (1..=rows).map(move |rows| (gates, blocks, rows)))
            .collect();
        let kernels = mine.iter().filter(|function| function.is_kernel()).count();
        let of_others = kernels - found.len();
        let rest = mine.len() - kernels;
        println!(
            "{}: {} kernels of f32, {of_others} of other precisions, {rest} other functions",
            level.name,
            found.len()
        );
        others.insert(rest);
        for tile in expected.symmetric_difference(&found) {
            let what = if found.contains(tile) { "not in the list" } else { "missing" };
            writeln!(faults, "{}: kernel {tile:?} is {what}", level.name).unwrap();
        }
        for part in ["::pointer::", "::dispatch::", "::outlined::"] {
            let some = mine.iter().any(|function| function.name.contains(&format!("{part}{}", level.name)));
            assert!(some, "{}: no function in {part}, which the macros define", level.name);
        }
        for function in mine {
            if let Some(tile) = function.tile() {
                for fault in kernel_faults(function, machine, level, tile) {
                    writeln!(faults, "{}: {fault}: tile {tile:?}", level.name).unwrap();
                }
            }
            for symbol in named(function, machine, &functions) {
                let name = readable(symbol);
                // (Of a generic function any instance, also one that is another's by another name.)
                let generic = name.split("::<").next().unwrap_or_default();
                let allowed = match functions.get(symbol) {
                    _ if OUTSIDE.contains(&generic) => true,
                    Some(_) => level_of(&name) == Some(level.name),
                    None => is_foreign_allowed(&name),
                };
                if !allowed {
                    writeln!(faults, "{}: {} names {name}", level.name, function.name).unwrap();
                }
            }
        }
    }
    assert_eq!(others.len(), 1, "what is written once is compiled for each level");
    assert!(faults.is_empty(), "{} faults:\n{faults}", faults.lines().count());
}

/// What is wrong with a kernel. The share of its loops is asked of tiles of full height, which do the work of
/// a batch: lower ones have fewer products for each weight, a single row one.
fn kernel_faults(
    function: &Function<'_>,
    machine: &Machine,
    level: &Level,
    (gates, blocks, rows): (usize, usize, usize),
) -> Vec<String> {
    let loops = loops_of(function, machine, level.register, gates * blocks * rows * level.registers);
    let mut faults = loops.faults;
    let place = TILES.iter().position(|&tile| tile == (gates, blocks));
    let is_full = rows > 1 && gates * blocks > 2 && place.is_some_and(|n| level.heights[n] == rows);
    for (fused, all) in loops.sizes {
        let share = fused as f64 / all as f64;
        println!("{}: {gates} x {blocks} x {rows}: {fused} multiply-adds of {all} instructions", level.name);
        if is_full && share < level.least_share {
            faults.push(format!("{fused} multiply-adds of {all} instructions"));
        }
    }
    faults
}

/// A loop as a kernel has it, and with what a spill adds.
#[test]
fn spills_calls_and_missing_products_are_seen() {
    let faults = |machine: &Machine, level: &str, body: &str| {
        let text = format!("\t.type\tk,@function\nk:\n.L1:\n{body}\tret\n\t.size\tk, .-k\n");
        let functions = functions(&text);
        let level = machine.levels.iter().find(|of| of.name == level).unwrap();
        kernel_faults(&functions["k"], machine, level, (1, 2, 1)).len()
    };
    let x86 = |inside: &str| {
        let body = format!(
            "\tvbroadcastss (%rax), %ymm1\n\tvfmadd231ps (%rcx), %ymm1, %ymm0\n\
             \tvfmadd231ps 32(%rcx), %ymm1, %ymm2\n{inside}\tdecq %rdx\n\tjne .L1\n"
        );
        faults(&x86_64::MACHINE, "avx2", &body)
    };
    assert_eq!(x86(""), 0);
    assert_eq!(x86("\tvmovups 32(%rsp), %ymm3\n"), 1, "a reload");
    assert_eq!(x86("\tvmovups %ymm2, (%r8)\n"), 1, "a store");
    assert_eq!(x86("\tcallq *memcpy@GOTPCREL(%rip)\n"), 1, "a call");
    assert_eq!(x86("\tvfmadd231ps %ymm3, %ymm1, %ymm4\n"), 1, "a product too many");
    assert_eq!(x86(".L2:\n\tdecq %rsi\n\tjne .L2\n"), 1, "the products are not in an innermost loop");
    let word = "\tvfmadd231ps (%rcx), %ymm1, %ymm0\n\tvfmadd231ps 32(%rcx), %ymm1, %ymm2\n";
    let after = |words: &str, odd: &str| {
        faults(&x86_64::MACHINE, "avx2", &format!("{words}\tdecq %rdx\n\tjne .L1\n{odd}"))
    };
    assert_eq!(after(&word.repeat(2), ""), 0, "two words at a time");
    assert_eq!(after(&word.repeat(2), word), 0, "and the odd one");
    assert_eq!(after(&word.repeat(2), &word.repeat(2)), 1, "two odd ones");
    assert_eq!(after(word, word), 1, "an odd one where a loop takes one");

    let arm = |inside: &str| {
        let fmla = |n: usize| format!("\tfmla\tv{n}.4s, v1.4s, v9.4s\n");
        let products = [2, 3, 4, 5].map(fmla).concat();
        let body = format!(
            "\tld1r\t{{ v9.4s }}, [x9], #4\n\tldp\tq1, q7, [x8], #64\n{products}{inside}\
             \tsubs\tx1, x1, #1\n\tb.ne\t.L1\n"
        );
        faults(&aarch64::MACHINE, "neon", &body)
    };
    assert_eq!(arm(""), 0);
    assert_eq!(arm("\tldr\tx10, [sp, #16]\n"), 0, "an address");
    assert_eq!(arm("\tldr\tq3, [sp, #32]\n"), 1, "a reload");
    assert_eq!(arm("\tldp\tq3, q4, [sp, #32]\n"), 1, "two of them");
    assert_eq!(arm("\tstr\tq2, [x10]\n"), 1, "a store");
    assert_eq!(arm("\tst1\t{ v2.4s }, [x10]\n"), 1, "another");
    assert_eq!(arm("\tmov\tv2.16b, v5.16b\n"), 1, "a copy");
    assert_eq!(arm("\tbl\tmemcpy\n"), 1, "a call");
    assert_eq!(arm("\tblr\tx8\n"), 1, "another");
    assert_eq!(arm("\tfmla\tv6.4s, v1.4s, v9.s[0]\n"), 1, "a product too many");
    assert_eq!(arm(".L2:\n\tcbnz\tx3, .L2\n"), 1, "the products are not in an innermost loop");
}
