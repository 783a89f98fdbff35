//! Curves as PNG or SVG.
//!
//! In: named series of points, with a band of uncertainty if they have one. Out: one picture by the ending of its path.
//! PNGs are drawn at twice their size and averaged down, so that lines and letters are smooth.

use super::canvas::{Canvas, DrawError};
use super::font::Typeface;
use super::palette::CURVES;
use crate::files::atomic::write_atomic;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};
use std::path::Path;

const INK: RGBColor = RGBColor(32, 36, 44);
const FAINT: RGBColor = RGBColor(78, 84, 94);
const GRID: RGBColor = RGBColor(228, 229, 226);
const PAPER: RGBColor = RGBColor(255, 255, 255);
/// More points than a picture has columns are averaged.
const MAX_POINTS: usize = 1500;

/// One curve.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    pub name: String,
    /// `(x, y)` by ascending x. Points that are not finite leave a gap.
    pub points: Vec<(f64, f64)>,
    /// `(x, low, high)`, shaded behind the curve; empty for none.
    pub band: Vec<(f64, f64, f64)>,
}

impl Series {
    pub fn new(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), points, band: Vec::new() }
    }
}

/// A line chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    pub title: String,
    pub x_label: String,
    pub y_label: String,
    pub series: Vec<Series>,
    /// Fixed limits of the y axis; by default what the points need.
    pub y_range: Option<(f64, f64)>,
    /// Noisy curves are drawn faintly, with their exponential moving average (this weight of the past, 0 to 1) on top.
    pub smoothing: f64,
    pub width: u32,
    pub height: u32,
}

impl Chart {
    pub fn new(title: impl Into<String>, series: Vec<Series>) -> Self {
        Self {
            title: title.into(),
            x_label: String::new(),
            y_label: String::new(),
            series,
            y_range: None,
            smoothing: 0.0,
            width: 900,
            height: 480,
        }
    }

    pub fn labels(mut self, x: impl Into<String>, y: impl Into<String>) -> Self {
        (self.x_label, self.y_label) = (x.into(), y.into());
        self
    }

    pub fn y_range(mut self, low: f64, high: f64) -> Self {
        self.y_range = Some((low, high));
        self
    }

    pub fn smoothing(mut self, weight: f64) -> Self {
        self.smoothing = weight.clamp(0.0, 0.9999);
        self
    }

