//! The instructions of AMX that these kernels use, in software: with `--cfg fused_rnn_emulates_amx` a machine
//! without them runs the kernels, much slower, and the tests of every precision go through them.
//!
//! ```text
//! the processor does not know an instruction   ->  SIGILL  ->  handle: decode, do it, go on behind it
//! ```
//!
//! It is written from Intel's manual (SDM, volume 2, "TDPBF16PS", "TDPBUSD", "TILELOADD", "LDTILECFG"), not
//! from the kernels. Where an instruction would fault by the manual, the program ends with SIGILL. Linux on
//! x86-64.

use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};

const SIGILL: c_int = 4;
const SA_SIGINFO: c_int = 4;
/// Places in the registers of a signal's context.
const RIP: usize = 16;
/// Where it has each register, by the number in an instruction: rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8..
const REGISTERS: [usize; 16] = [13, 14, 12, 11, 15, 10, 9, 8, 0, 1, 2, 3, 4, 5, 6, 7];

#[repr(C)]
struct SigAction {
    handler: usize,
    mask: [u64; 16],
    flags: c_int,
    restorer: usize,
}

unsafe extern "C" {
    fn sigaction(signal: c_int, new: *const SigAction, old: *mut SigAction) -> c_int;
}

/// The head of a signal's context.
#[repr(C)]
struct Context {
    flags: u64,
    link: *mut c_void,
    stack: [u64; 3],
    registers: [u64; 23],
}

/// A tile: its rows, the bytes of each, and memory for 16 rows of 64 bytes.
#[derive(Clone, Copy)]
struct Tile {
    rows: usize,
    bytes: usize,
    data: [[u8; 64]; 16],
}

impl Tile {
    const NONE: Tile = Tile { rows: 0, bytes: 0, data: [[0; 64]; 16] };

    fn word(&self, row: usize, word: usize) -> [u8; 4] {
        let bytes = &self.data[row][4 * word..];
        [bytes[0], bytes[1], bytes[2], bytes[3]]
    }
}

thread_local! {
    /// The tiles of a thread. (Constant and without a destructor: a signal may read it.)
    static TILES: UnsafeCell<[Tile; 8]> = const { UnsafeCell::new([Tile::NONE; 8]) };
}

/// Installs the signal handler: from now on the process has the instructions.
pub(super) fn install() {
    let action =
        SigAction { handler: handle as *const () as usize, mask: [0; 16], flags: SA_SIGINFO, restorer: 0 };
    // SAFETY: the structure is that of Linux on x86-64; the handler is one with information.
    let result = unsafe { sigaction(SIGILL, &action, std::ptr::null_mut()) };
    assert_eq!(result, 0, "sigaction");
}

/// Does the instruction that the processor does not know.
extern "C" fn handle(_: c_int, _: *mut c_void, context: *mut c_void) {
    // SAFETY: the kernel gives the context of the thread that is stopped, and nobody else has it. The thread
    // is not within `TILES`, which is used here alone.
    let done = unsafe {
        let registers = &mut (*context.cast::<Context>()).registers;
        TILES.with(|tiles| emulate(registers, &mut *tiles.get()))
    };
    if done.is_none() {
        // Not one of these: the program ends as it would without this handler.
        let default = SigAction { handler: 0, mask: [0; 16], flags: 0, restorer: 0 };
        // SAFETY: as in `install`.
        unsafe { sigaction(SIGILL, &default, std::ptr::null_mut()) };
    }
}

/// Decodes an instruction and does it; `None` where it is no such instruction, or would fault.
///
/// # Safety
/// - The registers are those of a thread at this instruction.
unsafe fn emulate(registers: &mut [u64; 23], tiles: &mut [Tile; 8]) -> Option<()> {
    let mut at = registers[RIP] as *const u8;
    let mut next = || {
        // SAFETY: the bytes of an instruction follow each other.
        let byte = unsafe { *at };
        at = at.wrapping_add(1);
        byte
    };
    // VEX of three bytes: inverted bits of registers, map 0F38; then W, an inverted register, L, the prefix.
    let [0xC4, first, second] = [next(), next(), next()] else { return None };
    if first & 0x1F != 2 || second & 0x84 != 0 {
        return None;
    }
    let [high_index, high_base] = [6, 5].map(|bit| usize::from(!first >> bit & 1) * 8);
    let third = usize::from(!second >> 3 & 7);
    let (prefix, opcode, modrm) = (second & 3, next(), next());
    let (mode, reg, rm) = (modrm >> 6, usize::from(modrm >> 3 & 7), usize::from(modrm & 7));
    // The operand in memory: its address, and the register and scale of the index.
    let (mut address, mut stride) = (0u64, 0u64);
    if mode != 3 {
        let mut base = rm;
        if rm == 4 {
            let sib = next();
            base = usize::from(sib & 7);
            let index = usize::from(sib >> 3 & 7) + high_index;
            if index != 4 {
                stride = registers[REGISTERS[index]] << (sib >> 6);
            }
        }
        if mode == 0 && base == 5 {
            return None;
        }
        address = registers[REGISTERS[base + high_base]];
        let displacement = match mode {
            1 => i64::from(next().cast_signed()),
            2 => i64::from(i32::from_le_bytes([next(), next(), next(), next()])),
            _ => 0,
        };
        address = address.wrapping_add_signed(displacement);
    }
    let end = at;
    let row = |r: usize| address.wrapping_add(stride.wrapping_mul(r as u64)) as *mut u8;
    let [none, p66, pf3, pf2] = [0, 1, 2, 3].map(|of| prefix == of);
    match (opcode, mode == 3) {
        // LDTILECFG
        (0x49, false) if none && reg == 0 => {
            // SAFETY: the thread reads 64 bytes there.
            let shapes = unsafe { std::slice::from_raw_parts(address as *const u8, 64) };
            configure(shapes, tiles)?;
        }
        // TILERELEASE
        (0x49, true) if none && modrm == 0xC0 => *tiles = [Tile::NONE; 8],
        // TILELOADD, TILESTORED
        (0x4B, false) if rm == 4 && (pf2 || pf3) => {
            let tile = &mut tiles[reg];
            if tile.rows == 0 {
                return None;
            }
            for r in 0..tile.rows {
                let data = tile.data[r].as_mut_ptr();
                let (from, to) = if pf2 { (row(r), data) } else { (data, row(r)) };
                // SAFETY: the thread reads or writes `tile.bytes` bytes there.
                unsafe { std::ptr::copy_nonoverlapping(from, to, tile.bytes) };
            }
        }
        // TDPBF16PS, TDPBUSD
        (0x5C | 0x5E, true) if if opcode == 0x5C { pf3 } else { p66 } => {
            let (left, right) = (tiles[rm], tiles[third]);
            let sums = &mut tiles[reg];
            let fits = [sums.rows == left.rows, left.bytes == 4 * right.rows, sums.bytes == right.bytes];
            if fits.contains(&false) || sums.rows == 0 || reg == rm || reg == third || rm == third {
                return None;
            }
            multiply(sums, &left, &right, if opcode == 0x5C { pairs } else { bytes });
        }
        _ => return None,
    }
    registers[RIP] = end as u64;
    Some(())
}

