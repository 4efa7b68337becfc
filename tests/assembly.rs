//! The kernels, as the compiler has made them: all of them there, everything inlined, and no spill in their
//! loops.
//!
//! A helper that is not inlined into a function of its level, or an accumulator too many, turns a product
//! loop into calls or into traffic with the stack, and nobody is told: results stay right and only the time
//! grows. So this compiles the library to assembly, cut into codegen units as every release build is, and
//! reads it:
//!
//! ```text
//! ..::product::table::LEVEL::multiply::<F, G, U, R>      the kernels: their loops, and that none is missing
//! ..::pointer::LEVEL, ..::dispatch::LEVEL, simd::outlined::LEVEL     the other functions of a level
//! all of them                                            which functions they name
//! ```
//!
//! `cargo test --release --test assembly -- --ignored` (it compiles the library once more).
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use rustc_demangle::demangle;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A level whose kernels are read: its name, and its registers.
struct Level {
    name: &'static str,
    register: &'static str,
}

const LEVELS: [Level; 2] =
    [Level { name: "avx512", register: "%zmm" }, Level { name: "avx2", register: "%ymm" }];

/// The tiles that sweeps take, as `src/product/table.rs` lists them: gates, blocks, and the most rows on each
/// level, which is its register budget (`src/simd/avx512.rs`, `src/simd/avx2.rs`).
const TILES: [(usize, usize, [usize; 2]); 10] = [
    (4, 1, [6, 3]),
    (3, 1, [8, 4]),
    (2, 2, [6, 3]),
    (2, 1, [6, 3]),
    (1, 4, [6, 3]),
    (1, 2, [8, 4]),
    (1, 1, [8, 4]),
    (4, 2, [1, 1]),
    (3, 2, [1, 1]),
    (2, 4, [1, 1]),
];

/// Functions of this crate outside of all levels that a level may call: of plain floats in memory.
const OUTSIDE: [&str; 1] = ["fused_rnn::train::dense::rows::halve"];

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
    /// the macros of `src/simd/list.rs` and `src/product/table.rs` put it.
    fn level(&self) -> Option<&'static str> {
        level_of(&self.name)
    }

    /// Gates, blocks and rows, if it is a kernel.
    fn tile(&self) -> Option<(usize, usize, usize)> {
        let (path, arguments) = self.name.split_once("::<")?;
        let sizes = arguments.trim_end_matches('>').split(", ").skip(1).map(|size| size.parse().ok());
        let sizes: Vec<usize> = sizes.collect::<Option<_>>()?;
        match (path.ends_with("::multiply"), &sizes[..]) {
            (true, &[gates, blocks, rows]) => Some((gates, blocks, rows)),
            _ => None,
        }
    }
}

fn level_of(name: &str) -> Option<&'static str> {
    let path: Vec<&str> = name.split("::<").next()?.split("::").collect();
    let at = match path[..] {
        ["fused_rnn", "product", "table", level, "multiply"] => level,
        ["fused_rnn", .., "pointer" | "dispatch" | "outlined", level] => level,
        _ => return None,
    };
    LEVELS.iter().map(|level| level.name).find(|&level| level == at)
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

/// An instruction: its name and its operands.
type Instruction<'a> = (&'a str, &'a str);

/// The instructions of a function, and where its labels are among them.
fn code<'a>(function: &Function<'a>) -> (Vec<Instruction<'a>>, HashMap<&'a str, usize>) {
    let (mut labels, mut code) = (HashMap::new(), Vec::new());
    for line in &function.lines {
        let line = line.trim();
        if let Some(label) = line.strip_suffix(':') {
            labels.insert(label, code.len());
        } else if !line.starts_with(['.', '#']) && !line.is_empty() {
            let (name, operands) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            code.push((name, operands.trim()));
        }
    }
    (code, labels)
}

fn is_fused(name: &str) -> bool {
    (name.starts_with("vfmadd") || name.starts_with("vfnmadd")) && name.ends_with("ps")
}

/// The innermost loops that multiply and add.
fn product_loops<'a>(
    code: &[Instruction<'a>],
    labels: &HashMap<&'a str, usize>,
) -> Vec<Vec<Instruction<'a>>> {
    let back = |at: usize| {
        let (name, target) = code[at];
        labels.get(target).copied().filter(|&start| name.starts_with('j') && start <= at)
    };
    let mut loops = Vec::new();
    for end in 0..code.len() {
        let Some(start) = back(end) else { continue };
        let innermost = !(start..end).any(|at| back(at).is_some_and(|inner| inner >= start));
        let body = &code[start..=end];
        if innermost && body.iter().any(|(name, _)| is_fused(name)) {
            loops.push(body.to_vec());
        }
    }
    loops
}

/// What a loop does that costs more than its products: a call, a vector to or from the stack (where a frame
/// pointer is kept, that too leads there), a store of a vector anywhere. (Addresses may lie on the stack: a
/// loop for the odd step of a small tile is one over runs, whose ends are there.)
fn costs(body: &[Instruction<'_>], has_frame_pointer: bool) -> Vec<String> {
    let is_costly = |&&(name, operands): &&Instruction<'_>| {
        let on_stack = operands.contains("(%rsp") || (has_frame_pointer && operands.contains("(%rbp"));
        let spilled = on_stack && operands.contains("mm");
        let stores = name.starts_with("vmov") && operands.starts_with('%') && operands.ends_with(')');
        name.starts_with("call") || spilled || stores
    };
    body.iter().filter(is_costly).map(|(name, operands)| format!("{name} {operands}")).collect()
}

