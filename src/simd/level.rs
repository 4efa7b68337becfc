//! The levels by name, and the proof that this machine has one: the file of each level asks the processor.

use super::levels;
use crate::error::{Error, named};
use std::fmt;
use std::str::FromStr;

macro_rules! define_levels {
    ([] $($Level:ident: $file:ident if $cfg:meta $(with $features:tt)?, $doc:literal;)*) => {
        /// A set of SIMD instructions that the kernels are compiled for.
        ///
        /// The level is chosen when the program runs. All levels but [`Portable`](Level::Portable) give the
        /// same bits as each other; that one does not fuse multiply and add, and differs in the last bits. A
        /// layer can be pinned to a level by its builder, a whole program by the environment variable
        /// `FUSED_RNN_LEVEL`, which has the name of a level in lower case: `avx2`.
        ///
        /// ```
        /// use fused_rnn::Level;
        ///
        /// assert!(Level::available().any(|level| level == Level::Portable));
        /// assert!(Level::best().is_available());
        /// assert_eq!("avx2".parse(), Ok(Level::Avx2));
        /// println!("kernels for {}", Level::best());
        /// ```
        #[non_exhaustive]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Level {
            $(#[doc = $doc] $Level,)*
        }

        impl Level {
            /// All levels, the narrowest of an architecture first, whether or not this machine has them.
            pub const ALL: &'static [Level] = &[$(Level::$Level),*];

            /// Its name in text, which [`FromStr`] takes back: `portable`, `avx2`, `avx512`, `neon`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Level::$Level => stringify!($file),)*
                }
            }

            /// The proof that this machine has the level.
            pub(crate) fn token(self) -> Result<Token, Error> {
                let token = match self {
                    $(
                        #[cfg($cfg)]
                        Level::$Level => super::$Level::detect().map(Token::$Level),
                    )*
                    // Levels of other architectures.
                    #[allow(unreachable_patterns)]
                    _ => None,
                };
                token.ok_or(Error::LevelUnavailable { level: self })
            }
        }

        /// The proof that this machine has a level. Code that holds a token may run the instructions of its
        /// level.
        #[derive(Debug, Clone, Copy)]
        pub(crate) enum Token {
            $(#[cfg($cfg)] $Level(super::$Level),)*
        }

        impl Token {
            /// The name of the level.
            pub(crate) fn level(self) -> Level {
                match self {
                    $(#[cfg($cfg)] Token::$Level(_) => Level::$Level,)*
                }
            }
        }
    };
}

levels! { [define_levels] }

impl Level {
    /// The levels of this machine, the narrowest first.
    pub fn available() -> impl Iterator<Item = Level> {
        Level::ALL.iter().copied().filter(|level| level.is_available())
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
                let level: Level = got.parse().map_err(|_| Error::UnknownLevel { got })?;
                level.token().map(|_| level)
            }
        }
    }

    /// The names of all levels, as an error lists them: `portable, avx2 or ...`.
    pub(crate) fn names() -> String {
        let names: Vec<&str> = Level::ALL.iter().map(|level| level.name()).collect();
        match names.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
            _ => names.concat(),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Level {
    type Err = Error;

    /// The level of this [name](Level::name), whether or not this machine has it.
    fn from_str(name: &str) -> Result<Level, Error> {
        named("level", Level::ALL, Level::name, name)
    }
}

impl Token {
    /// The best level of the machine: for work that gives the same bits on each.
    pub(crate) fn best() -> Token {
        Level::best().token().unwrap_or(Token::Portable(super::Portable))
    }
}