/// Sets the shapes of all tiles, and zeros.
fn configure(shapes: &[u8], tiles: &mut [Tile; 8]) -> Option<()> {
    let reserved = [&shapes[1..16], &shapes[32..48], &shapes[56..]];
    if shapes[0] != 1 || reserved.iter().any(|bytes| bytes.iter().any(|&byte| byte != 0)) {
        return None;
    }
    for (n, tile) in tiles.iter_mut().enumerate() {
        let bytes = usize::from(u16::from_le_bytes([shapes[16 + 2 * n], shapes[17 + 2 * n]]));
        let rows = usize::from(shapes[48 + n]);
        if bytes > 64 || rows > 16 || (bytes == 0) != (rows == 0) {
            return None;
        }
        *tile = Tile { rows, bytes, ..Tile::NONE };
    }
    Some(())
}

/// Words of a row of the left tile with as many of a column of the right one, and the sum so far.
type Dot = fn(&mut dyn Iterator<Item = ([u8; 4], [u8; 4])>, [u8; 4]) -> [u8; 4];

fn multiply(sums: &mut Tile, left: &Tile, right: &Tile, dot: Dot) {
    for (m, n) in (0..sums.rows).flat_map(|m| (0..sums.bytes / 4).map(move |n| (m, n))) {
        let mut words = (0..right.rows).map(|k| (left.word(m, k), right.word(k, n)));
        let sum = dot(&mut words, sums.word(m, n));
        sums.data[m][4 * n..][..4].copy_from_slice(&sum);
    }
}

/// A denormal as zero, as these instructions treat it.
fn normal(x: f32) -> f32 {
    if x.is_subnormal() { 0f32.copysign(x) } else { x }
}

/// TDPBF16PS: "temp1.fp32[2n] += a * b" of the even and of the odd ones by themselves, fused; then their sum
/// is added.
fn pairs(words: &mut dyn Iterator<Item = ([u8; 4], [u8; 4])>, sum: [u8; 4]) -> [u8; 4] {
    let mut temp = [0.0f32; 2];
    for (a, b) in words {
        for half in 0..2 {
            let of = |word: [u8; 4]| {
                normal(f32::from_bits(u32::from_le_bytes([0, 0, word[2 * half], word[2 * half + 1]])))
            };
            temp[half] = normal(of(a).mul_add(of(b), temp[half]));
        }
    }
    normal(normal(f32::from_le_bytes(sum)) + normal(temp[0] + temp[1])).to_le_bytes()
}

/// TDPBUSD: unsigned bytes by signed ones, in 32 bits that wrap around.
fn bytes(words: &mut dyn Iterator<Item = ([u8; 4], [u8; 4])>, sum: [u8; 4]) -> [u8; 4] {
    let products = |(a, b): ([u8; 4], [u8; 4])| {
        (0..4).map(|n| i32::from(a[n]) * i32::from(b[n].cast_signed())).sum::<i32>()
    };
    words.map(products).fold(i32::from_le_bytes(sum), i32::wrapping_add).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::machine::{Configured, has_bf16};
    use super::TILES;

    #[test]
    fn tiles_have_shapes_as_long_as_they_are_used() {
        assert!(has_bf16());
        // SAFETY: no instruction of tiles is under way. (The compiler does not know who writes them.)
        let rows = || TILES.with(|tiles| unsafe { tiles.get().read_volatile() }.map(|tile| tile.rows));
        // SAFETY: the machine has tiles.
        let configured = unsafe { Configured::new(5) };
        let own = rows() == [0; 8];
        assert!(own || rows() == [5, 5, 5, 5, 5, 5, 16, 16]);
        drop(configured);
        assert_eq!(rows(), [0; 8]);
    }
}
