//! What the metrics say.

use super::Service;

impl Service {
    /// The value of a series, as `name` or `name{label="value"}`; 0 where there is none.
    pub async fn metric(&self, series: &str) -> f64 {
        value_of(&self.metrics().await, series)
    }

    /// Lookups that the cache could answer (`hit`), could not (`miss`), had an entry for that does not hold (`refused`),
    /// or was not there for (`error`).
    pub async fn cache_lookups(&self, result: &str) -> f64 {
        let series = format!("kundeforhold_cache_lookups_total{{result=\"{result}\"}}");
        self.metric(&series).await
    }
}

/// The same of a text that was fetched.
pub fn value_of(metrics: &str, series: &str) -> f64 {
    let value = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok();
    metrics.lines().find_map(value).unwrap_or(0.0)
}
