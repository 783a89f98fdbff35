//! Bars of success with their intervals, in groups: a row of a paper's table each.

use super::grasp::GraspEvaluation;
use crate::draw::{Align, Canvas, Rect, TextStyle, Typeface};

const INK: [u8; 3] = [32, 36, 44];
const FAINT: [u8; 3] = [112, 118, 128];
const RULE: [u8; 3] = [222, 223, 220];
/// Width of the bars' part, right of the titles: 100% and what is written beside it.
const BARS_WIDTH: f32 = 730.0;
/// Narrowest margin of the titles, and what it keeps free on both sides of the longest.
const MIN_LEFT: f32 = 250.0;
const MARGIN: f32 = 36.0;
/// Thickness of a bar, and of the gap between groups, pixels.
const BAR: usize = 20;
const GAP: usize = 34;
const TOP: usize = 130;

/// A share in `[0, 1]`, with its 95% interval where it was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bar {
    pub value: f64,
    pub interval: Option<(f64, f64)>,
}

impl Bar {
    /// A published share.
    pub fn plain(value: f64) -> Self {
        Self { value, interval: None }
    }

    /// A measured one.
    pub fn of(e: &GraspEvaluation) -> Self {
        Self { value: e.success, interval: Some((e.wilson_low, e.wilson_high)) }
    }
}

/// A row: its name and one bar an entry of the legend; none where there is nothing to show.
pub struct BarGroup {
    pub title: String,
    pub bars: Vec<Option<Bar>>,
}

/// The whole figure.
pub struct BarFigure<'a> {
    pub title: &'a str,
    pub note: &'a str,
    /// Name and colour of each bar of a group.
    pub legend: &'a [(&'a str, [u8; 3])],
    pub groups: Vec<BarGroup>,
}

impl BarFigure<'_> {
    pub fn draw(&self) -> Canvas {
        let group = self.legend.len() * (BAR + 3) + GAP;
        let height = TOP + self.groups.len() * group + 40;
        let sans = |size, colour| TextStyle::new(Typeface::Sans, size, colour).weight(0.25);
        let of_titles = self.groups.iter().map(|row| sans(17.0, INK).width(&row.title));
        let left = of_titles.fold(MIN_LEFT, |left, width| left.max(width + MARGIN + 16.0)).ceil();
        let mut canvas = Canvas::new((left + BARS_WIDTH) as usize, height, [250, 250, 248]);
        canvas.text(self.title, (MARGIN, 48.0), &sans(28.0, INK), Align::Left);
        canvas.text(self.note, (MARGIN, 74.0), &sans(16.0, FAINT), Align::Left);
        let mut x = MARGIN as i32;
        for (name, colour) in self.legend {
            canvas.fill(Rect { x, y: 92, width: 16, height: 16 }, *colour);
            x += 24 + canvas.text(name, (x as f32 + 24.0, 106.0), &sans(16.0, INK), Align::Left) as i32 + 28;
        }
        let scale = (BARS_WIDTH - 90.0) / 100.0;
        for tick in (0..=100).step_by(20) {
            let at = (left + scale * tick as f32) as i32;
            canvas.fill(Rect { x: at, y: TOP as i32, width: 1, height: height - TOP - 34 }, RULE);
            canvas.text(&format!("{tick}%"), (at as f32, height as f32 - 12.0), &sans(14.0, FAINT), Align::Center);
        }
        for (index, row) in self.groups.iter().enumerate() {
            let y = TOP + index * group + GAP / 2;
            canvas.text(&row.title, (left - 16.0, (y + 40) as f32), &sans(17.0, INK), Align::Right);
            if row.bars.iter().flatten().all(|bar| bar.interval.is_none()) {
                canvas.text("not run yet", (left + 8.0, (y + BAR - 5) as f32), &sans(14.0, FAINT), Align::Left);
            }
            for (place, (bar, (_, colour))) in row.bars.iter().zip(self.legend).enumerate() {
                let Some(Bar { value, interval }) = bar else { continue };
                let (value, y) = (100.0 * *value as f32, (y + place * (BAR + 3)) as i32);
                let length = (scale * value).max(1.0) as usize;
                canvas.fill(Rect { x: left as i32, y, width: length, height: BAR }, *colour);
                let mut end = left + scale * value;
                if let Some((low, high)) = interval {
                    let (from, to) = (left + scale * 100.0 * *low as f32, left + scale * 100.0 * *high as f32);
                    let line =
                        Rect { x: from as i32, y: y + BAR as i32 / 2, width: (to - from).max(1.0) as usize, height: 2 };
                    canvas.fill(line, INK);
                    end = end.max(to);
                }
                let label = (end + 8.0, (y + BAR as i32 - 5) as f32);
                canvas.text(&format!("{value:.0}%"), label, &sans(14.0, INK), Align::Left);
            }
        }
        canvas
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_titles_are_whole_and_nothing_hides_that_a_row_was_not_run() {
        let group = |title: &str| BarGroup { title: title.into(), bars: vec![None, Some(Bar::plain(0.9))] };
        let figure = |title| BarFigure {
            title: "",
            note: "",
            legend: &[("measured", [1, 2, 3]), ("paper", [4, 5, 6])],
            groups: vec![group(title)],
        };
        let long = figure("RL-CycleGAN, 5000 off-policy, 1000 on-policy").draw();
        let short = figure("GAN").draw();
        assert_eq!(short.width, 980);
        assert!(long.width > 980);
        let (top, height) = (TOP + GAP / 2, 2 * (BAR + 3));
        let pixel = |canvas: &Canvas, x: usize, y: usize| canvas.rgb[3 * (y * canvas.width + x)..][..3].to_vec();
        let margin = |canvas: &Canvas| {
            let pixels = (0..MARGIN as usize - 2).flat_map(|x| (top..top + height).map(move |y| (x, y)));
            pixels.filter(|&(x, y)| pixel(canvas, x, y) != [250, 250, 248]).count()
        };
        assert_eq!(margin(&long), 0);
        // The words stand in the place of the measured bar, and the published bar below them is whole.
        let left = 250;
        let in_place = |rows: std::ops::Range<usize>, colour: [u8; 3]| {
            let pixels = rows.flat_map(|y| (left + 8..left + 80).map(move |x| (x, y)));
            pixels.filter(|&(x, y)| pixel(&short, x, y) != colour).count()
        };
        assert!(in_place(top..top + BAR, [250, 250, 248]) > 50);
        assert_eq!(in_place(top + BAR + 3..top + 2 * BAR + 3, [4, 5, 6]), 0);
    }
}
