//! `Legal-Mandate` as it is sent: a text in percent-encoded or plain UTF-8.

/// Why it is refused. Each says where, by the place of the character in the header, and repeats nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MandateFault {
    #[error("is empty")]
    Empty,
    #[error("is longer than {0} bytes once it is decoded")]
    TooLong(usize),
    #[error(
        "has a % at character {0} that two hexadecimal digits do not follow; a percent sign itself is %25"
    )]
    BrokenPercent(usize),
    #[error("is not UTF-8 at character {0}; § is %C2%A7, for instance")]
    NotUtf8(usize),
    #[error("has a control character at character {0}")]
    Control(usize),
    #[error("has + for blanks, at character {0} for the first time; a blank is %20, and a plus sign %2B")]
    PlusForBlank(usize),
}

/// The text that is sent, at most so many bytes of it.
pub fn decode(sent: &[u8], most_bytes: usize) -> Result<String, MandateFault> {
    let (bytes, places) = percent_decode(sent)?;
    if bytes.len() > most_bytes {
        return Err(MandateFault::TooLong(most_bytes));
    }
    let text = String::from_utf8(bytes)
        .map_err(|cause| MandateFault::NotUtf8(places[cause.utf8_error().valid_up_to()]))?;
    if let Some((at, _)) = text.char_indices().find(|(_, c)| c.is_control()) {
        return Err(MandateFault::Control(places[at]));
    }
    if text.trim().is_empty() {
        return Err(MandateFault::Empty);
    }
    match memchr::memchr(b'+', sent) {
        Some(at) if !text.contains(char::is_whitespace) => Err(MandateFault::PlusForBlank(at + 1)),
        _ => Ok(text),
    }
}

/// The bytes, and for each where it stands in what was sent, counted from 1.
fn percent_decode(sent: &[u8]) -> Result<(Vec<u8>, Vec<usize>), MandateFault> {
    let (mut bytes, mut places) = (Vec::with_capacity(sent.len()), Vec::with_capacity(sent.len()));
    let mut at = 0;
    while let Some(byte) = sent.get(at) {
        places.push(at + 1);
        if *byte == b'%' {
            let digits = sent.get(at + 1..at + 3).and_then(hexadecimal);
            bytes.push(digits.ok_or(MandateFault::BrokenPercent(at + 1))?);
            at += 3;
        } else {
            bytes.push(*byte);
            at += 1;
        }
    }
    Ok((bytes, places))
}

fn hexadecimal(digits: &[u8]) -> Option<u8> {
    let value = |digit: u8| {
        char::from(digit)
            .to_digit(16)
            .and_then(|value| u8::try_from(value).ok())
    };
    Some(value(digits[0])? << 4 | value(digits[1])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mandate_is_read_plain_and_encoded() {
        for sent in ["Testloven%20%C2%A7%201", "Testloven § 1", "Testloven %c2%a7%201"] {
            assert_eq!(decode(sent.as_bytes(), 1024).as_deref(), Ok("Testloven § 1"));
        }
        assert_eq!(decode(b"A+B 1%2B1", 1024).as_deref(), Ok("A+B 1+1"));
        assert_eq!(decode(b"%2B", 1024).as_deref(), Ok("+"));
    }

    #[test]
    fn a_fault_says_where() {
        for (sent, fault) in [
            ("", MandateFault::Empty),
            ("%20", MandateFault::Empty),
            ("abc%", MandateFault::BrokenPercent(4)),
            ("%41%4", MandateFault::BrokenPercent(4)),
            ("100%, §", MandateFault::BrokenPercent(4)),
            ("%41%A7%201", MandateFault::NotUtf8(4)),
            ("a%0Ab", MandateFault::Control(2)),
            ("a%C2%85b", MandateFault::Control(2)),
            ("Loven+%C2%A7+1", MandateFault::PlusForBlank(6)),
        ] {
            assert_eq!(decode(sent.as_bytes(), 1024), Err(fault), "{sent}");
        }
    }

    #[test]
    fn its_length_is_that_of_what_is_decoded() {
        assert_eq!(decode("%41".repeat(8).as_bytes(), 8).as_deref(), Ok("AAAAAAAA"));
        assert_eq!(decode("å".repeat(5).as_bytes(), 8), Err(MandateFault::TooLong(8)));
    }
}
