//! The pass rate over the recorded runs, as an SVG whose colours are CSS variables.
//!
//! plotters draws in pixels of `i32` and in fixed colours. So it draws at ten times the size, where whole pixels are
//! fine enough, and in colours that nothing else uses, which are then replaced by `var(--...)`: the page decides on
//! light, dark and print.

use std::collections::BTreeMap;

use plotters::coord::types::{RangedCoordf64, RangedCoordi32};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::words;
use crate::history::TrendPoint;

/// Drawn pixels for one pixel of the page.
const SCALE: i32 = 10;
const WIDTH: i32 = 1100;
const HEIGHT: i32 = 280;
/// Series with a colour of their own; further ones share the last.
const SERIES: usize = 6;

const GRID: RGBColor = RGBColor(1, 2, 101);
const MUTED: RGBColor = RGBColor(1, 2, 102);
const SURFACE: RGBColor = RGBColor(1, 2, 103);

fn series_color(index: usize) -> RGBColor {
    RGBColor(1, 2, 201 + index.min(SERIES - 1) as u8)
}

type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordi32, RangedCoordf64>>;
type DrawError = DrawingAreaErrorKind<std::io::Error>;

/// A point that can be drawn: number of its run on the axis, and what it says.
struct Dot<'a> {
    x: i32,
    rate: f64,
    point: &'a TrendPoint,
}

struct Series<'a> {
    name: &'a str,
    color: RGBColor,
    dots: Vec<Dot<'a>>,
}

/// The trend chart; `None` where no run has a pass rate. Series are coloured in the order of `prompts`; the first and
/// the last have a band, their 95 % interval.
pub fn trend(points: &[TrendPoint], prompts: &[&str]) -> Option<String> {
    let runs = runs(points);
    let series = series(points, prompts, &runs);
    if series.is_empty() {
        return None;
    }
    let mut svg = String::new();
    let hits = draw(&mut svg, &series, &runs, &suite_changes(points, &runs)).ok()?;
    Some(finish(&svg, &hits, &series))
}

/// Run ids in order of time, with their dates.
fn runs(points: &[TrendPoint]) -> Vec<(&str, String)> {
    let mut runs: Vec<(&str, String)> = Vec::new();
    for point in points.iter().filter(|p| rate(p).is_some()) {
        if runs.last().is_none_or(|(id, _)| *id != point.run) {
            runs.push((&point.run, point.started.strftime("%d %b").to_string()));
        }
    }
    runs
}

fn rate(point: &TrendPoint) -> Option<f64> {
    point.pass_rate.filter(|r| r.is_finite())
}

