//! Legal bases, compared the way agencies write them.

use std::cell::OnceCell;
use unicode_normalization::UnicodeNormalization;

/// A legal basis of a service: as written, and as compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mandate {
    text: String,
    normal: NormalMandate,
}

/// A mandate that holds nothing to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a mandate must not be empty")]
pub struct EmptyMandate;

impl Mandate {
    /// Takes the text of a law's section.
    ///
    /// # Errors
    /// When nothing but blanks is left of it.
    pub fn parse(text: &str) -> Result<Self, EmptyMandate> {
        let normal = NormalMandate::of(text);
        if normal.0.is_empty() {
            return Err(EmptyMandate);
        }
        Ok(Self {
            text: text.trim().to_owned(),
            normal,
        })
    }

    /// As the terms write it.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn normal(&self) -> &NormalMandate {
        &self.normal
    }
}

/// A mandate in the form that is compared: `<br>` dropped, Unicode NFC, every run of blanks one space, and
/// none around `§`, `,` and `.`, at the beginning and at the end. Letter case stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NormalMandate(String);

/// A mandate as a caller sends it, percent-decoded. It is brought into the form that is compared only if it is
/// none of those it is held against letter by letter.
pub(super) struct SentMandate<'m> {
    text: &'m str,
    normal: OnceCell<NormalMandate>,
}

impl<'m> SentMandate<'m> {
    pub(super) fn new(text: &'m str) -> Self {
        Self {
            text,
            normal: OnceCell::new(),
        }
    }

    pub(super) fn is(&self, mandate: &Mandate) -> bool {
        self.text == mandate.text
            || *self.normal.get_or_init(|| NormalMandate::of(self.text)) == mandate.normal
    }
}

impl NormalMandate {
    /// Takes a mandate that is percent-decoded already.
    pub fn of(text: &str) -> Self {
        let is_tight = |c: char| matches!(c, '§' | ',' | '.');
        let mut normal = String::with_capacity(text.len());
        let (mut last, mut blank) = (None, false);
        for c in without_line_breaks(text).nfc() {
            if c.is_whitespace() {
                blank = true;
                continue;
            }
            if blank && !is_tight(c) && last.is_some_and(|last| !is_tight(last)) {
                normal.push(' ');
            }
            normal.push(c);
            (last, blank) = (Some(c), false);
        }
        Self(normal)
    }
}

/// The published examples carry `<br>` by a slip, and callers paste them.
fn without_line_breaks(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let (before, tag) = rest.split_at(at);
        kept.push_str(before);
        rest = after_line_break(tag).unwrap_or_else(|| {
            kept.push('<');
            &tag[1..]
        });
    }
    kept + rest
}

/// What follows `<br>`, `<BR/>` or `<br />` at the beginning of a text.
fn after_line_break(tag: &str) -> Option<&str> {
    let (name, rest) = tag.split_at_checked("<br".len())?;
    let rest = name.eq_ignore_ascii_case("<br").then_some(rest)?.trim_start();
    rest.strip_prefix('/').unwrap_or(rest).strip_prefix('>')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(text: &str) -> String {
        NormalMandate::of(text).0
    }

    #[test]
    fn blanks_are_one_or_around_marks_none() {
        for text in [
            "kkl. §156 (3) og (4), jf. kkfor.§21",
            "kkl.§156 (3) og (4),jf.kkfor.§21",
            " kkl . § 156  (3)\tog\u{a0}(4) ,\u{202f}jf .\u{2009}kkfor. \u{a0} § 21\u{3000}",
        ] {
            assert_eq!(normal(text), "kkl.§156 (3) og (4),jf.kkfor.§21", "{text:?}");
        }
    }

    #[test]
    fn line_breaks_are_dropped_and_nothing_else() {
        assert_eq!(normal("a<br>b<BR/>c<bR />d"), "abcd");
        assert_eq!(normal("jf.<br> vergemål"), "jf.vergemål");
        for text in ["a<b>b", "a<br", "a<br x>b", "a<", "a<bræ>", "<<brr>", "<æ"] {
            assert_eq!(normal(text), text, "{text:?}");
        }
    }

    #[test]
    fn composed_and_decomposed_letters_are_the_same() {
        assert_eq!(normal("Vergema\u{30a}lsloven"), "Vergemålsloven");
        assert_eq!(normal("a<br>\u{30a}"), "å");
    }

    #[test]
    fn a_mandate_of_blanks_is_none() {
        for text in ["", " \u{a0}", "<br>", "<br> <BR/>"] {
            assert_eq!(Mandate::parse(text), Err(EmptyMandate), "{text:?}");
        }
    }
}
