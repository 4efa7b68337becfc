//! The clock by which threads measure how long they wait.

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
pub(super) use std::time::Instant as Clock;

/// WebAssembly without a system has no clock: `Instant::now` traps. Time stands still there, so a leader
/// waits for its helpers as long as they take. (Without threads it has none to wait for.)
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
#[derive(Debug)]
pub(super) struct Clock;

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
impl Clock {
    pub(super) fn now() -> Clock {
        Clock
    }

    pub(super) fn elapsed(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }
}
