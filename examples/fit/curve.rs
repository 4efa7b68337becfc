//! The learning curve: loss and accuracy over the epochs, as an SVG picture.

use super::model::Score;
use super::trainer::Epoch;
use plotters::coord::Shift;
use plotters::prelude::*;

const TRAINING: RGBColor = RGBColor(31, 119, 180);
const VALIDATION: RGBColor = RGBColor(214, 96, 20);
const INK: RGBColor = RGBColor(60, 60, 60);
const GRID: RGBColor = RGBColor(225, 225, 225);

/// Draws the curve: two panels side by side, in each a line for training and, where there is one, for
/// validation.
///
/// # Errors
/// None that is known; the type is that of the plotting crate.
pub(crate) fn draw(epochs: &[Epoch], title: &str) -> Result<String, Box<dyn std::error::Error>> {
    let mut svg = String::new();
    {
        let page = SVGBackend::with_string(&mut svg, (960, 420)).into_drawing_area();
        page.fill(&WHITE)?;
        let page = page.titled(title, ("sans-serif", 18).into_font().color(&INK))?;
        let (left, right) = page.split_horizontally(480);
        let highest = epochs
            .iter()
            .flat_map(|epoch| [Some(epoch.training), epoch.validation])
            .flatten()
            .fold(0.0f64, |highest, score| highest.max(score.loss));
        panel(&left, "Loss", epochs, if highest > 0.0 { highest * 1.05 } else { 1.0 }, |score| score.loss)?;
        panel(&right, "Accuracy", epochs, 1.0, |score| score.accuracy)?;
        page.present()?;
    }
    Ok(svg)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn panel(
    area: &Area<'_>,
    name: &str,
    epochs: &[Epoch],
    highest: f64,
    value: fn(Score) -> f64,
) -> Result<(), Box<dyn std::error::Error>> {
    let label = ("sans-serif", 14).into_font().color(&INK);
    // Two digits that differ between neighbouring labels, whatever the size of the numbers.
    let decimals = (1.0 - highest.log10()).ceil().clamp(0.0, 9.0) as usize;
    let mut chart = ChartBuilder::on(area)
        .margin(14)
        .caption(name, ("sans-serif", 16).into_font().color(&INK))
        .x_label_area_size(42)
        .y_label_area_size(48)
        // A range of one epoch would be empty.
        .build_cartesian_2d(1..epochs.len().max(2), 0.0..highest)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(INK)
        .label_style(label.clone())
        .x_desc("epoch")
        .x_labels(10)
        .y_labels(8)
        .y_label_formatter(&|value| format!("{value:.decimals$}"))
        .draw()?;

    let training = epochs.iter().map(|epoch| Some(epoch.training)).collect::<Vec<_>>();
    let validation = epochs.iter().map(|epoch| epoch.validation).collect::<Vec<_>>();
    for (name, color, scores) in [("training", TRAINING, training), ("validation", VALIDATION, validation)] {
        let points: Vec<(usize, f64)> =
            (1..).zip(scores).filter_map(|(epoch, score)| Some((epoch, value(score?)))).collect();
        if points.is_empty() {
            continue;
        }
        chart
            .draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
        // Many points would run into a thick line.
        let marked = if points.len() <= 30 { &points[..] } else { &[] };
        chart.draw_series(marked.iter().map(|&point| Circle::new(point, 3, color.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(if name == "Loss" {
            SeriesLabelPosition::UpperRight
        } else {
            SeriesLabelPosition::LowerRight
        })
        .background_style(WHITE.mix(0.8))
        .border_style(GRID)
        .label_font(label)
        .draw()?;
    Ok(())
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
