//! Draws a plot as SVG, by plotters, in colours that a page replaces by its own.
//!
//! Every colour is a sentinel: the page's style sheet says what it is on light and on dark. Each
//! plot is drawn twice, wide and narrow, because text in a picture does not grow with a telephone.

use super::figure::{Drawn, Line, Plot};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// How large a picture is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// Pixels across.
    pub(crate) width: u32,
    /// Pixels down.
    pub(crate) height: u32,
    /// Pixels of the text.
    pub(crate) text: u32,
}

/// For screens.
pub(crate) const WIDE: Size = Size { width: 860, height: 400, text: 14 };
/// For telephones.
pub(crate) const NARROW: Size = Size { width: 400, height: 340, text: 13 };

/// Text and axes: the sentinel for the page's own colour.
const INK: RGBColor = RGBColor(1, 1, 1);
/// Lines of the grid.
const GRID: RGBColor = RGBColor(2, 2, 2);
/// What a label of a log axis leaves room for, in digits.
const LABELS: usize = 6;

/// The sentinel of a contestant: `#0a00NN`, the same in every plot.
pub(crate) fn colour(name: &str) -> RGBColor {
    RGBColor(10, 0, index(name))
}

/// Names that have a colour of their own; others share what is left.
const NAMES: [&str; 11] = [
    "weft",
    "direct",
    "nginx1",
    "nginx2",
    "rathole",
    "rusnel",
    "bore",
    "openssh",
    "litellm",
    "portkey",
    "tensorzero",
];
/// Colours beyond those of contestants, for whatever else is drawn.
const OTHERS: u8 = 6;

