//! Small charts, drawn here as SVG.

use std::fmt::Write;

/// A line over the points of a series, from left to right.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    pub width: f64,
    pub height: f64,
    /// `points` of the line.
    pub line: String,
    /// `points` of what lies below it.
    pub area: String,
    /// Where the last value is.
    pub last: (f64, f64),
    /// The same in words, for those who do not see it.
    pub label: String,
}

/// Room for the stroke and the last dot.
const MARGIN: f64 = 4.0;

impl Chart {
    /// `None` without two points to draw a line between. `from_zero`: the bottom is zero, rather than the least value.
    pub fn new(values: &[f64], width: f64, height: f64, from_zero: bool, label: String) -> Option<Self> {
        Self::with_room(values.len(), values, width, height, from_zero, label)
    }

    /// The same with room for more points on the left.
    pub fn with_room(
        room: usize,
        values: &[f64],
        width: f64,
        height: f64,
        from_zero: bool,
        label: String,
    ) -> Option<Self> {
        if values.len() < 2 {
            return None;
        }
        let missing = room.saturating_sub(values.len());
        let most = values.iter().copied().fold(f64::MIN, f64::max);
        let least = values.iter().copied().fold(f64::MAX, f64::min);
        let bottom = if from_zero { 0.0 } else { least };
        let span = most - bottom;
        let place = |(at, value): (usize, &f64)| {
            let steps = (missing + values.len() - 1) as f64;
            let x = MARGIN + (width - 2.0 * MARGIN) * (missing + at) as f64 / steps;
            // What never changed runs through the middle, and nothing at all along the bottom.
            let share = match (span > 0.0, from_zero) {
                (true, _) => (value - bottom) / span,
                (false, true) => 0.0,
                (false, false) => 0.5,
            };
            (x, height - MARGIN - (height - 2.0 * MARGIN) * share)
        };
        let points: Vec<(f64, f64)> = values.iter().enumerate().map(place).collect();
        let (first, last) = (points[0], points[points.len() - 1]);
        let line = text_of(&points);
        let area = format!("{:.1},{height} {line}{:.1},{height}", first.0, last.0);
        Some(Self {
            width,
            height,
            line,
            area,
            last,
            label,
        })
    }
}

fn text_of(points: &[(f64, f64)]) -> String {
    points.iter().fold(String::new(), |mut text, (x, y)| {
        let _ = write!(text, "{x:.1},{y:.1} ");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_runs_from_edge_to_edge_and_its_highest_value_is_on_top() {
        let chart = Chart::new(&[0.0, 10.0, 5.0], 100.0, 20.0, true, String::new()).unwrap();
        assert_eq!(chart.line, "4.0,16.0 50.0,4.0 96.0,10.0 ");
        assert_eq!(chart.last, (96.0, 10.0));
        assert_eq!(Chart::new(&[1.0], 100.0, 20.0, true, String::new()), None);
        let flat = Chart::new(&[3.0, 3.0], 100.0, 20.0, false, String::new()).unwrap();
        assert_eq!(flat.last.1, 10.0);
        let late = Chart::with_room(3, &[0.0, 1.0], 100.0, 20.0, true, String::new()).unwrap();
        assert_eq!(late.line, "50.0,16.0 96.0,4.0 ");
    }
}
