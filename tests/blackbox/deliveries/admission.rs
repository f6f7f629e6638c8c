//! Bank × bank × call: no bank reads or writes anything of another, and every call is recorded.

use super::{BLABAERLIA, GRANSKAUEN, own, owners, published, put, record};
use crate::audit::load::search;
use crate::harness::identifiers::people;
use crate::harness::{Caching, EITHER_WAY, Service, world};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use uuid::Uuid;

const PREDECESSOR: &str = "210022023";
const TO_BE_MERGED: &str = "210033033";
const PAUSED: &str = "210121110";
const UNREGISTERED: &str = "210077073";

/// Blåbærlia has taken over one bank and will take over another.
fn participants() -> String {
    let bank = |number: &str, more: &str| {
        format!(
            "[[participant]]\norganizationID = \"{number}\"\nname = \"Bank {number}\"\nregisters = [\"KAR\"]\n\
             staleAfter = \"36h\"\n{more}\n"
        )
    };
    let merged = |on| format!("successor = \"{BLABAERLIA}\"\nmergedOn = \"{on}\"");
    [
        bank(BLABAERLIA, ""),
        bank(GRANSKAUEN, ""),
        bank(PREDECESSOR, &merged(world::today())),
        bank(TO_BE_MERGED, &merged(world::today().succ_opt().unwrap())),
        bank(PAUSED, "paused = true"),
    ]
    .concat()
}

/// Every V2 call on a bank's path: its name in the record, and how it ends for the bank itself.
fn calls(
    service: &Service,
    bank: &str,
    delivery: &str,
    customer: &str,
) -> Vec<(&'static str, u16, RequestBuilder)> {
    let call = |method, tail: &str| service.v2(method, bank, tail);
    let one = format!("deliveries/{delivery}");
    let set = owners(&[customer.to_owned()]);
    let change = json!({"put": record(customer, "owner", &json!({}))});
    vec![
        (
            "putRelationships",
            200,
            call(Method::PUT, "relationships").body(set),
        ),
        (
            "postChanges",
            200,
            call(Method::POST, "relationships/changes").body(change.to_string()),
        ),
        ("listDeliveries", 200, call(Method::GET, "deliveries")),
        ("getDelivery", 200, call(Method::GET, &one)),
        ("getRejects", 200, call(Method::GET, &format!("{one}/rejects"))),
        (
            "getOwnRelationships",
            200,
            call(Method::GET, "relationships").header("CustomerID", customer),
        ),
        // Another whole set was delivered above.
        ("rollBack", 409, call(Method::POST, &format!("{one}/rollback"))),
    ]
}

/// The call by whoever holds the token: status, code, and the correlation id it was made with.
async fn call_as(service: &Service, token: &str, request: RequestBuilder) -> (u16, String, String) {
    let correlation = Uuid::new_v4().to_string();
    let mut request = request.build().unwrap();
    let headers = request.headers_mut();
    headers.insert("Authorization", format!("Bearer {token}").parse().unwrap());
    headers.insert("CorrelationID", correlation.parse().unwrap());
    let response = service.http.execute(request).await.unwrap();
    assert_eq!(response.headers()["CorrelationID"], correlation.as_str());
    let status = response.status().as_u16();
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default();
    (
        status,
        body["errorCode"].as_str().unwrap_or_default().to_owned(),
        correlation,
    )
}

