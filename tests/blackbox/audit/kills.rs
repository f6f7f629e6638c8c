//! `kill -9` at random moments under load: what was answered is in the record, and the record verifies.

use super::load::{Ledger, management_head, verify};
use crate::harness::{Caching, Service};
use std::time::{Duration, Instant};

#[tokio::test]
async fn every_answered_lookup_is_in_the_record_after_a_kill_at_any_moment() {
    let kills: u32 = std::env::var("RECORD_KILLS").map_or(10, |text| text.parse().unwrap());
    let mut service = Service::start(Caching::Without).await;
    let (mut answered, mut heads) = (0, Vec::<String>::new());
    let started = Instant::now();
    for _ in 0..kills {
        let ledger = Ledger::default();
        let kill = async {
            ledger.wait_for_another(200, Duration::from_secs(10)).await;
            tokio::time::sleep(random_moment()).await;
            let head = management_head(&service).await;
            service.signal("-KILL");
            ledger.stop();
            head
        };
        let (head, ()) = tokio::join!(kill, ledger.keep_asking(&service));
        heads.push(format!("{}:{}", head["sequence"], head["hash"].as_str().unwrap()));
        service.kill();

        let kept: Vec<&str> = heads.iter().flat_map(|head| ["--head", head]).collect();
        verify(&service, &kept);
        ledger.assert_recorded(&service);
        answered += ledger.answers.borrow().len();
        service.start_again();
        service.wait_until_ready().await;
    }
    let entries = verify(&service, &[])["entries"].as_u64().unwrap();
    println!(
        "{kills} kills in {:.0} s: {answered} answered lookups, all recorded; {entries} entries verified",
        started.elapsed().as_secs_f64()
    );
    assert!(answered as u64 <= entries);
}

fn random_moment() -> Duration {
    let random = uuid::Uuid::new_v4().as_u128() % 400;
    Duration::from_millis(random as u64)
}
