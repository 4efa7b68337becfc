//! Large products by `matrixmultiply`: `C = alpha A B + beta C` on strided views.
//!
//! In the time loop of a recurrent layer one operand, the packed weights, is the same at every step, and the
//! gradients of weights are chains that go on from chunk to chunk: those products have kernels of our own.
//! This file is for the products outside of the time loop, computed once per call:
//!
//! ```text
//! dense head            y (B, O)    =  x (B, I)  W^T (I, O)
//! orthogonal initialisation
//! ```
//!
//! **What `matrixmultiply` does well.** 80 % of the machine's peak once all three sizes are large
//! (`Z4/matrixmultiply`), with any strides: a transposition costs nothing, as both operands are packed
//! anyway. **What it does badly.** It packs both operands and allocates on each call, and computes a full
//! register tile for a single row (a twentieth of that speed). So nothing inside the time loop calls it.
//!
//! **Order of the sum.** The sum over `k` is cut into blocks of 256, each one ascending chain, and the
//! blocks are added to `C` in ascending order. The cuts depend on `k` alone, so that with `alpha = 1` and
//! `beta` 0 or 1 an element of `C` has the same bits whatever the other rows and columns are. Its
//! `threading` feature stays off; a caller that uses threads cuts the rows or columns of `C`, never `k`.
//!
//! **Level.** `matrixmultiply` chooses its instructions by itself when the program runs: the bits depend on
//! the machine, and not on the level that a layer is pinned to.

/// A read-only matrix: element `(i, j)` is `data[i * row_stride + j * col_stride]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MatrixRef<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) row_stride: usize,
    pub(crate) col_stride: usize,
}

/// A matrix to write to: element `(i, j)` is `data[i * row_stride + j * col_stride]`.
#[derive(Debug)]
pub(crate) struct MatrixMut<'a> {
    pub(crate) data: &'a mut [f32],
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) row_stride: usize,
    pub(crate) col_stride: usize,
}

