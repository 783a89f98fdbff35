//! What was not read of a folder, in words.

use crate::files::console;
use crate::pictures::LeftOut;
use std::collections::BTreeMap;

/// Names what was not read on standard error: what looks like the wanted kind one by one, the rest by its reasons.
pub fn warn_left_out(left_out: &[LeftOut]) {
    const NAMED: usize = 50;
    let (missed, others): (Vec<&LeftOut>, Vec<&LeftOut>) = left_out.iter().partition(|left| left.looks_like_a_picture);
    console::warn_all(missed.iter().take(NAMED).map(|left| format!("{left}; it is left out")));
    if missed.len() > NAMED {
        console::warn(format_args!("{} more pictures could not be read", missed.len() - NAMED));
    }
    let mut reasons: BTreeMap<&str, Vec<&LeftOut>> = BTreeMap::new();
    for left in others {
        reasons.entry(&left.reason).or_default().push(left);
    }
    for (reason, all) in reasons {
        let named: Vec<String> = all.iter().take(5).map(|left| left.path.display().to_string()).collect();
        let more = if all.len() > 5 { format!(" and {} more", all.len() - 5) } else { String::new() };
        console::remark(format_args!("left out: {}{more}: {reason}", named.join(", ")));
    }
}
