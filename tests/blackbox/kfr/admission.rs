//! A bank reads and writes only its own: the organisation of its token, or the predecessor it took over.

use super::days_ago;
use crate::harness::calls::{CORRELATION, code_of};
use crate::harness::identifiers::people;
use crate::harness::issuer::TestIssuer;
use crate::harness::{EITHER_WAY, Service, world};
use reqwest::{Method, RequestBuilder};
use serde_json::json;

const ONE: &str = "210132120";
const TWO: &str = "210143130";
const TAKEN_OVER: &str = "210022023";
const TO_BE_TAKEN_OVER: &str = "210033033";
const PAUSED: &str = "210121110";
const PAUSED_PREDECESSOR: &str = "210055053";
const KAR_ONLY: &str = "210011013";
const UNREGISTERED: &str = "210077073";

/// Two banks, and what can become of a bank; all in KFR but one.
fn participants() -> String {
    let bank = |number: &str, register: &str, more: &str| {
        format!(
            "[[participant]]\norganizationID = \"{number}\"\nname = \"Bank {number}\"\nregisters = [\"{register}\"]\n\
             staleAfter = \"36h\"\n{more}\n"
        )
    };
    let merged = |into: &str, on| format!("successor = \"{into}\"\nmergedOn = \"{on}\"");
    [
        bank(ONE, "KFR", ""),
        bank(TWO, "KFR", ""),
        bank(TAKEN_OVER, "KFR", &merged(ONE, world::today())),
        bank(TO_BE_TAKEN_OVER, "KFR", &merged(ONE, super::days_ahead(1))),
        bank(PAUSED, "KFR", "paused = true"),
        bank(
            PAUSED_PREDECESSOR,
            "KFR",
            &format!("{}\npaused = true", merged(ONE, days_ago(9))),
        ),
        bank(KAR_ONLY, "KAR", ""),
    ]
    .concat()
}

/// Every KFR call on a bank's path, by whoever holds the token.
fn calls(service: &Service, bank: &str, token: &str, customer: &str) -> [(u16, RequestBuilder); 4] {
    let with = |request: RequestBuilder| {
        let mut request = request.build().unwrap();
        request
            .headers_mut()
            .insert("Authorization", token.parse().unwrap());
        RequestBuilder::from_parts(service.http.clone(), request)
    };
    [
        (201, with(service.kfr(Method::POST, bank, customer))),
        (200, with(service.kfr_own(bank, customer))),
        (204, with(service.kfr(Method::DELETE, bank, customer))),
        (201, with(service.kfr_batch(bank, customer))),
    ]
}

async fn start(caching: crate::harness::Caching) -> Service {
    let service = Service::start(caching).await;
    service
        .replace_participants(&participants(), "a file was read again")
        .await;
    service
}

#[tokio::test]
async fn only_the_bank_itself_or_its_successor_is_let_in() {
    let callers = [
        ONE,
        TWO,
        TAKEN_OVER,
        TO_BE_TAKEN_OVER,
        PAUSED,
        PAUSED_PREDECESSOR,
        KAR_ONLY,
        UNREGISTERED,
    ];
    for caching in EITHER_WAY {
        let service = start(caching).await;
        let mut customers = people();
        for consumer in callers {
            for bank in callers {
                let has_merged = [TAKEN_OVER, PAUSED_PREDECESSOR].contains(&bank);
                let own = if has_merged {
                    consumer == ONE
                } else {
                    consumer == bank
                };
                let open = ![PAUSED, UNREGISTERED].contains(&bank);
                let customer = customers.next().unwrap();
                let token = service.issuer.bank_token(consumer);
                for (done, request) in calls(&service, bank, &token, &customer) {
                    let (read, kar) = (done == 200, bank == KAR_ONLY);
                    let response = request.send().await.unwrap();
                    let what = format!("{caching:?}: {consumer} on {bank}, {done}");
                    assert_eq!(response.headers()["CorrelationID"], CORRELATION, "{what}");
                    if own && open && !kar {
                        assert_eq!(response.status(), done, "{what}");
                        continue;
                    }
                    let code = match (read, own) {
                        (true, _) => "ERR-001",
                        (false, true) => "KFR-002",
                        (false, false) => "KFR-003",
                    };
                    assert_eq!(code_of(response, 403).await, code, "{what}");
                }
            }
        }
    }
}

