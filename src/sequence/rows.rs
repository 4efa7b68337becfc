//! The rows of a batch, longest first, and where the records of each step lie.
//!
//! Rows are sorted by falling length: `order[rank]` is the index of the row in the caller's arrays. So the
//! rows that still run at step t are always the first ranks, and lie next to each other in states, tapes and
//! gradients. Records of a step have only those rows:
//!
//! ```text
//! lengths 3 2 2 1      states   slot 0: a b c d   slot 1: a b c d   slot 2: a b c   slot 3: a
//!                      steps    step 0: a b c d   step 1: a b c     step 2: a
//! ```

use crate::cell::Origins;
use crate::error::{Error, checked_size, reserve};
use crate::memory::RowTable;
use crate::order::sort;
use std::cmp::Reverse;
use std::ops::Range;

/// The real steps of the rows of a batch, and the resets of rows.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pattern<'a> {
    /// (B): the length of each row; later steps do not exist.
    pub(crate) lengths: Option<&'a [usize]>,
    /// (B, T): steps that are false do not exist.
    pub(crate) mask: Option<&'a [bool]>,
    /// (B, T): before steps that are true the state is zero.
    pub(crate) resets: Option<&'a [bool]>,
    /// True if the caller's sequences are packed: without the steps past the end of a row.
    pub(crate) packed: bool,
}

impl Pattern<'_> {
    /// True if every row has all steps, and no row has resets.
    fn is_whole(&self) -> bool {
        self.lengths.is_none() && self.mask.is_none() && self.resets.is_none()
    }
}

/// The number of stretches and their lengths. They decide the size of a tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent<'a> {
    /// This many stretches, all of one length.
    Equal { rows: usize, length: usize },
    /// Stretches of these lengths, in falling order.
    Falling(&'a [usize]),
}

impl Extent<'_> {
    /// The number of stretches.
    pub(crate) fn rows(self) -> usize {
        match self {
            Extent::Equal { rows, .. } => rows,
            Extent::Falling(lengths) => lengths.len(),
        }
    }

    /// The length of the longest stretch.
    pub(crate) fn longest(self) -> usize {
        match self {
            Extent::Equal { rows, length } => {
                if rows > 0 {
                    length
                } else {
                    0
                }
            }
            Extent::Falling(lengths) => lengths.first().copied().unwrap_or(0),
        }
    }

    /// The sum of `count` over all lengths, saturating.
    fn sum(self, count: impl Fn(usize) -> usize) -> usize {
        match self {
            Extent::Equal { rows, length } => rows.saturating_mul(count(length)),
            Extent::Falling(lengths) => {
                lengths.iter().fold(0, |sum, &length| sum.saturating_add(count(length)))
            }
        }
    }

    /// The steps of all stretches together.
    pub(crate) fn steps(self) -> usize {
        self.sum(|length| length)
    }

    /// Sum over rows of `min(length, end)`: the most records that any `end` consecutive steps have.
    pub(crate) fn steps_before(self, end: usize) -> usize {
        self.sum(|length| length.min(end))
    }

    /// The records of checkpoints at every `every`-th step: for each stretch its initial state, and the
    /// states before those steps that it has.
    pub(crate) fn checkpoints(self, every: usize) -> usize {
        self.rows().saturating_add(self.sum(|length| length.saturating_sub(1) / every))
    }
}

