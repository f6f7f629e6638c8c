//! Values that must not be found again, in every form that a program would store a number or text in.

use crate::harness::identifiers::{accounts, organizations, people};
use crate::harness::issuer::{AGENCY, TestIssuer};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const AGREEMENT: &str = "canary-agreement-5f1e";

pub struct Canaries {
    customers: Vec<String>,
    accounts: Vec<String>,
    tokens: Vec<String>,
    forms: Forms,
}

/// What to search for, and whose form it is, by its first two bytes: one pass finds them all.
struct Forms(Vec<Vec<(Vec<u8>, String)>>);

impl Forms {
    fn new(forms: impl Iterator<Item = (Vec<u8>, String)>) -> Self {
        let mut table = vec![Vec::new(); 1 << 16];
        for (form, whose) in forms {
            table[usize::from(form[0]) << 8 | usize::from(form[1])].push((form, whose));
        }
        Self(table)
    }

    fn find<'f>(&'f self, haystack: &[u8]) -> Option<(usize, &'f str)> {
        (1..haystack.len()).find_map(|end| {
            let candidates = &self.0[usize::from(haystack[end - 1]) << 8 | usize::from(haystack[end])];
            let rest = &haystack[end - 1..];
            candidates
                .iter()
                .find(|(form, _)| rest.starts_with(form))
                .map(|(_, whose)| (end - 1, whose.as_str()))
        })
    }
}

impl Canaries {
    pub fn new(issuer: &TestIssuer, bank: &str) -> Self {
        let customers: Vec<String> = people()
            .skip(9_000)
            .take(2)
            .chain(organizations().skip(90).take(1))
            .collect();
        let accounts: Vec<String> = accounts().skip(900).take(2).collect();
        let tokens = vec![
            issuer.agency_token(),
            issuer.bank_token(bank),
            issuer.token(AGENCY, "bits:other"),
        ];
        let numbers = customers
            .iter()
            .chain(&accounts)
            .flat_map(|number| forms_of_number(number));
        let texts = [AGREEMENT.to_owned()]
            .into_iter()
            .chain(tokens.iter().flat_map(|token| parts_of_token(token)));
        let forms = Forms::new(numbers.chain(texts.flat_map(|text| forms_of_text(&text))));
        Self {
            customers,
            accounts,
            tokens,
            forms,
        }
    }

    pub fn customers(&self) -> &[String] {
        &self.customers
    }

    pub fn accounts(&self) -> &[String] {
        &self.accounts
    }

    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// One of each kind.
    pub fn texts(&self) -> [&str; 5] {
        [
            &self.customers[0],
            &self.customers[2],
            &self.accounts[0],
            AGREEMENT,
            &self.tokens[2],
        ]
    }

    /// A set that holds them all.
    pub fn records(&self) -> String {
        let mut lines = String::new();
        for customer in &self.customers {
            let mut push = |more: &str| {
                lines += &format!(
                    "{{\"customerID\":\"{customer}\",\"role\":\"owner\",\"fromDate\":\"2015-01-01\"{more}}}\n"
                );
            };
            push("");
            push(&format!(",\"agreementID\":\"{AGREEMENT}\""));
            self.accounts
                .iter()
                .for_each(|account| push(&format!(",\"accountID\":\"{account}\"")));
        }
        lines
    }

    pub fn assert_absent(&self, haystack: &[u8], place: &str) {
        if let Some((at, whose)) = self.forms.find(haystack) {
            let around = &haystack[at.saturating_sub(80)..(at + 100).min(haystack.len())];
            panic!("{whose} is in {place}: {}", String::from_utf8_lossy(around));
        }
    }
}

fn forms_of_number(number: &str) -> Vec<(Vec<u8>, String)> {
    let value: u64 = number.parse().unwrap();
    let (big, little) = (value.to_be_bytes(), value.to_le_bytes());
    let binary = [
        big.to_vec(),
        little.to_vec(),
        big[3..].to_vec(),
        little[..5].to_vec(),
        variable_length(value),
    ];
    let binary = binary
        .into_iter()
        .map(|form| (form, format!("{number} as bytes")));
    forms_of_text(number).into_iter().chain(binary).collect()
}

/// Seven bits a byte, lowest first, as postcard and protocol buffers write numbers.
fn variable_length(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn forms_of_text(text: &str) -> Vec<(Vec<u8>, String)> {
    let hexadecimal: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let reversed: String = text.chars().rev().collect();
    let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let encoded = STANDARD.encode(text).trim_end_matches('=').to_owned();
    // The last characters depend on what follows.
    let encoded = encoded[..encoded.len() - 2].to_owned();
    let forms = [
        text.as_bytes().to_vec(),
        hexadecimal.into_bytes(),
        reversed.into_bytes(),
        wide,
        encoded.into_bytes(),
    ];
    forms.into_iter().map(|form| (form, text.to_owned())).collect()
}

/// Claims and signature; the header is the same in all.
fn parts_of_token(token: &str) -> Vec<String> {
    let parts: Vec<&str> = token.split('.').collect();
    parts[1..]
        .iter()
        .map(|part| part[..60].to_owned())
        .chain(parts[1..].iter().map(|part| part[part.len() - 60..].to_owned()))
        .collect()
}

#[test]
fn a_canary_is_found_in_every_form() {
    let canaries = Canaries {
        customers: Vec::new(),
        accounts: Vec::new(),
        tokens: Vec::new(),
        forms: Forms::new(forms_of_number("17915000077").into_iter()),
    };
    let value = 17_915_000_077_u64;
    for hidden in [
        b"xx17915000077yy".to_vec(),
        [b"xx".as_slice(), &value.to_be_bytes()[3..], b"yy"].concat(),
        [b"xx".as_slice(), &value.to_le_bytes(), b"yy"].concat(),
        [b"xx".as_slice(), &variable_length(value), b"yy"].concat(),
        STANDARD.encode("17915000077").into_bytes(),
    ] {
        let found = std::panic::catch_unwind(|| canaries.assert_absent(&hidden, "a test"));
        assert!(found.is_err(), "{hidden:?}");
    }
    canaries.assert_absent(b"17915000078", "a test");
}
