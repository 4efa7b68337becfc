//! A plugin of QEMU's user mode that counts the instructions of a call of `fused_rnn_measured`.
//!
//! It counts every block of instructions as it runs. The function is called several times in a row, so the
//! instructions of one call, with those of the loop around it, are those from its first entry to its last,
//! over the calls between. `aarch64.sh` compiles this file and says which version of the interface QEMU has.
//!
//! The declarations are those of the few functions of QEMU's plugin interface that are called here.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

#[unsafe(no_mangle)]
pub static qemu_plugin_version: c_int = if cfg!(interface_2) { 2 } else { 1 };

type OnBlock = extern "C" fn(c_uint, *mut c_void);

unsafe extern "C" {
    fn qemu_plugin_register_vcpu_tb_trans_cb(id: u64, callback: extern "C" fn(u64, *mut c_void));
    fn qemu_plugin_register_vcpu_tb_exec_cb(
        tb: *mut c_void,
        callback: OnBlock,
        flags: c_int,
        data: *mut c_void,
    );
    fn qemu_plugin_register_atexit_cb(id: u64, callback: extern "C" fn(u64, *mut c_void), data: *mut c_void);
    fn qemu_plugin_tb_n_insns(tb: *const c_void) -> usize;
    fn qemu_plugin_tb_vaddr(tb: *const c_void) -> u64;
    fn qemu_plugin_tb_get_insn(tb: *const c_void, index: usize) -> *mut c_void;
    fn qemu_plugin_insn_symbol(instruction: *const c_void) -> *const c_char;
}

/// Instructions so far; where the function begins; its entries, and the instructions before the first and the
/// last of them.
static TOTAL: AtomicU64 = AtomicU64::new(0);
static START: AtomicU64 = AtomicU64::new(0);
static ENTRIES: AtomicU64 = AtomicU64::new(0);
static FIRST: AtomicU64 = AtomicU64::new(0);
static LAST: AtomicU64 = AtomicU64::new(0);

extern "C" fn on_translation(_: u64, tb: *mut c_void) {
    // SAFETY: QEMU calls this with a block of at least one instruction; a name is a string or null.
    let (count, address, is_measured) = unsafe {
        let name = qemu_plugin_insn_symbol(qemu_plugin_tb_get_insn(tb, 0));
        let is_measured = !name.is_null() && CStr::from_ptr(name) == c"fused_rnn_measured";
        (qemu_plugin_tb_n_insns(tb), qemu_plugin_tb_vaddr(tb), is_measured)
    };
    // The block that is translated first is the one that is entered first.
    if is_measured && START.load(Relaxed) == 0 {
        START.store(address, Relaxed);
    }
    let callback: OnBlock = if is_measured && START.load(Relaxed) == address { on_entry } else { on_block };
    // SAFETY: the block is QEMU's; the data is a number.
    unsafe { qemu_plugin_register_vcpu_tb_exec_cb(tb, callback, 0, std::ptr::without_provenance_mut(count)) };
}

extern "C" fn on_block(_: c_uint, count: *mut c_void) {
    TOTAL.fetch_add(count.addr() as u64, Relaxed);
}

extern "C" fn on_entry(thread: c_uint, count: *mut c_void) {
    let before = TOTAL.load(Relaxed);
    if ENTRIES.fetch_add(1, Relaxed) == 0 {
        FIRST.store(before, Relaxed);
    }
    LAST.store(before, Relaxed);
    on_block(thread, count);
}

extern "C" fn on_exit(_: u64, _: *mut c_void) {
    let calls = ENTRIES.load(Relaxed).saturating_sub(1);
    if calls > 0 {
        eprintln!("instructions {}", (LAST.load(Relaxed) - FIRST.load(Relaxed)) / calls);
    }
}

#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_install(id: u64, _: *const c_void, _: c_int, _: *const *const c_char) -> c_int {
    // SAFETY: the plugin has this number.
    unsafe {
        qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
        qemu_plugin_register_atexit_cb(id, on_exit, std::ptr::null_mut());
    }
    0
}
