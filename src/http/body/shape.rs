//! A body that is no list of lines is told as what it is, not by each line that it does not have.

use super::Separation;
use serde::de::IgnoredAny;
use serde_json::Deserializer;

/// What a body is instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Shape {
    #[error("The body is {0}; send it as UTF-8.")]
    OtherText(&'static str),
    #[error(
        "The body is a JSON array; send what it holds one a line, without the brackets and the commas between."
    )]
    Array,
    #[error("The body has a record that goes over several lines; each has to stand on one line of its own.")]
    Spread,
    #[error(
        "The body has all its records on one line; each has to stand on a line of its own, ended by a line feed."
    )]
    OneLine,
    #[error("The lines of the body end in a carriage return alone; each has to end in a line feed.")]
    CarriageReturns,
    #[error(
        "The records of the body begin with a record separator (RFC 7464); each has to stand on a line of its own."
    )]
    RecordSeparators,
}

/// Looks at the beginning of a body, or at all of it.
pub(super) fn check(beginning: &[u8], separation: Separation, is_whole: bool) -> Result<(), Shape> {
    if let Some(text) = other_text(beginning) {
        return Err(Shape::OtherText(text));
    }
    match separation {
        Separation::Lines => shape_of(super::without_marks(beginning), is_whole).map_or(Ok(()), Err),
        Separation::Items => Ok(()),
    }
}

/// Unicode in other units than bytes, with a byte order mark or without.
fn other_text(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] | [_, 0, 0, 0, ..] | [0, 0, 0, _, ..] => {
            Some("UTF-32")
        }
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [1..=255, 0, 1..=255, 0, ..] | [0, 1..=255, 0, 1..=255, ..] => {
            Some("UTF-16")
        }
        _ => None,
    }
}

fn shape_of(body: &[u8], is_whole: bool) -> Option<Shape> {
    let (first, inside) = body.split_first()?;
    match first {
        b'[' if matches!(inside.trim_ascii_start().first(), Some(b'{' | b']')) => Some(Shape::Array),
        0x1e => Some(Shape::RecordSeparators),
        b'{' => shape_of_objects(body, is_whole),
        _ => None,
    }
}

fn shape_of_objects(body: &[u8], is_whole: bool) -> Option<Shape> {
    let end = memchr::memchr(b'\n', body).unwrap_or(body.len());
    let line = body[..end].trim_ascii_end();
    let is_only_line = is_whole && body[end..].trim_ascii().is_empty() || end == body.len();
    let first = length_of_object(line);
    match first {
        Some(length) if length == line.len() => None,
        Some(length) if is_only_line => {
            let after = line[length..].trim_ascii_start();
            let next = after.strip_prefix(b",").unwrap_or(after).trim_ascii_start();
            let by_returns = line[length..].starts_with(b"\r");
            match (memchr::memchr(b'{', next), by_returns) {
                (Some(_), true) => Some(Shape::CarriageReturns),
                (Some(_), false) => Some(Shape::OneLine),
                (None, _) => None,
            }
        }
        Some(_) => None,
        None => length_of_object(body).map(|_| Shape::Spread),
    }
}

/// Where the object ends that bytes begin with.
fn length_of_object(bytes: &[u8]) -> Option<usize> {
    let mut objects = Deserializer::from_slice(bytes).into_iter::<IgnoredAny>();
    objects.next()?.ok()?;
    Some(objects.byte_offset())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(body: &str) -> Option<Shape> {
        check(body.as_bytes(), Separation::Lines, true).err()
    }

    #[test]
    fn what_is_no_list_of_lines_is_told_as_what_it_is() {
        for (body, is) in [
            ("[{\"a\":1},{\"a\":2}]", Shape::Array),
            ("\u{feff}[\n  {\"a\":1},\n  {\"a\":2}\n]\n", Shape::Array),
            ("[]", Shape::Array),
            ("{\n  \"a\": 1\n}\n{\n  \"a\": 2\n}\n", Shape::Spread),
            ("{\"a\":1}{\"a\":2}", Shape::OneLine),
            ("{\"a\":1},{\"a\":2}\n", Shape::OneLine),
            ("{\"a\":1}\u{2028}{\"a\":2}", Shape::OneLine),
            ("{\"a\":1}\r{\"a\":2}\r", Shape::CarriageReturns),
            ("\u{1e}{\"a\":1}\n\u{1e}{\"a\":2}\n", Shape::RecordSeparators),
        ] {
            assert_eq!(shape(body), Some(is), "{body}");
        }
        for (bytes, is) in [
            (&b"\xff\xfe{\0\"\0"[..], "UTF-16"),
            (b"\xfe\xff\0{\0\"", "UTF-16"),
            (b"{\0\"\0", "UTF-16"),
            (b"\0{\0\"", "UTF-16"),
            (b"\xff\xfe\0\0{\0\0\0", "UTF-32"),
            (b"{\0\0\0", "UTF-32"),
        ] {
            for separation in [Separation::Lines, Separation::Items] {
                assert_eq!(check(bytes, separation, true), Err(Shape::OtherText(is)));
            }
        }
    }

    #[test]
    fn lines_are_lines_whatever_is_wrong_with_them() {
        for body in [
            "",
            "\n",
            "{\"a\":1}",
            "{\"a\":1}\r\n{\"a\":2}\r\n",
            "\u{feff}{\"a\":1}\n",
            "x\n{\"a\":1}\n",
            "{\"a\":1\n{\"a\":1}\n",
            "{\"a\":1}{\"a\":2}\n{\"a\":3}\n",
            "{\"a\":1}x",
            "[\"13897210066\",\"owner\"]\n{\"a\":1}\n",
        ] {
            assert_eq!(shape(body), None, "{body}");
        }
    }
}
