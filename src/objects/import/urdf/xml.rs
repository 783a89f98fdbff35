//! XML as TinyXML reads it (urdfdom, PyBullet), which takes more than the standard. In: a file's bytes. Out: text that a
//! strict parser reads, with every line where it was.

use super::super::text::decoded;
use roxmltree::{Document, Error};

/// Namespace prefixes that may lack a declaration.
const MAX_PREFIXES: usize = 32;

/// The text of a URDF, without what only strict readers mind: comments, processing instructions (the declaration may
/// come after blank lines), the document type, and prefixes that nothing declares.
pub(super) fn prepared(bytes: &[u8]) -> String {
    let mut text = plain(&decoded(bytes));
    for _ in 0..MAX_PREFIXES {
        let Err(Error::UnknownNamespace(prefix, _)) = Document::parse(&text) else { break };
        let Some(at) = end_of_first_name(&text) else { break };
        text.insert_str(at, &format!(" xmlns:{prefix}=\"{prefix}\""));
    }
    text
}

/// Comments, processing instructions and the document type as blanks, so that places stay the same; a `&` that begins no
/// entity as `&amp;`. Linear in the length of the text: no end is looked for where none can be.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    // Bytes from the last end of each kind to the end of the text.
    let [after_comments, after_instructions] = ["-->", "?>"].map(|end| text.rfind(end).map(|at| text.len() - at));
    let end_of = |rest: &str, after: Option<usize>, end: &str| {
        after.filter(|after| *after <= rest.len()).and_then(|_| rest.find(end)).map(|at| at + end.len())
    };
    let mut has_type = false;
    while let Some(at) = rest.find(['<', '&']) {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = if rest.starts_with("<!--") {
            blank(&mut plain, rest, end_of(rest, after_comments, "-->"))
        } else if rest.starts_with("<?") {
            blank(&mut plain, rest, end_of(rest, after_instructions, "?>"))
        } else if !has_type && (rest.starts_with("<!DOCTYPE") || rest.starts_with("<!doctype")) {
            has_type = true;
            blank(&mut plain, rest, end_of_doctype(rest))
        } else if rest.starts_with("<![CDATA[") {
            let length = rest.find("]]>").map_or(rest.len(), |end| end + 3);
            plain.push_str(&rest[..length]);
            length
        } else if rest.starts_with('&') && !begins_entity(rest) {
            plain.push_str("&amp;");
            1
        } else {
            plain.push_str(&rest[..1]);
            1
        };
        rest = &rest[length..];
    }
    plain.push_str(rest);
    plain
}

/// Appends blanks for the first `length` bytes of `text`; where the end is missing, the first byte as it is.
fn blank(plain: &mut String, text: &str, length: Option<usize>) -> usize {
    let Some(length) = length else {
        plain.push_str(&text[..1]);
        return 1;
    };
    plain.extend(text[..length].chars().map(|c| if c == '\n' || c == '\r' { c } else { ' ' }));
    length
}

fn end_of_doctype(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            '>' if depth == 0 => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn begins_entity(text: &str) -> bool {
    // Names are short: `&` after `&` must not each look through the whole text.
    let end = text.bytes().take(33).position(|byte| byte == b';');
    let name = end.and_then(|end| text.get(1..end)).unwrap_or("");
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '#' || c == '_')
}

fn end_of_first_name(text: &str) -> Option<usize> {
    let start = text.find('<')? + 1;
    let length = text[start..].find(|c: char| c.is_whitespace() || c == '>' || c == '/')?;
    Some(start + length)
}

/// What shows that a file is a xacro template: an element of xacro's, or a value that it would fill in.
pub(super) fn is_xacro(document: &Document) -> bool {
    document.descendants().any(|node| {
        let namespace = node.tag_name().namespace().unwrap_or("");
        namespace.contains("xacro") || node.attributes().any(|a| a.value().contains("${") || a.value().contains("$("))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tinyxml_reads_is_read() {
        let robot = "<robot name=\"r\">\n<link name=\"l\"/>\n</robot>";
        for text in [
            format!("\n\n<?xml version=\"1.0\"?>\n{robot}"),
            format!("<!-- by -- hand -->\n<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n<!-- grün -->{robot}"),
            format!("<!DOCTYPE robot SYSTEM \"x.dtd\" [<!ENTITY a \"b\">]>\n{robot}"),
            robot.replace("<link", "<drake:joint/>\n<sensor:camera a=\"1\"/><link"),
            robot.replace("\"r\"", "\"salt & pepper\""),
        ] {
            let latin: Vec<u8> = text.chars().map(|c| c as u32 as u8).collect();
            let prepared = prepared(&latin);
            let document = Document::parse(&prepared).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert!(document.descendants().any(|node| node.has_tag_name("link")), "{text}");
            assert!(!is_xacro(&document));
            // Lines stay where they were.
            assert_eq!(prepared.lines().count(), text.lines().count());
        }
        assert!(Document::parse(&prepared(b"<robot><!-- never closed </robot>")).is_err());
        assert!(is_xacro(&Document::parse(&prepared(b"<robot><xacro:m n=\"a\"/></robot>")).expect("xml")));
        assert!(is_xacro(&Document::parse(&prepared(b"<robot><box size=\"${s}\"/></robot>")).expect("xml")));
    }

    #[test]
    fn long_nonsense_takes_no_longer_than_it_is_long() {
        let begun = std::time::Instant::now();
        for part in ["&", "<!--", "<?", "<!DOCTYPE [", "<!DOCTYPE", "&a"] {
            let text = part.repeat((2 << 20) / part.len());
            assert!(prepared(text.as_bytes()).len() >= text.len(), "{part}");
        }
        assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    }
}
