//! Texts of others as they may be shown: nothing in them moves a cursor, begins a line, or turns the direction of reading.

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{CompactFormatter, Formatter};
use std::borrow::Cow;
use std::io::{self, Write};

/// Controls, and marks that are not seen: separators of lines, of direction, of width zero.
fn is_unseen(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// The text with what is unseen in it escaped, as `\u{1b}`.
pub fn shown(text: &str) -> Cow<'_, str> {
    match text.contains(is_unseen) {
        false => Cow::Borrowed(text),
        true => Cow::Owned(escaped(text, |_| false)),
    }
}

/// The same of several lines, which stay lines.
pub fn shown_lines(text: &str) -> String {
    escaped(text, |character| character == '\n')
}

fn escaped(text: &str, stays: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match is_unseen(character) && !stays(character) {
            true => shown.extend(character.escape_unicode()),
            false => shown.push(character),
        }
    }
    shown
}

/// JSON in one line, with what is unseen escaped, as `\u001b`.
pub fn json(value: &impl Serialize) -> serde_json::Result<String> {
    let mut line = Vec::with_capacity(256);
    value.serialize(&mut Serializer::with_formatter(&mut line, Seen(CompactFormatter)))?;
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// Writes JSON in which nothing is unseen. What it leaves to the library are the controls of ASCII.
#[derive(Clone)]
pub struct Seen(pub CompactFormatter);

impl Formatter for Seen {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if fragment.is_ascii() && !fragment.contains('\u{7f}') {
            return writer.write_all(fragment.as_bytes());
        }
        let mut units = [0; 2];
        for character in fragment.chars() {
            match is_unseen(character) {
                false => write!(writer, "{character}")?,
                true => {
                    for unit in character.encode_utf16(&mut units) {
                        write!(writer, "\\u{unit:04x}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNSEEN: &str = "a\u{1b}[2J\r\n\u{85}\u{9b}1m\u{202e}b\u{200b}\u{7f}\u{e0041}æ";

    #[test]
    fn what_is_unseen_is_escaped() {
        let told = "a\\u{1b}[2J\\u{d}\\u{a}\\u{85}\\u{9b}1m\\u{202e}b\\u{200b}\\u{7f}\\u{e0041}æ";
        assert_eq!(shown(UNSEEN), told);
        assert_eq!(shown("Prøve § 1"), "Prøve § 1");
        assert_eq!(shown_lines("a\nb\r"), "a\nb\\u{d}");
    }

    #[test]
    fn json_says_the_same_and_shows_it() {
        let line = json(&[UNSEEN]).unwrap();
        assert!(!line.contains(is_unseen), "{line}");
        assert_eq!(serde_json::from_str::<[String; 1]>(&line).unwrap(), [UNSEEN]);
        assert_eq!(json(&"æ").unwrap(), "\"æ\"");
    }
}
