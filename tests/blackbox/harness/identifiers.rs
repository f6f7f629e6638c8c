//! Valid synthetic identifiers, as many as a test wants; worked out anew here, so that the program's own rules
//! are tested too.

/// Person numbers of the series with 80 added to the month.
pub fn people() -> impl Iterator<Item = String> {
    let of_year = |day, year| (0..1000u32).filter_map(move |serial| person(day, year, serial));
    (17..=28u32).flat_map(move |day| (50..100u32).flat_map(move |year| of_year(day, year)))
}

fn person(day: u32, year: u32, serial: u32) -> Option<String> {
    let nine = format!("{day:02}91{year:02}{serial:03}");
    let ten = format!("{nine}{}", check_digit(&nine, &[3, 7, 6, 1, 8, 9, 4, 5, 2])?);
    let last = check_digit(&ten, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2])?;
    Some(format!("{ten}{last}"))
}

/// Account numbers.
pub fn accounts() -> impl Iterator<Item = String> {
    (1..1_000_000u32).filter_map(|serial| {
        let ten = format!("9999{serial:06}");
        Some(format!(
            "{ten}{}",
            check_digit(&ten, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2])?
        ))
    })
}

/// Organisation numbers that are nobody's.
pub fn organizations() -> impl Iterator<Item = String> {
    (39_000_000..40_000_000u32).filter_map(|serial| {
        let eight = serial.to_string();
        Some(format!(
            "{eight}{}",
            check_digit(&eight, &[3, 2, 7, 6, 5, 4, 3, 2])?
        ))
    })
}

/// By modulus 11; ten is no digit.
fn check_digit(digits: &str, weights: &[u32]) -> Option<u32> {
    let sum: u32 = digits
        .bytes()
        .zip(weights)
        .map(|(digit, weight)| u32::from(digit - b'0') * weight)
        .sum();
    Some((11 - sum % 11) % 11).filter(|digit| *digit < 10)
}
