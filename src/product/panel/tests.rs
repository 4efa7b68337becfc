//! Every weight at its place, from matrices and from rows.

use super::*;
use crate::simd::Level;

#[test]
fn every_weight_lands_at_its_place_and_padding_is_zero() {
    let (gates, units, depth, lanes) = (3, 7, 5, 4);
    let data: Vec<f32> = (0..gates * units * depth).map(|k| k as f32 + 1.0).collect();
    let starts: Vec<usize> = (0..gates).map(|g| g * units * depth).collect();
    let mut panel = Panel::new(Words::F32, lanes, [depth, gates, units], None).unwrap();
    let source = Source { data: &data, gate_starts: &starts, unit_stride: depth, depth_stride: 1 };
    panel.pack(source);
    assert_eq!((panel.blocks(), panel.bytes()), (2, 4 * 2 * 4 * 5 * 3), "with the padding");
    assert_eq!(panel.multiply_adds(), 2 * 4 * 5 * 3, "with the padding");
    assert_eq!((panel.units(), panel.depth(), panel.lanes()), (7, 5, 4));
    for unit in 0..panel.blocks() * lanes {
        for k in 0..depth {
            for gate in 0..gates {
                let packed = panel.block(unit / lanes)[(k * gates + gate) * lanes + unit % lanes];
                let want = if unit < units { data[(gate * units + unit) * depth + k] } else { 0.0 };
                assert_eq!(packed, want, "gate {gate} unit {unit} input {k}");
            }
        }
    }
}

#[test]
fn rows_are_packed_in_blocks_of_any_level() {
    // Eleven rows of twenty units: more than a group, and a last block in part on every level.
    let (count, units) = (GROUP + 3, 20);
    let rows: Vec<Vec<f32>> =
        (0..count).map(|k| (0..units + 2).map(|u| (100 * k + u) as f32 + 1.0).collect()).collect();
    for level in Level::available() {
        let token = level.token().unwrap();
        let (mut panel, lanes) = (Panel::default(), table(token, Precision::F32).lanes);
        panel.reserve(lanes, count, units).unwrap();
        // What was there before must not stay.
        panel.data.fill(7.0);
        panel.pack_rows(token, units, &mut rows.iter().map(|row| Row::of(row)));
        assert_eq!(panel.lanes, lanes);
        assert_eq!((panel.blocks(), panel.depth()), (units.div_ceil(lanes), count));
        for unit in 0..panel.blocks() * lanes {
            for (k, row) in rows.iter().enumerate() {
                let want = if unit < units { row[unit] } else { 0.0 };
                assert_eq!(panel.block(unit / lanes)[k * lanes + unit % lanes], want, "lanes {lanes}");
            }
        }
    }
}

#[test]
fn tiny_values_are_packed_as_zero() {
    let mut panel = Panel::new(Words::F32, 4, [2, 1, 2], None).unwrap();
    let data = [1e-30, -9e-31, 1e-40, -1.0];
    panel.pack(Source { data: &data, gate_starts: &[0], unit_stride: 1, depth_stride: 2 });
    assert_eq!(panel.block(0), [1e-30, 0., 0., 0., 0., -1., 0., 0.]);
    for level in Level::available() {
        let token = level.token().unwrap();
        let mut row = [2.0; 17];
        (row[1], row[16]) = (-1e-31, 1e-45);
        panel.reserve(table(token, Precision::F32).lanes, 1, 17).unwrap();
        panel.pack_rows(token, 17, &mut std::iter::once(Row::of(&row)));
        let lanes = panel.lanes;
        let packed: Vec<f32> = (0..17).map(|n| panel.block(n / lanes)[n % lanes]).collect();
        assert_eq!((packed[0], packed[1], packed[15], packed[16]), (2.0, 0.0, 2.0, 0.0), "{level}");
    }
}

#[test]
fn each_unit_of_each_gate_has_its_own_scale() {
    let (gates, units, depth, lanes) = (3, 5, 6, 4);
    let scales: Vec<f32> = (1..=gates * units).map(|n| n as f32 / 8.0).collect();
    let data: Vec<f32> = scales.iter().flat_map(|scale| (0..depth).map(move |k| k as f32 * scale)).collect();
    let starts: Vec<usize> = (0..gates).map(|gate| gate * units * depth).collect();
    let source = Source { data: &data, gate_starts: &starts, unit_stride: depth, depth_stride: 1 };
    let mut panel = Panel::new(Words::Bytes { offset: 0 }, lanes, [depth, gates, units], None).unwrap();
    panel.pack_with(source, &scales);
    let words = depth.div_ceil(4);
    for (n, &scale) in scales.iter().enumerate() {
        let (gate, unit) = (n / units, n % units);
        let packed = panel.block(unit / lanes)[(words * gates + gate) * lanes + unit % lanes];
        assert_eq!(packed, scale, "gate {gate}, unit {unit}");
    }
}

#[test]
fn a_transposed_source_reads_columns() {
    let data: Vec<f32> = (0..6).map(|k| k as f32).collect();
    let mut panel = Panel::new(Words::F32, 4, [3, 1, 2], None).unwrap();
    panel.pack(Source { data: &data, gate_starts: &[0], unit_stride: 1, depth_stride: 2 });
    assert_eq!(panel.block(0), [0., 1., 0., 0., 2., 3., 0., 0., 4., 5., 0., 0.]);
}
