//! The images of digits in `examples/fit/data`, one by one and in lines.

use fused_rnn::Rng;

static PIXELS: &[u8] = include_bytes!("../fit/data/digits_data.npy");
static LABELS: &[u8] = include_bytes!("../fit/data/digits_labels.npy");

/// Pixels along a side of an image.
pub const SIDE: usize = 8;
const IMAGES: usize = 1797;
/// The images from here on are for tests; others wrote them.
const TRAINING: usize = 1400;

/// An image with its digit.
#[derive(Clone, Copy)]
pub struct Image {
    pixels: &'static [u8],
    pub digit: usize,
}

impl Image {
    /// A pixel, from 0 to 1.
    pub fn pixel(&self, y: usize, x: usize) -> f32 {
        f32::from(self.pixels[y * SIDE + x]) / 16.0
    }
}

/// An image at random, of those for training or of those for tests.
pub fn draw(rng: &mut Rng, test: bool) -> Image {
    // The arrays stand at the ends of their files, a byte a number.
    let (pixels, labels) = (&PIXELS[PIXELS.len() - IMAGES * SIDE * SIDE..], &LABELS[LABELS.len() - IMAGES..]);
    let image = if test { TRAINING + rng.below(IMAGES - TRAINING) } else { rng.below(TRAINING) };
    Image { pixels: &pixels[image * SIDE * SIDE..][..SIDE * SIDE], digit: labels[image].into() }
}

/// Columns of features (T, F), and the digits that are in them.
pub type Line = (Vec<f32>, Vec<usize>);

/// Rows of a line of digits, which stand on any of three heights.
pub const HEIGHT: usize = SIDE + 2;

/// A line, and its digits: columns (T, HEIGHT). Digits have the columns with ink; each begins between a
/// column before the end of the one before it and two behind.
pub fn line(count: usize, test: bool, rng: &mut Rng) -> Line {
    let (mut x, mut end) = (vec![0.0; (count * 12 + 6) * HEIGHT], rng.below(4));
    let mut digits = Vec::new();
    for _ in 0..count {
        let (image, top) = (draw(rng, test), rng.below(3));
        let ink = |&column: &usize| (0..SIDE).any(|y| image.pixel(y, column) > 0.2);
        for column in (0..SIDE).filter(ink) {
            for y in 0..SIDE {
                let pixel = &mut x[end * HEIGHT + top + y];
                *pixel = image.pixel(y, column).max(*pixel);
            }
            end += 1;
        }
        end = end + rng.below(4) - 1;
        digits.push(image.digit);
    }
    x.truncate((end + 2) * HEIGHT);
    x.iter_mut().for_each(|pixel| *pixel += rng.uniform(0.0, 0.15));
    (x, digits)
}
