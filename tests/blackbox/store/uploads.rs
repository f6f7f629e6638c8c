//! KFR calls while a whole set of their register comes in and is put in force: each is answered, and holds in the new
//! set too.

use super::{BANK, is_listed, line};
use crate::harness::calls::streamed;
use crate::harness::identifiers::people;
use crate::harness::store::RECEIVING;
use crate::harness::{EITHER_WAY, Service};
use reqwest::Method;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Of the set: enough that it is put in force in many steps.
const CUSTOMERS: usize = 12_000;
/// Calls are answered at once, but for those that meet the moment in which the set is put in force.
const AT_ONCE: Duration = Duration::from_secs(2);
const IN_FORCE_WITHIN: Duration = Duration::from_secs(30);

/// What a call said, and when.
struct Made {
    customer: String,
    listed: bool,
    took: Duration,
}

/// One call after the other, of customers that are in the file and of others, from the moment in which the whole set is
/// being received until it is over.
async fn call_on(service: &Service, over: &AtomicBool) -> Vec<Made> {
    while service.count(RECEIVING).await == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let mut made = Vec::new();
    let in_file = people().skip(100).step_by(7);
    let others = people().skip(CUSTOMERS + 100);
    for (ended, added) in in_file.zip(others) {
        if over.load(Ordering::SeqCst) {
            return made;
        }
        for (method, customer, listed) in [(Method::DELETE, ended, false), (Method::POST, added, true)] {
            let asked = Instant::now();
            let status = super::call(service, method, &customer).await;
            assert_eq!(status, if listed { 201 } else { 204 }, "{}", service.log());
            let took = asked.elapsed();
            made.push(Made {
                customer,
                listed,
                took,
            });
        }
    }
    panic!("no customers are left");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_from_the_first_byte_of_a_whole_set_to_the_switch_hold_in_it() {
    for caching in EITHER_WAY {
        let mut service = Service::start(caching).await;
        let set: String = people()
            .take(CUSTOMERS)
            .map(|customer| line(&customer, "2015-01-01", ""))
            .collect();
        let first = service.put_set(BANK, "KFR", set.clone()).await;
        assert_eq!(first.status(), 200);
        // The same customers again, each with another record.
        let again = set.replace("2015-01-01", "2016-01-01");
        let (pieces, body) = streamed();
        let over = AtomicBool::new(false);
        let delivered = async {
            let sending = service.put(BANK, "?register=KFR").body(body).send();
            let feeding = async {
                for piece in again.as_bytes().chunks(again.len() / 20) {
                    let piece = String::from_utf8(piece.to_vec()).unwrap();
                    pieces.send(Ok(piece)).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(30)).await;
                }
                drop(pieces);
                Instant::now()
            };
            let (answer, sent) = tokio::join!(sending, feeding);
            over.store(true, Ordering::SeqCst);
            (answer.unwrap().status(), sent.elapsed())
        };
        let ((status, in_force), made) = tokio::join!(delivered, call_on(&service, &over));
        assert_eq!(status, 200, "{}", service.log());
        assert!(in_force < IN_FORCE_WITHIN, "{in_force:?}");
        let slow = made.iter().filter(|call| call.took > AT_ONCE + in_force).count();
        println!("{caching:?}: {} calls, put in force in {in_force:?}", made.len());
        assert_eq!(slow, 0);
        assert!(made.len() > 20, "only {} calls", made.len());
        for _ in 0..2 {
            for call in &made {
                let listed = is_listed(&service, &call.customer).await;
                assert_eq!(listed, call.listed, "{caching:?}: acknowledged and lost");
            }
            service.kill_and_restart().await;
        }
        service.assert_store_is_sound();
    }
}