    /// Writes the chart; `.svg` gives SVG, everything else PNG.
    pub fn save(&self, path: &Path) -> Result<(), DrawError> {
        if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("svg")) {
            Ok(write_atomic(path, self.to_svg()?.as_bytes())?)
        } else {
            self.to_canvas()?.save(path)
        }
    }

    pub fn to_svg(&self) -> Result<String, DrawError> {
        let mut text = String::new();
        let area = SVGBackend::with_string(&mut text, (self.width, self.height)).into_drawing_area();
        self.draw(&area, 1.0)?;
        drop(area);
        Ok(text)
    }

    pub fn to_canvas(&self) -> Result<Canvas, DrawError> {
        let (w, h) = (self.width.clamp(1, 4096) as usize, self.height.clamp(1, 4096) as usize);
        let mut large = vec![255; w * h * 12];
        let area = BitMapBackend::with_buffer(&mut large, (2 * w as u32, 2 * h as u32)).into_drawing_area();
        self.draw(&area, 2.0)?;
        drop(area);
        let mut canvas = Canvas::new(w, h, [255; 3]);
        for (i, value) in canvas.rgb.iter_mut().enumerate() {
            let (x, y, c) = (i / 3 % w, i / 3 / w, i % 3);
            let at = |dx: usize, dy: usize| u32::from(large[((2 * y + dy) * 2 * w + 2 * x + dx) * 3 + c]);
            *value = ((at(0, 0) + at(1, 0) + at(0, 1) + at(1, 1) + 2) / 4) as u8;
        }
        Ok(canvas)
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, scale: f64) -> Result<(), DrawError> {
        let font = register_font("sans-serif", FontStyle::Normal, Typeface::Sans.bytes());
        font.map_err(|_| self.error("the embedded font cannot be read"))?;
        self.try_draw(area, scale).map_err(|e| self.error(&e.to_string()))
    }

    fn error(&self, message: &str) -> DrawError {
        DrawError::Chart { title: self.title.clone(), message: message.into() }
    }

    fn try_draw<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
        scale: f64,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let px = |v: f64| (v * scale).round() as i32;
        let font = |size: f64, colour: &RGBColor| ("sans-serif", size * scale).into_font().color(colour);
        area.fill(&PAPER)?;
        let mut top = 14.0;
        if !self.title.is_empty() {
            area.draw(&Text::new(self.title.clone(), (px(24.0), px(14.0)), font(25.0, &INK)))?;
            top += 32.0;
        }
        if self.series.len() > 1 || self.series.iter().any(|s| !s.name.is_empty() && s.name != self.title) {
            self.draw_legend(area, scale, top)?;
            top += 26.0;
        }
        let (_, plot) = area.split_vertically(px(top));
        let (x_limits, y_limits) = (self.x_limits(), self.y_limits());
        let mut chart = ChartBuilder::on(&plot)
            .margin(px(10.0))
            .margin_right(px(28.0))
            .x_label_area_size(px(if self.x_label.is_empty() { 30.0 } else { 52.0 }))
            .y_label_area_size(px(if self.y_label.is_empty() { 62.0 } else { 84.0 }))
            .build_cartesian_2d(x_limits.0..x_limits.1, y_limits.0..y_limits.1)?;
        chart
            .configure_mesh()
            .x_desc(self.x_label.clone())
            .y_desc(self.y_label.clone())
            .axis_desc_style(font(17.0, &INK))
            .label_style(font(15.0, &FAINT))
            .x_label_formatter(&|v| tick_label(*v, x_limits))
            .y_label_formatter(&|v| tick_label(*v, y_limits))
            .x_labels(9)
            .y_labels(7)
            .max_light_lines(0)
            .bold_line_style(GRID.stroke_width(px(1.0) as u32))
            .axis_style(FAINT.stroke_width(px(1.0) as u32))
            .set_all_tick_mark_size(px(4.0))
            .draw()?;
        for (i, series) in self.series.iter().enumerate() {
            let colour = colour_of(i);
            if series.band.len() > 1 {
                let low = series.band.iter().map(|b| (b.0, b.1));
                let outline: Vec<(f64, f64)> = low.chain(series.band.iter().rev().map(|b| (b.0, b.2))).collect();
                if outline.iter().all(|p| p.0.is_finite() && p.1.is_finite()) {
                    chart.draw_series([Polygon::new(outline, colour.mix(0.16))])?;
                }
            }
            let raw = thinned(&series.points);
            let (main, width) = if self.smoothing > 0.0 {
                for run in runs(&raw) {
                    let style = colour.mix(0.28).stroke_width(px(1.0) as u32);
                    chart.draw_series(LineSeries::new(run.iter().copied(), style))?;
                }
                (thinned(&smoothed(&series.points, self.smoothing)), 2.2)
            } else {
                (raw, 2.0)
            };
            for run in runs(&main) {
                if let [only] = run {
                    chart.draw_series([Circle::new(*only, px(3.0), colour.filled())])?;
                } else {
                    let style = colour.stroke_width(px(width) as u32);
                    chart.draw_series(LineSeries::new(run.iter().copied(), style))?;
                }
            }
        }
        area.present()
    }

    fn draw_legend<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
        scale: f64,
        top: f64,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let px = |v: f64| (v * scale).round() as i32;
        let mut x = px(25.0);
        let style = ("sans-serif", 17.0 * scale).into_font().color(&INK);
        for (i, series) in self.series.iter().enumerate() {
            let y = px(top + 9.0);
            let line = colour_of(i).stroke_width(px(3.0) as u32);
            area.draw(&PathElement::new(vec![(x, y), (x + px(20.0), y)], line))?;
            area.draw(&Text::new(series.name.clone(), (x + px(27.0), px(top)), style.clone()))?;
            let (width, _) = area.estimate_text_size(&series.name, &style)?;
            x += px(27.0 + 24.0) + i32::try_from(width).unwrap_or(0);
        }
        Ok(())
    }

    fn x_limits(&self) -> (f64, f64) {
        let points = self.series.iter().flat_map(|s| s.points.iter().map(|p| p.0));
        limits(points.chain(self.series.iter().flat_map(|s| s.band.iter().map(|b| b.0))), 0.0)
    }

    fn y_limits(&self) -> (f64, f64) {
        if let Some((low, high)) = self.y_range.filter(|(low, high)| low < high) {
            return (low, high);
        }
        let points = self.series.iter().flat_map(|s| s.points.iter().map(|p| p.1));
        limits(points.chain(self.series.iter().flat_map(|s| s.band.iter().flat_map(|b| [b.1, b.2]))), 0.05)
    }
}

