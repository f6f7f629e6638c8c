//! Whether a caller takes JSON, as RFC 9110 (12.5.1) has it.

use actix_web::http::header::{self, HeaderMap};

/// `Accept` is absent, or what fits JSON most closely is not refused.
pub fn admits_json(headers: &HeaderMap) -> bool {
    let values: Vec<&str> = headers
        .get_all(header::ACCEPT)
        .map(|value| value.to_str().unwrap_or_default())
        .collect();
    let mut ranges = values.iter().flat_map(|value| split(value, ',')).peekable();
    ranges.peek().is_none()
        || ranges
            .filter_map(Range::fitting)
            .max()
            .is_some_and(|range| range.weight > 0)
}

/// A range that JSON is in; the more closely it names it, the greater it is.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Range {
    closeness: u8,
    /// In thousandths.
    weight: u16,
}

impl Range {
    fn fitting(range: &str) -> Option<Self> {
        let mut parts = split(range, ';');
        let closeness = match parts.next()?.to_ascii_lowercase().as_str() {
            // Java's own client writes a bare star.
            "*/*" | "*" => 0,
            "application/*" => 1,
            "application/json" => 2,
            _ => return None,
        };
        // JSON has no parameters, so others than a weight tell nothing.
        let weight = parts.find_map(|part| {
            let (name, weight) = part.split_once('=')?;
            name.trim()
                .eq_ignore_ascii_case("q")
                .then(|| thousandths(weight.trim()))
        });
        Some(Self {
            closeness,
            weight: weight.unwrap_or(1000),
        })
    }
}

/// A weight from 0 to 1. One that cannot be read refuses nothing.
fn thousandths(weight: &str) -> u16 {
    let weight = weight
        .parse::<f32>()
        .ok()
        .filter(|weight| (0.0..=1.0).contains(weight));
    // Within the range just checked.
    weight.map_or(1000, |weight| (weight * 1000.0).ceil() as u16)
}

/// What stands between separators that are not quoted, without blanks; nothing of it empty.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = text.split(move |c| {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => return c == separator && !quoted,
        }
        false
    });
    parts.map(str::trim).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    fn admitted(values: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::ACCEPT, HeaderValue::from_str(value).unwrap());
        }
        admits_json(&headers)
    }

    #[test]
    fn what_fits_json_most_closely_decides() {
        for (accept, admits) in [
            ("", true),
            (" , ", true),
            ("*/*", true),
            ("application/json", true),
            ("application/json;charset=utf-8", true),
            ("application/json; profile=\"a,b;q=0\"", true),
            ("APPLICATION/*;q=0.1", true),
            ("application/json ; Q=0.001", true),
            ("text/html, image/gif, *; q=.2, */*; q=.2", true),
            ("*/*;q=0, application/json", true),
            ("application/*;q=0, application/json;q=0.5", true),
            ("text/html;q=0, */*", true),
            ("application/json;q=0", false),
            ("application/json;q=0.000, */*", false),
            ("application/*;q=0, */*;q=1", false),
            ("*/*;q=0", false),
            ("text/html", false),
            ("application/xml, text/json", false),
            ("application/jsonp", false),
            ("application/problem+json", false),
            ("text/plain; x=\"application/json\"", false),
        ] {
            assert_eq!(admitted(&[accept]), admits, "{accept}");
        }
        assert!(admitted(&[]));
        assert!(admitted(&["text/html", "application/json"]));
        assert!(!admitted(&["*/*", "application/json;q=0"]));
    }
}
