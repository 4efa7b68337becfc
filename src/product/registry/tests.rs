//! Every kernel of every level and precision against what it stands for.

use super::super::{
    Ends, FRONT, Panel, Prefetch, RowPointers, RowsToConvert, Segment, Source, SumPointers, Tile, WIDE,
    Words, convert_rows, row_words,
};
use super::*;
use crate::simd::Level;

/// Gates and blocks of all tiles that there may be.
fn tiles() -> impl Iterator<Item = (usize, usize)> {
    (1..=4).flat_map(|gates| (1..=WIDE).map(move |blocks| (gates, blocks)))
}

/// Every tile that sweeps take, with runs, columns, a turn, and segments of different depths, against
/// plain loops.
#[test]
fn every_kernel_is_the_chain_of_its_segments() {
    for level in Level::available() {
        let table = table(level.token().unwrap(), Precision::F32);
        let fused = level != Level::Portable;
        for (gates, blocks) in tiles() {
            for rows in 1..=MAX_ROWS {
                if is_taken(&table.heights, gates, blocks, rows) {
                    check(table, fused, (gates, blocks, rows));
                }
            }
        }
    }
}

/// Every tile that sweeps take with bf16 weights, of segments with and without an input in a half word,
/// and of runs, has the bits of the one with the rounded weights in f32.
#[test]
fn kernels_of_bf16_weights_are_those_of_f32_on_the_rounded_ones() {
    for level in Level::available() {
        let token = level.token().unwrap();
        let [narrow, wide] = [Precision::Bf16Weights, Precision::F32].map(|of| table(token, of));
        for (gates, blocks) in tiles() {
            for rows in 1..=narrow.height(gates, blocks) {
                let [got, want] = [(narrow, Words::Bf16), (wide, Words::Rounded)]
                    .map(|(table, words)| products(table, words, (gates, blocks, rows)));
                assert_eq!(got, want, "{level}: {gates} x {blocks} x {rows}");
            }
        }
    }
}

/// The bits of two tiles, one after the other, over two segments.
fn products(table: &Table, words: Words, (gates, blocks, rows): (usize, usize, usize)) -> Vec<u32> {
    let (lanes, units, depths) = (table.lanes, 2 * table.lanes * blocks, [7, 10]);
    let value = |n: usize| ((n as u64 * 2_654_435_761) % 1000) as f32 / 512.0 - 1.0;
    let left: Vec<f32> = (0..2 * rows * 100).map(|n| value(n + 77)).collect();
    let panels = depths.map(|depth| {
        let data: Vec<f32> = (0..gates * units * depth).map(|n| value(n + depth)).collect();
        let starts: Vec<usize> = (0..gates).map(|g| g * units * depth).collect();
        let mut panel = Panel::new(words, lanes, [depth, gates, units], None).unwrap();
        panel.pack(Source { data: &data, gate_starts: &starts, unit_stride: depth, depth_stride: 1 });
        panel
    });
    let tile = Tile { rows, blocks, tiles: 2, quiet: 2, ..Tile::QUIET };
    let segments = panels.each_ref().map(|panel| {
        let weights = panel.weights(0, blocks, Prefetch::NONE);
        let rows = RowPointers::strided(left.as_ptr().cast_mut().cast::<u32>(), 100);
        let mut segment = Segment::rows(rows, weights);
        segment.set_weights(weights, &tile);
        segment
    });
    // Of one row the tiles are blocks, else rows.
    let per_row = units * gates;
    let mut to = vec![9.0f32; 2 * rows * per_row];
    let mut target = SumPointers::strided(to.as_mut_ptr(), per_row, lanes * gates, lanes);
    target.follow(&tile);
    let ends = Ends { tiles: 2, quiet: 2, ..Ends::new(SumPointers::zero(), target) };
    // SAFETY: all places exist, and `to` is ours.
    unsafe { table.kernel(gates, blocks, rows)(&Product { ends: &ends, segments: &segments }) };
    to.iter().map(|value| value.to_bits()).collect()
}