/// Draws curves with the default settings.
pub fn plot_curves(path: &Path, title: &str, series: &[Series]) -> Result<(), DrawError> {
    Chart::new(title, series.to_vec()).save(path)
}

fn colour_of(i: usize) -> RGBColor {
    let [r, g, b] = CURVES[i % CURVES.len()];
    RGBColor(r, g, b)
}

/// Smallest and largest finite value, widened by a share of their distance on both sides.
fn limits(values: impl Iterator<Item = f64>, widen: f64) -> (f64, f64) {
    let finite = values.filter(|v| v.is_finite());
    let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    if low > high {
        (0.0, 1.0)
    } else if high - low <= 1e-12 * high.abs().max(1e-300) {
        let half = if low == 0.0 { 0.5 } else { 0.05 * low.abs() };
        (low - half, high + half)
    } else {
        let extra = widen * (high - low);
        (low - extra, high + extra)
    }
}

/// Numbers as short as the range allows: `0.25`, `12k`, `3.5M`, `1e-5`.
fn tick_label(value: f64, (low, high): (f64, f64)) -> String {
    let span = (high - low).abs();
    let largest = low.abs().max(high.abs());
    let value = if value.abs() < span * 1e-9 { 0.0 } else { value };
    let trim = |text: String| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    };
    if largest >= 1e6 && span >= 1e4 {
        trim(format!("{:.2}", value / 1e6)) + if value == 0.0 { "" } else { "M" }
    } else if largest >= 1e4 && span >= 1e2 {
        trim(format!("{:.1}", value / 1e3)) + if value == 0.0 { "" } else { "k" }
    } else if value != 0.0 && span < 1e-3 && largest < 1e-2 {
        format!("{value:.1e}")
    } else {
        let digits = (2.0 - span.max(1e-9).log10().floor()).clamp(0.0, 9.0) as usize;
        trim(format!("{value:.digits$}"))
    }
}

/// The moving average `m = w m + (1 - w) y`, corrected for its start as Adam's moments are.
fn smoothed(points: &[(f64, f64)], weight: f64) -> Vec<(f64, f64)> {
    let (mut mean, mut mass) = (0.0, 0.0);
    let step = |&(x, y): &(f64, f64)| {
        if y.is_finite() {
            mean = weight * mean + (1.0 - weight) * y;
            mass = weight * mass + (1.0 - weight);
        }
        (x, if mass > 0.0 { mean / mass } else { f64::NAN })
    };
    points.iter().map(step).collect()
}

