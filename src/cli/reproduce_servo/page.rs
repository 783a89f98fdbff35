//! The page of `reproduce servo-figures`, its figures and its tables.

use super::sets::Set;
use super::{Args, Row, Scale};
use crate::cli::servo_pictures::SegmentationReport;
use crate::eval::servo::figures::{bars, bars_by_set, csv, error_curves, markdown_rows, two_runs};
use crate::eval::servo::{Method, ServoReport, TrialResult};
use crate::files::atomic::write_atomic;
use std::path::PathBuf;

/// Figures and tables of the results that are there.
///
/// # Errors
/// A file that cannot be written.
pub fn write(
    args: &Args,
    scale: Scale,
    segmentation: Option<&SegmentationReport>,
    results: &[(Row, Set, Vec<TrialResult>)],
) -> anyhow::Result<PathBuf> {
    let quick = if args.quick { "Quick run: it shows that the figures can be made, and nothing else. " } else { "" };
    let mut text = String::from("# Reach, then servo: figures 6 to 11\n\n");
    if args.quick {
        text += &format!("**{}**\n\n", quick.trim());
    }
    text += "`reality` is a simulated stand-in for the paper's robot. Intervals are Wilson's, 95 %. \
             The paper counts pose estimations, 3 attempts an object; here *lifted* is physical, and *near* is within 2 cm and \
             15 degrees of a good pose.\n\n";
    if let Some(segmentation) = segmentation {
        text += &segmentation.markdown();
    }
    let note = format!("{quick}reality is a simulated stand-in; lines are Wilson's 95 % intervals");
    let mut by_set: Vec<(&str, Vec<(Method, ServoReport)>)> = Vec::new();
    for set in Set::ALL {
        let of_set: Vec<_> = results.iter().filter(|(_, of, _)| *of == set).collect();
        if of_set.is_empty() {
            continue;
        }
        let published = |row: &Row| row.published_method().filter(|_| set.is_papers());
        let rows: Vec<(String, Option<Method>, ServoReport)> = (of_set.iter())
            .map(|(row, _, trials)| (row.name.to_owned(), published(row), ServoReport::new(trials)))
            .collect();
        let (what, (figure, heading)) = (set.name(), set.figure());
        text += &format!("## {heading}\n\n{}", set.remark());
        text += &format!("{}\n![{what}]({figure})\n\n", markdown_rows(set == Set::Seen, &rows));
        let bars_of = (of_set.iter())
            .filter_map(|(row, _, trials)| Some((row.published_method()?, ServoReport::new(trials))))
            .collect::<Vec<_>>();
        bars(&set.title(), &note, &bars_of).save(&args.out.join(figure))?;
        by_set.push((what, bars_of));
    }
    if by_set.len() > 1 {
        bars_by_set("Lifted, by set of objects", &note, &by_set).save(&args.out.join("figure-sets.png"))?;
        text += "## All sets\n\n![sets](figure-sets.png)\n\n";
    }
    text += &figure_11(args, results)?;
    text += &format!(
        "{}, {}, seed {}. Every trial: `trials.csv`.\n",
        match &args.generator {
            Some(run) => format!("Semantic CycleGAN `{}`", run.display()),
            None => format!("Images a side {}, semantic CycleGAN {} steps", scale.images, scale.semantic_steps),
        },
        match &args.policy {
            Some(run) => format!("pose agent `{}`", run.display()),
            None => format!("pose agent {} updates", scale.updates),
        },
        args.seed.seed
    );
    let rows: Vec<(String, bool, Vec<TrialResult>)> = results
        .iter()
        .map(|(row, set, trials)| (row.name.replace(',', ""), *set == Set::Seen, trials.clone()))
        .collect();
    write_atomic(&args.out.join("trials.csv"), csv(&rows).as_bytes())?;
    let page = args.out.join("servo-figures.md");
    write_atomic(&page, text.as_bytes())?;
    Ok(page)
}

/// The errors of two servo runs of the whole method.
fn figure_11(args: &Args, results: &[(Row, Set, Vec<TrialResult>)]) -> anyhow::Result<String> {
    let whole = results.iter().find(|(row, set, _)| *set == Set::Seen && row.name == "drl+gan+vs");
    let Some([good, bad]) = whole.and_then(|(_, _, trials)| two_runs(trials)) else { return Ok(String::new()) };
    let mut text = "## Figure 11: two servo runs\n\nThe trials at the lowest and the highest decile of the yaw error at the start \
                    of servoing.\n\n"
        .to_owned();
    for (run, name) in [(good, "low"), (bad, "high")] {
        let file = format!("figure-11-{name}.png");
        let title = format!("{}, {name} yaw error at the start", run.object);
        error_curves(&title, &run.servo.trace, 1.0 / 30.0).save(&args.out.join(&file))?;
        text += &format!("![{name}]({file})\n\n");
    }
    Ok(text)
}
