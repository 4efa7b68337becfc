//! The learning curve: loss and accuracy over the epochs, as an SVG picture.

use super::model::Score;
use super::trainer::Epoch;
use fused_rnn_examples::chart::{self, Line, Scale};

/// Draws the curve: two panels side by side, in each a line for training and, where there is one, for
/// validation.
///
/// # Errors
/// None that is known; the type is that of the plotting crate.
pub(crate) fn draw(epochs: &[Epoch], title: &str) -> Result<String, Box<dyn std::error::Error>> {
    chart::svg((960, 420), title, |page| {
        let (left, right) = page.split_horizontally(480);
        let (losses, shares) = (lines(epochs, |score| score.loss), lines(epochs, |score| score.accuracy));
        chart::lines(&left, "", ["epoch", "loss"], &losses, Scale::FromZero)?;
        chart::lines(&right, "", ["epoch", "accuracy"], &shares, Scale::Share)
    })
}

fn lines(epochs: &[Epoch], value: fn(Score) -> f64) -> Vec<Line> {
    let points = |score: fn(&Epoch) -> Option<Score>| {
        let scores = (1u32..).zip(epochs).filter_map(|(number, epoch)| Some((number, score(epoch)?)));
        scores.map(|(number, score)| (f64::from(number), value(score))).collect::<Vec<_>>()
    };
    let lines = [
        ("training", points(|epoch| Some(epoch.training))),
        ("validation", points(|epoch| epoch.validation)),
    ];
    lines.into_iter().filter(|(_, points)| !points.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn runs_of_any_length_can_be_drawn() {
        let score = |loss| Score { loss, accuracy: 0.5, rows: 1 };
        for (count, loss, validation) in [(1, 0.0, None), (2, 1e-7, Some(1e7)), (100, 2.3, Some(2.4))] {
            let epoch =
                Epoch { training: score(loss), validation: validation.map(score), time: Duration::ZERO };
            let svg = draw(&vec![epoch; count], "a title").unwrap();
            assert!(svg.starts_with("<svg") && svg.contains("a title") && svg.contains("training"));
            assert_eq!(svg.contains("validation"), validation.is_some());
            assert!(!svg.contains("NaN"), "{svg}");
        }
    }
}
