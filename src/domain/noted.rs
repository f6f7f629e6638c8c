//! A caller's own text as it may be kept. Should somebody write the number of a person, an account or an organisation
//! into it, that is masked, however it is written.

mod reading;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use reading::{Character, Kind, Reading, as_written};
use std::borrow::Cow;
use std::ops::Range;
use uuid::Uuid;

/// An organisation has nine digits, a person and an account eleven. What has fewer names nobody.
const FEWEST_DIGITS: usize = 9;
const MASK: &str = "(masked)";
/// Nine digits in Base64 have at least twelve letters …
const FEWEST_ENCODED: usize = 12;
/// … and several of them are capitals, which Norwegian words of that length do not have.
const FEWEST_CAPITALS: usize = 2;
/// Base64 of Base64 is looked into, not further.
const DEEPEST_ENCODING: usize = 2;

/// Whatever the padding and the bits after the last whole byte are.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A text without numbers that could name somebody. There is no other way to make one than to mask them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotedText(String);

impl NotedText {
    /// The whole of a text.
    pub fn of(text: &str) -> Self {
        Self(masked(text).into_owned())
    }

    /// The same of a UUID: many have nine digits in a row by chance.
    pub fn of_uuid(uuid: Uuid) -> Self {
        Self(uuid.to_string())
    }

    /// No more than its first characters. Cut after it was masked, so that no number is cut in two.
    pub fn beginning_of(text: &str, most_characters: usize) -> Self {
        let text = masked(text);
        let end = text.char_indices().nth(most_characters);
        let end = end.map_or(text.len(), |(at, _)| at);
        Self(text[..end].to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn masked(text: &str) -> Cow<'_, str> {
    let mut hidden = numbers_in(text, DEEPEST_ENCODING);
    if hidden.is_empty() {
        return text.into();
    }
    hidden.sort_by_key(|number| number.start);
    let (mut kept, mut at) = (String::with_capacity(text.len()), 0);
    for number in hidden {
        if number.start >= at {
            kept += &text[at..number.start];
            kept += MASK;
        }
        at = at.max(number.end);
    }
    (kept + &text[at..]).into()
}

/// Where in a text numbers stand: as it is written, and as it reads once what is escaped is not.
fn numbers_in(text: &str, depth: usize) -> Vec<Range<usize>> {
    let mut found = digits_in(text, as_written(text));
    encoded_in(as_written(text), depth, &mut found);
    if text.contains(['%', '&', '\\', '<']) {
        let unescaped = Reading::unescaped(text);
        for reading in [unescaped.without_tags(), unescaped] {
            found.extend(digits_in(text, reading.characters()));
            encoded_in(reading.characters(), depth, &mut found);
        }
    }
    found
}

/// Digits with nothing but marks and blanks between them.
fn digits_in(text: &str, characters: impl Iterator<Item = Character>) -> Vec<Range<usize>> {
    let (mut found, mut digits, mut span) = (Vec::new(), 0, 0..0);
    let mut close = |digits: &mut usize, span: &Range<usize>| {
        if std::mem::take(digits) >= FEWEST_DIGITS && !is_law(text, span) {
            found.push(span.clone());
        }
    };
    for Character { c, at } in characters {
        reading::kinds(c, |kind| match kind {
            Kind::Digit => {
                if digits == 0 {
                    span.start = at.start;
                }
                digits += 1;
                span.end = at.end;
            }
            Kind::Letter => close(&mut digits, &span),
            Kind::Mark => {}
        });
    }
    close(&mut digits, &span);
    found
}

/// Whether digits are those of a law or regulation, such as LOV-2016-05-27-14.
fn is_law(text: &str, span: &Range<usize>) -> bool {
    let before = &text.as_bytes()[..span.start];
    let prefix = &before[before.len().saturating_sub(4)..];
    let mut parts = text[span.clone()].split('-');
    let mut has = |lengths: Range<usize>| {
        parts.next().is_some_and(|part| {
            lengths.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    let is_named = prefix.eq_ignore_ascii_case(b"LOV-") || prefix.eq_ignore_ascii_case(b"FOR-");
    is_named && has(4..5) && has(2..3) && has(2..3) && has(1..5) && parts.next().is_none()
}

/// Runs of letters that are Base64 of a text with such a number.
fn encoded_in(characters: impl Iterator<Item = Character>, depth: usize, found: &mut Vec<Range<usize>>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    let (mut run, mut span) = (String::new(), 0..0);
    let mut close = |run: &mut String, span: &Range<usize>| {
        if is_encoded_number(run, depth) {
            found.push(span.clone());
        }
        run.clear();
    };
    for Character { c, at } in characters {
        let c = match c {
            '-' => '+',
            '_' => '/',
            c => c,
        };
        if !c.is_ascii_alphanumeric() && c != '+' && c != '/' {
            close(&mut run, &span);
            continue;
        }
        if run.is_empty() {
            span.start = at.start;
        }
        run.push(c);
        span.end = at.end;
    }
    close(&mut run, &span);
}

fn is_encoded_number(run: &str, depth: usize) -> bool {
    let capitals = || run.bytes().filter(u8::is_ascii_uppercase).count();
    // It may begin in the middle of a run.
    run.len() >= FEWEST_ENCODED
        && capitals() >= FEWEST_CAPITALS
        && (0..4).any(|from| {
            let run = &run[from..];
            let whole = if run.len() % 4 == 1 {
                run.len() - 1
            } else {
                run.len()
            };
            let decoded = BASE64.decode(&run[..whole]).unwrap_or_default();
            let texts = texts_of(&decoded);
            texts.iter().any(|text| !numbers_in(text, depth).is_empty())
        })
}

/// Bytes as UTF-8, and as UTF-16 of either order.
fn texts_of(bytes: &[u8]) -> [String; 3] {
    let wide = |unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|two| unit([two[0], two[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    [
        String::from_utf8_lossy(bytes).into_owned(),
        wide(u16::from_le_bytes),
        wide(u16::from_be_bytes),
    ]
}
