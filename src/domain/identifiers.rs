//! The national identifiers, parsed once at the edge into types that cannot hold an invalid value.
//!
//! A customer or an account never shows its digits: `Debug` is masked and there is no `Display`.
//! Organisation numbers of banks and agencies are public and do show.

use std::fmt;

/// How identifiers are judged: which check digits, and which synthetic series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdentifierRules {
    pub check: Check,
    pub synthetic: SyntheticSeries,
    /// Accept the first check digit of numbers issued from 1 January 2032 (Skatteetaten's reform).
    pub accept_2032: bool,
}

/// How far an identifier is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Length, digits, date and check digits: production.
    Strict,
    /// Length and digits only, where that helps an integration test.
    Format,
}

/// The synthetic person number series to accept; all off in production.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SyntheticSeries {
    /// Month + 80 (Tenor).
    pub tenor: bool,
    /// Month + 65 (Norsk Helsenett).
    pub helsenett: bool,
    /// Month + 40 (Dolly).
    pub dolly: bool,
}

impl SyntheticSeries {
    pub const ALL: Self = Self {
        tenor: true,
        helsenett: true,
        dolly: true,
    };
    pub const NONE: Self = Self {
        tenor: false,
        helsenett: false,
        dolly: false,
    };

    /// The calendar month behind a written month, if its series is accepted.
    fn calendar_month(self, written: u8) -> Option<u8> {
        match written {
            1..=12 => Some(written),
            41..=52 if self.dolly => Some(written - 40),
            66..=77 if self.helsenett => Some(written - 65),
            81..=92 if self.tenor => Some(written - 80),
            _ => None,
        }
    }
}

impl IdentifierRules {
    /// Production: strict, no synthetic series, both generations of check digits.
    pub const PRODUCTION: Self = Self {
        check: Check::Strict,
        synthetic: SyntheticSeries::NONE,
        accept_2032: true,
    };
    /// Trials and tests: strict, all synthetic series.
    pub const SYNTHETIC: Self = Self {
        check: Check::Strict,
        synthetic: SyntheticSeries::ALL,
        accept_2032: true,
    };
}

/// Why a text is not the identifier it should be. Never carries the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIdentifier {
    #[error("must have {expected} digits and nothing else")]
    Shape { expected: &'static str },
    #[error("holds a date that does not exist, or a synthetic series that is not accepted here")]
    Date,
    #[error("has a wrong check digit")]
    CheckDigit,
    #[error("must not begin with 0000")]
    LeadingZeros,
}

/// Whether a customer is a person or an organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CustomerKind {
    /// Fødselsnummer or D-number.
    Person,
    Organization,
}

/// The person or organisation asked about, or delivered: fødselsnummer, D-number or organisation number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CustomerId {
    kind: CustomerKind,
    number: u64,
}

impl CustomerId {
    /// Parses 11 digits as a person number and 9 as an organisation number, surrounding blanks trimmed.
    pub fn parse(text: &str, rules: &IdentifierRules) -> Result<Self, InvalidIdentifier> {
        let text = text.trim_matches([' ', '\t']);
        if let Some(digits) = digits::<11>(text) {
            if rules.check == Check::Strict {
                check_person_number(&digits, rules)?;
            }
            Ok(Self {
                kind: CustomerKind::Person,
                number: number(&digits),
            })
        } else if let Some(digits) = digits::<9>(text) {
            if rules.check == Check::Strict {
                check_organization_number(&digits)?;
            }
            Ok(Self {
                kind: CustomerKind::Organization,
                number: number(&digits),
            })
        } else {
            Err(InvalidIdentifier::Shape { expected: "9 or 11" })
        }
    }

    pub fn kind(&self) -> CustomerKind {
        self.kind
    }

    /// What the keyed pseudonyms are made of: the kind and the number, five bytes, most significant first.
    pub fn to_secret_bytes(&self) -> [u8; 6] {
        let kind = match self.kind {
            CustomerKind::Person => 1,
            CustomerKind::Organization => 2,
        };
        let n = self.number.to_be_bytes();
        [kind, n[3], n[4], n[5], n[6], n[7]]
    }
}

impl fmt::Debug for CustomerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CustomerId({:?}, masked)", self.kind)
    }
}

/// An account number, 11 digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountNumber(u64);

impl AccountNumber {
    /// As a lookup key: 11 digits, no MOD11 check (published rule).
    pub fn parse_lookup_key(text: &str) -> Result<Self, InvalidIdentifier> {
        digits::<11>(text.trim_matches([' ', '\t']))
            .map(|digits| Self(number(&digits)))
            .ok_or(InvalidIdentifier::Shape { expected: "11" })
    }

