//! The paper's figures 8, 9 and 11 from trials: bars by object and method, and the errors of two servo runs.

use super::agent::TraceTick;
use super::method::Method;
use super::protocol::TrialResult;
use super::report::{Judged, ServoReport};
use crate::draw::{Align, Canvas, Chart, Rect, Series, TextStyle, Typeface};

const INK: [u8; 3] = [32, 36, 44];
const FAINT: [u8; 3] = [112, 118, 128];
const RULE: [u8; 3] = [222, 223, 220];
const COLOURS: [[u8; 3]; 3] = [[204, 140, 0], [0, 114, 178], [0, 140, 105]];
/// The methods of figures 8 and 9.
pub const SHOWN: [Method; 3] = [Method::Vs, Method::DrlGan, Method::DrlGanVs];

/// The paper's success of seen and unseen objects, percent (30 and 18 attempts).
pub const fn published(method: Method, seen: bool) -> Option<u32> {
    match (method, seen) {
        (Method::Vs, true) => Some(17),
        (Method::Vs, false) => Some(39),
        (Method::DrlGan, true) => Some(10),
        (Method::DrlGan, false) => Some(11),
        (Method::DrlGanVs, _) => Some(83),
        (Method::Drl | Method::DrlVs | Method::Oracle, _) => None,
    }
}

/// Figures 8 and 9: lifted trials of each object by method, of 0 to 100 %, and the mean of all objects last.
pub fn bars(title: &str, note: &str, reports: &[(Method, ServoReport)]) -> Canvas {
    let shown: Vec<&(Method, ServoReport)> =
        SHOWN.iter().filter_map(|method| reports.iter().find(|(found, _)| found == method)).collect();
    let names: Vec<String> = shown.first().map_or_else(Vec::new, |(_, report)| {
        report.objects.iter().map(|object| object.object.clone()).chain(["all".to_owned()]).collect()
    });
    let of = |report: &ServoReport, name: &str| {
        let object = if name == "all" { Some(&report.all) } else { report.objects.iter().find(|o| o.object == name) };
        object.map(|object| object.lifted)
    };
    let groups = names.into_iter().map(|name| {
        let lifted = shown.iter().map(|(_, report)| of(report, &name)).collect();
        (name, lifted)
    });
    let methods: Vec<Method> = shown.iter().map(|(method, _)| *method).collect();
    grouped_bars(title, note, &methods, &groups.collect::<Vec<_>>())
}

/// Lifted trials of all objects of each set by method.
pub fn bars_by_set(title: &str, note: &str, sets: &[(&str, Vec<(Method, ServoReport)>)]) -> Canvas {
    let of = |reports: &[(Method, ServoReport)], method: Method| {
        reports.iter().find(|(found, _)| *found == method).map(|(_, report)| report.all.lifted)
    };
    let shown: Vec<Method> =
        SHOWN.into_iter().filter(|&method| sets.iter().any(|(_, reports)| of(reports, method).is_some())).collect();
    let groups = sets
        .iter()
        .map(|(name, reports)| ((*name).to_owned(), shown.iter().map(|&method| of(reports, method)).collect()));
    grouped_bars(title, note, &shown, &groups.collect::<Vec<_>>())
}

