//! Numbers that name somebody, written in thousands of ways: none is left in what is kept of a text.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use kundeforhold::domain::noted::NotedText;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

const WAYS: u32 = 8_000;
const BETWEEN: [&str; 30] = [
    "",
    "",
    "",
    " ",
    ".",
    "-",
    "/",
    "\u{a0}",
    "\u{202f}",
    "\u{2009}",
    "\t",
    "\u{200b}",
    "\u{2060}",
    "\u{feff}",
    "\u{ad}",
    "\u{3164}",
    "<br>",
    "<BR />",
    "<b class=\"x\">",
    "&nbsp;",
    "&#8203;",
    "%20",
    "%2520",
    "%3Cbr%3E",
    "&lt;br&gt;",
    "\\n",
    "\u{2013}",
    "_",
    ", ",
    " (",
];
const AROUND: [(&str, &str); 5] = [
    ("", ""),
    ("Skatteforvaltningsloven § 10-2 om ", ", jf. § 10-14"),
    ("fødselsnr:", ""),
    ("LOV-2005-05-20-28 om ", " og fler"),
    ("<", ">"),
];

/// How one digit is written.
fn digit(digit: u32, how: usize) -> String {
    let at = |first: u32| char::from_u32(first + digit).unwrap().to_string();
    let byte = 0x30 + digit;
    match how {
        0..=2 => at(0x30),
        3 => at(0xff10),
        4 => at(0x660),
        5 => at(0x966),
        6 => at(0x1d7ce),
        7 => at(0x1fbf0),
        8 => format!("%{byte:02x}"),
        9 => format!("%25{byte:02X}"),
        10 => format!("%252525{byte:02X}"),
        11 => format!("&#{byte};"),
        12 => format!("&#x{byte:x};"),
        13 => format!("&amp;#{byte};"),
        14 => format!("\\u{byte:04x}"),
        15 => format!("\\x{byte:02x}"),
        16 => format!("%u{byte:04x}"),
        17 => at(0xff10).bytes().map(|byte| format!("%{byte:02X}")).collect(),
        _ => format!("{}\u{fe0f}\u{20e3}", at(0x30)),
    }
}

/// How the whole is encoded.
fn encoded(text: &str, how: usize) -> String {
    match how {
        0 => STANDARD.encode(text),
        1 => URL_SAFE_NO_PAD.encode(text),
        2 => STANDARD.encode(STANDARD.encode(text)),
        3 => {
            let encoded = STANDARD.encode(text);
            let letters = encoded.trim_end_matches('=').bytes();
            letters.map(|byte| format!("%{byte:02X}")).collect()
        }
        4 => STANDARD.encode(format!("id={text};")),
        5 => STANDARD.encode(text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()),
        6 => format!("xyz{}", URL_SAFE_NO_PAD.encode(text)),
        _ => text.to_owned(),
    }
}

fn numbers() -> impl Strategy<Value = String> {
    prop_oneof!["[0-9]{11}", "[89][0-9]{8}"]
}

/// A number in digits of one way or of several, with nothing, something or all sorts of things between them.
fn written() -> impl Strategy<Value = String> {
    let all = (0..19_usize, any::<bool>(), select(&BETWEEN[..]), any::<bool>());
    let each = prop::collection::vec((0..19_usize, select(&BETWEEN[..])), 11);
    (numbers(), all, each).prop_map(|(number, (how, same_digits, between, same_between), each)| {
        let mut text = String::new();
        for (place, (one, (own_how, own_between))) in number.chars().zip(each).enumerate() {
            if place > 0 {
                text += if same_between { between } else { own_between };
            }
            text += &digit(one.to_digit(10).unwrap(), if same_digits { how } else { own_how });
        }
        text
    })
}

#[test]
fn a_number_is_masked_however_it_is_written() {
    let config = Config {
        cases: WAYS,
        failure_persistence: None,
        ..Config::default()
    };
    let cases = (written(), 0..14_usize, select(&AROUND[..]));
    let checked = TestRunner::new(config).run(&cases, |(written, how, (before, after))| {
        let number = encoded(&written, how);
        let text = format!("{before}{number}{after}");
        let noted = NotedText::of(&text);
        let kept = noted
            .as_str()
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after));
        // What is around a number within its encoding, and marks at its ends, may go or stay.
        let kept = kept.unwrap_or_else(|| noted.as_str()).replace("(masked)", "");
        prop_assert!(
            !kept.contains(char::is_alphanumeric),
            "{text:?} was kept as {:?}",
            noted.as_str()
        );
        Ok(())
    });
    checked.unwrap();
}

#[test]
fn what_is_no_number_of_anybody_is_kept() {
    for text in [
        "Skatteforvaltningsloven § 10-2 første ledd, jf. § 10-14, jf. skatteforvaltningsforskriften § 10-2-1",
        "Straffeprosessloven §210 (3) første punktum",
        "Vergemålsloven § 54 (2), jf. vergemålsforskriften §20a (2), jf. vergemålsforskriften §20a (1) a",
        "kkl. §156 (3) og (4), jf. kkfor.§21",
        "Arveloven § 92 første ledd og § 118, jf. § 88 a, jf. forskrift om Digitalt dødsbo",
        "LOV-2005-05-20-28 § 210",
        "FOR-2016-11-23-1360",
        "lov 15. juni 2018 nr. 38",
        "01.01.2024 til 31.12.2024",
        "SKATTEFORVALTNINGSLOVEN",
        "100 % <br> & \\ %zz &x %",
        "",
        "æ",
    ] {
        assert_eq!(NotedText::of(text).as_str(), text);
    }
    assert_eq!(NotedText::of("om 179120 99997, § 2").as_str(), "om (masked), § 2");
}

#[test]
fn the_beginning_is_cut_behind_the_mask() {
    let text = format!("{}17912099997{}", "å".repeat(195), "b".repeat(900));
    let noted = NotedText::beginning_of(&text, 200);
    assert_eq!(noted.as_str(), format!("{}(mask", "å".repeat(195)));
    assert_eq!(NotedText::beginning_of("abc", 200).as_str(), "abc");
}
