//! Legal mandates as callers write them.

use crate::{SRF, VERGE_MANDATE, caller, day, default_terms, judge, relationships, verdict};
use kundeforhold::domain::identifiers::CustomerKind;
use percent_encoding::percent_decode_str;

/// As Vergekontroll's published description has it, the slip included.
const PUBLISHED: &str = "Vergem%C3%A5lsloven%20%C2%A7%2054%20(2)%2C%20jf.<br>%20vergem%C3%A5lsforskriften%20%C2%A720a%20(2)%2C%20jf.<br>%20vergem%C3%A5lsforskriften%20%C2%A720a%20(1)%20a";
/// The published mandate of step 2, which is not this register's business.
const PUBLISHED_STEP_2: &str = "Vergem%C3%A5lsloven%20%C2%A7%2054%20(2)%2C%20jf.<br>%20vergem%C3%A5lsforskriften%20%C2%A7%2020%20(2)%2C%20jf.<br>%20vergem%C3%A5lsforskriften%20%C2%A7%2020a%20(1)%20b-e";

/// What SRF is told about its yearly question with this mandate, percent-decoded once as at the edge.
fn told(mandate: &str) -> Result<String, &'static str> {
    let decoded = percent_decode_str(mandate).decode_utf8().unwrap();
    verdict(judge(
        &default_terms(),
        &caller(SRF, None, crate::GENERAL),
        relationships(CustomerKind::Person, "2025-01-01", "2025-12-31", Some(true)),
        Some(&decoded),
        day("2026-11-20"),
    ))
}

#[test]
fn the_published_mandate_is_taken_however_it_is_written() {
    for mandate in [
        VERGE_MANDATE.to_owned(),
        PUBLISHED.to_owned(),
        PUBLISHED.replace("<br>", ""),
        PUBLISHED.replace("<br>", "<BR>"),
        PUBLISHED.replace("<br>", "<bR/>"),
        PUBLISHED.replace("<br>", "%3Cbr%20/%3E"),
        PUBLISHED.replace('(', "%28").replace(')', "%29"),
        PUBLISHED
            .to_lowercase()
            .replace("vergem%c3%a5lsloven", "Vergem%c3%a5lsloven"),
        VERGE_MANDATE.replace(' ', "\u{a0}"),
        VERGE_MANDATE.replace(' ', "\u{202f}"),
        VERGE_MANDATE.replace(' ', "\u{2009}"),
        VERGE_MANDATE.replace(' ', "\t"),
        VERGE_MANDATE.replace(' ', "%C2%A0%20"),
        VERGE_MANDATE.replace(' ', "  "),
        VERGE_MANDATE.replace('å', "a\u{30a}"),
        VERGE_MANDATE.replace('å', "a%CC%8A"),
        VERGE_MANDATE.replace("§ ", "§"),
        VERGE_MANDATE.replace("§20", " §   20"),
        VERGE_MANDATE.replace(", jf. ", ",jf."),
        VERGE_MANDATE.replace(", jf. ", " , jf . "),
        format!(" {VERGE_MANDATE}\u{a0}"),
    ] {
        assert_eq!(told(&mandate).as_deref(), Ok("Vergekontroll"), "{mandate:?}");
    }
}

#[test]
fn another_section_a_missing_word_and_encoding_twice_are_refused() {
    for mandate in [
        PUBLISHED_STEP_2.to_owned(),
        VERGE_MANDATE.replace("54", "55"),
        VERGE_MANDATE.replace("54", "5 4"),
        VERGE_MANDATE.replace("20a", "20 a"),
        VERGE_MANDATE.replace("20a", "20b"),
        VERGE_MANDATE.replace("(1) a", "(1)"),
        VERGE_MANDATE.replace("(1) a", "(1) a-b"),
        VERGE_MANDATE.replace("jf. ", ""),
        VERGE_MANDATE.replace("jf. ", "jf "),
        VERGE_MANDATE.replace('§', ""),
        VERGE_MANDATE.replace('§', "§§"),
        VERGE_MANDATE.replace(' ', ""),
        VERGE_MANDATE.replace(' ', "+"),
        VERGE_MANDATE.replace(' ', "\u{200b}"),
        VERGE_MANDATE.replace('å', "a"),
        VERGE_MANDATE.replace('å', "aa"),
        VERGE_MANDATE.to_uppercase(),
        PUBLISHED.replace('%', "%25"),
        PUBLISHED.replace("<br>", "<p>"),
        PUBLISHED.replace("<br>", "&lt;br&gt;"),
        format!("{VERGE_MANDATE}, jf. § 1"),
        format!("{VERGE_MANDATE} {VERGE_MANDATE}"),
        "*".to_owned(),
        String::new(),
        "<br>".to_owned(),
    ] {
        assert_eq!(told(&mandate), Err("mandate"), "{mandate:?}");
    }
}

#[test]
fn the_terms_may_be_written_decomposed_and_wrapped_too() {
    let mandate = VERGE_MANDATE
        .replace('å', "a\u{30a}")
        .replace("jf. ", "jf.<br>\u{a0}");
    let text = kundeforhold::access::terms::DEFAULT.replace(VERGE_MANDATE, &mandate);
    let terms = kundeforhold::access::terms::Terms::parse(&text).unwrap();
    let wanted = relationships(CustomerKind::Person, "2025-01-01", "2025-12-31", Some(true));
    let srf = caller(SRF, None, crate::GENERAL);
    assert!(judge(&terms, &srf, wanted, Some(VERGE_MANDATE), day("2026-11-20")).is_ok());
}