/// The tiles of words that rows are converted to, in runs, with a turn, over segments of several depths,
/// and with sums at a stride or where a list says, against plain loops: the same bits on every level.
#[test]
fn kernels_of_made_rows_are_their_sums_on_every_level() {
    for (level, precision) in
        Level::available().flat_map(|level| [(level, Precision::Bf16), (level, Precision::Int8)])
    {
        let token = level.token().unwrap();
        let plain = if precision == Precision::Int8 { without_vnni(token) } else { table(token, precision) };
        for table in [table(token, precision), plain] {
            for (gates, blocks) in tiles() {
                for rows in 1..=table.height(gates, blocks) {
                    for listed in [false, true] {
                        check_made(token, precision, table, (gates, blocks, rows), listed);
                    }
                }
            }
        }
    }
}

fn check_made(
    token: Token,
    precision: Precision,
    table: &Table,
    (gates, blocks, rows): (usize, usize, usize),
    listed: bool,
) {
    let (lanes, units) = (table.lanes, table.lanes * blocks);
    let value = |n: usize| ((n as u64 * 2_654_435_761) % 1000) as f32 / 512.0 - 1.0;
    // A run of two tiles and one.
    let tiles = if rows > 1 { 3 } else { 1 };
    let (tile, count) = (Tile { rows, blocks, tiles, quiet: tiles, ..Tile::QUIET }, rows * tiles);
    let make = convert_rows(token, precision, table.offset).unwrap();
    // Words of whole tiles and of one in part, of that alone, and of whole tiles alone.
    let segments = [85, 7, 128].map(|depth| {
        // A block more, which is none of the tile's.
        let units = units + lanes;
        let mut data: Vec<f32> = (0..gates * units * depth).map(|n| value(n + depth)).collect();
        let starts: Vec<usize> = (0..gates).map(|g| g * units * depth).collect();
        for start in &starts {
            data[start + (units - lanes) * depth..][..lanes * depth].fill(f32::INFINITY);
        }
        let mut panel =
            Panel::new(precision.forward(table.offset), lanes, [depth, gates, units], None).unwrap();
        panel.pack(Source { data: &data, gate_starts: &starts, unit_stride: depth, depth_stride: 1 });
        let left: Vec<f32> = (0..count * depth).map(|n| value(n + depth + 77)).collect();
        // What a row has past its last word may be NaN.
        let stride = row_words(precision, depth).next_multiple_of(16) + 16;
        let mut converted = vec![0x7FC0_7FC0u32; count * stride];
        for (row, converted) in left.chunks_exact(depth).zip(converted.chunks_exact_mut(stride)) {
            // SAFETY: the row exists, and the words are ours.
            unsafe { make(&RowsToConvert::one(row.as_ptr(), depth, converted.as_mut_ptr().add(FRONT))) };
        }
        (depth, data, panel, left, (stride, converted))
    });
    let words = segments.each_ref().map(|(_, _, panel, _, (stride, converted))| {
        let rows = RowPointers::strided(converted.as_ptr().wrapping_add(FRONT).cast_mut(), *stride);
        let weights = panel.weights(0, blocks, Prefetch::NONE);
        let mut segment = Segment::rows(rows, weights);
        segment.set_weights(weights, &tile);
        segment
    });
    let turn = (gates == 3).then_some(1);
    // Of each block a vector more for the turn, and after each row one that is none of the tile's. Biases
    // lie farther apart.
    let (record, row) = ((gates + 1) * lanes, blocks * (gates + 1) * lanes + lanes);
    let bias: Vec<f32> = (0..2 * blocks * record).map(value).collect();
    let before: Vec<f32> = (0..count * row).map(|n| value(n + 9)).collect();
    let mut to = before.clone();
    let first = to.as_mut_ptr();
    let list: Vec<*mut f32> = (0..count).rev().map(|r| first.wrapping_add(r * row)).collect();
    let shared = |at: &[f32]| SumPointers::shared(at.as_ptr(), 2 * record, 2 * lanes);
    let mut target = SumPointers::strided(first, row, record, lanes);
    if listed {
        target.rows = RowPointers::listed(&list);
    }
    target.follow(&tile);
    let start = if listed { target } else { shared(&bias) };
    let turned = turn.map(|at| (at, shared(&bias[2 * gates * lanes..])));
    let ends = Ends { tiles, quiet: tiles, turn: turned, ..Ends::new(start, target) };
    let kernel = table.kernel(gates, blocks, rows);
    // What a kernel has copied of other weights may lie where it copies these.
    let of = precision.forward(table.offset);
    let (depth, mut nowhere) = (15 * of.inputs(), before.clone());
    let mut panel = Panel::new(of, lanes, [depth, gates, units], None).unwrap();
    let data = vec![f32::NAN; units * depth];
    panel.pack(Source { data: &data, gate_starts: &[0; 4][..gates], unit_stride: depth, depth_stride: 1 });
    let spoilt = [Segment::rows(words[2].rows, panel.weights(0, blocks, Prefetch::NONE)); 3];
    let other = SumPointers::strided(nowhere.as_mut_ptr(), row, record, lanes);
    // SAFETY: all places exist, and `to` is ours.
    unsafe {
        kernel(&Product { ends: &Ends::new(shared(&bias), other), segments: &spoilt });
        kernel(&Product { ends: &ends, segments: &words });
    }

    let mut want = before.clone();
    for (r, unit, g) in
        (0..count).flat_map(|r| (0..units).flat_map(move |unit| (0..gates).map(move |g| (r, unit, g))))
    {
        let of_row = if listed { count - 1 - r } else { r } * row;
        let of = |g: usize| unit / lanes * record + g * lanes + unit % lanes;
        let bias_of = |g: usize| bias[2 * (of(g) - unit % lanes) + unit % lanes];
        let (mut place, mut sum) = (g, if listed { before[of_row + of(g)] } else { bias_of(g) });
        for (n, &(depth, ref data, _, ref left, _)) in segments.iter().enumerate() {
            if turn == Some(n) && g == gates - 1 {
                want[of_row + of(g)] = sum;
                (place, sum) = (gates, bias_of(gates));
            }
            let weights = &data[(g * (units + lanes) + unit) * depth..][..depth];
            sum = with_segment(precision, sum, &left[r * depth..][..depth], weights);
        }
        want[of_row + of(place)] = sum;
    }
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&to), bits(&want), "{precision:?} {gates} x {blocks} x {rows}, {listed}");
}

