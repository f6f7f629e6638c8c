//! Nothing sent comes back in an error, wherever it stood.

use crate::harness::ask::Ask;
use crate::harness::{EITHER_WAY, Service};

const SECRETS: [&str; 3] = ["13897210066", "17101002969", "geheimnis-7Q"];

#[tokio::test]
async fn an_error_repeats_nothing_wherever_it_was_sent() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        for secret in SECRETS {
            for good in [
                Ask::relationships(&service),
                Ask::account(&service),
                Ask::participants(&service),
            ] {
                // Spoilt, so that every answer is an error.
                let good = good.query("unheard-of", "x");
                for ask in everywhere(&good, secret) {
                    let told = ask.send().await;
                    assert!(told.status >= 400);
                    assert!(!told.text.contains(secret), "{}", told.text);
                    for (name, value) in &told.headers {
                        assert!(!value.to_str().unwrap().contains(secret), "{name}: {value:?}");
                    }
                }
            }
            assert!(!service.log().contains(secret), "{secret} is in the log");
        }
    }
}

/// The call with the secret in each place that a call has.
fn everywhere<'s>(good: &Ask<'s>, secret: &str) -> Vec<Ask<'s>> {
    let mut asks = Vec::new();
    for header in [
        "Authorization",
        "CustomerID",
        "AccountID",
        "CorrelationID",
        "AccountInfoRequestID",
        "Legal-Mandate",
        "Accept",
        "Host",
        "Content-Type",
        "X-Request-ID",
        secret,
    ] {
        asks.push(good.clone().with(header, secret));
    }
    asks.push(good.clone().token(secret));
    asks.push(good.clone().token(&format!("{secret}.{secret}.{secret}")));
    for parameter in ["fromDate", "toDate", "onlyPrimaryOwner", "other", secret] {
        asks.push(good.clone().query(parameter, secret));
        asks.push(good.clone().query(parameter, secret).and_query(parameter, secret));
    }
    for path in [
        "/",
        "/v2/",
        "/v2/customers/",
        "/v2/customers/customerRelationships/",
        "/kar-ws/api/v1/customers/",
        "/v2/participants/",
    ] {
        asks.push(good.clone().path(&format!("{path}{secret}")));
    }
    asks.push(
        good.clone()
            .path(&format!("/v2/financialInstitutions/{secret}/relationships")),
    );
    asks.push(good.clone().method(secret));
    asks
}
