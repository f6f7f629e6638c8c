//! Tokens and terms.

use chrono::Utc;
use criterion::{BatchSize, Criterion};
use kundeforhold::access::authenticator::Authenticator;
use kundeforhold::access::caller::{RequiredScopes, Scope};
use kundeforhold::access::claims::TokenRules;
use kundeforhold::access::key_set::{KeySet, KeySetSettings, KeySource};
use kundeforhold::access::keys::Keys;
use kundeforhold::access::outbound::IssuerAddress;
use kundeforhold::access::terms::{Enforcement, Terms, TermsInForce, Wanted};
use kundeforhold::access::token;
use kundeforhold::domain::calendar::{Period, years_before};
use kundeforhold::domain::identifiers::CustomerKind;
use kundeforhold::sandbox::issuer::Issuer;
use kundeforhold::sandbox::world;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const MANDATE: &str =
    "Skatteforvaltningsloven § 10-2 første ledd, jf. § 10-14, jf. skatteforvaltningsforskriften § 10-2-1";

/// The stand-in issuer, on a thread of its own.
fn start_issuer() -> Issuer {
    let (made, issuer) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async {
            let clients = world::clients(&[]).unwrap();
            let (issuer, server) = Issuer::bind("127.0.0.1:0".parse().unwrap(), clients).unwrap();
            made.send(issuer).unwrap();
            server.await.unwrap();
        });
    });
    issuer.recv().unwrap()
}

fn rules(issuer: &Issuer) -> TokenRules {
    TokenRules {
        issuer: issuer.name().to_owned(),
        audience: None,
        leeway_seconds: TokenRules::DEFAULT_LEEWAY_SECONDS,
    }
}

pub fn tokens(criterion: &mut Criterion) {
    let issuer = start_issuer();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let sign = || issuer.token("skatt", Duration::from_secs(3600)).unwrap();
    let document = runtime.block_on(async { reqwest::get(issuer.jwks_uri()).await.unwrap().bytes().await });
    let keys = Keys::parse(&document.unwrap()).unwrap().keys;
    let token = sign();
    criterion.bench_function("token first seen", |bencher| {
        bencher.iter(|| token::verify(black_box(&token), &keys, &rules(&issuer), Utc::now()).unwrap());
    });

    let source = KeySource::JwksUri(IssuerAddress::parse(&issuer.jwks_uri()).unwrap());
    let key_set = Arc::new(KeySet::new(source, issuer.name(), KeySetSettings::default()).unwrap());
    let running = Arc::clone(&key_set);
    runtime.spawn(async move { running.run(CancellationToken::new()).await });
    while !key_set.ready() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let authenticator = Authenticator::new(key_set, rules(&issuer));
    let headers: Vec<String> = (0..50).map(|_| format!("Bearer {}", sign())).collect();
    let mut next = headers.iter().cycle();
    criterion.bench_function("token remembered", |bencher| {
        bencher.iter_batched(
            || next.next().unwrap(),
            |header| futures_util::FutureExt::now_or_never(authenticator.authenticate(Some(header))).unwrap(),
            BatchSize::SmallInput,
        );
    });
}

pub fn terms(criterion: &mut Criterion) {
    let issuer = start_issuer();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let document = runtime.block_on(async { reqwest::get(issuer.jwks_uri()).await.unwrap().bytes().await });
    let keys = Keys::parse(&document.unwrap()).unwrap().keys;
    let token = issuer.token("skatt", Duration::from_secs(3600)).unwrap();
    let caller = token::verify(&token, &keys, &rules(&issuer), Utc::now())
        .unwrap()
        .caller;
    let scopes = RequiredScopes {
        customer_relationships: vec![Scope::parse("bits:kundeforhold").unwrap()],
        account_servicing_provider: vec![Scope::parse("bits:kundeforhold").unwrap()],
        write: Vec::new(),
    };
    let terms = TermsInForce::new(Terms::read(None).unwrap(), scopes, Enforcement::Enforce, 1);
    let today = Utc::now().date_naive();
    let wanted = Wanted::Relationships {
        customer: CustomerKind::Person,
        period: Period::new(years_before(today, 5), today).unwrap(),
        only_primary_owner: Some(false),
    };
    for (name, mandate) in [
        ("terms, mandate as written", MANDATE.to_owned()),
        ("terms, mandate with other blanks", MANDATE.replace("§ ", "§")),
    ] {
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| {
                terms
                    .authorize(&caller, black_box(wanted), Some(&mandate), today)
                    .unwrap()
            });
        });
    }
}