/// A sum after a segment.
fn with_segment(precision: Precision, mut sum: f32, row: &[f32], weights: &[f32]) -> f32 {
    if precision == Precision::Int8 {
        let scale = |values: &[f32]| values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        let q = |value: f32, largest: f32| (value * (127.0 / largest)).round_ties_even() as i64;
        let (of_row, of_unit) = (scale(row), scale(weights));
        let whole: i64 = row.iter().zip(weights).map(|(&x, &w)| q(x, of_row) * q(w, of_unit)).sum();
        return sum + whole as f32 * (of_row / 127.0 * (of_unit / 127.0));
    }
    let narrow = |x: f32| f32::from_bits((x.to_bits() + 0x7FFF + (x.to_bits() >> 16 & 1)) & 0xFFFF_0000);
    for (xs, ws) in row.chunks(32).zip(weights.chunks(32)) {
        let mut parts = [0.0f32; 2];
        for (k, (&x, &w)) in xs.iter().zip(ws).enumerate() {
            parts[k % 2] += narrow(x) * narrow(w);
        }
        sum += parts[0] + parts[1];
    }
    sum
}

fn check(table: &Table, fused: bool, (gates, blocks, rows): (usize, usize, usize)) {
    let (lanes, units) = (table.lanes, table.lanes * blocks);
    let value = |n: usize| ((n as u64 * 2_654_435_761) % 1000) as f32 / 512.0 - 1.0;
    let madd = |a: f32, b: f32, c: f32| if fused { a.mul_add(b, c) } else { a * b + c };
    // Depths of rows, of lines (with a last run in part), and of columns.
    let depths = [5, 37, 3];
    let panels: Vec<(Panel, Vec<f32>)> = (depths.iter())
        .map(|&depth| {
            let data: Vec<f32> = (0..gates * units * depth).map(|n| value(n + depth)).collect();
            let starts: Vec<usize> = (0..gates).map(|g| g * units * depth).collect();
            let mut panel = Panel::new(Words::F32, lanes, [depth, gates, units], None).unwrap();
            let from = Source { data: &data, gate_starts: &starts, unit_stride: depth, depth_stride: 1 };
            panel.pack(from);
            (panel, data)
        })
        .collect();
    let left: Vec<f32> = (0..2000).map(|n| value(n + 77)).collect();
    let stride = 9 * 16;
    let element = |segment: usize, r: usize, k: usize| match segment {
        0 => left[100 * r + k],
        1 => left[16 * r + k / 16 * stride + k % 16],
        _ => left[r + 16 * k],
    };
    let first = left.as_ptr().cast_mut().cast::<u32>();
    let mut down = [std::ptr::null_mut(); MAX_ROWS];
    for r in 0..rows {
        down[r] = first.wrapping_add(r);
    }
    let weights = |n: usize| panels[n].0.weights(0, blocks, Prefetch::NONE);
    let segments = [
        Segment::rows(RowPointers::strided(first, 100), weights(0)),
        Segment::lines(left.as_ptr(), stride, weights(1)),
        Segment::columns(RowPointers::listed(&down), weights(2)),
    ];
    let bias: Vec<f32> = (0..8 * units).map(|n| value(n + 5)).collect();
    let (record, places) = (5 * lanes, blocks * 5 * lanes);
    for turn in [None, Some(1)].into_iter().take(if gates == 3 { 2 } else { 1 }) {
        let mut to = vec![9.0f32; rows * places];
        let start = SumPointers::shared(bias.as_ptr(), 5 * lanes, lanes);
        let fresh = SumPointers::shared(bias[4 * lanes..].as_ptr(), 5 * lanes, lanes);
        let target = SumPointers::strided(to.as_mut_ptr(), places, record, lanes);
        let turned = turn.map(|at| (at, fresh));
        let product =
            Product { ends: &Ends { turn: turned, ..Ends::new(start, target) }, segments: &segments };
        // SAFETY: all places exist, and `to` is ours.
        unsafe { table.kernel(gates, blocks, rows)(&product) };
        for r in 0..rows {
            for (unit, g) in (0..units).flat_map(|unit| (0..gates).map(move |g| (unit, g))) {
                let (u, lane) = (unit / lanes, unit % lanes);
                let of = |gate: usize| bias[u * 5 * lanes + gate * lanes + lane];
                let at = |gate: usize| to[r * places + u * record + gate * lanes + lane];
                let (mut sum, mut place) = (of(g), g);
                for (n, (_, data)) in panels.iter().enumerate() {
                    if turn == Some(n) && g == gates - 1 {
                        assert_eq!(at(g).to_bits(), sum.to_bits(), "before the turn");
                        (sum, place) = (of(4), gates);
                    }
                    for k in 0..depths[n] {
                        let w = data[(g * units + unit) * depths[n] + k];
                        sum = madd(element(n, r, k), w, sum);
                    }
                }
                assert_eq!(at(place).to_bits(), sum.to_bits(), "{gates} x {blocks} x {rows}, gate {g}");
            }
        }
    }
}
