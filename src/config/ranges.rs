//! What each setting may be. All of them are looked at, so that whoever mends one learns of the others too.

use super::faults::Fault;
use super::{
    AccessSettings, CacheSettings, DeliverySettings, MaskinportenSettings, RecordSettings, ScopeSettings,
    ServerSettings, Settings, StoreSettings, TraceSettings,
};
use crate::access::outbound::IssuerAddress;
use reqwest::Url;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// Longest that anything is kept, in days and years: more than any calendar of ours has.
const MOST_DAYS: u64 = 365_000;
const MOST_YEARS: u64 = 1_000;
/// Of a size in bytes: beyond it nobody means it.
const MOST_BYTES: u64 = 1 << 50;

/// A number, and what it may be.
type Number = (&'static str, u64, RangeInclusive<u64>);

/// All settings that cannot be as they are.
pub(super) fn faults(settings: &Settings) -> Vec<Fault> {
    let numbers = [
        settings.server.numbers(),
        settings.maskinporten.numbers(),
        settings.access.numbers(),
        settings.store.numbers(),
        settings.cache.numbers(),
        settings.delivery.numbers(),
        settings.record.numbers(),
        vec![
            (
                "retention.closed_years",
                settings.retention.closed_years.into(),
                1..=MOST_YEARS,
            ),
            (
                "traces.sampled_percent",
                settings.traces.sampled_percent.into(),
                0..=100,
            ),
        ],
    ];
    let outside = numbers.into_iter().flatten().filter_map(outside);
    outside
        .chain(settings.server.one_place())
        .chain(settings.maskinporten.empty_audience())
        .chain(settings.maskinporten.addresses())
        .chain(settings.access.scopes.faults())
        .chain(settings.delivery.crowded())
        .chain(settings.traces.fault())
        .chain(settings.unsigned_operators())
        .collect()
}

fn outside((key, value, allowed): Number) -> Option<Fault> {
    let told = || format!("{} to {}", allowed.start(), allowed.end());
    (!allowed.contains(&value)).then(|| Fault::value(key, value, told()))
}

impl ServerSettings {
    fn numbers(&self) -> Vec<Number> {
        vec![
            ("server.workers", self.workers as u64, 0..=1024),
            ("server.drain_seconds", self.drain_seconds, 0..=HOUR),
            (
                "server.max_header_bytes",
                self.max_header_bytes as u64,
                1024..=1 << 20,
            ),
            ("server.request_head_seconds", self.request_head_seconds, 1..=HOUR),
            ("server.keep_alive_seconds", self.keep_alive_seconds, 1..=DAY),
            (
                "server.write_timeout_seconds",
                self.write_timeout_seconds,
                1..=HOUR,
            ),
            (
                "server.max_connection_unsent_bytes",
                self.max_connection_unsent_bytes,
                1 << 16..=MOST_BYTES,
            ),
            (
                "server.max_unsent_bytes",
                self.max_unsent_bytes,
                1 << 16..=MOST_BYTES,
            ),
            (
                "server.max_lookups_per_worker",
                self.max_lookups_per_worker as u64,
                1..=100_000,
            ),
            (
                "server.max_worker_lag_milliseconds",
                self.max_worker_lag_milliseconds,
                1..=MINUTE * 1000,
            ),
            (
                "server.tls.handshake_seconds",
                self.tls.handshake_seconds,
                1..=HOUR,
            ),
            (
                "server.management_tls.handshake_seconds",
                self.management_tls.handshake_seconds,
                1..=HOUR,
            ),
        ]
    }

    /// One place cannot be listened on twice; with port 0 the system finds two.
    fn one_place(&self) -> Option<Fault> {
        let (public, management) = (self.listen, self.management_listen);
        let is_everywhere = |address: SocketAddr| address.ip().is_unspecified();
        let is_one = public.port() == management.port()
            && public.port() != 0
            && (public.ip() == management.ip() || is_everywhere(public) || is_everywhere(management));
        is_one.then(|| {
            Fault::value(
                "server.management_listen",
                management,
                "another place than server.listen",
            )
        })
    }
}

impl MaskinportenSettings {
    fn numbers(&self) -> Vec<Number> {
        vec![
            ("maskinporten.refresh_seconds", self.refresh_seconds, 1..=30 * DAY),
            ("maskinporten.outage_seconds", self.outage_seconds, 1..=30 * DAY),
            (
                "maskinporten.unknown_kid_brake_seconds",
                self.unknown_kid_brake_seconds,
                1..=DAY,
            ),
            (
                "maskinporten.remembered_tokens",
                self.remembered_tokens as u64,
                0..=100_000_000,
            ),
        ]
    }

    fn addresses(&self) -> Vec<Fault> {
        let named = [
            ("maskinporten.issuer", &self.issuer),
            ("maskinporten.jwks_uri", &self.jwks_uri),
            ("maskinporten.well_known_url", &self.well_known_url),
        ];
        let refused = |(key, text): (&str, &Option<String>)| {
            let cause = IssuerAddress::parse(text.as_deref()?).err()?;
            Some(Fault::new(key, cause.to_string()))
        };
        named.into_iter().filter_map(refused).collect()
    }

    fn empty_audience(&self) -> Option<Fault> {
        let is_empty = self.audience.as_deref().is_some_and(str::is_empty);
        is_empty.then(|| {
            Fault::new(
                "maskinporten.audience",
                "is empty: no token would be good. Leave it out",
            )
        })
    }
}

impl AccessSettings {
    fn numbers(&self) -> Vec<Number> {
        vec![
            ("access.today_grace_days", self.today_grace_days.into(), 0..=31),
            (
                "access.daily_customers",
                self.daily_customers as u64,
                1..=u64::MAX,
            ),
            (
                "access.max_mandate_bytes",
                self.max_mandate_bytes as u64,
                1..=1 << 15,
            ),
            (
                "access.usual_range_factor",
                self.usual_range_factor.into(),
                1..=1000,
            ),
        ]
    }
}

impl ScopeSettings {
    fn faults(&self) -> Vec<Fault> {
        let lists = [
            (
                "access.scopes.customer_relationships",
                &self.customer_relationships,
            ),
            (
                "access.scopes.account_servicing_provider",
                &self.account_servicing_provider,
            ),
            ("access.scopes.write", &self.write),
        ];
        let fault = |(key, words): (&'static str, &Vec<String>)| match words.as_slice() {
            [] => Some(Fault::new(
                key,
                "is empty: nobody could call. It must name a scope at least",
            )),
            words => Self::parse(key, words)
                .err()
                .map(|_| Fault::new(key, "names what is no scope: a word of printable ASCII")),
        };
        lists.into_iter().filter_map(fault).collect()
    }
}

impl StoreSettings {
    fn numbers(&self) -> Vec<Number> {
        vec![
            ("store.pool_connections", self.pool_connections as u64, 2..=10_000),
            (
                "store.timeout_milliseconds",
                self.timeout_milliseconds,
                1..=MINUTE * 1000,
            ),
            ("store.cache_megabytes", self.cache_megabytes as u64, 1..=1 << 20),
            (
                "store.copy_megabytes_per_second",
                self.copy_megabytes_per_second,
                1..=1 << 20,
            ),
            ("store.upkeep_seconds", self.upkeep_seconds, 1..=DAY),
        ]
    }
}

impl CacheSettings {
    fn numbers(&self) -> Vec<Number> {
        vec![
            ("cache.seconds", self.seconds, 1..=365 * DAY),
            (
                "cache.timeout_milliseconds",
                self.timeout_milliseconds,
                1..=MINUTE * 1000,
            ),
            ("cache.connections", self.connections as u64, 0..=10_000),
            (
                "cache.remembered_changes",
                self.remembered_changes as u64,
                0..=1_000_000_000,
            ),
        ]
    }
}

impl DeliverySettings {
    fn numbers(&self) -> Vec<Number> {
        vec![
            ("delivery.max_body_bytes", self.max_body_bytes, 1..=MOST_BYTES),
            (
                "delivery.max_line_bytes",
                self.max_line_bytes as u64,
                100..=1 << 20,
            ),
            ("delivery.max_lines", self.max_lines, 1..=1_000_000_000),
            ("delivery.max_batch_bytes", self.max_batch_bytes, 1..=MOST_BYTES),
            ("delivery.shrink_percent", self.shrink_percent, 0..=100),
            (
                "delivery.idempotency_days",
                self.idempotency_days.into(),
                1..=MOST_DAYS,
            ),
            ("delivery.rollback_days", self.rollback_days.into(), 0..=MOST_DAYS),
            ("delivery.call_wait_seconds", self.call_wait_seconds, 0..=HOUR),
            ("delivery.receipt_days", self.receipt_days.into(), 1..=MOST_DAYS),
            ("delivery.reject_days", self.reject_days.into(), 0..=MOST_DAYS),
            (
                "delivery.publication_days",
                self.publication_days.into(),
                1..=MOST_DAYS,
            ),
            (
                "delivery.min_free_megabytes",
                self.min_free_megabytes,
                0..=1 << 30,
            ),
            ("delivery.max_at_once", self.max_at_once as u64, 1..=1024),
            (
                "delivery.max_batches_per_bank",
                self.max_batches_per_bank as u64,
                1..=1024,
            ),
            ("delivery.turn_seconds", self.turn_seconds, 0..=HOUR),
            ("delivery.pause_seconds", self.pause_seconds, 1..=HOUR),
            ("delivery.grace_seconds", self.grace_seconds, 1..=HOUR),
            (
                "delivery.min_bytes_per_second",
                self.min_bytes_per_second,
                0..=1 << 40,
            ),
            (
                "delivery.publish_timeout_seconds",
                self.publish_timeout_seconds,
                1..=DAY,
            ),
        ]
    }

    /// A bank can have a V2 delivery a register, and its batches; that must leave turns for others.
    fn crowded(&self) -> Option<Fault> {
        let of_one_bank = self.max_batches_per_bank.saturating_add(2);
        (of_one_bank >= self.max_at_once).then(|| {
            let allowed = format!("above what one bank can have at once, {of_one_bank}");
            Fault::value("delivery.max_at_once", self.max_at_once, allowed)
        })
    }
}

impl RecordSettings {
    fn numbers(&self) -> Vec<Number> {
        vec![
            (
                "record.timeout_milliseconds",
                self.timeout_milliseconds,
                1..=MINUTE * 1000,
            ),
            ("record.head_every_seconds", self.head_every_seconds, 1..=DAY),
            (
                "record.retention_years",
                self.retention_years.into(),
                0..=MOST_YEARS,
            ),
        ]
    }
}

impl TraceSettings {
    fn fault(&self) -> Option<Fault> {
        let endpoint = self.otlp_endpoint()?;
        let is_http = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        match Url::parse(endpoint).is_ok_and(|url| is_http(&url)) {
            true => None,
            false => Some(Fault::value(
                "traces.otlp_endpoint",
                format!("{endpoint:?}"),
                "an address with http:// or https://, or \"\"",
            )),
        }
    }
}

impl Settings {
    /// Who asks operators for certificates has to say who may sign them.
    fn unsigned_operators(&self) -> Option<Fault> {
        let is_unsigned = self.console.client_certificate && self.server.management_tls.client_ca.is_none();
        is_unsigned.then(|| {
            Fault::new(
                "console.client_certificate",
                "needs server.management_tls.client_ca: who signs for operators",
            )
        })
    }
}