/// Each call has one entry, with the consumer of its token, its name and its status.
fn assert_recorded(service: &Service, made: &[(String, &'static str, String, u16)]) {
    let mut found = std::collections::BTreeMap::new();
    for (consumer, ..) in made {
        for entry in search(service, &["--consumer", consumer], "") {
            found.insert(entry["correlationID"].as_str().unwrap().to_owned(), entry);
        }
    }
    for (consumer, _, correlation, status) in made {
        let entry = found
            .get(correlation)
            .unwrap_or_else(|| panic!("no entry of {consumer}"));
        assert_eq!(
            (&entry["consumer"], &entry["status"]),
            (&json!(consumer), &json!(status)),
            "{entry}"
        );
    }
    let names = |name: &str| -> Vec<Value> {
        let of_name = made.iter().filter(|(_, made, ..)| *made == name);
        let mut names: Vec<Value> = of_name
            .map(|(_, _, id, _)| found[id]["endpoint"].clone())
            .collect();
        names.dedup();
        names
    };
    for (_, name, ..) in made {
        assert_eq!(names(name).len(), 1, "a call is recorded under one name: {name}");
    }
}

#[tokio::test]
async fn a_bank_is_let_in_to_its_own_and_its_predecessors_and_to_nothing_else() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let (mut customers, mut made) = (people(), Vec::new());
        let mut first = std::collections::BTreeMap::new();
        let paths = [BLABAERLIA, GRANSKAUEN, PREDECESSOR, TO_BE_MERGED, PAUSED];
        let merged_today = format!("mergedOn = \"{}\"", world::today());
        let before = participants()
            .replace("paused = true", "")
            .replace(&merged_today, "mergedOn = \"2999-01-01\"");
        service
            .replace_participants(&before, "a file was read again")
            .await;
        for bank in paths {
            let set = owners(&[customers.next().unwrap()]);
            first.insert(bank, published(put(&service, bank, "", set).await));
        }
        service
            .replace_participants(&participants(), "a file was read again")
            .await;
        for consumer in paths.into_iter().chain([UNREGISTERED]) {
            for bank in paths {
                let own = match bank {
                    PREDECESSOR => consumer == BLABAERLIA,
                    _ => consumer == bank,
                };
                let expected = match (own, bank == PAUSED) {
                    (true, false) => None,
                    (true, true) => Some("KFR-002"),
                    (false, _) => Some("KFR-003"),
                };
                let token = service.issuer.bank_token(consumer);
                let customer = customers.next().unwrap();
                for (name, done, request) in calls(&service, bank, &first[bank], &customer) {
                    let (status, code, correlation) = call_as(&service, &token, request).await;
                    let what = format!("{caching:?}: {consumer} on {bank}, {name}: {status} {code}");
                    match expected {
                        None => assert_eq!(status, done, "{what}"),
                        Some(refused) => assert_eq!((status, code.as_str()), (403, refused), "{what}"),
                    }
                    made.push((consumer.to_owned(), name, correlation, status));
                }
            }
        }
        assert_recorded(&service, &made);
    }
}

#[tokio::test]
async fn no_call_is_open_without_its_scope_or_a_token() {
    let service = Service::start(Caching::Without).await;
    let customer = people().next().unwrap();
    let id = published(put(&service, BLABAERLIA, "", owners(std::slice::from_ref(&customer))).await);
    let mut made = Vec::new();
    for (name, _, request) in calls(&service, BLABAERLIA, &id, &customer) {
        let again = request.try_clone().unwrap();
        let token = service
            .issuer
            .token(BLABAERLIA, "bits:kundeforhold bits:kundeforhold.konto");
        let (status, code, correlation) = call_as(&service, &token, request).await;
        assert_eq!((status, code.as_str()), (403, "KFR-002"), "{name}");
        made.push((BLABAERLIA.to_owned(), name, correlation, status));
        let (status, code, _) = call_as(&service, "none", again).await;
        assert_eq!((status, code.as_str()), (401, "KFR-001"), "{name}");
    }
    assert_recorded(&service, &made);
}

#[tokio::test]
async fn a_bank_sees_no_delivery_and_no_record_of_another() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        let customer = people().next().unwrap();
        let id = published(put(&service, BLABAERLIA, "", owners(std::slice::from_ref(&customer))).await);
        let token = service.issuer.bank_token(GRANSKAUEN);
        // The other's delivery under the own path.
        for (name, _, request) in calls(&service, GRANSKAUEN, &id, &customer).into_iter().skip(3) {
            let (status, code, _) = call_as(&service, &token, request).await;
            match name {
                "getOwnRelationships" => assert_eq!(status, 200),
                _ => assert_eq!((status, code.as_str()), (404, "KFR-008"), "{caching:?} {name}"),
            }
        }
        assert_eq!(
            own(&service, GRANSKAUEN, &customer).await,
            [] as [Value; 0],
            "{caching:?}"
        );
        assert_eq!(
            super::receipts(&service, GRANSKAUEN).await,
            [] as [Value; 0],
            "{caching:?}"
        );
        assert_eq!(own(&service, BLABAERLIA, &customer).await.len(), 1, "{caching:?}");
        let kept = super::receipt(&service, BLABAERLIA, &id).await;
        assert_eq!(kept["state"], "published", "{caching:?}");
    }
}