/// One bar a method in each group, with its interval.
fn grouped_bars(title: &str, note: &str, methods: &[Method], groups: &[(String, Vec<Option<Judged>>)]) -> Canvas {
    let (left, top, group, bar) = (230_usize, 120_usize, 66_usize, 16_usize);
    let width = 1000;
    let height = top + groups.len() * group + 50;
    let mut canvas = Canvas::new(width, height, [250, 250, 248]);
    let sans = |size: f32, colour| TextStyle::new(Typeface::Sans, size, colour);
    canvas.text(title, (36.0, 46.0), &sans(26.0, INK), Align::Left);
    canvas.text(note, (36.0, 74.0), &sans(15.0, FAINT), Align::Left);
    let mut x = 36;
    for (method, colour) in methods.iter().zip(COLOURS) {
        canvas.fill(Rect { x, y: 88, width: 16, height: 16 }, colour);
        x += 24 + canvas.text(method.name(), (x as f32 + 24.0, 102.0), &sans(15.0, INK), Align::Left) as i32 + 28;
    }
    let scale = (width - left - 90) as f32;
    for tick in (0..=100).step_by(20) {
        let at = left as f32 + scale * tick as f32 / 100.0;
        canvas.fill(Rect { x: at as i32, y: top as i32, width: 1, height: height - top - 34 }, RULE);
        canvas.text(&format!("{tick}%"), (at, height as f32 - 12.0), &sans(13.0, FAINT), Align::Center);
    }
    for (index, (name, lifted)) in groups.iter().enumerate() {
        let y = top + index * group + 6;
        canvas.text(name, (left as f32 - 14.0, (y + 32) as f32), &sans(15.0, INK), Align::Right);
        for (place, (judged, colour)) in lifted.iter().zip(COLOURS).enumerate() {
            let Some(judged) = judged else { continue };
            let y = (y + place * (bar + 2)) as i32;
            let length = (scale * judged.rate as f32).max(1.0);
            canvas.fill(Rect { x: left as i32, y, width: length as usize, height: bar }, colour);
            let (from, to) = (scale * judged.wilson_low as f32, scale * judged.wilson_high as f32);
            let line = Rect {
                x: left as i32 + from as i32,
                y: y + bar as i32 / 2,
                width: (to - from).max(1.0) as usize,
                height: 2,
            };
            canvas.fill(line, INK);
            let label = format!("{} of {}", judged.successes, judged.trials);
            let end = left as f32 + length.max(to) + 8.0;
            canvas.text(&label, (end, (y + bar as i32 - 3) as f32), &sans(12.0, FAINT), Align::Left);
        }
    }
    canvas
}

/// Two of the trials whose servo saw the object: at the lowest and the highest decile of the yaw error at its start.
pub fn two_runs(trials: &[TrialResult]) -> Option<[&TrialResult; 2]> {
    let start = |trial: &TrialResult| trial.servo.trace.iter().find_map(|tick| tick.error).map(|error| error[2].abs());
    let mut seen: Vec<(f64, &TrialResult)> = trials.iter().filter_map(|trial| Some((start(trial)?, trial))).collect();
    seen.sort_by(|a, b| a.0.total_cmp(&b.0));
    let at = |share: f64| seen.get((seen.len().saturating_sub(1) as f64 * share).round() as usize).map(|found| found.1);
    Some([at(0.1)?, at(0.9)?])
}

/// Figure 11: the errors of one servo run over time, metres and radians, with the returns to the linear step.
pub fn error_curves(title: &str, trace: &[TraceTick], tick_s: f64) -> Chart {
    let curve = |part: usize| -> Vec<(f64, f64)> {
        let point = |(index, tick): (usize, &TraceTick)| {
            (index as f64 * tick_s, tick.error.map_or(f64::NAN, |error| error[part]))
        };
        trace.iter().enumerate().map(point).collect()
    };
    let reverts = trace.last().map_or(0, |tick| tick.reverts);
    let title = format!("{title}: {reverts} returns to the linear step");
    let series = vec![Series::new("x, m", curve(0)), Series::new("y, m", curve(1)), Series::new("yaw, rad", curve(2))];
    Chart::new(title, series).labels("seconds", "error")
}

/// The table of all methods and controls on one set of objects.
pub fn markdown_rows(seen: bool, rows: &[(String, Option<Method>, ServoReport)]) -> String {
    let mut text = String::from(
        "| method | lifted | near a good pose | the same, 4 cm across allowed | trials | errors x, y, z (median mm), yaw (deg) | paper |\n\
         |---|---:|---:|---:|---:|---:|---:|\n",
    );
    for (name, method, report) in rows {
        let percent = |judged: &Judged| {
            let [rate, low, high] = [judged.rate, judged.wilson_low, judged.wilson_high].map(|share| 100.0 * share);
            format!("{rate:.1}% ({low:.1} to {high:.1})")
        };
        let all = &report.all;
        let paper = method.and_then(|method| published(method, seen)).map_or("-".to_owned(), |rate| format!("{rate}%"));
        let mm = |metres: f64| 1e3 * metres;
        text += &format!(
            "| {name} | {} | {} | {} | {} | {:.0}, {:.0}, {:.0}, {:.1} | {paper} |\n",
            percent(&all.lifted),
            percent(&all.near),
            percent(&all.near_allowing_y),
            all.lifted.trials,
            mm(report.error_x_m.median),
            mm(report.error_y_m.median),
            mm(report.error_z_m.median),
            report.error_yaw_rad.median.to_degrees(),
        );
    }
    text
}

