//! Bytes as text, whatever wrote them. In: a file's bytes. Out: text without byte order marks, and its lines whichever
//! way they end.

use std::borrow::Cow;

/// The text of `bytes`: UTF-8, UTF-16 and UTF-32 with or without a mark; anything else byte by byte as Latin-1, which
/// keeps every ASCII character and every line.
pub(super) fn decoded(bytes: &[u8]) -> Cow<'_, str> {
    let wide = |bytes: &[u8], big: bool| {
        let pair = |b: &[u8]| if big { u16::from_be_bytes([b[0], b[1]]) } else { u16::from_le_bytes([b[0], b[1]]) };
        let units: Vec<u16> = bytes.chunks_exact(2).map(pair).collect();
        Cow::Owned(String::from_utf16_lossy(&units))
    };
    let widest = |bytes: &[u8], big: bool| {
        let four = |b: &[u8]| {
            let b = [b[0], b[1], b[2], b[3]];
            if big { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) }
        };
        let points = bytes.chunks_exact(4).map(four);
        Cow::Owned(points.map(|point| char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
    };
    match bytes {
        [0xEF, 0xBB, 0xBF, rest @ ..] => narrow(rest),
        [0xFF, 0xFE, 0, 0, rest @ ..] => widest(rest, false),
        [0, 0, 0xFE, 0xFF, rest @ ..] => widest(rest, true),
        [0xFF, 0xFE, rest @ ..] => wide(rest, false),
        [0xFE, 0xFF, rest @ ..] => wide(rest, true),
        // ASCII in wide units, without a mark.
        [1..=127, 0, 1..=127, 0, ..] => wide(bytes, false),
        [0, 1..=127, 0, 1..=127, ..] => wide(bytes, true),
        _ => narrow(bytes),
    }
}

fn narrow(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|&byte| char::from(byte)).collect()),
    }
}

/// Lines that end in a line feed, a carriage return or both. Marks that joined files left at a line's start are gone.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest.filter(|text| !text.is_empty())?;
        let line = match text.bytes().position(|byte| byte == b'\n' || byte == b'\r') {
            None => {
                rest = None;
                text
            }
            Some(end) => {
                let width = if text[end..].starts_with("\r\n") { 2 } else { 1 };
                rest = Some(&text[end + width..]);
                &text[..end]
            }
        };
        Some(line.trim_start_matches('\u{feff}'))
    })
}

/// The start of a token, for messages.
pub(super) fn shortened(token: &str) -> String {
    token.chars().take(32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_encoding_gives_the_same_text() {
        let text = "v 1 2 3\r\nusemtl grün\n";
        let units: Vec<u16> = text.encode_utf16().collect();
        let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        let widest: Vec<u8> = text.chars().flat_map(|c| (c as u32).to_le_bytes()).collect();
        let latin: Vec<u8> = text.chars().map(|c| c as u32 as u8).collect();
        let marked = |mark: &[u8], bytes: &[u8]| [mark, bytes].concat();
        for bytes in [
            text.as_bytes().to_vec(),
            marked(b"\xEF\xBB\xBF", text.as_bytes()),
            little.clone(),
            big.clone(),
            marked(b"\xFF\xFE", &little),
            marked(b"\xFE\xFF", &big),
            marked(b"\xFF\xFE\0\0", &widest),
            latin,
        ] {
            assert_eq!(decoded(&bytes), text, "{bytes:?}");
        }
        assert_eq!(decoded(b""), "");
    }

    #[test]
    fn lines_end_in_any_way() {
        let found: Vec<&str> = lines("a\nb\rc\r\nd\n\n\u{feff}e").collect();
        assert_eq!(found, ["a", "b", "c", "d", "", "e"]);
        assert_eq!(lines("").count(), 0);
        assert_eq!(lines("a\n").count(), 1);
    }
}