fn index(name: &str) -> u8 {
    // "weft, with uploads" is weft.
    let first = name.split([',', ' ']).next().unwrap_or(name);
    let known = NAMES.iter().position(|known| *known == first);
    known.and_then(|at| u8::try_from(at).ok()).unwrap_or_else(|| {
        let sum = name.bytes().fold(0_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
        11 + sum % OTHERS
    })
}

/// The plot as SVG.
///
/// # Errors
/// Where it cannot be drawn, such as without a single point.
pub(crate) fn svg(plot: &Plot, size: Size) -> anyhow::Result<String> {
    let mut text = String::new();
    {
        let area =
            SVGBackend::with_string(&mut text, (size.width, size.height)).into_drawing_area();
        let drawn = match plot.drawn {
            Drawn::Lines => lines(&area, plot, size),
            Drawn::Bars => bars(&area, plot, size),
        };
        drawn.map_err(|error| anyhow::anyhow!("{}: {error}", plot.title))?;
        area.present().map_err(|error| anyhow::anyhow!("{}: {error}", plot.title))?;
    }
    Ok(text)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// The least and the most of what is drawn, with some room; powers of ten where it grows by factors.
fn bounds(values: impl Iterator<Item = f64>, log: bool) -> Result<(f64, f64), Failed> {
    let values: Vec<f64> =
        values.filter(|value| value.is_finite() && (!log || *value > 0.0)).collect();
    let least = values.iter().copied().min_by(f64::total_cmp).ok_or("nothing to draw")?;
    let most = values.iter().copied().max_by(f64::total_cmp).ok_or("nothing to draw")?;
    if log {
        return Ok((least / 1.15, (most * 1.15).max(least * 2.0)));
    }
    let least = least.min(0.0);
    Ok((least, if most > least { most + (most - least) * 0.05 } else { least + 1.0 }))
}

fn lines(area: &Area<'_>, plot: &Plot, size: Size) -> Result<(), Failed> {
    let all = || plot.lines.iter().flat_map(|line| line.points.iter());
    let x = bounds(all().map(|point| point[0]), plot.log_x)?;
    let y = bounds(all().map(|point| point[1]), plot.log_y)?;
    // The scale is in the points, so that one sort of chart draws all four sorts of axes.
    let scale = |value: f64, log: bool| if log { value.log10() } else { value };
    let (from, to) = (
        (scale(x.0, plot.log_x), scale(x.1, plot.log_x)),
        (scale(y.0, plot.log_y), scale(y.1, plot.log_y)),
    );
    let levels: Vec<f64> = all().map(|point| point[0]).collect();
    let ticks = |values: Vec<f64>, log: bool| -> Vec<f64> {
        values.into_iter().map(|value| scale(value, log)).collect()
    };
    let across = if size.width > 600 { 10 } else { 6 };
    let xs = ticks(ticks_of(x, plot.log_x, across, &levels), plot.log_x);
    let ys = ticks(ticks_of(y, plot.log_y, LABELS, &[]), plot.log_y);
    let font = ("sans-serif", size.text).into_font().color(&INK);
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .margin_right(size.text)
        .x_label_area_size(size.text * 3)
        .y_label_area_size(size.text * 4)
        .build_cartesian_2d(Axis { span: from, ticks: xs }, Axis { span: to, ticks: ys })?;
    let told = |log: bool| move |value: &f64| label(if log { 10_f64.powf(*value) } else { *value });
    let (told_x, told_y) = (told(plot.log_x), told(plot.log_y));
    chart
        .configure_mesh()
        .x_labels(across)
        .y_labels(2 * LABELS)
        .max_light_lines(0)
        .bold_line_style(GRID)
        .light_line_style(GRID)
        .axis_style(INK)
        .label_style(font.clone())
        .axis_desc_style(font)
        .x_desc(&plot.x)
        .y_desc(&plot.y)
        .x_label_formatter(&told_x)
        .y_label_formatter(&told_y)
        .draw()?;
    // Weft last, above the others.
    let mut ordered: Vec<&Line> = plot.lines.iter().collect();
    ordered.sort_by_key(|line| line.name.starts_with("weft"));
    for line in ordered {
        let visible = line
            .points
            .iter()
            .filter(|point| (!plot.log_x || point[0] > 0.0) && (!plot.log_y || point[1] > 0.0));
        let points: Vec<(f64, f64)> = visible
            .map(|point| (scale(point[0], plot.log_x), scale(point[1], plot.log_y)))
            .collect();
        let wide = if line.name.starts_with("weft") { 4 } else { 2 };
        let style =
            ShapeStyle { color: colour(&line.name).into(), filled: true, stroke_width: wide };
        if points.len() <= 16 {
            chart.draw_series(points.iter().map(|point| Circle::new(*point, wide + 1, style)))?;
        }
        chart.draw_series(LineSeries::new(points, style))?;
    }
    Ok(())
}

fn bars(area: &Area<'_>, plot: &Plot, size: Size) -> Result<(), Failed> {
    let value = |line: &Line| line.points.first().map_or(0.0, |point| point[1]);
    let most = plot.lines.iter().map(value).max_by(f64::total_cmp).ok_or("nothing to draw")?;
    if most <= 0.0 {
        return Err("nothing to draw".into());
    }
    let (width, height, text) =
        (f64::from(size.width), f64::from(size.height), f64::from(size.text));
    // Names to the left, values behind the bars.
    let (left, right) = (text * 6.5, width - text * 5.0);
    let step = (height - text) / plot.lines.len() as f64;
    let thick = (step * 0.62).min(text * 2.2);
    let pixel = |value: f64| value.round() as i32;
    let style = |anchor: HPos| {
        let font = ("sans-serif", size.text).into_font().color(&INK);
        font.pos(Pos::new(anchor, VPos::Center))
    };
    for (at, line) in plot.lines.iter().enumerate() {
        let middle = text / 2.0 + step * (at as f64 + 0.5);
        let end = left + (right - left) * value(line) / most;
        let bar =
            [(pixel(left), pixel(middle - thick / 2.0)), (pixel(end), pixel(middle + thick / 2.0))];
        area.draw(&Rectangle::new(bar, colour(&line.name).filled()))?;
        let name = Text::new(
            line.name.clone(),
            (pixel(left - text * 0.6), pixel(middle)),
            style(HPos::Right),
        );
        area.draw(&name)?;
        let said = super::table::number(value(line));
        area.draw(&Text::new(said, (pixel(end + text * 0.5), pixel(middle)), style(HPos::Left)))?;
    }
    Ok(())
}

/// An axis that is labelled where it is told to be.
struct Axis {
    span: (f64, f64),
    ticks: Vec<f64>,
}

impl Ranged for Axis {
    type FormatOption = plotters::coord::ranged1d::DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (first, last): (i32, i32)) -> i32 {
        let part = (value - self.span.0) / (self.span.1 - self.span.0);
        first + (part * f64::from(last - first)).round() as i32
    }

    fn key_points<Hint: plotters::coord::ranged1d::KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.span.0..self.span.1
    }
}

