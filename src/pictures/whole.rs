//! Whether a file has its end: decoders of JPEG, WebP and GIF fill what is missing with grey or with what was there before,
//! and a picture that is half grey teaches nothing.

use super::Kind;

/// # Errors
/// A sentence about where the file ends.
pub fn check(kind: Kind, bytes: &[u8]) -> Result<(), String> {
    match kind {
        Kind::Jpeg => jpeg(bytes),
        Kind::WebP => webp(bytes),
        Kind::Gif => gif(bytes),
        // Their decoders tell by themselves.
        _ => Ok(()),
    }
}

const CUT: &str = "the file is cut off";

/// Walks the markers to the end of the image (ITU T.81, B.1): segments by their lengths, entropy-coded data to the next
/// marker. Bytes behind the end are nobody's business.
fn jpeg(bytes: &[u8]) -> Result<(), String> {
    const SOS: u8 = 0xda;
    const EOI: u8 = 0xd9;
    let cut = || CUT.to_owned();
    let mut at = 2;
    let mut scans = 0;
    loop {
        // Markers begin with any number of 0xff.
        while bytes.get(at) == Some(&0xff) && bytes.get(at + 1) == Some(&0xff) {
            at += 1;
        }
        let marker = match (bytes.get(at), bytes.get(at + 1)) {
            (Some(0xff), Some(&marker)) => marker,
            // Some programs leave rubbish between segments; decoders skip it.
            (Some(_), Some(_)) => {
                at += 1;
                continue;
            }
            _ => return Err(cut()),
        };
        at += 2;
        match marker {
            EOI if scans > 0 => return Ok(()),
            EOI => return Err("it ends before it has any pixels".into()),
            // Without a length: stuffed zero, restarts, start, TEM.
            0x00 | 0x01 | 0xd0..=0xd8 => {}
            _ => {
                let Some(length) = bytes.get(at..at + 2) else { return Err(cut()) };
                at += usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
                if at > bytes.len() {
                    return Err(cut());
                }
                if marker == SOS {
                    scans += 1;
                    at = end_of_scan(bytes, at).ok_or_else(cut)?;
                }
            }
        }
    }
}

/// Where the next marker begins that is neither a stuffed byte nor a restart.
fn end_of_scan(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| byte == 0xff)?;
        match bytes.get(at + 1)? {
            0x00 | 0xd0..=0xd7 => at += 2,
            0xff => at += 1,
            _ => return Some(at),
        }
    }
}

/// The size in the header (RIFF) is that of the rest of the file.
fn webp(bytes: &[u8]) -> Result<(), String> {
    let size = bytes.get(4..8).map(|size| u32::from_le_bytes([size[0], size[1], size[2], size[3]]) as usize);
    match size {
        Some(size) if bytes.len() >= size.saturating_add(8) => Ok(()),
        _ => Err(CUT.into()),
    }
}

/// Walks the blocks of a GIF to its first picture's end (GIF89a, 15 to 24): later frames are not read.
fn gif(bytes: &[u8]) -> Result<(), String> {
    let cut = || CUT.to_owned();
    let table = |flags: u8| if flags & 0x80 != 0 { 3 << ((flags & 7) + 1) } else { 0 };
    let skip_blocks = |mut at: usize| -> Option<usize> {
        loop {
            match *bytes.get(at)? {
                0 => return Some(at + 1),
                size => at += usize::from(size) + 1,
            }
        }
    };
    let mut at = 13 + table(*bytes.get(10).ok_or_else(cut)?);
    loop {
        match *bytes.get(at).ok_or_else(cut)? {
            // An extension: label, then blocks.
            0x21 => at = skip_blocks(at + 2).ok_or_else(cut)?,
            0x2c => {
                let flags = *bytes.get(at + 9).ok_or_else(cut)?;
                return skip_blocks(at + 10 + table(flags) + 1).map(|_| ()).ok_or_else(cut);
            }
            0x3b => return Err("it ends before it has any pixels".into()),
            _ => return Err("its blocks are damaged".into()),
        }
    }
}
