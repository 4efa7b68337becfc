//! Pictures as SVG: lines over two axes, and grids whose cells are as dark as their values are high.

use plotters::coord::Shift;
use plotters::prelude::*;
use std::error::Error;
use std::path::Path;

/// A picture, or why there is none.
type Drawn<T = ()> = Result<T, Box<dyn Error>>;

/// Colours of lines, in their order.
const COLORS: [RGBColor; 5] = [
    RGBColor(31, 119, 180),
    RGBColor(214, 96, 20),
    RGBColor(44, 140, 60),
    RGBColor(130, 80, 170),
    RGBColor(110, 110, 110),
];
const INK: RGBColor = RGBColor(60, 60, 60);
const GRID: RGBColor = RGBColor(225, 225, 225);

/// A part of a page.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A picture with a title: `draw` fills the page below it.
pub fn svg(size: (u32, u32), title: &str, draw: impl FnOnce(&Area<'_>) -> Drawn) -> Drawn<String> {
    let mut svg = String::new();
    let page = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    page.fill(&WHITE)?;
    draw(&page.titled(title, ("sans-serif", 18).into_font().color(&INK))?)?;
    page.present()?;
    drop(page);
    Ok(svg)
}

/// A line: its name, and its points. Lines of one name are one thing in pieces.
pub type Line = (&'static str, Vec<(f64, f64)>);

/// Where the upper axis may begin and end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Where the lines do.
    Free,
    /// It begins at 0, or below where a line does.
    FromZero,
    /// Not below 0, not above 1.
    Share,
}

/// Lines over two axes with names, x first, below a caption.
pub fn lines(area: &Area<'_>, caption: &str, axes: [&str; 2], lines: &[Line], scale: Scale) -> Drawn {
    let label = ("sans-serif", 14).into_font().color(&INK);
    let all = || lines.iter().flat_map(|(_, points)| points);
    let range = |value: fn(&(f64, f64)) -> f64| {
        all().map(value).fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)))
    };
    // An empty range has no width: what it has stands in the middle of one that has.
    let wide = |(low, high): (f64, f64)| {
        let half = if high > low { 0.0 } else { f64::max(0.5, low.abs() / 100.0) };
        (low - half, high + half)
    };
    let (left, right) = wide(range(|point| point.0));
    let (low, high) = range(|point| point.1);
    let (low, high) = match scale {
        Scale::FromZero if high <= 0.0 && low >= 0.0 => (0.0, 1.0),
        Scale::FromZero => (low.min(0.0), high.max(0.0)),
        _ => wide((low, high)),
    };
    let high = high + (high - low) * 0.05;
    // (Plotters would look for marks of such an axis for ever.)
    if !(right - left).is_finite() || !(high - low).is_finite() {
        return Err(format!("a picture of {caption:?}: expected points of finite numbers").into());
    }
    let (low, high) = if scale == Scale::Share { (low.max(0.0), high.min(1.0)) } else { (low, high) };
    let key = Key::new(area, caption, lines, (left, right), (low, high));
    // Where the key hides a part of a line in each corner, it stands above all lines.
    let high = if key.hides == 0 || scale == Scale::Share { high } else { key.above(low, high) };
    // Two digits that differ between neighbouring labels, whatever the size of the numbers.
    let decimals = (1.0 - (high - low).log10()).ceil().clamp(0.0, 9.0) as usize;
    let mut builder = ChartBuilder::on(area);
    builder.margin(14).x_label_area_size(42).y_label_area_size(52);
    if !caption.is_empty() {
        builder.caption(caption, ("sans-serif", 16).into_font().color(&INK));
    }
    let mut chart = builder.build_cartesian_2d(left..right, low..high)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(INK)
        .label_style(label.clone())
        .x_desc(axes[0])
        .y_desc(axes[1])
        .x_labels(10)
        .y_labels(8)
        .x_label_formatter(&|value| {
            if (value - value.round()).abs() < 1e-6 { format!("{value:.0}") } else { String::new() }
        })
        .y_label_formatter(&|value| format!("{value:.decimals$}"))
        .draw()?;
    let mut names: Vec<&str> = Vec::new();
    for (name, points) in lines {
        let number = names.iter().position(|known| known == name);
        let color = COLORS[number.unwrap_or(names.len()) % COLORS.len()];
        let drawn = chart.draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))?;
        if number.is_none() {
            names.push(name);
            let key = move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2));
            drawn.label(*name).legend(key);
        }
        // Many points would run into a thick line.
        let marked = if points.len() <= 30 { &points[..] } else { &[] };
        chart.draw_series(marked.iter().map(|&point| Circle::new(point, 3, color.filled())))?;
    }
    let mut names = chart.configure_series_labels();
    names
        .position(key.corner)
        .background_style(WHITE.mix(0.8))
        .border_style(GRID)
        .label_font(label)
        .draw()?;
    Ok(())
}

/// Where the names of lines stand: in the corner where they hide the least of the lines.
struct Key {
    corner: SeriesLabelPosition,
    /// How many of the points that were tried are below it.
    hides: usize,
    /// Its height as a share of the plot.
    tall: f64,
}

