//! Threads for the crate's calls.
//!
//! rayon's global pool does not survive a fork: the child has its memory and none of its threads, and waits
//! for ever. So calls that share their work run in pools of this module, one for each number of threads, and
//! a process that finds pools of another process id makes its own. It leaks those of its parent: to drop them
//! would be to wait for threads that are not there.

use crate::errors::refused;
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

/// The pools of a process, by their number of threads.
type Pools = (u32, HashMap<usize, &'static ThreadPool>);

static POOLS: Mutex<Option<Pools>> = Mutex::new(None);

/// The most threads of a pool; the crate shares no call among more.
const MAX_THREADS: usize = 256;

/// The number of threads in `FUSED_RNN_THREADS`, if it is set. (Read when the module is imported, which fails
/// if it is no number of threads.)
#[pyfunction]
pub fn named_threads() -> PyResult<Option<usize>> {
    match std::env::var("FUSED_RNN_THREADS") {
        Ok(named) if !named.is_empty() => match named.parse() {
            Ok(count @ 1..=MAX_THREADS) => Ok(Some(count)),
            _ => Err(refused("FUSED_RNN_THREADS", format!("a number from 1 to {MAX_THREADS}"), named)),
        },
        _ => Ok(None),
    }
}

/// The default number of threads: that of `FUSED_RNN_THREADS`, or that of the machine.
pub fn default_threads() -> usize {
    static THREADS: OnceLock<usize> = OnceLock::new();
    let of_machine = || std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    *THREADS.get_or_init(|| named_threads().ok().flatten().unwrap_or_else(of_machine))
}

/// The pool of this many threads; `None` where the system makes no more.
pub fn of(threads: usize) -> Option<&'static ThreadPool> {
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    let (_, pools) = match &mut *pools {
        Some(pools) if pools.0 == process => pools,
        stale => stale.insert((process, HashMap::new())),
    };
    if let Some(pool) = pools.get(&threads) {
        return Some(pool);
    }
    let pool = ThreadPoolBuilder::new().num_threads(threads).thread_name(|n| format!("fused-rnn-{n}"));
    let pool: &'static ThreadPool = Box::leak(Box::new(pool.build().ok()?));
    pools.insert(threads, pool);
    Some(pool)
}

/// Multiply-adds of a call below which the crate uses no thread but the caller's, and that take too little
/// time to give Python's lock away for.
const SMALL: usize = 1 << 20;

/// Runs a call of at most this many multiply-adds on the given threads, or on those of the machine. Large
/// calls release Python's lock. What counts as small assumes that the network shares work only where that
/// pays (`Threads::Auto`): for a network with a fixed number of threads, pass a large number of
/// multiply-adds.
pub fn run<T: Send>(
    py: Python<'_>,
    threads: Option<usize>,
    multiply_adds: usize,
    call: impl FnOnce() -> T + Send,
) -> T {
    if multiply_adds < SMALL {
        return call();
    }
    // (The table of pools is used with Python's lock alone, so that no fork finds it locked.)
    let threads = threads.unwrap_or_else(default_threads).min(MAX_THREADS);
    let pool = if threads < 2 { None } else { of(threads) };
    py.detach(|| match pool {
        Some(pool) => pool.install(call),
        None => call(),
    })
}
