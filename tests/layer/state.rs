//! States: set, reset, copied, selected and blended, whole or by rows.

use fused_rnn::{Error, Gru, Lstm, State};

#[test]
fn rows_are_found_and_reset() {
    let layer = Lstm::builder(1, 3).layers(2).projection(2).build().unwrap();
    let mut state = layer.zero_state(2).unwrap();
    let h: Vec<f32> = (0..8).map(|k| k as f32 + 1.0).collect();
    let c: Vec<f32> = (0..12).map(|k| k as f32 + 20.0).collect();
    state.set_h(&h).unwrap();
    state.set_c(&c).unwrap();
    for (strand, row) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let start = (strand * 2 + row) * 2;
        assert_eq!(state.row_h(strand, row), Some(&h[start..start + 2]));
    }
    for (strand, row) in [(0, 2), (2, 0), (2, 2), (7, 1), (1, 7)] {
        assert_eq!(state.row_h(strand, row), None);
    }
    state.reset_row(1).unwrap();
    assert_eq!(state.h(), [1.0, 2.0, 0.0, 0.0, 5.0, 6.0, 0.0, 0.0]);
    assert_eq!((&state.c()[..3], &state.c()[3..6]), (&c[..3], &[0.0; 3][..]));
    state.reset();
    assert_eq!((state.h(), state.c()), (vec![0.0; 8], vec![0.0; 12]));
}

#[test]
fn states_and_rows_of_them_are_copied() {
    let layer = Lstm::builder(1, 3).layers(2).projection(2).build().unwrap();
    let (mut from, mut to) = (layer.zero_state(2).unwrap(), layer.zero_state(3).unwrap());
    from.set_h(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]).unwrap();
    from.set_c(&(0..12).map(|k| k as f32 + 20.0).collect::<Vec<_>>()).unwrap();
    to.select_rows(&from, &[1, 1, 0]).unwrap();
    let (mut h, mut c) = ([0.0; 12], [0.0; 18]);
    to.copy_h_to(&mut h).unwrap();
    to.copy_c_to(&mut c).unwrap();
    assert_eq!(h, [3.0, 4.0, 3.0, 4.0, 1.0, 2.0, 7.0, 8.0, 7.0, 8.0, 5.0, 6.0]);
    assert_eq!(c[..9], [23.0, 24.0, 25.0, 23.0, 24.0, 25.0, 20.0, 21.0, 22.0]);
    assert_eq!((to.plane("h").unwrap(), to.plane("c").unwrap()), (to.h(), to.c()));
    assert_eq!((to.plane("m"), to.row_c(1, 2)), (None, Some(&[26.0, 27.0, 28.0][..])));
    assert_eq!((to.row_c(2, 0), to.row_c(0, 3)), (None, None));

    let before = (to.h(), to.c());
    let out_of_range = Error::Index { what: "row of a state", below: 2, got: 2 };
    assert_eq!(to.select_rows(&from, &[0, 2, 0]), Err(out_of_range));
    let what = "rows (one for each row of this state)";
    assert_eq!(to.select_rows(&from, &[0, 1]), Err(Error::Length { what, expected: 3, got: 2 }));
    assert_eq!(to.copy_from(&from), Err(Error::Mismatch { what: "state: batch", expected: 3, got: 2 }));
    assert!(to.copy_h_to(&mut [0.0; 11]).is_err() && to.copy_c_to(&mut []).is_err());
    let others = [
        Lstm::builder(1, 3).layers(1).projection(2).build().unwrap(),
        Lstm::builder(1, 4).layers(2).projection(2).build().unwrap(),
        Lstm::builder(1, 3).layers(2).build().unwrap(),
        Gru::reset_after(1, 3).layers(2).build().unwrap(),
    ];
    for other in others {
        let other = other.zero_state(3).unwrap();
        assert!(matches!(to.copy_from(&other), Err(Error::Mismatch { .. })), "{other:?}");
        assert!(matches!(to.select_rows(&other, &[0; 3]), Err(Error::Mismatch { .. })));
    }
    assert_eq!((to.h(), to.c()), before);

    let mut copy = layer.zero_state(2).unwrap();
    copy.copy_from(&from).unwrap();
    assert_eq!((copy.h(), copy.c()), (from.h(), from.c()));
    // Two strands of two rows of two vectors, padded to 16.
    assert_eq!(copy.bytes(), 2 * 2 * 2 * 16 * 4);
    assert_eq!(
        format!("{copy:?}"),
        "State { kind: Lstm, strands: 2, batch: 2, hidden_size: 3, outputs: 2, bytes: 512 }"
    );
}

