//! Bars of success with their intervals, in groups: a row of a paper's table each.

use super::grasp::GraspEvaluation;
use crate::draw::{Align, Canvas, Rect, TextStyle, Typeface};

const INK: [u8; 3] = [32, 36, 44];
const FAINT: [u8; 3] = [112, 118, 128];
const RULE: [u8; 3] = [222, 223, 220];
const WIDTH: usize = 980;
const LEFT: f32 = 250.0;
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
        let mut canvas = Canvas::new(WIDTH, height, [250, 250, 248]);
        let sans = |size, colour| TextStyle::new(Typeface::Sans, size, colour).weight(0.25);
        canvas.text(self.title, (36.0, 48.0), &sans(28.0, INK), Align::Left);
        canvas.text(self.note, (36.0, 74.0), &sans(16.0, FAINT), Align::Left);
        let mut x = 36;
        for (name, colour) in self.legend {
            canvas.fill(Rect { x, y: 92, width: 16, height: 16 }, *colour);
            x += 24 + canvas.text(name, (x as f32 + 24.0, 106.0), &sans(16.0, INK), Align::Left) as i32 + 28;
        }
        let scale = (WIDTH as f32 - LEFT - 90.0) / 100.0;
        for tick in (0..=100).step_by(20) {
            let at = (LEFT + scale * tick as f32) as i32;
            canvas.fill(Rect { x: at, y: TOP as i32, width: 1, height: height - TOP - 34 }, RULE);
            canvas.text(&format!("{tick}%"), (at as f32, height as f32 - 12.0), &sans(14.0, FAINT), Align::Center);
        }
        for (index, row) in self.groups.iter().enumerate() {
            let y = TOP + index * group + GAP / 2;
            canvas.text(&row.title, (LEFT - 16.0, (y + 40) as f32), &sans(17.0, INK), Align::Right);
            if row.bars.iter().flatten().all(|bar| bar.interval.is_none()) {
                canvas.text("not run yet", (LEFT + 8.0, (y + BAR + 7) as f32), &sans(14.0, FAINT), Align::Left);
            }
            for (place, (bar, (_, colour))) in row.bars.iter().zip(self.legend).enumerate() {
                let Some(Bar { value, interval }) = bar else { continue };
                let (value, y) = (100.0 * *value as f32, (y + place * (BAR + 3)) as i32);
                let length = (scale * value).max(1.0) as usize;
                canvas.fill(Rect { x: LEFT as i32, y, width: length, height: BAR }, *colour);
                let mut end = LEFT + scale * value;
                if let Some((low, high)) = interval {
                    let (from, to) = (LEFT + scale * 100.0 * *low as f32, LEFT + scale * 100.0 * *high as f32);
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
