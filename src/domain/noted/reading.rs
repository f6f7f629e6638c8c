//! A text as it reads once what is escaped in it is not, and where each character of that stands.

use std::ops::Range;
use unicode_normalization::char::decompose_compatible;

/// What is escaped over and over is undone so many times.
const MOST_ESCAPES: usize = 4;
/// Longest tag that is taken for one.
const LONGEST_TAG: usize = 256;
/// Longest name between `&` and `;`.
const LONGEST_NAME: usize = 32;

/// A character, and the bytes of the text that stand for it.
pub struct Character {
    pub c: char,
    pub at: Range<usize>,
}

/// What a character is to a number.
#[derive(Clone, Copy)]
pub enum Kind {
    /// Of any script.
    Digit,
    /// Ends a number.
    Letter,
    /// May stand between its digits: blanks and marks of all kinds, seen or not.
    Mark,
}

/// What a character is made of: some are several digits, and some a digit with something around it.
pub fn kinds(c: char, mut take: impl FnMut(Kind)) {
    match c {
        '0'..='9' => take(Kind::Digit),
        '\0'..='\x7f' if c.is_ascii_alphabetic() => take(Kind::Letter),
        '\0'..='\x7f' => take(Kind::Mark),
        // It stands before each number of a section.
        '§' => take(Kind::Letter),
        // Letters that are not seen.
        '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' => take(Kind::Mark),
        _ => decompose_compatible(c, |part| {
            take(match part {
                _ if part.is_numeric() => Kind::Digit,
                _ if part.is_alphabetic() => Kind::Letter,
                _ => Kind::Mark,
            });
        }),
    }
}

/// The characters of a text as it stands.
pub fn as_written(text: &str) -> impl Iterator<Item = Character> {
    text.char_indices().map(|(at, c)| Character {
        c,
        at: at..at + c.len_utf8(),
    })
}

/// Bytes that are read, and for each its place in the text.
pub struct Reading {
    bytes: Vec<u8>,
    places: Vec<Range<usize>>,
}

impl Reading {
    /// A text with percent-encoding, `&#49;`, `\u0031` and the like undone.
    pub fn unescaped(text: &str) -> Self {
        let mut reading = Self {
            bytes: text.as_bytes().to_vec(),
            places: (0..text.len()).map(|at| at..at + 1).collect(),
        };
        for _ in 0..MOST_ESCAPES {
            let further = reading.replaced(escape);
            let is_done = further.bytes.len() == reading.bytes.len();
            reading = further;
            if is_done {
                break;
            }
        }
        reading
    }

    /// With a blank for `<br>` and any other tag.
    pub fn without_tags(&self) -> Self {
        self.replaced(tag)
    }

    /// With what `replacement` finds at the beginning of bytes, so many of them, replaced.
    fn replaced(&self, replacement: fn(&[u8]) -> Option<(Read, usize)>) -> Self {
        let mut read = Self {
            bytes: Vec::with_capacity(self.bytes.len()),
            places: Vec::with_capacity(self.bytes.len()),
        };
        let mut at = 0;
        while let Some(byte) = self.bytes.get(at) {
            let (stands_for, length) = replacement(&self.bytes[at..]).unwrap_or((Read::Byte(*byte), 1));
            let place = self.places[at].start..self.places[at + length - 1].end;
            match stands_for {
                Read::Byte(byte) => read.bytes.push(byte),
                Read::Char(c) => read
                    .bytes
                    .extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
            read.places.resize(read.bytes.len(), place);
            at += length;
        }
        read
    }

    pub fn characters(&self) -> impl Iterator<Item = Character> {
        let mut at = 0;
        self.bytes
            .utf8_chunks()
            .flat_map(|chunk| {
                let broken = (!chunk.invalid().is_empty())
                    .then_some((char::REPLACEMENT_CHARACTER, chunk.invalid().len()));
                chunk.valid().chars().map(|c| (c, c.len_utf8())).chain(broken)
            })
            .map(move |(c, length)| {
                let (first, last) = (at, at + length - 1);
                at += length;
                Character {
                    c,
                    at: self.places[first].start..self.places[last].end,
                }
            })
    }
}

/// What something escaped stands for.
enum Read {
    Byte(u8),
    Char(char),
}

fn escape(bytes: &[u8]) -> Option<(Read, usize)> {
    match bytes {
        [b'%', b'u' | b'U', number @ ..] => Some((Read::Char(character(number, 4)?), 6)),
        [b'%', number @ ..] => Some((Read::Byte(u8::try_from(hexadecimal(number, 2)?).ok()?), 3)),
        [b'&', name @ ..] => entity(name).map(|(c, length)| (Read::Char(c), length + 1)),
        [b'\\', escape @ ..] => backslash(escape).map(|(c, length)| (Read::Char(c), length + 1)),
        _ => None,
    }
}

/// What follows `&` in `&#49;`, `&#x31;` and `&nbsp;`.
fn entity(bytes: &[u8]) -> Option<(char, usize)> {
    let end = bytes.iter().take(LONGEST_NAME).position(|byte| *byte == b';')?;
    let name = std::str::from_utf8(&bytes[..end]).ok()?;
    let c = match name.strip_prefix('#') {
        Some(number) => {
            let hexadecimal = number.strip_prefix(['x', 'X']);
            let number = hexadecimal.map_or_else(|| number.parse(), |number| u32::from_str_radix(number, 16));
            char::from_u32(number.ok()?)?
        }
        None => match name {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "percnt" => '%',
            _ if name.bytes().all(|byte| byte.is_ascii_alphanumeric()) => ' ',
            _ => return None,
        },
    };
    Some((c, end + 1))
}

/// What follows `\` in `\u0031`, `\u{31}`, `\x31`; and `\n` or another letter as a blank.
fn backslash(bytes: &[u8]) -> Option<(char, usize)> {
    let escaped = match bytes {
        [b'x', number @ ..] => character(number, 2).map(|c| (c, 3)),
        [b'u', b'{', number @ ..] => {
            let end = number.iter().take(LONGEST_NAME).position(|byte| *byte == b'}');
            end.and_then(|end| Some((character(number, end)?, end + 3)))
        }
        [b'u', number @ ..] => character(number, 4).map(|c| (c, 5)),
        _ => None,
    };
    escaped.or_else(|| bytes.first()?.is_ascii_alphabetic().then_some((' ', 1)))
}

fn tag(bytes: &[u8]) -> Option<(Read, usize)> {
    let inside = bytes.strip_prefix(b"<")?;
    // Another beginning is the beginning of the tag, if it is one.
    let end = inside
        .iter()
        .take(LONGEST_TAG)
        .position(|byte| b"<>".contains(byte))?;
    (inside[end] == b'>').then_some((Read::Char(' '), end + 2))
}

fn character(bytes: &[u8], digits: usize) -> Option<char> {
    hexadecimal(bytes, digits).and_then(char::from_u32)
}

/// The number that bytes begin with, so many hexadecimal digits.
fn hexadecimal(bytes: &[u8], digits: usize) -> Option<u32> {
    let number = bytes.get(..digits)?;
    if !number.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(number).ok()?, 16).ok()
}
