//! The levels, and their detection: the only place that asks the processor what it has.

use super::Portable;
#[cfg(target_arch = "x86_64")]
use super::{Avx2, Avx512};
use crate::Error;
use std::fmt;

/// A set of SIMD instructions that the kernels are compiled for.
///
/// Chosen when the program runs. [`Avx2`](Level::Avx2) and [`Avx512`](Level::Avx512) give the same bits
/// as each other; [`Portable`](Level::Portable) does not fuse multiply and add and differs in the last
/// ones. A layer can be pinned to a level by its builder, a whole program by the environment variable
/// `FUSED_RNN_LEVEL` (`portable`, `avx2` or `avx512`).
///
/// ```
/// use fused_rnn::Level;
///
/// assert!(Level::available().any(|level| level == Level::Portable));
/// assert!(Level::best().is_available());
/// println!("kernels for {}", Level::best());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Four floats at a time with what the crate was compiled for (SSE2, NEON, simd128), not fused.
    Portable,
    /// Eight floats at a time, AVX2 and FMA.
    Avx2,
    /// Sixteen floats at a time, AVX-512 F, BW, DQ and VL.
    Avx512,
}

impl Level {
    /// All levels, the narrowest first, whether or not this machine has them.
    pub const ALL: [Level; 3] = [Level::Portable, Level::Avx2, Level::Avx512];

    /// The levels of this machine, the narrowest first.
    pub fn available() -> impl Iterator<Item = Level> {
        Level::ALL.into_iter().filter(|level| level.is_available())
    }

    /// Whether this machine has the instructions of the level.
    pub fn is_available(self) -> bool {
        self.token().is_ok()
    }

    /// The widest level of this machine.
    pub fn best() -> Level {
        Level::available().last().unwrap_or(Level::Portable)
    }

    /// The level that `FUSED_RNN_LEVEL` names, or the [`best`](Level::best) where it is unset or empty.
    ///
    /// # Errors
    /// [`Error::UnknownLevel`] where the variable names none, [`Error::LevelUnavailable`] where it names
    /// one that this machine does not have.
    pub fn from_env() -> Result<Level, Error> {
        match std::env::var_os("FUSED_RNN_LEVEL") {
            None => Ok(Level::best()),
            Some(name) if name.is_empty() => Ok(Level::best()),
            Some(name) => {
                let got = name.to_string_lossy().into_owned();
                let level = Level::ALL.into_iter().find(|level| level.to_string() == got);
                let level = level.ok_or(Error::UnknownLevel { got })?;
                level.token().map(|_| level)
            }
        }
    }

    /// The proof that this machine has the level.
    pub(crate) fn token(self) -> Result<Token, Error> {
        let token = match self {
            Level::Portable => Some(Token::Portable(Portable)),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => Avx2::detect().map(Token::Avx2),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => Avx512::detect().map(Token::Avx512),
            #[cfg(not(target_arch = "x86_64"))]
            _ => None,
        };
        token.ok_or(Error::LevelUnavailable { level: self })
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Portable => "portable",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
        })
    }
}

/// A level that this machine has: holding one is what allows its instructions to run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Token {
    Portable(Portable),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl Token {
    /// The best level of the machine: for work that gives the same bits on each.
    pub(crate) fn best() -> Token {
        Level::best().token().unwrap_or(Token::Portable(Portable))
    }

    /// The name of the level.
    pub(crate) fn level(self) -> Level {
        match self {
            Token::Portable(_) => Level::Portable,
            #[cfg(target_arch = "x86_64")]
            Token::Avx2(_) => Level::Avx2,
            #[cfg(target_arch = "x86_64")]
            Token::Avx512(_) => Level::Avx512,
        }
    }
}