impl<'a> MatrixRef<'a> {
    /// Rows one after the other without a gap.
    pub(crate) fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        MatrixRef { data, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// The transposed view of the same numbers.
    pub(crate) fn t(self) -> Self {
        MatrixRef {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }
}

impl<'a> MatrixMut<'a> {
    /// Rows one after the other without a gap.
    pub(crate) fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        MatrixMut { data, rows, cols, row_stride: cols, col_stride: 1 }
    }
}

/// `C = alpha A B + beta C`. With `beta == 0`, `C` is overwritten whatever it held, NaN included.
///
/// Any size may be zero: an empty `C` is left alone, and an empty sum is zero.
///
/// # Panics
/// Where the sizes do not fit each other, an element lies outside its slice, or two elements of `C` are
/// the same float. Callers have checked what users gave them; a panic here is a mistake of this crate.
pub(crate) fn gemm(alpha: f32, a: MatrixRef<'_>, b: MatrixRef<'_>, beta: f32, c: MatrixMut<'_>) {
    let (m, k, n) = (a.rows, a.cols, b.cols);
    assert_eq!(b.rows, k, "gemm: rows of B and columns of A");
    assert_eq!((c.rows, c.cols), (m, n), "gemm: shape of C and of the product");
    let inside = |rows, cols, row_stride, col_stride, len| {
        extent(rows, cols, row_stride, col_stride).is_some_and(|extent| extent <= len)
    };
    assert!(inside(m, k, a.row_stride, a.col_stride, a.data.len()), "gemm: A leaves its slice");
    assert!(inside(k, n, b.row_stride, b.col_stride, b.data.len()), "gemm: B leaves its slice");
    assert!(inside(m, n, c.row_stride, c.col_stride, c.data.len()), "gemm: C leaves its slice");
    assert!(distinct(m, n, c.row_stride, c.col_stride), "gemm: elements of C overlap");
    if m == 0 || n == 0 {
        return;
    }
    // SAFETY: for each of the three matrices `extent` has shown that the largest index, and with it every
    // index, lies inside the slice; all strides are nonnegative, so the first element is the lowest.
    // `step` passes on strides that were part of that check and therefore fit an isize, and replaces
    // those that are never taken. C is borrowed mutably, so it overlaps neither A nor B, and `distinct`
    // has shown that its elements do not overlap each other. Where k is 0, A and B are not read.
    unsafe {
        matrixmultiply::sgemm(
            m,
            k,
            n,
            alpha,
            a.data.as_ptr(),
            step(m, a.row_stride),
            step(k, a.col_stride),
            b.data.as_ptr(),
            step(k, b.row_stride),
            step(n, b.col_stride),
            beta,
            c.data.as_mut_ptr(),
            step(m, c.row_stride),
            step(n, c.col_stride),
        );
    }
}

/// One past the largest index of a strided matrix, 0 where it is empty; `None` where that overflows.
fn extent(rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> Option<usize> {
    if rows == 0 || cols == 0 {
        return Some(0);
    }
    let last_row = (rows - 1).checked_mul(row_stride)?;
    let last_col = (cols - 1).checked_mul(col_stride)?;
    last_row.checked_add(last_col)?.checked_add(1)
}

/// Whether no two elements of a strided matrix share an index: one of the two strides must step over all
/// that the other dimension spans. (Interleavings that this refuses do not occur.)
fn distinct(rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> bool {
    let steps_over = |count: usize, stride: usize, span: Option<usize>| {
        count <= 1 || span.is_some_and(|span| stride >= span)
    };
    let row_span = extent(1, cols, 0, col_stride);
    let col_span = extent(rows, 1, row_stride, 0);
    (steps_over(rows, row_stride, row_span) && (cols <= 1 || col_stride > 0))
        || (steps_over(cols, col_stride, col_span) && (rows <= 1 || row_stride > 0))
}

/// A stride as the callee takes it. One that is never taken, in a dimension of at most one element, could
/// be any number; it becomes 1.
fn step(count: usize, stride: usize) -> isize {
    if count > 1 { stride as isize } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use approx::assert_abs_diff_eq;

    #[test]
    fn elements_are_distinct_or_not() {
        assert!(distinct(2, 3, 3, 1) && distinct(2, 3, 1, 2), "row after row, column after column");
        assert!(!distinct(2, 3, 2, 1) && !distinct(2, 3, 1, 1), "rows and columns that overlap");
        assert!(!distinct(2, 3, 3, 0) && !distinct(3, 2, 0, 3), "one element many times");
        assert!(
            distinct(2, 1, 1, 0) && distinct(1, 2, 0, 1) && distinct(1, 1, 0, 0),
            "a stride that is not taken"
        );
        assert_eq!((step(1, 0), step(2, 0), step(2, 7)), (1, 0, 7));
    }

    fn random(n: usize, seed: u64) -> Vec<f32> {
        let mut rng = Rng::new(seed);
        (0..n).map(|_| rng.uniform(-1.0, 1.0)).collect()
    }

    /// The definition, in f64.
    fn naive(alpha: f32, a: MatrixRef<'_>, b: MatrixRef<'_>, beta: f32, c: &[f32]) -> Vec<f64> {
        let mut out = Vec::new();
        for i in 0..a.rows {
            for j in 0..b.cols {
                let mut sum = 0.0;
                for k in 0..a.cols {
                    sum += f64::from(a.data[i * a.row_stride + k * a.col_stride])
                        * f64::from(b.data[k * b.row_stride + j * b.col_stride]);
                }
                let old = if beta == 0.0 { 0.0 } else { f64::from(beta) * f64::from(c[i * b.cols + j]) };
                out.push(f64::from(alpha) * sum + old);
            }
        }
        out
    }

    #[test]
    fn agrees_with_the_definition_for_every_transposition() {
        for (m, k, n) in [(1, 1, 1), (3, 5, 2), (17, 33, 9), (32, 128, 10), (40, 300, 70)] {
            let (a, b, c) = (random(m * k, 1), random(k * n, 2), random(m * n, 3));
            for (alpha, beta) in [(1.0, 0.0), (1.0, 1.0), (-0.5, 2.0)] {
                for transposed in 0..4 {
                    let a = match transposed & 1 {
                        0 => MatrixRef::new(&a, m, k),
                        _ => MatrixRef::new(&a, k, m).t(),
                    };
                    let b = match transposed & 2 {
                        0 => MatrixRef::new(&b, k, n),
                        _ => MatrixRef::new(&b, n, k).t(),
                    };
                    let mut got = c.clone();
                    gemm(alpha, a, b, beta, MatrixMut::new(&mut got, m, n));
                    // The same product transposed, C^T = B^T A^T, into a transposed view of C.
                    let mut again = c.clone();
                    let c_t = MatrixMut { data: &mut again, rows: n, cols: m, row_stride: 1, col_stride: n };
                    gemm(alpha, b.t(), a.t(), beta, c_t);
                    for ((want, got), again) in naive(alpha, a, b, beta, &c).iter().zip(got).zip(again) {
                        assert_abs_diff_eq!(*want, f64::from(got), epsilon = 1e-5 * k as f64);
                        assert_abs_diff_eq!(*want, f64::from(again), epsilon = 1e-5 * k as f64);
                    }
                }
            }
        }
    }

    #[test]
    fn an_element_does_not_depend_on_the_other_rows() {
        let (m, k, n) = (37, 300, 19);
        let (a, b) = (random(m * k, 4), random(k * n, 5));
        let mut whole = vec![1.0; m * n];
        gemm(1.0, MatrixRef::new(&a, m, k), MatrixRef::new(&b, k, n), 1.0, MatrixMut::new(&mut whole, m, n));
        for (row, expected) in a.chunks(k).zip(whole.chunks(n)) {
            let mut alone = vec![1.0; n];
            let c = MatrixMut::new(&mut alone, 1, n);
            gemm(1.0, MatrixRef::new(row, 1, k), MatrixRef::new(&b, k, n), 1.0, c);
            assert_eq!(alone, expected);
        }
    }

    #[test]
    fn gaps_between_rows_are_left_alone() {
        let (a, b) = ([1.0, 2.0, 9.0, 3.0, 4.0], [1.0, 0.0, 0.0, 1.0]);
        let a = MatrixRef { data: &a, rows: 2, cols: 2, row_stride: 3, col_stride: 1 };
        let mut c = [7.0; 6];
        let view = MatrixMut { data: &mut c, rows: 2, cols: 2, row_stride: 4, col_stride: 1 };
        gemm(1.0, a, MatrixRef::new(&b, 2, 2), 0.0, view);
        assert_eq!(c, [1.0, 2.0, 7.0, 7.0, 3.0, 4.0]);
    }

    #[test]
    fn sizes_of_zero() {
        let mut c = [f32::NAN; 4];
        gemm(
            1.0,
            MatrixRef::new(&[], 0, 3),
            MatrixRef::new(&[0.0; 6], 3, 2),
            0.0,
            MatrixMut::new(&mut [], 0, 2),
        );
        // An empty sum is zero, and zero times C is zero, whatever C was.
        gemm(1.0, MatrixRef::new(&[], 2, 0), MatrixRef::new(&[], 0, 2), 0.0, MatrixMut::new(&mut c, 2, 2));
        assert_eq!(c, [0.0; 4]);
        let mut c = [1.0, 2.0];
        gemm(1.0, MatrixRef::new(&[], 1, 0), MatrixRef::new(&[], 0, 2), 1.0, MatrixMut::new(&mut c, 1, 2));
        assert_eq!(c, [1.0, 2.0]);
    }

    #[test]
    fn strides_that_are_never_taken_may_be_anything() {
        let a = MatrixRef { data: &[2.0], rows: 1, cols: 1, row_stride: usize::MAX, col_stride: usize::MAX };
        let mut c = [0.0];
        let view = MatrixMut { data: &mut c, rows: 1, cols: 1, row_stride: usize::MAX, col_stride: 0 };
        gemm(1.0, a, a, 0.0, view);
        assert_eq!(c, [4.0]);
    }

    #[test]
    fn refuses_views_that_leave_their_slice_or_overlap() {
        let refused = |a: MatrixRef<'_>, row_stride, col_stride| {
            let (ones, mut c) = ([1.0; 4], [0.0; 4]);
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let c = MatrixMut { data: &mut c, rows: 2, cols: 2, row_stride, col_stride };
                gemm(1.0, a, MatrixRef::new(&ones, 2, 2), 0.0, c);
            }))
            .is_err()
        };
        let good = MatrixRef::new(&[1.0; 4], 2, 2);
        assert!(!refused(good, 2, 1) && !refused(good, 1, 2));
        assert!(refused(MatrixRef { data: &[1.0; 3], ..good }, 2, 1), "too short");
        assert!(refused(MatrixRef { row_stride: usize::MAX, ..good }, 2, 1), "overflow");
        assert!(refused(MatrixRef { cols: 1, ..good }, 2, 1), "sizes");
        for (row_stride, col_stride) in [(0, 1), (1, 1), (1, 0), (0, 0), (3, 1), (usize::MAX, 1)] {
            assert!(refused(good, row_stride, col_stride), "C with strides {row_stride}, {col_stride}");
        }
    }
}
