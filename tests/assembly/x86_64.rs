//! The assembly of x86-64, as LLVM writes it: operands in the order of AT&T, the target last.

use super::{Instruction, Level, Machine};

pub const MACHINE: Machine = Machine {
    levels: &[
        Level {
            name: "avx512",
            register: "%zmm",
            registers: 1,
            heights: [6, 8, 6, 6, 6, 8, 8, 1, 1, 1, 1, 1, 1],
            least_share: 0.5,
        },
        Level {
            name: "avx2",
            register: "%ymm",
            registers: 1,
            heights: [3, 4, 3, 3, 3, 4, 4, 1, 1, 1, 1, 1, 1],
            least_share: 0.45,
        },
    ],
    comment: '#',
    is_fused,
    jump_target,
    calls,
    symbols_of,
    keeps_frame_pointer,
    is_costly,
};

fn is_fused((name, _): Instruction<'_>) -> bool {
    (name.starts_with("vfmadd") || name.starts_with("vfnmadd")) && name.ends_with("ps")
}

fn jump_target<'a>((name, operands): Instruction<'a>) -> Option<&'a str> {
    name.starts_with('j').then_some(operands)
}

fn calls((name, operands): Instruction<'_>) -> bool {
    // A register is no symbol.
    (name.starts_with("call") || name.starts_with("jmp")) && !operands.contains('%')
}

/// The symbols among operands, and whether each certainly is one: it is looked up where the linker puts it.
fn symbols_of(operands: &str) -> Vec<(&str, bool)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_.$@".contains(c);
    let parts =
        operands.split(move |c| !is_part(c)).filter(|part| !part.is_empty() && !part.starts_with('.'));
    let symbol = |part: &'_ str| part.find('@').unwrap_or(part.len());
    parts.map(|part| (&part[..symbol(part)], part.contains("@GOTPCREL") || part.contains("@PLT"))).collect()
}

fn keeps_frame_pointer(code: &[Instruction<'_>]) -> bool {
    code.contains(&("movq", "%rsp, %rbp"))
}

/// Where a frame pointer is kept, that too leads to the stack. (Addresses may lie on the stack: a loop for
/// the odd step of a small tile is one over runs, whose ends are there.)
fn is_costly((name, operands): Instruction<'_>, has_frame_pointer: bool) -> bool {
    let on_stack = operands.contains("(%rsp") || (has_frame_pointer && operands.contains("(%rbp"));
    let spilled = on_stack && operands.contains("mm");
    let stores = name.starts_with("vmov") && operands.starts_with('%') && operands.ends_with(')');
    name.starts_with("call") || spilled || stores
}
