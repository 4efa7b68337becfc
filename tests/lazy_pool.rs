//! A stream needs no knowledge of threads: steps start no pool. One test, since a pool once started stays.

use fused_rnn::{Dims, Error, Lstm, Workspace};

#[test]
fn steps_with_default_threads_start_no_pool() -> Result<(), Error> {
    // Work that is worth a second thread: 16 rows of 512 units. And zoneout, whose steps take the general
    // way.
    for zoneout in [0.0, 0.1] {
        let lstm = Lstm::builder(64, 512).zoneout(zoneout, zoneout).build()?;
        let (mut state, mut workspace) = (lstm.zero_state(16)?, Workspace::new());
        for _ in 0..3 {
            lstm.step(&[0.5; 16 * 64], &mut state, None, &mut workspace)?;
        }
    }
    rayon::ThreadPoolBuilder::new().num_threads(2).build_global().expect("no pool was started");
    // Inside a pool, and in a sequence, there are more threads, and the bits are the same.
    let lstm = Lstm::builder(64, 512).build()?;
    let (mut alone, mut shared, mut workspace) =
        (lstm.zero_state(16)?, lstm.zero_state(16)?, Workspace::new());
    lstm.step(&[0.5; 16 * 64], &mut alone, None, &mut workspace)?;
    let (_, result) = rayon::join(|| (), || lstm.step(&[0.5; 16 * 64], &mut shared, None, &mut workspace));
    result?;
    let sequence = lstm.run(&[0.5; 16 * 64], Dims::new(16, 1))?;
    assert!(alone.h() == shared.h() && alone.h() == sequence.state.h());
    Ok(())
}