/// Where an axis is labelled: at the loads themselves where there are few, else at round numbers.
fn ticks_of((least, most): (f64, f64), log: bool, most_many: usize, levels: &[f64]) -> Vec<f64> {
    let mut own = levels.to_vec();
    own.sort_by(f64::total_cmp);
    own.dedup();
    if log && !own.is_empty() && own.len() <= most_many {
        return own;
    }
    let inside = |value: &f64| *value >= least && *value <= most;
    if log {
        let decades = (least.log10().floor() as i32)..=(most.log10().ceil() as i32);
        // As fine as there is room for.
        for steps in [&[1.0, 2.0, 5.0][..], &[1.0, 3.0][..], &[1.0][..]] {
            let all =
                decades.clone().flat_map(|ten| steps.iter().map(move |at| at * 10_f64.powi(ten)));
            let all: Vec<f64> = all.filter(inside).collect();
            if all.len() <= most_many + 1 {
                return all;
            }
        }
    }
    let rough = (most - least) / most_many as f64;
    let ten = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|at| at * ten).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    let first = (least / step).ceil();
    (0..=2 * most_many).map(|at| (first + at as f64) * step).filter(inside).collect()
}

/// A number at an axis: short.
fn label(value: f64) -> String {
    match value.abs() {
        zero if zero < 1e-9 => "0".to_owned(),
        large if large >= 10_000.0 => format!("{:.0}k", value / 1e3),
        middle if middle >= 10.0 => format!("{value:.0}"),
        small if small >= 1.0 => trimmed(format!("{value:.1}")),
        tiny if tiny >= 0.1 => trimmed(format!("{value:.2}")),
        _ => trimmed(format!("{value:.3}")),
    }
}

fn trimmed(text: String) -> String {
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(drawn: Drawn, lines: Vec<Line>) -> Plot {
        Plot {
            title: "t".to_owned(),
            note: String::new(),
            drawn,
            x: "x".to_owned(),
            y: "y".to_owned(),
            log_x: true,
            log_y: true,
            lines,
        }
    }

    #[test]
    fn a_plot_is_drawn_in_sentinels_alone() {
        let line = |name: &str, points: Vec<[f64; 2]>| Line { name: name.to_owned(), points };
        let both = vec![
            line("weft", vec![[1.0, 0.5], [256.0, 40.0]]),
            line("direct", vec![[1.0, 0.1], [256.0, 0.0]]),
        ];
        for drawn in [Drawn::Lines, Drawn::Bars] {
            let text = svg(&plot(drawn, both.clone()), WIDE).expect("drawn");
            assert!(text.starts_with("<svg") && text.contains("#0A0000"), "{text}");
            assert!(!text.contains("#000000"), "a colour that is no sentinel: {text}");
        }
    }

    #[test]
    fn a_plot_of_nothing_is_refused() {
        assert!(svg(&plot(Drawn::Lines, Vec::new()), NARROW).is_err());
        assert!(svg(&plot(Drawn::Bars, Vec::new()), NARROW).is_err());
    }

    #[test]
    fn axes_are_labelled_at_loads_or_at_round_numbers() {
        assert_eq!(ticks_of((0.8, 300.0), true, 9, &[64.0, 1.0, 64.0]), vec![1.0, 64.0]);
        assert_eq!(ticks_of((0.9, 11.0), true, 6, &[]), vec![1.0, 2.0, 5.0, 10.0]);
        assert_eq!(ticks_of((0.0, 100.0), false, 6, &[]), vec![0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
    }

    #[test]
    fn numbers_at_axes_are_short() {
        assert_eq!(
            [0.0, 0.05, 0.5, 2.0, 20.0, 20_000.0].map(label),
            ["0", "0.05", "0.5", "2", "20", "20k"]
        );
    }
}