/// At most [`MAX_POINTS`] points: the means of equal parts.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let part = points.len().div_ceil(MAX_POINTS).max(1);
    let mean = |part: &[(f64, f64)]| {
        let n = part.len() as f64;
        part.iter().fold((0.0, 0.0), |(x, y), p| (x + p.0 / n, y + p.1 / n))
    };
    points.chunks(part).map(mean).collect()
}

/// Unbroken stretches of finite points.
fn runs(points: &[(f64, f64)]) -> impl Iterator<Item = &[(f64, f64)]> {
    points.split(|p| !(p.0.is_finite() && p.1.is_finite())).filter(|run| !run.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_short() {
        let label = |v, limits| tick_label(v, limits);
        assert_eq!(label(0.25, (0.0, 1.0)), "0.25");
        assert_eq!(label(12_500.0, (0.0, 50_000.0)), "12.5k");
        assert_eq!(label(3_000_000.0, (0.0, 4e6)), "3M");
        assert_eq!(label(0.0, (0.0, 4e6)), "0");
        assert_eq!(label(100.0, (0.0, 500.0)), "100");
        assert_eq!(label(2e-5, (0.0, 1e-4)), "2.0e-5");
        assert_eq!(label(-1e-17, (-1.0, 1.0)), "0");
    }

    #[test]
    fn smoothing_is_unbiased_at_the_start() {
        let flat = smoothed(&[(0.0, 5.0), (1.0, 5.0), (2.0, 5.0)], 0.9);
        assert!(flat.iter().all(|p| (p.1 - 5.0).abs() < 1e-12));
        // By hand with w = 0.5: m = 1, mass 0.5 -> 2; m = 0.5 + 2 = 2.5 of mass 0.75 -> 10/3.
        let two = smoothed(&[(0.0, 2.0), (1.0, 4.0)], 0.5);
        assert!((two[1].1 - 10.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn limits_of_odd_data() {
        assert_eq!(limits([].into_iter(), 0.1), (0.0, 1.0));
        assert_eq!(limits([f64::NAN, 2.0, 4.0].into_iter(), 0.5), (1.0, 5.0));
        assert_eq!(limits([0.0].into_iter(), 0.1), (-0.5, 0.5));
        let (low, high) = limits([3.0, 3.0].into_iter(), 0.1);
        assert!(low < 3.0 && high > 3.0);
    }

    #[test]
    fn a_curve_leaves_its_colour_where_it_is() {
        let chart = Chart::new("t", vec![Series::new("up", vec![(0.0, 0.0), (1.0, 1.0)])]).y_range(0.0, 1.0);
        let canvas = chart.to_canvas().unwrap();
        let [r, g, b] = CURVES[0];
        let near = |p: &[u8]| p[0].abs_diff(r) < 12 && p[1].abs_diff(g) < 12 && p[2].abs_diff(b) < 12;
        let hits: Vec<usize> = (0..canvas.width * canvas.height).filter(|&i| near(&canvas.rgb[i * 3..])).collect();
        // Rising: what is farther right is higher up. The legend's line is left out.
        let at = |i: usize| (i % canvas.width, i / canvas.width);
        let curve: Vec<(usize, usize)> = hits.into_iter().map(at).filter(|p| p.1 > 90).collect();
        let left = curve.iter().min_by_key(|p| p.0).unwrap();
        let right = curve.iter().max_by_key(|p| p.0).unwrap();
        assert!(right.0 - left.0 > 700 && left.1 - right.1 > 250, "{left:?} {right:?}");
    }

    #[test]
    fn svg_holds_title_legend_and_gaps_do_not_fail() {
        let gap = Series::new("with <gap>", vec![(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0), (3.0, 2.0)]);
        let chart = Chart::new("Loss & more", vec![gap, Series::new("empty", vec![])]).labels("step", "loss");
        let svg = chart.to_svg().unwrap();
        assert!(svg.contains("Loss &amp; more") && svg.contains("with &lt;gap&gt;") && svg.contains("step"));
    }
}
