//! How the work of a call is shared among threads: how many, cut by what, and how they meet.
//!
//! Work goes down, and its end comes back up; nothing here knows what a step computes:
//!
//! ```text
//! a call      the threads that it may have, the work of a step (Load)
//!   cost.rs       how many of them pay off (Sharing), and what is cut (Split): rows or units
//! a pass      its stages, one after the other (Walk)
//!   schedule.rs   each thread has rows through all stages, or a share of the units of each stage
//!   team.rs       .. and then threads claim shares, stage by stage, without a barrier
//! two pieces at the same time
//!   join.rs       the caller does one, and offers the other
//!   offer.rs      .. the other, which whoever comes first takes: a helper, or the caller again
//!   lobby.rs      .. where helpers of a while ago wait for it; else it goes to the queue of rayon's pool
//!   clock.rs      the clock by which they wait
//! ```
//!
//! Cuts never go through a sum, so no result depends on any of it.

mod clock;
mod cost;
mod join;
mod lobby;
mod offer;
mod schedule;
mod team;

pub(super) use cost::Load;
pub(crate) use cost::{Sharing, sharing, too_little, wavefront_nanoseconds};
pub(crate) use join::join;
pub(crate) use lobby::Lately;
pub use schedule::{Schedule, Threads};
pub(super) use schedule::{Share, Split, Walk, go, over_range, over_shares, step_and_phase, take_steps};
pub(crate) use team::{MAX_SHARES, over_stages};
