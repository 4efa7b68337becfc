//! The assembly of 64-bit ARM, as LLVM writes it: the target first.

use super::{Instruction, Level, Machine};

pub const MACHINE: Machine = Machine {
    levels: &[Level {
        name: "neon",
        register: ".4s",
        registers: 2,
        heights: [3, 4, 3, 3, 3, 3, 3, 1, 1, 1, 1, 1, 1],
        least_share: 0.6,
    }],
    comment: '/',
    is_fused,
    jump_target,
    calls,
    symbols_of,
    keeps_frame_pointer,
    is_costly,
};

fn is_fused((name, _): Instruction<'_>) -> bool {
    name == "fmla" || name == "fmls"
}

/// `b.ne label`, `b label`, `cbnz x0, label`, `tbz x0, #3, label`.
fn jump_target<'a>((name, operands): Instruction<'a>) -> Option<&'a str> {
    let jumps = name == "b" || ["b.", "cbz", "cbnz", "tbz", "tbnz"].iter().any(|jump| name.starts_with(jump));
    jumps.then(|| operands.rsplit(", ").next().unwrap_or(operands))
}

fn calls((name, _): Instruction<'_>) -> bool {
    name == "bl" || name == "b"
}

/// The symbols among operands, and whether each certainly is one: `:got:symbol`, `:lo12:symbol`.
fn symbols_of(operands: &str) -> Vec<(&str, bool)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_.$:".contains(c);
    let parts =
        operands.split(move |c| !is_part(c)).filter(|part| !part.is_empty() && !part.starts_with('.'));
    // Constants are no functions: their labels begin with a dot or, where units share them, with `anon`.
    parts
        .map(|part| (part.rsplit(':').next().unwrap_or(part), part.starts_with(':')))
        .filter(|(symbol, _)| !symbol.is_empty() && !symbol.starts_with('.') && !symbol.starts_with("anon."))
        .collect()
}

fn keeps_frame_pointer(code: &[Instruction<'_>]) -> bool {
    code.iter().any(|&(name, operands)| {
        (name == "mov" && operands == "x29, sp") || (name == "add" && operands.starts_with("x29, sp,"))
    })
}

/// A vector to or from the stack, whose registers are called q, d, s or v by their part; a store of a vector
/// anywhere; a copy of a vector; a call.
fn is_costly((name, operands): Instruction<'_>, has_frame_pointer: bool) -> bool {
    let on_stack = operands.contains("[sp") || (has_frame_pointer && operands.contains("[x29"));
    let register = operands.trim_start_matches(['{', ' ']);
    let of_vector =
        register.starts_with(['q', 'd', 'v']) || (register.starts_with('s') && !register.starts_with("sp"));
    let stores = name.starts_with("st") && of_vector;
    let copies = name == "mov" && operands.matches(".16b").count() == 2;
    name == "bl" || name == "blr" || (on_stack && of_vector) || stores || copies
}