#[test]
fn an_empty_batch_has_states_of_no_rows() {
    let mut state = Lstm::builder(1, 3).build().unwrap().zero_state(0).unwrap();
    state.set_h(&[]).unwrap();
    state.copy_c_to(&mut []).unwrap();
    assert_eq!((state.h(), state.plane("c")), (vec![], Some(vec![])));
}

#[test]
fn a_state_without_a_cell_state_takes_none() {
    let mut state = Gru::reset_after(1, 3).build().unwrap().zero_state(2).unwrap();
    state.set_h(&[1.0; 6]).unwrap();
    state.set_c(&[]).unwrap();
    assert!(state.set_c(&[0.0]).is_err());
    assert_eq!((state.h(), state.c()), (vec![1.0; 6], vec![]));
    assert_eq!((state.plane("c"), state.row_c(0, 0)), (None, None));
    state.copy_c_to(&mut []).unwrap();
    assert!(state.copy_c_to(&mut [0.0]).is_err());
}

#[test]
fn states_are_blended() {
    let layer = Lstm::builder(1, 3).layers(2).projection(2).build().unwrap();
    let [mut one, mut other, mut between] = [(); 3].map(|()| layer.zero_state(2).unwrap());
    one.set_h(&[1.0; 8]).unwrap();
    other.set_h(&[3.0; 8]).unwrap();
    other.set_c(&[-4.0; 12]).unwrap();
    for (t, h, c) in [(0.25, 1.5, -1.0), (0.0, 1.0, 0.0), (1.0, 3.0, -4.0)] {
        between.lerp(&one, &other, t).unwrap();
        assert_eq!((between.h(), between.c()), (vec![h; 8], vec![c; 12]));
    }
    let more = layer.zero_state(3).unwrap();
    let error = Err(Error::Mismatch { what: "state: batch", expected: 2, got: 3 });
    assert_eq!((between.lerp(&more, &other, 0.5), between.lerp(&one, &more, 0.5)), (error.clone(), error));
    let said = between.lerp(&one, &other, f32::NAN).unwrap_err().to_string();
    assert_eq!(said, "t: expected a finite number, got NaN");
    assert_eq!(between.h(), [3.0; 8]);
}

/// An sLSTM's n below 0 would count as an empty state.
#[test]
fn no_state_in_between_is_one_that_cannot_be_set() {
    let layer = Lstm::exponential(1, 17).layers(2).build().unwrap();
    let [mut one, mut other, mut between] = [(); 3].map(|()| layer.zero_state(2).unwrap());
    one.set_plane("n", &[1.0; 68]).unwrap();
    other.set_plane("n", &[0.25; 68]).unwrap();
    for of in ["h", "c", "m"] {
        one.set_plane(of, &[1.0; 68]).unwrap();
        other.set_plane(of, &[-2.0; 68]).unwrap();
    }
    between.lerp(&one, &other, 0.5).unwrap();
    let plane = |state: &State, name: &str| state.plane(name).unwrap();
    assert_eq!((plane(&between, "n"), plane(&between, "m")), (vec![0.625; 68], vec![-0.5; 68]));
    let said = between.lerp(&one, &other, 2.0).unwrap_err().to_string();
    assert_eq!(said, "state n: expected 0 for an empty state, and more for others, got -0.5");
    assert_eq!((plane(&between, "n"), plane(&between, "c")), (vec![0.625; 68], vec![-0.5; 68]));
}

#[test]
fn a_state_of_two_layers_is_none_of_two_directions() {
    let layers = Gru::reset_after(1, 3).layers(2).build().unwrap().zero_state(2).unwrap();
    let mut directions = Gru::reset_after(1, 3).bidirectional(true).build().unwrap().zero_state(2).unwrap();
    let error = Error::Mismatch { what: "state: directions", expected: 2, got: 1 };
    assert_eq!(directions.copy_from(&layers), Err(error));
}
