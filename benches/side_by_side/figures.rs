//! Medians of rounds, and tables in Markdown.

use super::wrk::Measured;

pub fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() % 2 {
        0 => (figures[middle - 1] + figures[middle]) / 2.0,
        _ => figures[middle],
    }
}

/// The same server in each round.
pub struct Rounds {
    pub name: String,
    pub connections: usize,
    pub measured: Vec<Measured>,
}

impl Rounds {
    pub fn new(name: impl Into<String>, connections: usize) -> Self {
        Self {
            name: name.into(),
            connections,
            measured: Vec::new(),
        }
    }

    fn median_of(&self, figure: fn(&Measured) -> f64) -> f64 {
        median(self.measured.iter().map(figure))
    }

    pub fn per_second(&self) -> f64 {
        self.median_of(|measured| measured.per_second)
    }
}

pub fn print_table(rounds: &[Rounds]) {
    println!("| | connections | requests/s | p50 ms | p99 ms | CPU s/1,000 requests |");
    println!("|---|---|---|---|---|---|");
    for of in rounds {
        println!(
            "| {} | {} | {:.0} | {:.2} | {:.2} | {:.4} |",
            of.name,
            of.connections,
            of.per_second(),
            of.median_of(|measured| measured.p50_ms),
            of.median_of(|measured| measured.p99_ms),
            of.median_of(|measured| measured.cpu_seconds),
        );
    }
    println!();
}

/// The ratio of each round, and their median.
pub fn print_ratio(goal: &str, of: &Rounds, to: &Rounds) {
    let ratios: Vec<f64> = of
        .measured
        .iter()
        .zip(&to.measured)
        .map(|(of, to)| of.per_second / to.per_second)
        .collect();
    let each: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
    println!(
        "{} ÷ {}, {} connections: {} → median **{:.2}** ({goal})",
        of.name,
        to.name,
        of.connections,
        each.join(" "),
        median(ratios)
    );
}

/// What the figures were measured on.
pub fn print_heading(title: &str) {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let information = read("/proc/cpuinfo");
    let model = information
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown", |line| line.trim_start_matches([' ', '\t', ':']));
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let today = chrono::Utc::now().date_naive();
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    println!(
        "\n### {title}\n\n{today}, {processors} × {model}, load before {load}; load generator on the same machine\n"
    );
}