#[tokio::test]
async fn a_successor_has_its_predecessors_set_beside_its_own() {
    for caching in EITHER_WAY {
        let service = Service::start(caching).await;
        service
            .replace_participants(&participants(), "a file was read again")
            .await;
        let who: Vec<String> = people().take(2).collect();
        let successor = service.issuer.bank_token(BLABAERLIA);
        let set = service
            .v2(Method::PUT, PREDECESSOR, "relationships")
            .body(owners(&who[..1]));
        assert_eq!(call_as(&service, &successor, set).await.0, 200, "{caching:?}");
        let read = |tail: &str| {
            service
                .v2(Method::GET, PREDECESSOR, tail)
                .header("CustomerID", &who[0])
        };
        let records = as_bank(&service, BLABAERLIA, read("relationships")).await;
        assert_eq!(
            records.1["relationships"].as_array().unwrap().len(),
            1,
            "{caching:?}"
        );
        assert_eq!(
            own(&service, BLABAERLIA, &who[0]).await,
            [] as [Value; 0],
            "{caching:?}: a set of its own"
        );
        assert_eq!(
            service.listed(&who[0]).await[0]["organizationID"],
            BLABAERLIA,
            "{caching:?}"
        );
        let receipts = as_bank(
            &service,
            BLABAERLIA,
            service.v2(Method::GET, PREDECESSOR, "deliveries"),
        )
        .await
        .1;
        assert_eq!(receipts["deliveries"].as_array().unwrap().len(), 1, "{caching:?}");
        assert_eq!(receipts["deliveries"][0]["state"], "published", "{caching:?}");
    }
}

/// The request with the token of a bank that may be another than the one in its path.
async fn as_bank(service: &Service, caller: &str, request: RequestBuilder) -> (u16, Value) {
    let mut request = request.build().unwrap();
    let token = format!("Bearer {}", service.issuer.bank_token(caller));
    request
        .headers_mut()
        .insert("Authorization", token.parse().unwrap());
    let response = service.http.execute(request).await.unwrap();
    let status = response.status().as_u16();
    (status, response.json().await.unwrap())
}

/// One bank went into a second that went into a third, and both are paused.
#[tokio::test]
async fn at_the_end_of_successors_stands_the_one_that_delivers() {
    let service = Service::start(Caching::Without).await;
    let merged =
        |successor: &str| format!("successor = \"{successor}\"\nmergedOn = \"2020-01-01\"\npaused = true");
    let bank = |number: &str, more: &str| {
        format!(
            "[[participant]]\norganizationID = \"{number}\"\nname = \"Bank {number}\"\nregisters = [\"KAR\"]\n\
             staleAfter = \"36h\"\n{more}\n"
        )
    };
    let list = [
        bank(PREDECESSOR, &merged(GRANSKAUEN)),
        bank(GRANSKAUEN, &merged(BLABAERLIA)),
        bank(BLABAERLIA, ""),
    ];
    service
        .replace_participants(&list.concat(), "a file was read again")
        .await;
    for (caller, bank, status, code) in [
        (BLABAERLIA, PREDECESSOR, 200, None),
        (BLABAERLIA, GRANSKAUEN, 200, None),
        (BLABAERLIA, BLABAERLIA, 200, None),
        (GRANSKAUEN, PREDECESSOR, 403, Some("KFR-003")),
        (GRANSKAUEN, GRANSKAUEN, 403, Some("KFR-003")),
        (PREDECESSOR, PREDECESSOR, 403, Some("KFR-003")),
        (PREDECESSOR, BLABAERLIA, 403, Some("KFR-003")),
    ] {
        let request = service.v2(Method::POST, bank, "relationships/changes").body("");
        let (found, body) = as_bank(&service, caller, request).await;
        assert_eq!(
            (found, body["errorCode"].as_str()),
            (status, code),
            "{caller} for {bank}: {body}"
        );
    }
    let list = list
        .concat()
        .replace(&bank(BLABAERLIA, ""), &bank(BLABAERLIA, "paused = true"));
    service.replace_participants(&list, "a file was read again").await;
    let request = service
        .v2(Method::POST, PREDECESSOR, "relationships/changes")
        .body("");
    let (status, body) = as_bank(&service, BLABAERLIA, request).await;
    assert_eq!(
        (status, body["errorCode"].as_str()),
        (403, Some("KFR-002")),
        "who calls may not be paused"
    );
}