/// The order and the lengths of the rows of a batch.
///
/// The unit of work is a *stretch*: the steps of a row between two resets, without masked steps. A row
/// without resets is one stretch. Stretches are as independent as rows, and share tiles as rows do. Steps are
/// counted within the stretch; [`time`](Rows::time) gives the step of the sequence.
#[derive(Debug, Default, Clone)]
pub(crate) struct Rows {
    /// The row of each rank.
    pub(crate) order: Vec<usize>,
    /// The length of each rank, falling.
    pub(crate) lengths: Vec<usize>,
    /// Whether a rank is the first stretch of its row, and whether it is the last. One has the initial state,
    /// the other leaves the final state.
    ends: Vec<(bool, bool)>,
    /// Where the times of each rank begin in `times`.
    first: Vec<usize>,
    /// The times of all steps of each rank; empty if a step of a rank is the step of the sequence.
    times: Vec<usize>,
    /// (start in `times`, length, row, first, last) of each stretch.
    stretches: Vec<(usize, usize, usize, bool, bool)>,
    /// The first record of each slot of states, and the end of the last slot; empty without a tape. The
    /// records of step t begin where those of slot t + 1 begin, minus the B records of slot 0.
    pub(super) starts: Vec<usize>,
    /// The first record of each slot of checkpoints; empty without checkpoints.
    pub(super) checkpoint_starts: Vec<usize>,
    /// The first record of each of two slots that take turns.
    pub(super) ring: [usize; 2],
    /// The table of packed sequences: see [`RowTable`]. Empty where sequences are not packed, or packed
    /// without lengths, which is time-major.
    packed_starts: Vec<usize>,
    packed_ranks: Vec<usize>,
    /// The rows and steps that were set last, if all rows had all steps.
    full: Option<(usize, usize)>,
}

/// Sorts rows by falling length, those of one length by their index.
fn sort_by_length(rows: &mut [usize], lengths: &[usize]) {
    sort(rows, &|a, b| lengths[b].cmp(&lengths[a]).then(a.cmp(&b)));
}

impl Rows {
    /// The bytes that it holds.
    pub(crate) fn bytes(&self) -> usize {
        let lists = [
            &self.order,
            &self.lengths,
            &self.first,
            &self.times,
            &self.starts,
            &self.checkpoint_starts,
            &self.packed_starts,
            &self.packed_ranks,
        ];
        lists.map(|list| list.capacity() * size_of::<usize>()).iter().sum::<usize>()
            + self.ends.capacity() * size_of::<(bool, bool)>()
            + self.stretches.capacity() * size_of::<(usize, usize, usize, bool, bool)>()
    }

    /// Sorts rows by falling length; rows of equal length keep their order. Allocates only if there are more
    /// rows or steps than ever before.
    pub(crate) fn set(&mut self, batch: usize, steps: usize, pattern: Pattern<'_>) -> Result<(), Error> {
        let Pattern { lengths, mask, resets, packed } = pattern;
        let full = pattern.is_whole();
        self.starts.clear();
        self.checkpoint_starts.clear();
        if full && self.full == Some((batch, steps)) {
            return Ok(());
        }
        self.full = None;
        self.times.clear();
        self.first.clear();
        self.packed_starts.clear();
        self.packed_ranks.clear();
        if let (Some(lengths), true) = (lengths, packed) {
            self.set_packed(lengths)?;
        }
        if mask.is_some() || resets.is_some() {
            self.set_stretches(batch, steps, pattern)?;
        } else {
            reserve(&mut self.order, batch)?;
            reserve(&mut self.lengths, batch)?;
            reserve(&mut self.ends, batch)?;
            self.order.extend(0..batch);
            if let Some(lengths) = lengths {
                sort_by_length(&mut self.order, lengths);
            }
            self.lengths.extend(self.order.iter().map(|&row| lengths.map_or(steps, |lengths| lengths[row])));
            self.ends.resize(batch, (true, true));
        }
        self.ring = [0, self.order.len()];
        self.full = full.then_some((batch, steps));
        Ok(())
    }

    /// Finds where the rows of each step lie in packed sequences.
    fn set_packed(&mut self, lengths: &[usize]) -> Result<(), Error> {
        let (batch, steps) = (lengths.len(), lengths.iter().copied().max().unwrap_or(0));
        reserve(&mut self.packed_starts, steps)?;
        reserve(&mut self.packed_ranks, batch)?;
        reserve(&mut self.order, batch)?;
        self.order.extend(0..batch);
        sort_by_length(&mut self.order, lengths);
        self.packed_ranks.resize(batch, 0);
        for (rank, &row) in self.order.iter().enumerate() {
            self.packed_ranks[row] = rank;
        }
        let (mut start, mut running) = (0usize, batch);
        for step in 0..steps {
            self.packed_starts.push(start);
            while running > 0 && lengths[self.order[running - 1]] <= step {
                running -= 1;
            }
            start = start.saturating_add(running);
        }
        Ok(())
    }

