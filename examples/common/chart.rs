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
pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A picture with a title: `draw` fills the page below it.
pub(crate) fn svg(size: (u32, u32), title: &str, draw: impl FnOnce(&Area<'_>) -> Drawn) -> Drawn<String> {
    let mut svg = String::new();
    let page = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    page.fill(&WHITE)?;
    draw(&page.titled(title, ("sans-serif", 18).into_font().color(&INK))?)?;
    page.present()?;
    drop(page);
    Ok(svg)
}

/// A line: its name, and its points. Lines of one name are one thing in pieces.
pub(crate) type Line = (&'static str, Vec<(f64, f64)>);

/// Lines over two axes with names, x first, below a caption. `from_zero` lets the upper axis begin there.
pub(crate) fn lines(
    area: &Area<'_>,
    caption: &str,
    axes: [&str; 2],
    lines: &[Line],
    from_zero: bool,
) -> Drawn {
    let label = ("sans-serif", 14).into_font().color(&INK);
    let all = || lines.iter().flat_map(|(_, points)| points);
    let range = |value: fn(&(f64, f64)) -> f64| {
        all().map(value).fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)))
    };
    let ((left, right), (low, high)) = (range(|point| point.0), range(|point| point.1));
    let low = if from_zero { low.min(0.0) } else { low };
    // An empty range has no width.
    let (right, high) =
        (right.max(left + 1.0), if high > low { high + (high - low) * 0.05 } else { low + 1.0 });
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
        .x_label_formatter(&|value| if value.fract() == 0.0 { format!("{value:.0}") } else { String::new() })
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
    // The key stands in the corner where it hides the fewest points; its size as a share of the plot.
    let ((wide, tall), longest) = (chart.plotting_area().dim_in_pixel(), names.iter().map(|n| n.len()).max());
    let (wide, tall) = (
        (70 + 9 * longest.unwrap_or(0)) as f64 / f64::from(wide),
        (20 + 20 * names.len()) as f64 / f64::from(tall),
    );
    let hidden = |right_side: bool, upper: bool| {
        let at = |&&(x, y): &&(f64, f64)| {
            let (x, y) = ((x - left) / (right - left), (y - low) / (high - low));
            (if right_side { x > 1.0 - wide } else { x < wide })
                && (if upper { y > 1.0 - tall } else { y < tall })
        };
        all().filter(at).count()
    };
    let corners = [
        (SeriesLabelPosition::UpperRight, hidden(true, true)),
        (SeriesLabelPosition::LowerRight, hidden(true, false)),
        (SeriesLabelPosition::UpperLeft, hidden(false, true)),
        (SeriesLabelPosition::LowerLeft, hidden(false, false)),
    ];
    let corner = corners.into_iter().min_by_key(|corner| corner.1).expect("four corners").0;
    let mut key = chart.configure_series_labels();
    key.position(corner).background_style(WHITE.mix(0.8)).border_style(GRID).label_font(label).draw()?;
    Ok(())
}

/// A grid with a name for each row: `value` gives that of a row and a column, from 0 to 1.
pub(crate) fn heat(
    area: &Area<'_>,
    caption: &str,
    rows: &[String],
    columns: usize,
    value: impl Fn(usize, usize) -> f64,
) -> Drawn {
    let label = ("sans-serif", 12).into_font().color(&INK);
    let (width, height) = area.dim_in_pixel();
    area.draw(&Text::new(caption.to_owned(), (60, 4), label.clone()))?;
    let (left, top) = (60.0, 22.0);
    let (w, h) = (
        (f64::from(width) - left - 14.0) / columns as f64,
        (f64::from(height) - top - 8.0) / rows.len() as f64,
    );
    let frame = [(left as i32, top as i32), (width as i32 - 14, height as i32 - 8)];
    area.draw(&Rectangle::new(frame, GRID))?;
    for (row, name) in rows.iter().enumerate() {
        let y = top + row as f64 * h;
        area.draw(&Text::new(name.clone(), (8, (y + h / 2.0 - 6.0) as i32), label.clone()))?;
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
pub(crate) fn confusion(area: &Area<'_>, classes: &[String], truth: &[usize], said: &[usize]) -> Drawn {
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

/// Writes a picture to a file.
pub(crate) fn write(
    path: &Path,
    size: (u32, u32),
    title: &str,
    draw: impl FnOnce(&Area<'_>) -> Drawn,
) -> Drawn {
    let written = std::fs::write(path, svg(size, title, draw)?);
    Ok(written.map_err(|error| format!("{}: {error}", path.display()))?)
}