/// One line a trial, for other programs.
pub fn csv(rows: &[(String, bool, Vec<TrialResult>)]) -> String {
    let mut text = String::from("method,seen,object,attempt,lifted,x_m,y_m,z_m,yaw_rad,servo,images,reverts\n");
    for (name, seen, trials) in rows {
        for trial in trials {
            let errors = trial.errors.map_or([f64::NAN; 4], |e| [e.x_m, e.y_m, e.z_m, e.yaw_rad]);
            let [x, y, z, yaw] = errors.map(|value| if value.is_finite() { value.to_string() } else { String::new() });
            let phase = trial.servo.phase.map_or(String::new(), |phase| format!("{phase:?}").to_lowercase());
            text += &format!(
                "{name},{seen},{},{},{},{x},{y},{z},{yaw},{phase},{},{}\n",
                trial.object, trial.attempt, trial.lifted, trial.servo.ticks, trial.servo.reverts
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::servo::{ServoRecord, TrialErrors};
    use crate::servo::Phase;

    fn trial(lifted: bool, yaw: f64) -> TrialResult {
        let trace = [yaw, 0.5 * yaw]
            .map(|yaw| TraceTick { phase: Phase::Full, reverts: 2, error: Some([0.01, -0.02, yaw]) })
            .to_vec();
        TrialResult {
            object: "011_banana".into(),
            attempt: 0,
            lifted,
            failure: None,
            errors: Some(TrialErrors { x_m: 0.001, y_m: 0.002, z_m: -0.003, yaw_rad: 0.1 }),
            servo: ServoRecord { phase: Some(Phase::Converged), ticks: 2, reverts: 2, trace },
        }
    }

    #[test]
    fn bars_end_at_their_rate_and_the_table_stands_beside_the_papers() {
        let report = ServoReport::new(&[trial(true, 0.1), trial(false, 0.2), trial(true, 0.3), trial(true, 0.4)]);
        let canvas = bars("t", "n", &[(Method::DrlGanVs, report.clone())]);
        // The first group's only bar ends at 75 %.
        let pixel = |share: f32| {
            let x = 230 + (680.0 * share) as usize;
            let at = ((120 + 6 + 3) * canvas.width + x) * 3;
            [canvas.rgb[at], canvas.rgb[at + 1], canvas.rgb[at + 2]]
        };
        assert_eq!(pixel(0.74), COLOURS[0]);
        assert_ne!(pixel(0.76), COLOURS[0]);
        // By set: the second group's second bar is the same one, the first group has none there.
        let all = [("seen", vec![(Method::Vs, report.clone())]), ("meshes", vec![(Method::DrlGanVs, report.clone())])];
        let by_set = bars_by_set("t", "n", &all);
        let pixel = |group: usize, share: f32| {
            let x = 230 + (680.0 * share) as usize;
            let at = ((120 + group * 66 + 6 + 18 + 3) * by_set.width + x) * 3;
            [by_set.rgb[at], by_set.rgb[at + 1], by_set.rgb[at + 2]]
        };
        assert_eq!(pixel(1, 0.74), COLOURS[1]);
        assert!(pixel(1, 0.76) != COLOURS[1] && pixel(0, 0.3) != COLOURS[1]);
        let text = markdown_rows(true, &[("the whole".into(), Some(Method::DrlGanVs), report)]);
        assert!(
            text.contains("| the whole | 75.0%") && text.contains("| 83% |") && text.contains("1, 2, 3, 5.7"),
            "{text}"
        );
        let lines = csv(&[("vs".into(), true, vec![trial(true, 0.1)])]);
        assert!(lines.ends_with("vs,true,011_banana,0,true,0.001,0.002,-0.003,0.1,converged,2,2\n"), "{lines}");
    }

    #[test]
    fn the_two_runs_are_chosen_by_a_rule() {
        let trials: Vec<TrialResult> = (0..11).map(|i| trial(true, -0.1 * f64::from(i))).collect();
        let found = two_runs(&trials).map(|runs| runs.map(|run| run.servo.trace[0].error.map(|error| error[2])));
        assert_eq!(found, Some([Some(-0.1), Some(-0.9)]));
        assert!(two_runs(&[]).is_none());
        let chart = error_curves("good", &trials[3].servo.trace, 0.5);
        assert_eq!(chart.series[1].points, [(0.0, -0.02), (0.5, -0.02)]);
        assert!(chart.title.contains("2 returns"));
    }
}