impl Key {
    fn new(area: &Area<'_>, caption: &str, lines: &[Line], x: (f64, f64), y: (f64, f64)) -> Self {
        let mut names: Vec<&str> = lines.iter().map(|line| line.0).collect();
        names.dedup();
        let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        // What axes, margins and the caption leave.
        let (width, height) = area.dim_in_pixel();
        let around = if caption.is_empty() { 70 } else { 94 };
        let (width, height) = (f64::from(width) - 80.0, f64::from(height) - f64::from(around));
        let (wide, tall) = ((70 + 9 * longest) as f64 / width, (20 + 20 * names.len()) as f64 / height);
        // Points, and some between each two.
        let of_line = |points: &[(f64, f64)]| {
            let between = |two: &[(f64, f64)]| {
                let ((x0, y0), (x1, y1)) = (two[0], two[1]);
                (1..8).map(move |k| f64::from(k) / 8.0).map(move |s| (x0 + s * (x1 - x0), y0 + s * (y1 - y0)))
            };
            points.windows(2).flat_map(between).chain(points.iter().copied()).collect::<Vec<_>>()
        };
        let points: Vec<(f64, f64)> = lines.iter().flat_map(|line| of_line(&line.1)).collect();
        let hides = |right: bool, upper: bool| {
            let below = |&&(px, py): &&(f64, f64)| {
                let (px, py) = ((px - x.0) / (x.1 - x.0), (py - y.0) / (y.1 - y.0));
                (if right { px > 1.0 - wide } else { px < wide })
                    && (if upper { py > 1.0 - tall } else { py < tall })
            };
            points.iter().filter(below).count()
        };
        let corners = [
            (SeriesLabelPosition::UpperRight, hides(true, true)),
            (SeriesLabelPosition::LowerRight, hides(true, false)),
            (SeriesLabelPosition::UpperLeft, hides(false, true)),
            (SeriesLabelPosition::LowerLeft, hides(false, false)),
        ];
        let (corner, hides) = corners.into_iter().min_by_key(|corner| corner.1).expect("four corners");
        // (Above all lines, where `above` has made room.)
        let corner = if hides == 0 { corner } else { SeriesLabelPosition::UpperRight };
        Key { corner, hides, tall }
    }

    /// The end of an axis from `low` to `high` that has room for the key above them.
    fn above(&self, low: f64, high: f64) -> f64 {
        low + (high - low) / (1.0 - self.tall).max(0.5)
    }
}

/// The beginning of a text that has more than so many characters, and an ellipsis.
fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['\u{2026}']).collect()
}

/// A grid with a name for each row: `value` gives that of a row and a column, from 0 to 1.
pub fn heat(
    area: &Area<'_>,
    caption: &str,
    rows: &[String],
    columns: usize,
    value: impl Fn(usize, usize) -> f64,
) -> Drawn {
    let label = ("sans-serif", 12).into_font().color(&INK);
    let (width, height) = area.dim_in_pixel();
    // As wide as names need, about 7 pixels a character, within limits.
    let longest = rows.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let (left, top) =
        (if longest == 0 { 14.0 } else { (16.0 + 7.0 * longest as f64).clamp(60.0, 142.0) }, 22.0);
    let fitting = |pixels: f64| (pixels / 7.0) as usize;
    let caption = shortened(caption, fitting(f64::from(width) - left));
    area.draw(&Text::new(caption, (left as i32, 4), label.clone()))?;
    let (w, h) = (
        (f64::from(width) - left - 14.0) / columns as f64,
        (f64::from(height) - top - 8.0) / rows.len() as f64,
    );
    let frame = [(left as i32, top as i32), (width as i32 - 14, height as i32 - 8)];
    area.draw(&Rectangle::new(frame, GRID))?;
    for (row, name) in rows.iter().enumerate() {
        let y = top + row as f64 * h;
        let name = shortened(name, fitting(left - 16.0));
        area.draw(&Text::new(name, (8, (y + h / 2.0 - 6.0) as i32), label.clone()))?;
        for column in 0..columns {
            let x = left + column as f64 * w;
            let value = value(row, column).clamp(0.0, 1.0);
            let cell = [(x as i32, y as i32), ((x + w) as i32, (y + h) as i32)];
            area.draw(&Rectangle::new(cell, COLORS[0].mix(value).filled()))?;
            if columns <= 4 {
                let middle = ((x + w / 2.0) as i32 - 16, (y + h / 2.0) as i32 - 6);
                let ink = if value > 0.5 { WHITE } else { INK };
                area.draw(&Text::new(format!("{value:.3}"), middle, label.clone().color(&ink)))?;
            }
        }
    }
    Ok(())
}

/// How often a class is said to be another: a row for each true class, darker where it is more often.
pub fn confusion(area: &Area<'_>, classes: &[String], truth: &[usize], said: &[usize]) -> Drawn {
    let count = classes.len();
    let mut table = vec![0.0; count * count];
    truth.iter().zip(said).for_each(|(truth, said)| table[truth * count + said] += 1.0);
    for row in table.chunks_exact_mut(count) {
        let sum: f64 = row.iter().sum();
        row.iter_mut().for_each(|share| *share /= sum.max(1.0));
    }
    let order = if count <= 4 { classes.join(", ") } else { "in the same order".to_owned() };
    let caption = format!("rows: what it is; columns: what the network says ({order})");
    heat(area, &caption, classes, count, |row, column| table[row * count + column])
}

/// Writes a picture of [`lines`] alone to a file.
pub fn plot(path: &Path, size: (u32, u32), title: &str, axes: [&str; 2], of: &[Line], scale: Scale) -> Drawn {
    write(path, size, title, |page| lines(page, "", axes, of, scale))
}

/// Writes a picture to a file.
pub fn write(path: &Path, size: (u32, u32), title: &str, draw: impl FnOnce(&Area<'_>) -> Drawn) -> Drawn {
    let written = std::fs::write(path, svg(size, title, draw)?);
    Ok(written.map_err(|error| format!("{}: {error}", path.display()))?)
}