/// What is wrong with the loops of a kernel of so many multiply-adds. (The compiler takes two steps of a
/// small tile at a time, and has a loop for the odd one.)
fn kernel_faults(function: &Function<'_>, register: &str, multiply_adds: usize) -> Vec<String> {
    let (code, labels) = code(function);
    let frame = code.iter().any(|&(name, operands)| name == "movq" && operands == "%rsp, %rbp");
    let loops = product_loops(&code, &labels);
    let mut faults = Vec::new();
    let mut inside = 0;
    for body in &loops {
        let fused = body.iter().filter(|(name, operands)| is_fused(name) && operands.contains(register));
        let fused = fused.count();
        inside += fused;
        if fused != multiply_adds && fused != 2 * multiply_adds {
            faults.push(format!("{fused} multiply-adds in a loop for {multiply_adds}"));
        }
        let costs = costs(body, frame);
        if !costs.is_empty() {
            let (count, first) = (costs.len(), &costs[0]);
            faults.push(format!("{count} costs in a loop of {fused} multiply-adds, the first {first}"));
        }
    }
    let all = code.iter().filter(|(name, _)| is_fused(name)).count();
    if loops.is_empty() || inside != all {
        faults.push(format!("{inside} of {all} multiply-adds in innermost loops"));
    }
    faults
}

/// The functions that a function names: calls, jumps to, or takes the address of.
fn named<'a>(function: &Function<'a>, functions: &HashMap<&str, Function<'_>>) -> BTreeSet<&'a str> {
    let mut named = BTreeSet::new();
    for (name, operands) in code(function).0 {
        let calls = name.starts_with("call") || name.starts_with("jmp");
        let is_part = |c: char| c.is_ascii_alphanumeric() || "_.$@".contains(c);
        for part in operands.split(|c| !is_part(c)).filter(|part| !part.is_empty() && !part.starts_with('.'))
        {
            let symbol = part.split('@').next().unwrap_or(part);
            let far = part.contains("@GOTPCREL") || part.contains("@PLT");
            // A register is no symbol.
            let called = calls && !operands.contains('%');
            if functions.contains_key(symbol) || far || called {
                named.insert(symbol);
            }
        }
    }
    named
}

/// Compiles the library, and gives its assembly.
fn compile() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), Into::into).join("assembly");
    let folder = target.join("release/deps");
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
    command.current_dir(root).args(["rustc", "--release", "--lib", "--quiet", "--target-dir"]).arg(&target);
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
    let assembly = compile();
    let functions = functions(&assembly);
    let mut faults = String::new();
    for function in functions.values().filter(|function| function.name.starts_with("core::core_arch::")) {
        writeln!(faults, "an instruction is a function: {}", function.name).unwrap();
    }
    let mut others = BTreeSet::new();
    for (n, level) in LEVELS.iter().enumerate() {
        let mine: Vec<_> =
            functions.values().filter(|function| function.level() == Some(level.name)).collect();
        let found: BTreeSet<_> = mine.iter().filter_map(|function| function.tile()).collect();
        let expected: BTreeSet<_> = TILES
            .iter()
            .flat_map(|&(gates, blocks, rows)| (1..=rows[n]).map(move |rows| (gates, blocks, rows)))
            .collect();
        println!("{}: {} kernels, {} other functions", level.name, found.len(), mine.len() - found.len());
        others.insert(mine.len() - found.len());
        for tile in expected.symmetric_difference(&found) {
            let what = if found.contains(tile) { "not in the list" } else { "missing" };
            writeln!(faults, "{}: kernel {tile:?} is {what}", level.name).unwrap();
        }
        for part in ["::pointer::", "::dispatch::", "::outlined::"] {
            let some = mine.iter().any(|function| function.name.contains(&format!("{part}{}", level.name)));
            assert!(some, "{}: no function in {part}, which the macros define", level.name);
        }
        for function in mine {
            if let Some((gates, blocks, rows)) = function.tile() {
                for fault in kernel_faults(function, level.register, gates * blocks * rows) {
                    writeln!(faults, "{}: {fault}: {gates} x {blocks} x {rows}", level.name).unwrap();
                }
            }
            for symbol in named(function, &functions) {
                let name = readable(symbol);
                let allowed = match functions.get(symbol) {
                    Some(_) => level_of(&name) == Some(level.name) || OUTSIDE.contains(&&name[..]),
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

/// A loop as a kernel has it, and with what a spill adds.
#[test]
fn spills_calls_and_missing_products_are_seen() {
    let of = |inside: &str| {
        let text = format!(
            "\t.type\tk,@function\nk:\n\tvxorps %xmm0, %xmm0, %xmm0\n.L1:\n\tvbroadcastss (%rax), %ymm1\n\
             \tvfmadd231ps (%rcx), %ymm1, %ymm0\n\tvfmadd231ps 32(%rcx), %ymm1, %ymm2\n{inside}\tdecq %rdx\n\
             \tjne .L1\n\tretq\n\t.size\tk, .-k\n"
        );
        let functions = functions(&text);
        kernel_faults(&functions["k"], "%ymm", 2)
    };
    assert_eq!(of(""), Vec::<String>::new());
    assert_eq!(of("\tvmovups 32(%rsp), %ymm3\n").len(), 1, "a reload");
    assert_eq!(of("\tvmovups %ymm2, (%r8)\n").len(), 1, "a store");
    assert_eq!(of("\tcallq *memcpy@GOTPCREL(%rip)\n").len(), 1, "a call");
    assert_eq!(of("\tvfmadd231ps %ymm3, %ymm1, %ymm4\n").len(), 1, "a product too many");
    assert_eq!(of(".L2:\n\tdecq %rsi\n\tjne .L2\n").len(), 1, "the products are not in an innermost loop");
}
