//! W3C trace context: a caller's `traceparent` is continued. `tracestate` is not: it is the caller's own text.

use super::headers::TRACEPARENT;
use actix_web::http::header::HeaderMap;
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Version, trace id, parent id and flags of the header, in hexadecimal digits.
const PARTS: [usize; 4] = [2, 32, 16, 2];

/// The trace that the caller's request belongs to, if it says so in the form of the recommendation.
pub fn caller_trace(headers: &HeaderMap) -> Option<SpanContext> {
    let mut sent = headers.get_all(&TRACEPARENT.name);
    let (Some(value), None) = (sent.next(), sent.next()) else {
        return None;
    };
    parse(value.to_str().ok()?)
}

/// Later versions may have more parts; `ff` is no version.
fn parse(text: &str) -> Option<SpanContext> {
    let mut parts = text.split('-');
    let mut next = |digits: usize| {
        let part = parts.next()?;
        let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (part.len() == digits && part.bytes().all(lower_hex)).then_some(part)
    };
    let [version, trace, span, flags] = [next(PARTS[0])?, next(PARTS[1])?, next(PARTS[2])?, next(PARTS[3])?];
    if version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED,
        true,
        TraceState::NONE,
    );
    context.is_valid().then_some(context)
}

/// Where a request belongs.
pub struct Trace {
    pub id: Option<TraceId>,
    /// Whether there is an exporter that takes its span.
    pub is_exported: bool,
}

/// Lets a request's span continue the caller's trace, and gives the trace that it belongs to.
pub fn continue_trace(span: &Span, caller: Option<SpanContext>) -> Trace {
    let known = caller.as_ref().map(SpanContext::trace_id);
    if let Some(caller) = caller {
        // Without an exporter there is nothing that could have a parent.
        let _ = span.set_parent(Context::new().with_remote_span_context(caller));
    }
    let own = span.context().span().span_context().trace_id();
    let is_exported = own != TraceId::INVALID;
    Trace {
        id: if is_exported { Some(own) } else { known },
        is_exported,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_as_the_recommendation_says() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let read = parse(good).unwrap();
        assert_eq!(read.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(read.span_id().to_string(), "b7ad6b7169203331");
        assert!(read.is_sampled());
        assert!(!parse(&good.replace("-01", "-00")).unwrap().is_sampled());
        assert!(parse(&format!("{}-more", good.replacen("00", "01", 1))).is_some());
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-01",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }
}