fn series<'a>(points: &'a [TrendPoint], prompts: &[&'a str], runs: &[(&str, String)]) -> Vec<Series<'a>> {
    let index: BTreeMap<&str, i32> = runs.iter().enumerate().map(|(i, (id, _))| (*id, i as i32)).collect();
    let mut names: Vec<&str> = prompts.to_vec();
    for point in points {
        if !names.contains(&point.prompt.as_str()) {
            names.push(&point.prompt);
        }
    }
    names
        .into_iter()
        .enumerate()
        .map(|(i, name)| Series {
            name,
            color: series_color(i),
            dots: points
                .iter()
                .filter(|p| p.prompt == name)
                .filter_map(|p| {
                    Some(Dot { x: *index.get(p.run.as_str())?, rate: rate(p)? * 100.0, point: p })
                })
                .collect(),
        })
        .filter(|s| !s.dots.is_empty())
        .collect()
}

/// Runs before which the suite changed: rates on the two sides measure different things.
fn suite_changes(points: &[TrendPoint], runs: &[(&str, String)]) -> Vec<i32> {
    let mut hashes: BTreeMap<&str, &str> = BTreeMap::new();
    points.iter().for_each(|p| {
        hashes.entry(&p.run).or_insert(&p.suite_hash);
    });
    let hash = |i: usize| runs.get(i).and_then(|(id, _)| hashes.get(id));
    (1..runs.len()).filter(|i| hash(*i) != hash(i - 1)).map(|i| i as i32).collect()
}

struct Hit {
    x: i32,
    y: i32,
    title: String,
}

fn draw(
    svg: &mut String,
    series: &[Series<'_>],
    runs: &[(&str, String)],
    changes: &[i32],
) -> Result<Vec<Hit>, DrawError> {
    let size = ((WIDTH * SCALE) as u32, (HEIGHT * SCALE) as u32);
    let root = SVGBackend::with_string(svg, size).into_drawing_area();
    let last = runs.len().max(1) as i32 - 1;
    let (left, right) = if last == 0 { (-1, 1) } else { (0, last) };
    let longest = series.iter().map(|s| s.name.chars().count()).max().unwrap_or(0).min(24) as i32;
    let mut chart: Chart<'_> = ChartBuilder::on(&root)
        .margin_top(12 * SCALE)
        .margin_right((16 + 8 * longest) * SCALE)
        .x_label_area_size(30 * SCALE)
        .y_label_area_size(52 * SCALE)
        .build_cartesian_2d(left..right, 0.0..100.0)?;
    grid(&root, &chart, (left, right))?;
    dates(&root, &chart, runs)?;
    for x in changes {
        suite_change(&root, &chart, *x)?;
    }
    let banded = [0, series.len() - 1];
    for (i, one) in series.iter().enumerate() {
        if banded.contains(&i) {
            band(&mut chart, one)?;
        }
    }
    for one in series {
        line(&mut chart, one)?;
    }
    labels(&root, &chart, series)?;
    let hits = series.iter().flat_map(|s| s.dots.iter().map(|d| hit(&chart, s, d))).collect();
    root.present()?;
    Ok(hits)
}

fn text(size: i32, color: RGBColor, h: HPos) -> TextStyle<'static> {
    // plotters-svg divides font sizes by 1.24.
    let font = ("sans-serif", f64::from(size * SCALE) * 1.24).into_font();
    let mut style = TextStyle::from(font).pos(Pos::new(h, VPos::Center));
    style.color = color.to_backend_color();
    style
}

type Root<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn grid(root: &Root<'_>, chart: &Chart<'_>, (left, right): (i32, i32)) -> Result<(), DrawError> {
    for percent in [0.0, 25.0, 50.0, 75.0, 100.0] {
        let (x0, y) = chart.backend_coord(&(left, percent));
        let (x1, _) = chart.backend_coord(&(right, percent));
        root.draw(&PathElement::new(vec![(x0, y), (x1, y)], GRID.stroke_width(SCALE as u32)))?;
        root.draw(&Text::new(format!("{percent:.0} %"), (x0 - 10 * SCALE, y), text(11, MUTED, HPos::Right)))?;
    }
    Ok(())
}

fn dates(root: &Root<'_>, chart: &Chart<'_>, runs: &[(&str, String)]) -> Result<(), DrawError> {
    let step = runs.len().div_ceil(8).max(1);
    for (i, (_, date)) in runs.iter().enumerate().rev().step_by(step) {
        let (x, y) = chart.backend_coord(&(i as i32, 0.0));
        root.draw(&Text::new(date.clone(), (x, y + 17 * SCALE), text(11, MUTED, HPos::Center)))?;
    }
    Ok(())
}

fn suite_change(root: &Root<'_>, chart: &Chart<'_>, x: i32) -> Result<(), DrawError> {
    let (after, bottom) = chart.backend_coord(&(x, 0.0));
    let (before, top) = chart.backend_coord(&(x - 1, 100.0));
    let x = i32::midpoint(before, after);
    let dash = 4 * SCALE;
    let mut y = top;
    while y < bottom {
        let style = MUTED.mix(0.7).stroke_width(SCALE as u32);
        root.draw(&PathElement::new(vec![(x, y), (x, (y + dash).min(bottom))], style))?;
        y += 2 * dash;
    }
    root.draw(&Text::new("suite changed", (x + 6 * SCALE, bottom - 9 * SCALE), text(10, MUTED, HPos::Left)))
}

fn band(chart: &mut Chart<'_>, series: &Series<'_>) -> Result<(), DrawError> {
    let ends: Vec<(i32, f64, f64)> = series
        .dots
        .iter()
        .filter_map(|d| {
            let interval = d.point.interval?;
            (interval.lower.is_finite() && interval.upper.is_finite()).then_some((
                d.x,
                interval.lower * 100.0,
                interval.upper * 100.0,
            ))
        })
        .collect();
    if let [(x, lower, upper)] = ends[..] {
        let whisker = vec![(x, lower), (x, upper)];
        chart.draw_series([PathElement::new(
            whisker,
            series.color.mix(0.35).stroke_width(6 * SCALE as u32),
        )])?;
        return Ok(());
    }
    let upper = ends.iter().map(|(x, _, upper)| (*x, *upper));
    let lower = ends.iter().rev().map(|(x, lower, _)| (*x, *lower));
    chart.draw_series([Polygon::new(upper.chain(lower).collect::<Vec<_>>(), series.color.mix(0.11))])?;
    Ok(())
}

fn line(chart: &mut Chart<'_>, series: &Series<'_>) -> Result<(), DrawError> {
    let path: Vec<(i32, f64)> = series.dots.iter().map(|d| (d.x, d.rate)).collect();
    let stroke = series.color.stroke_width(2 * SCALE as u32);
    chart.draw_series([PathElement::new(path.clone(), stroke)])?;
    // A ring of the page's colour keeps crossing lines apart.
    chart.draw_series(path.iter().map(|p| Circle::new(*p, 44, SURFACE.filled())))?;
    chart.draw_series(path.iter().map(|p| Circle::new(*p, 30, series.color.filled())))?;
    Ok(())
}

/// Names at the ends of the lines, pushed apart so that none covers another.
fn labels(root: &Root<'_>, chart: &Chart<'_>, series: &[Series<'_>]) -> Result<(), DrawError> {
    let gap = 16 * SCALE;
    let mut ends: Vec<(i32, i32, &Series<'_>)> = series
        .iter()
        .filter_map(|s| {
            let last = s.dots.last()?;
            let (x, y) = chart.backend_coord(&(last.x, last.rate));
            Some((x, y, s))
        })
        .collect();
    ends.sort_by_key(|end| end.1);
    let floor = (HEIGHT - 34) * SCALE;
    for i in 1..ends.len() {
        ends[i].1 = ends[i].1.max(ends[i - 1].1 + gap);
    }
    let mut limit = floor;
    for end in ends.iter_mut().rev() {
        end.1 = end.1.min(limit);
        limit = end.1 - gap;
    }
    for (x, y, series) in ends {
        let name = short(&super::text::one_line(series.name), 24);
        root.draw(&Text::new(name, (x + 10 * SCALE, y), text(12, series.color, HPos::Left)))?;
    }
    Ok(())
}

fn short(name: &str, most: usize) -> String {
    if name.chars().count() <= most {
        return name.to_owned();
    }
    name.chars().take(most - 1).chain(['…']).collect()
}

fn hit(chart: &Chart<'_>, series: &Series<'_>, dot: &Dot<'_>) -> Hit {
    let (x, y) = chart.backend_coord(&(dot.x, dot.rate));
    let point = dot.point;
    let undecided =
        if point.undecided > 0 { format!(", {} undecided", point.undecided) } else { String::new() };
    Hit {
        x,
        y,
        title: format!(
            "{}, {} ({}): {} of {} pass, {} (95 % interval {}){undecided}",
            series.name,
            point.started.strftime("%d %b %Y"),
            point.run,
            point.passed,
            point.judged,
            words::percent(point.pass_rate),
            words::percent_interval(point.interval),
        ),
    }
}

/// From plotters' drawing to one for the page: scalable, coloured by CSS, labelled, with a title for each point.
fn finish(svg: &str, hits: &[Hit], series: &[Series<'_>]) -> String {
    let mut text = svg.replacen(
        &format!("<svg width=\"{}\" height=\"{}\"", WIDTH * SCALE, HEIGHT * SCALE),
        &format!(
            "<svg class=\"trend\" role=\"img\" aria-label=\"Pass rate of {} over the recorded runs\"",
            super::text::escape(&series.iter().map(|s| s.name).collect::<Vec<_>>().join(", "))
        ),
        1,
    );
    let mut slots =
        vec![(GRID, "grid".to_owned()), (MUTED, "muted".to_owned()), (SURFACE, "surface".to_owned())];
    slots.extend((0..SERIES).map(|i| (series_color(i), format!("series-{}", i + 1))));
    for (color, name) in slots {
        let hex = format!("#{:02X}{:02X}{:02X}", color.0, color.1, color.2);
        for attribute in ["fill", "stroke"] {
            text = text
                .replace(&format!("{attribute}=\"{hex}\""), &format!("style=\"{attribute}:var(--{name})\""));
        }
    }
    text = text.replace(" font-family=\"sans-serif\"", "");
    let mut circles = String::new();
    for hit in hits {
        circles.push_str(&format!(
            "<circle class=\"hit\" cx=\"{}\" cy=\"{}\" r=\"90\"><title>{}</title></circle>\n",
            hit.x,
            hit.y,
            super::text::escape(&hit.title)
        ));
    }
    text.replacen("</svg>", &format!("{circles}</svg>"), 1)
}
