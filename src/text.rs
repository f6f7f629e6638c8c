//! Texts of operators, whichever editor or shell wrote them: with a byte order mark or without, and with any line ends.

pub mod shown;

use std::io::{self, Read};
use std::path::Path;

/// The text in a file.
///
/// # Errors
/// When it cannot be read, or is not UTF-8; the sentence says what it is.
pub fn read_file(path: &Path) -> io::Result<String> {
    decode(std::fs::read(path)?)
}

/// All that comes from a reader, as a text.
///
/// # Errors
/// See [`read_file`].
pub fn read_all(mut input: impl Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes)?;
    decode(bytes)
}

/// Bytes as a text.
///
/// # Errors
/// See [`read_file`].
pub fn decode(bytes: Vec<u8>) -> io::Result<String> {
    let refused = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    if let [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [1..=255, 0, ..] | [0, 1..=255, ..] = bytes[..] {
        return Err(refused("it is UTF-16; save it as UTF-8".to_owned()));
    }
    let mut text = String::from_utf8(bytes).map_err(|cause| {
        let before = &cause.as_bytes()[..cause.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        refused(format!("it is not UTF-8 in line {line}"))
    })?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    match has_lone_returns(&text) {
        true => Ok(text.replace("\r\n", "\n").replace('\r', "\n")),
        false => Ok(text),
    }
}

fn has_lone_returns(text: &str) -> bool {
    let bytes = text.as_bytes();
    memchr::memchr_iter(b'\r', bytes).any(|at| bytes.get(at + 1) != Some(&b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_go_and_lines_end() {
        for (bytes, text) in [
            (&b"\xef\xbb\xbfa = 1\r\n"[..], "a = 1\r\n"),
            (b"a\rb\r", "a\nb\n"),
            (b"", ""),
            ("æ".as_bytes(), "æ"),
        ] {
            assert_eq!(decode(bytes.to_vec()).unwrap(), text);
        }
    }

    #[test]
    fn another_encoding_is_told() {
        for (bytes, told) in [
            (&b"\xff\xfea\0"[..], "UTF-16"),
            (b"\0a\0b", "UTF-16"),
            (b"a\n\nbl\xe5b\xe6r", "line 3"),
        ] {
            let refused = decode(bytes.to_vec()).unwrap_err().to_string();
            assert!(refused.contains(told), "{refused}");
        }
    }
}