#[tokio::test]
async fn what_a_successor_registers_for_its_predecessor_is_its_own() {
    for caching in EITHER_WAY {
        let service = start(caching).await;
        let customer = people().next().unwrap();
        let token = service.issuer.bank_token(ONE);
        for (done, request) in calls(&service, TAKEN_OVER, &token, &customer) {
            assert_eq!(request.send().await.unwrap().status(), done, "{caching:?}");
        }
        let listed = json!([{
            "organizationID": ONE, "bankName": format!("Bank {ONE}"), "activeAccount": false, "ownershipType": "unknown"
        }]);
        assert_eq!(service.listed(&customer).await, listed, "{caching:?}");
    }
}

fn system_user_token(issuer: &TestIssuer, vendor: &str, bank: &str, scope: &str) -> String {
    let mut claims = issuer.claims(vendor, scope);
    claims["authorization_details"] = json!([{
        "type": "urn:altinn:systemuser",
        "systemuser_org": {"authority": "iso6523-actorid-upis", "ID": format!("0192:{bank}")},
        "systemuser_id": ["a3b9cf2c-5f32-4b1f-8d0a-54d0e7ae24a0"],
        "system_id": "vendor_core",
    }]);
    issuer.sign(&claims)
}

#[tokio::test]
async fn a_token_of_a_system_user_may_write_id_and_its_vendor_is_recorded() {
    const VENDOR: &str = "123456785";
    let service = start(crate::harness::Caching::Without).await;
    for name in ["ID", "id"] {
        let mut claims = service.issuer.claims(VENDOR, "bits:kundeforhold.write");
        claims["authorization_details"] = json!([{
            "type": "urn:altinn:systemuser",
            "systemuser_org": {"authority": "iso6523-actorid-upis", name: format!("0192:{ONE}")},
        }]);
        let token = service.issuer.sign(&claims);
        let path = format!("/v2/financialInstitutions/{ONE}/relationships/changes");
        let changes = service.http.post(service.url(&path)).bearer_auth(token).body("");
        assert_eq!(changes.send().await.unwrap().status(), 200, "{name}");
    }
    let recorded = crate::audit::load::search(&service, &["--consumer", ONE], "");
    assert_eq!(recorded.len(), 2);
    assert!(
        recorded.iter().all(|call| call["supplier"] == VENDOR),
        "{recorded:?}"
    );
}

#[tokio::test]
async fn a_vendor_with_a_system_user_stands_for_its_bank_here_and_only_here() {
    const VENDOR: &str = "123456785";
    for caching in EITHER_WAY {
        let service = start(caching).await;
        let mut customers = people();
        let token = system_user_token(&service.issuer, VENDOR, ONE, "bits:kundeforhold.write");
        let customer = customers.next().unwrap();
        for (done, request) in calls(&service, ONE, &token, &customer) {
            assert_eq!(request.send().await.unwrap().status(), done, "{caching:?}");
        }
        for (done, request) in calls(&service, TWO, &token, &customer) {
            let code = if done == 200 { "ERR-001" } else { "KFR-003" };
            assert_eq!(
                code_of(request.send().await.unwrap(), 403).await,
                code,
                "{caching:?}"
            );
        }
        // A bank as vendor of another is not the bank of its own path.
        let token = system_user_token(&service.issuer, TWO, ONE, "bits:kundeforhold.write");
        let (_, request) = calls(&service, TWO, &token, &customer)
            .into_iter()
            .next()
            .unwrap();
        assert_eq!(
            code_of(request.send().await.unwrap(), 403).await,
            "KFR-003",
            "{caching:?}"
        );
        let set = format!("{{\"customerID\":\"{customer}\",\"role\":\"owner\",\"fromDate\":\"2020-01-01\"}}");
        let path = format!("/v2/financialInstitutions/{ONE}/relationships");
        let put = service.http.put(service.url(&path)).bearer_auth(&token).body(set);
        assert_eq!(put.send().await.unwrap().status(), 200, "{caching:?}");

        let token = system_user_token(&service.issuer, VENDOR, ONE, "bits:kundeforhold");
        let today = world::today().to_string();
        let mut lookup = service.relationships(&customer, &today, &today).build().unwrap();
        lookup
            .headers_mut()
            .insert("Authorization", format!("Bearer {token}").parse().unwrap());
        assert_eq!(
            service.http.execute(lookup).await.unwrap().status(),
            401,
            "{caching:?}"
        );
    }
}
