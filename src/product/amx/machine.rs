//! Whether the machine has tiles and may use them, what it multiplies, and the shapes of tiles.
//!
//! They are used where the environment asks for them, `FUSED_RNN_AMX=1`, until machines that have them have
//! run the tests and timed the kernels.

#[cfg(fused_rnn_emulates_amx)]
use super::emulation;
use std::arch::asm;
use std::sync::OnceLock;

/// The rows of a tile, and its words of depth.
pub(super) const ROWS: usize = 16;
pub(super) const WORDS: usize = 16;

/// What this machine's tiles multiply.
#[derive(Debug, Clone, Copy)]
struct Found {
    bf16: bool,
    int8: bool,
}

/// Whether tiles multiply pairs of bf16 here.
pub(in crate::product) fn has_bf16() -> bool {
    found().bf16
}

/// Whether tiles multiply bytes here.
pub(in crate::product) fn has_int8() -> bool {
    found().int8
}

/// What tiles multiply here, detected once for the process.
fn found() -> Found {
    static FOUND: OnceLock<Found> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let found = detect();
        // (A machine with tiles uses its own: not all of its instructions would trap.)
        #[cfg(fused_rnn_emulates_amx)]
        if !(found.bf16 && found.int8) {
            emulation::install();
            return Found { bf16: true, int8: true };
        }
        found
    })
}

/// What the processor has and the system lets this process use. (Linux asks for a permission before the
/// first tile is used, since a signal's frame is then 8 KiB longer. Other systems are left to vectors.)
fn detect() -> Found {
    const NONE: Found = Found { bf16: false, int8: false };
    /// Bits of `edx` of leaf 7.
    const BF16: u32 = 1 << 22;
    const TILE: u32 = 1 << 24;
    const INT8: u32 = 1 << 25;
    if !cfg!(all(target_os = "linux", not(miri))) || !is_asked_for() || cpuid(0, 0).eax < 0x1D {
        return NONE;
    }
    let features = cpuid(7, 0).edx;
    // Palette 1: bytes of all tiles and of one, bytes of a row and number of tiles, rows.
    let palette = cpuid(0x1D, 1);
    let is_known = (palette.eax, palette.ebx, palette.ecx & 0xFFFF) == (1024 << 16 | 8192, 8 << 16 | 64, 16);
    if features & TILE == 0 || !is_known || !is_permitted() {
        return NONE;
    }
    Found { bf16: features & BF16 != 0, int8: features & INT8 != 0 }
}

/// Whether the environment asks for tiles.
fn is_asked_for() -> bool {
    cfg!(fused_rnn_emulates_amx) || std::env::var_os("FUSED_RNN_AMX").is_some_and(|value| value == "1")
}

#[allow(unused_unsafe, reason = "safe from Rust 1.93 on")]
fn cpuid(leaf: u32, of_leaf: u32) -> std::arch::x86_64::CpuidResult {
    // SAFETY: a machine with AVX-512 has the instruction.
    unsafe { std::arch::x86_64::__cpuid_count(leaf, of_leaf) }
}

/// Asks Linux to let the threads of this process use tiles; whether it does.
fn is_permitted() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const REQUEST_PERMISSION: i64 = 0x1023;
    const TILE_DATA: i64 = 18;
    let result: i64;
    // SAFETY: the call changes nothing but what this process may use; a kernel that does not know it says so.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") REQUEST_PERMISSION,
            in("rsi") TILE_DATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    result == 0
}

/// The shapes of the tile registers, as LDTILECFG reads them: 1 for the palette, from byte 16 on the bytes of
/// a row of each, from byte 48 on its rows.
#[repr(align(64))]
struct Shapes([u8; 64]);

/// The shapes for tiles of `rows` rows of A: sums and A have that many rows, weights sixteen.
const fn shapes(rows: usize) -> Shapes {
    let mut shapes = [0; 64];
    shapes[0] = 1;
    let mut tile = 0;
    while tile < 8 {
        shapes[16 + 2 * tile] = 64;
        shapes[48 + tile] = if tile < 6 { rows } else { WORDS } as u8;
        tile += 1;
    }
    Shapes(shapes)
}

static SHAPES: [Shapes; ROWS + 1] = {
    const NONE: Shapes = Shapes([0; 64]);
    let mut all = [NONE; ROWS + 1];
    let mut rows = 1;
    while rows <= ROWS {
        all[rows] = shapes(rows);
        rows += 1;
    }
    all
};

/// While it lives, the tiles of this thread have shapes. (Without, they are as they are at the start of a
/// program, and a switch to another thread saves nothing of them.)
pub(super) struct Configured(());

impl Configured {
    /// The shapes for tiles of `rows` rows of A.
    ///
    /// # Safety
    /// - The machine has tiles.
    #[inline(always)]
    pub(super) unsafe fn new(rows: usize) -> Self {
        let shapes = SHAPES[rows].0.as_ptr();
        // SAFETY: the caller's promise; the shapes are within the palette.
        unsafe { asm!("ldtilecfg [{}]", in(reg) shapes, options(nostack, preserves_flags, readonly)) };
        Configured(())
    }
}

impl Drop for Configured {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the machine has tiles: they were configured.
        unsafe { asm!("tilerelease", options(nostack, preserves_flags, nomem)) };
    }
}
