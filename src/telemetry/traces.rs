//! Spans of requests, exported by OTLP. They hold what the log line of a request holds, and nothing else.

use crate::config::TraceSettings;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use std::time::Duration;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::{Layer, Registry};

/// Longest wait for the collector to take a batch. What it does not take is lost, and told.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait at shutdown for the spans that are still here.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Why spans cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    #[error("traces.otlp_endpoint cannot be sent to: {0}")]
    Endpoint(#[from] ExporterBuildError),
}

/// The layer that turns spans of the program into exported ones.
pub(super) type Exported = Box<dyn Layer<Registry> + Send + Sync>;

/// What exports spans, if anything does.
pub struct Traces(Option<SdkTracerProvider>);

impl Traces {
    pub(super) fn open(settings: &TraceSettings) -> Result<Self, TracesError> {
        let Some(endpoint) = settings.otlp_endpoint() else {
            return Ok(Self(None));
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .with_timeout(EXPORT_TIMEOUT)
            .build()?;
        let share = f64::from(settings.sampled_percent) / 100.0;
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share)));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(sampler)
            .with_resource(Resource::builder().with_service_name("kundeforhold").build());
        Ok(Self(Some(provider.build())))
    }

    /// Spans of this program only: those of its libraries, and log lines, could say more than a span may.
    pub(super) fn layer(&self) -> Option<Exported> {
        let provider = self.0.as_ref()?;
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("kundeforhold"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false);
        let own_spans = filter_fn(|of| of.is_span() && of.target().starts_with("kundeforhold"));
        Some(layer.with_filter(own_spans).boxed())
    }

    /// Exports what is still here, within a bound.
    pub async fn flush(self) {
        let Some(provider) = self.0 else { return };
        let flushed =
            tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_TIMEOUT)).await;
        if !matches!(flushed, Ok(Ok(()))) {
            tracing::warn!("the last spans were not taken by their collector");
        }
    }
}