    /// In a bank's delivery: check digit by MOD11, and not beginning with `0000`.
    pub fn parse_delivered(text: &str, rules: &IdentifierRules) -> Result<Self, InvalidIdentifier> {
        const WEIGHTS: [u32; 10] = [5, 4, 3, 2, 7, 6, 5, 4, 3, 2];
        let digits = digits::<11>(text.trim_matches([' ', '\t']))
            .ok_or(InvalidIdentifier::Shape { expected: "11" })?;
        if rules.check == Check::Strict {
            if digits.starts_with(&[0, 0, 0, 0]) {
                return Err(InvalidIdentifier::LeadingZeros);
            }
            check_mod_11(&digits, &WEIGHTS)?;
        }
        Ok(Self(number(&digits)))
    }

    /// What the keyed pseudonyms are made of: the number, five bytes, most significant first.
    pub fn to_secret_bytes(&self) -> [u8; 5] {
        let n = self.0.to_be_bytes();
        [n[3], n[4], n[5], n[6], n[7]]
    }
}

impl fmt::Debug for AccountNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountNumber(masked)")
    }
}

/// The organisation number of a bank or an agency: 9 digits with a MOD11 check digit. Public, so it shows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrganizationNumber(u32);

impl OrganizationNumber {
    /// Parses 9 digits with their check digit, surrounding blanks trimmed. Always strict:
    /// institutions are few, real and registered.
    pub fn parse(text: &str) -> Result<Self, InvalidIdentifier> {
        let digits =
            digits::<9>(text.trim_matches([' ', '\t'])).ok_or(InvalidIdentifier::Shape { expected: "9" })?;
        check_organization_number(&digits)?;
        Ok(Self(number(&digits) as u32))
    }

    /// The number itself, below 1,000,000,000.
    pub fn as_u32(self) -> u32 {
        self.0
    }

    /// Reads back what [`as_u32`](Self::as_u32) gave; `None` for what no organisation number gives.
    pub fn from_u32(value: u32) -> Option<Self> {
        let (digits, rest) = last_digits(value);
        let known = rest == 0 && check_organization_number(&digits).is_ok();
        known.then_some(Self(value))
    }
}

/// The last nine digits of a number, and what stands before them.
fn last_digits(value: u32) -> ([u8; 9], u32) {
    let (mut digits, mut rest) = ([0; 9], value);
    for digit in digits.iter_mut().rev() {
        (*digit, rest) = ((rest % 10) as u8, rest / 10);
    }
    (digits, rest)
}

impl fmt::Display for OrganizationNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (digits, _) = last_digits(self.0);
        let text = digits.map(|digit| b'0' + digit);
        f.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for OrganizationNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn digits<const N: usize>(text: &str) -> Option<[u8; N]> {
    let bytes: [u8; N] = text.as_bytes().try_into().ok()?;
    bytes
        .iter()
        .all(u8::is_ascii_digit)
        .then(|| bytes.map(|byte| byte - b'0'))
}

fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(*digit))
}

fn weighted(digits: &[u8], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(d, w)| u32::from(*d) * w).sum()
}

/// The last digit completes the weighted sum of the others to a multiple of 11.
fn check_mod_11(digits: &[u8], weights: &[u32]) -> Result<(), InvalidIdentifier> {
    let check_digit = digits.last().map_or(0, |digit| u32::from(*digit));
    match (weighted(digits, weights) + check_digit) % 11 {
        0 => Ok(()),
        _ => Err(InvalidIdentifier::CheckDigit),
    }
}

fn check_organization_number(digits: &[u8; 9]) -> Result<(), InvalidIdentifier> {
    check_mod_11(digits, &[3, 2, 7, 6, 5, 4, 3, 2])
}

fn check_person_number(digits: &[u8; 11], rules: &IdentifierRules) -> Result<(), InvalidIdentifier> {
    const W1: [u32; 9] = [3, 7, 6, 1, 8, 9, 4, 5, 2];
    const W2: [u32; 10] = [5, 4, 3, 2, 7, 6, 5, 4, 3, 2];
    if !date_exists(digits, rules.synthetic) {
        return Err(InvalidIdentifier::Date);
    }
    let first = (weighted(&digits[..9], &W1) + u32::from(digits[9])) % 11;
    if first > if rules.accept_2032 { 3 } else { 0 } {
        return Err(InvalidIdentifier::CheckDigit);
    }
    check_mod_11(digits, &W2)
}

/// The day and month exist. The century is not derived: a leap day by the two-digit year alone.
fn date_exists(digits: &[u8; 11], series: SyntheticSeries) -> bool {
    let pair = |at: usize| digits[at] * 10 + digits[at + 1];
    let (written_day, year) = (pair(0), pair(4));
    let Some(month) = series.calendar_month(pair(2)) else {
        return false;
    };
    let day = if written_day > 40 {
        written_day - 40
    } else {
        written_day
    };
    let last = match month {
        2 if year % 4 == 0 => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    (1..=last).contains(&day)
}

#[cfg(test)]
mod tests;
