//! Log lines as JSON. `tracing_subscriber` has such a format too, which checks and copies each fragment of a line, and
//! so takes three times as long; here a line is put together and handed over as one.

use crate::text::shown::Seen;
use chrono::{DateTime, Utc};
use serde::Serializer as _;
use serde::ser::SerializeMap;
use serde_json::Serializer;
use serde_json::ser::CompactFormatter;
use std::cell::RefCell;
use std::fmt;
use tracing::{Event, Level, Subscriber};
use tracing_serde::SerdeMapVisitor;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, SpanRef};

/// Bytes that the fields of most spans fit in.
const USUAL_FIELDS_BYTES: usize = 128;
/// Bytes that most lines fit in.
const USUAL_LINE_BYTES: usize = 512;

thread_local! {
    /// The second that was last told of, and how.
    static SECOND: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
}

/// RFC 3339 in UTC, to the microsecond. All but the fraction is put together once a second.
fn timestamp(at: DateTime<Utc>) -> String {
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != at.timestamp() {
            *second = at.timestamp();
            *text = at.format("%Y-%m-%dT%H:%M:%S.").to_string();
        }
        let digit = |unit: u32| char::from(b'0' + (at.timestamp_subsec_micros() / unit % 10) as u8);
        let fraction = [100_000, 10_000, 1_000, 100, 10, 1].map(digit);
        let mut told = String::with_capacity(text.len() + fraction.len() + 1);
        told.push_str(text);
        told.extend(fraction);
        told.push('Z');
        told
    })
}

/// One object a line: `timestamp`, `level`, the fields of the event, and the `span` it belongs to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct JsonLines {
    /// Also `severity`, as Google's collector reads it.
    pub(super) with_severity: bool,
}

fn severity(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG | Level::TRACE => "DEBUG",
    }
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let timestamp = timestamp(Utc::now());
        let span = event.parent().and_then(|id| context.span(id));
        let span = span.or_else(|| context.lookup_current());
        let mut line = Vec::with_capacity(USUAL_LINE_BYTES);
        let mut write = || {
            let mut serializer = Serializer::with_formatter(&mut line, Seen(CompactFormatter));
            let mut fields = serializer.serialize_map(None)?;
            fields.serialize_entry("timestamp", &timestamp)?;
            let level = *event.metadata().level();
            fields.serialize_entry("level", level.as_str())?;
            if self.with_severity {
                fields.serialize_entry("severity", severity(level))?;
            }
            let mut visitor = SerdeMapVisitor::new(fields);
            event.record(&mut visitor);
            SerializeMap::end(visitor.take_serializer()?)
        };
        write().map_err(|_: serde_json::Error| fmt::Error)?;
        if let Some(span) = &span {
            add_span::<S, N>(&mut line, span)?;
        }
        line.push(b'\n');
        writer.write_str(std::str::from_utf8(&line).map_err(|_| fmt::Error)?)
    }
}

/// The members of an object, each after a comma: what a span is given later is put behind them.
impl<'writer> FormatFields<'writer> for JsonLines {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut object = Vec::with_capacity(USUAL_FIELDS_BYTES);
        let mut write = || {
            let mut serializer = Serializer::with_formatter(&mut object, Seen(CompactFormatter));
            let mut visitor = SerdeMapVisitor::new(serializer.serialize_map(None)?);
            fields.record(&mut visitor);
            visitor.finish()
        };
        write().map_err(|_: serde_json::Error| fmt::Error)?;
        let object = std::str::from_utf8(&object).map_err(|_| fmt::Error)?;
        let members = object
            .strip_prefix('{')
            .and_then(|object| object.strip_suffix('}'));
        match members.unwrap_or_default() {
            "" => Ok(()),
            members => write!(writer, ",{members}"),
        }
    }
}

/// Adds the name of a span, and all that it was given, as the last member of an object.
fn add_span<S, N>(line: &mut Vec<u8>, span: &SpanRef<'_, S>) -> fmt::Result
where
    S: for<'lookup> LookupSpan<'lookup>,
    N: 'static,
{
    let extensions = span.extensions();
    let given = extensions.get::<FormattedFields<N>>();
    let members = given.map_or("", |given| given.fields.as_str());
    line.pop();
    line.extend_from_slice(b",\"span\":{\"name\":");
    serde_json::to_writer(&mut *line, span.name()).map_err(|_| fmt::Error)?;
    line.extend_from_slice(members.as_bytes());
    line.extend_from_slice(b"}}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::io;
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'kept> MakeWriter<'kept> for Kept {
        type Writer = Self;

        fn make_writer(&'kept self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn a_timestamp_is_of_its_own_second_and_microsecond() {
        for told in [
            "2026-11-22T02:55:01.900748Z",
            "2026-11-22T02:55:01.000009Z",
            "2026-11-22T02:55:02.000000Z",
            "1969-12-31T23:59:59.999999Z",
        ] {
            assert_eq!(timestamp(told.parse().unwrap()), told);
        }
    }

    fn lines_of(json: JsonLines, events: impl FnOnce()) -> Vec<Value> {
        let kept = Kept::default();
        let layer = tracing_subscriber::fmt::layer()
            .event_format(json)
            .fmt_fields(json)
            .with_writer(kept.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), events);
        let written = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        let lines = written.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    }

    #[test]
    fn a_severity_stands_beside_the_level_where_it_is_asked_for() {
        let events = || {
            tracing::error!("1");
            tracing::warn!("2");
            tracing::info!("3");
            tracing::debug!("4");
            tracing::trace!("5");
        };
        let told = lines_of(JsonLines { with_severity: true }, events);
        let told: Vec<_> = told
            .iter()
            .map(|line| (&line["level"], &line["severity"]))
            .collect();
        let [error, warn, info, debug, trace] = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].map(Value::from);
        let warning = Value::from("WARNING");
        let expected = [
            (&error, &error),
            (&warn, &warning),
            (&info, &info),
            (&debug, &debug),
            (&trace, &debug),
        ];
        assert_eq!(told, expected);
        assert!(
            lines_of(JsonLines::default(), events)[0]
                .get("severity")
                .is_none()
        );
    }

    #[test]
    fn a_line_is_one_object_with_the_fields_of_its_event_and_of_its_span() {
        let lines = lines_of(JsonLines::default(), || {
            let span = tracing::info_span!("request", correlation = %"a\"b", status = tracing::field::Empty);
            span.record("status", 200);
            span.in_scope(|| tracing::warn!(count = 3, cause = ?"two\nlines", "told"));
            tracing::info!(ratio = 0.5, absent = None::<u32>, "without");
        });
        let told = &lines[0];
        assert!(told["timestamp"].as_str().unwrap().ends_with('Z'), "{told}");
        assert_eq!(
            (&told["level"], &told["message"]),
            (&"WARN".into(), &"told".into())
        );
        assert_eq!(
            (&told["count"], &told["cause"]),
            (&3.into(), &"\"two\\nlines\"".into())
        );
        let span = serde_json::json!({"correlation": "a\"b", "status": 200, "name": "request"});
        assert_eq!(told["span"], span);
        assert_eq!(lines[1]["ratio"], 0.5);
        assert!(lines[1].get("span").is_none() && lines[1].get("absent").is_none());
        assert_eq!(lines.len(), 2);
    }
}