    /// Where the rows of packed sequences lie; `None` where a grid says it.
    pub(crate) fn table(&self) -> Option<RowTable<'_>> {
        let table = RowTable { starts: &self.packed_starts, ranks: &self.packed_ranks };
        (!table.ranks.is_empty()).then_some(table)
    }

    fn set_stretches(&mut self, batch: usize, steps: usize, pattern: Pattern<'_>) -> Result<(), Error> {
        let Pattern { lengths, mask, resets, .. } = pattern;
        let is_set = |flags: Option<&[bool]>, row: usize, time: usize| flags.map(|f| f[row * steps + time]);
        let real = |row: usize| 0..lengths.map_or(steps, |lengths| lengths[row]);
        // Rows that no memory can hold are refused before they are counted through.
        reserve(&mut self.stretches, batch)?;
        let count: usize = (0..batch)
            .map(|row| 1 + real(row).filter(|&time| is_set(resets, row, time) == Some(true)).count())
            .sum();
        reserve(&mut self.stretches, count)?;
        reserve(&mut self.order, count)?;
        reserve(&mut self.lengths, count)?;
        reserve(&mut self.ends, count)?;
        reserve(&mut self.first, count)?;
        reserve(&mut self.times, batch * steps)?;
        for row in 0..batch {
            let (mut start, mut first) = (self.times.len(), true);
            for time in real(row) {
                if is_set(resets, row, time) == Some(true) {
                    self.stretches.push((start, self.times.len() - start, row, first, false));
                    (start, first) = (self.times.len(), false);
                }
                if is_set(mask, row, time) != Some(false) {
                    self.times.push(time);
                }
            }
            self.stretches.push((start, self.times.len() - start, row, first, true));
        }
        let stretches = &self.stretches;
        let key = |n: usize| {
            let (start, length, row, ..) = stretches[n];
            (Reverse(length), row, start)
        };
        self.order.extend(0..stretches.len());
        sort(&mut self.order, &|a, b| key(a).cmp(&key(b)));
        for rank in &mut self.order {
            let (start, length, row, first, last) = stretches[*rank];
            *rank = row;
            self.lengths.push(length);
            self.ends.push((first, last));
            self.first.push(start);
        }
        // The list is never empty, even if no step is real: an empty list means that there are no masks.
        if self.times.is_empty() {
            self.times.push(0);
        }
        Ok(())
    }

    /// The step of the sequence of this step of a rank.
    #[inline(always)]
    pub(crate) fn time(&self, step: usize, rank: usize) -> usize {
        if self.times.is_empty() { step } else { self.times[self.first[rank] + step] }
    }

    /// The times and rows of all steps that there are.
    pub(crate) fn all_places(&self) -> impl Iterator<Item = (usize, usize)> + use<'_> {
        let ranks = self.lengths.iter().zip(&self.order).enumerate();
        ranks.flat_map(move |(rank, (&length, &row))| {
            (0..length).map(move |step| (self.time(step, rank), row))
        })
    }

    /// Where all ranks of this step come from.
    #[inline(always)]
    pub(crate) fn origins(&self, step: usize) -> Origins<'_> {
        Origins::new(&self.order, &self.first, &self.times, step)
    }

    /// True if every rank is the row of the same index, and each step is the step of the sequence.
    #[inline(always)]
    pub(crate) fn as_they_come(&self) -> bool {
        self.full.is_some()
    }

    /// True if a step of a rank is the step of the sequence: no masks, no resets.
    pub(crate) fn in_order(&self) -> bool {
        self.times.is_empty()
    }

    /// True if a rank begins with the initial state of its row.
    pub(crate) fn begins(&self, rank: usize, reverse: bool) -> bool {
        if reverse { self.ends[rank].1 } else { self.ends[rank].0 }
    }

    /// True if a rank ends with the final state of its row.
    pub(crate) fn finishes(&self, rank: usize, reverse: bool) -> bool {
        self.begins(rank, !reverse)
    }

    /// The ranks that a pass takes through some of these steps, and the slot of the state with which each
    /// enters them. Rows without any step enter the first steps.
    pub(crate) fn entries(&self, steps: Range<usize>, reverse: bool) -> impl Iterator<Item = (usize, usize)> {
        let count = if steps.start == 0 { self.order.len() } else { self.active(steps.start) };
        let slot = move |length: usize| if reverse { length.min(steps.end) } else { steps.start };
        self.lengths[..count].iter().enumerate().map(move |(rank, &length)| (rank, slot(length)))
    }

    /// Computes where the records of every step lie, for a tape.
    pub(crate) fn place_all(&mut self) -> Result<(), Error> {
        let slots = self.steps().saturating_add(1);
        reserve(&mut self.starts, checked_size("tape", &[slots.saturating_add(1)])?)?;
        let (mut start, mut running) = (0, self.order.len());
        for slot in 0..=slots {
            self.starts.push(start);
            // Slot s holds the rows of at least s steps.
            while running > 0 && self.lengths[running - 1] < slot {
                running -= 1;
            }
            start = checked_size("tape", &[start.saturating_add(running)])?;
        }
        Ok(())
    }

    /// Computes where the states of checkpoints lie.
    pub(crate) fn place_checkpoints(&mut self, every: usize) -> Result<(), Error> {
        let count = self.steps().saturating_sub(1) / every;
        reserve(&mut self.checkpoint_starts, checked_size("tape", &[count.saturating_add(1)])?)?;
        let mut start = 0usize;
        for slot in 0..=count {
            self.checkpoint_starts.push(start);
            let records = if slot == 0 { self.order.len() } else { self.active(slot * every) };
            start = checked_size("tape", &[start.saturating_add(records)])?;
        }
        Ok(())
    }

    /// The number of stretches and their lengths.
    pub(crate) fn extent(&self) -> Extent<'_> {
        Extent::Falling(&self.lengths)
    }

    /// The result of [`extent`](Rows::extent) after [`set`](Rows::set). If all rows are alike, it is computed
    /// without `set`.
    pub(crate) fn extent_of(
        &mut self,
        batch: usize,
        steps: usize,
        pattern: Pattern<'_>,
    ) -> Result<Extent<'_>, Error> {
        if pattern.is_whole() || steps == 0 {
            return Ok(Extent::Equal { rows: batch, length: steps });
        }
        self.set(batch, steps, pattern)?;
        Ok(self.extent())
    }

    /// The number of rows that run at step `step`. These are the first ranks, whose length is greater.
    #[inline(always)]
    pub(crate) fn active(&self, step: usize) -> usize {
        self.lengths.partition_point(|&length| length > step)
    }

    /// The greatest length.
    pub(crate) fn steps(&self) -> usize {
        self.lengths.first().copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rows_that_run_have_records() {
        let mut rows = Rows::default();
        rows.set(4, 3, Pattern { lengths: Some(&[2, 1, 3, 2]), ..Pattern::default() }).unwrap();
        rows.place_all().unwrap();
        assert_eq!(rows.order, [2, 0, 3, 1]);
        assert_eq!(rows.starts, [0, 4, 8, 11, 12]);
        assert_eq!((rows.extent().rows(), rows.extent().longest(), rows.extent().steps()), (4, 3, 8));
        rows.set(1, usize::MAX - 1, Pattern::default()).unwrap();
        assert!(rows.place_all().is_err(), "a table of that length");
    }

    #[test]
    fn packed_sequences_have_the_rows_that_run_by_falling_length() {
        let mut rows = Rows::default();
        let pattern = Pattern { lengths: Some(&[2, 0, 3, 2]), packed: true, ..Pattern::default() };
        rows.set(4, 3, pattern).unwrap();
        let RowTable { starts, ranks } = rows.table().unwrap();
        assert_eq!((starts, ranks), (&[0, 3, 6][..], &[1, 3, 0, 2][..]));
        let places: Vec<_> = rows.all_places().collect();
        assert_eq!(places, [(0, 2), (1, 2), (2, 2), (0, 0), (1, 0), (0, 3), (1, 3)]);
        rows.set(4, 3, Pattern { packed: true, ..Pattern::default() }).unwrap();
        assert!(rows.table().is_none(), "time-major");
    }

    #[test]
    fn rows_enter_where_a_pass_begins() {
        let mut rows = Rows::default();
        rows.set(4, 5, Pattern { lengths: Some(&[2, 0, 5, 3]), ..Pattern::default() }).unwrap();
        let entries = |steps: Range<usize>, reverse| rows.entries(steps, reverse).collect::<Vec<_>>();
        // All rows at once, also the one without steps.
        assert_eq!(entries(0..5, false), [(0, 0), (1, 0), (2, 0), (3, 0)]);
        assert_eq!(entries(0..5, true), [(0, 5), (1, 3), (2, 2), (3, 0)]);
        // Pieces: two rows have the step 2, one has the step 4.
        assert_eq!(entries(2..4, false), [(0, 2), (1, 2)]);
        assert_eq!(entries(2..4, true), [(0, 4), (1, 3)]);
        assert_eq!(entries(4..5, true), [(0, 5)]);
        assert_eq!(entries(3..5, false), [(0, 3)]);
    }

    #[test]
    fn only_rows_that_go_on_have_checkpoints() {
        let mut rows = Rows::default();
        rows.set(5, 7, Pattern { lengths: Some(&[3, 7, 4, 0, 2]), ..Pattern::default() }).unwrap();
        // Every two steps: slot 0 of all five, before step 2 three, before step 4 and before step 6 one.
        rows.place_checkpoints(2).unwrap();
        assert_eq!(rows.checkpoint_starts, [0, 5, 8, 9]);
        let extent = rows.extent();
        assert_eq!(extent.checkpoints(2), 10);
        assert_eq!(extent.checkpoints(1), 5 + 2 + 6 + 3 + 1);
        assert_eq!(extent.checkpoints(7), 5);
        assert_eq!(extent.steps_before(3), 3 + 3 + 3 + 2);
        rows.set(2, 7, Pattern::default()).unwrap();
        assert!(rows.checkpoint_starts.is_empty());
        rows.place_checkpoints(100).unwrap();
        assert_eq!(rows.checkpoint_starts, [0]);
    }

    #[test]
    fn rows_that_are_alike_are_counted_without_a_look_at_each() {
        let mut rows = Rows::default();
        for (batch, steps) in [(0, 3), (3, 0), (3, 7), (1, 1)] {
            let nothing = Pattern { mask: Some(&[]), ..Pattern::default() };
            rows.set(batch, steps, if steps == 0 { nothing } else { Pattern::default() }).unwrap();
            let mut others = Rows::default();
            let alike = others
                .extent_of(batch, steps, if steps == 0 { nothing } else { Pattern::default() })
                .unwrap();
            let each = rows.extent();
            assert!(matches!(alike, Extent::Equal { .. }));
            assert_eq!(
                (alike.rows(), alike.longest(), alike.steps()),
                (each.rows(), each.longest(), each.steps())
            );
            assert_eq!(
                (alike.checkpoints(2), alike.steps_before(2)),
                (each.checkpoints(2), each.steps_before(2))
            );
        }
        let many = rows.extent_of(1 << 30, 0, Pattern { mask: Some(&[]), ..Pattern::default() }).unwrap();
        assert_eq!((many.rows(), many.longest(), many.steps()), (1 << 30, 0, 0));
        let lengths = [2, 3];
        let pattern = Pattern { lengths: Some(&lengths), ..Pattern::default() };
        assert_eq!(rows.extent_of(2, 3, pattern).unwrap(), Extent::Falling(&[3, 2]));
    }

    #[test]
    fn masks_leave_steps_out_and_resets_cut_rows() {
        let mut rows = Rows::default();
        let mask = [true, false, true, true, false, false, false, false];
        let resets = [false, false, false, true, true, false, false, false];
        let pattern =
            Pattern { lengths: Some(&[4, 3]), mask: Some(&mask), resets: Some(&resets), packed: false };
        rows.set(2, 4, pattern).unwrap();
        // Row 0: steps 0 and 2, then 3. Row 1: nothing, and nothing again.
        assert_eq!(rows.order, [0, 0, 1, 1]);
        assert_eq!(rows.lengths, [2, 1, 0, 0]);
        assert_eq!((rows.time(0, 0), rows.time(1, 0), rows.time(0, 1)), (0, 2, 3));
        assert_eq!(rows.ends, [(true, false), (false, true), (true, false), (false, true)]);
        assert!(rows.begins(0, false) && rows.finishes(1, false) && rows.begins(1, true));
    }
}
