//! What ended longer ago than it is kept is erased, not only left out of answers.

use super::{BANK, line};
use crate::commands::{done, run};
use crate::harness::identifiers::{accounts, people};
use crate::harness::world::today;
use crate::harness::{ENGINES, Service};
use chrono::Months;
use reqwest::Method;

fn set_years(service: &Service, years: i64) {
    let path = service.configuration();
    let mut configured: toml::Table = std::fs::read_to_string(&path).unwrap().parse().unwrap();
    let section = configured["retention"].as_table_mut().unwrap();
    section.insert("closed_years".to_owned(), years.into());
    std::fs::write(path, configured.to_string()).unwrap();
}

#[tokio::test]
async fn what_ended_long_ago_is_erased_and_all_else_stays() {
    for engine in ENGINES {
        let configuration = "[retention]\nclosed_years = 5\n[journal]\nupkeep_seconds = 1\n";
        let mut service = Service::start_with(engine, configuration).await;
        let customers: Vec<String> = people().take(3).collect();
        let account = accounts().next().unwrap();
        let (long_ago, lately) = (today() - Months::new(6 * 12), today() - Months::new(4 * 12));
        let began = today() - Months::new(8 * 12);
        let ended = |to| format!(",\"toDate\":\"{to}\"");
        let of_account = format!("{},\"accountID\":\"{account}\"", ended(long_ago));
        let set = [
            line(&customers[0], &began.to_string(), &of_account),
            line(&customers[1], &began.to_string(), &ended(lately)),
            line(
                &customers[1],
                &(began + chrono::Days::new(1)).to_string(),
                &ended(long_ago),
            ),
            line(&customers[2], &began.to_string(), ""),
        ];
        assert_eq!(service.put_set(BANK, "KAR", set.concat()).await.status(), 200);
        // Ended by calls of its own.
        let batch = format!("{}#{began}", customers[0]);
        assert_eq!(
            service.kfr_batch(BANK, &batch).send().await.unwrap().status(),
            201
        );
        let end = service.kfr(Method::DELETE, BANK, &customers[0]);
        let end = end.query(&[("toDate", long_ago.to_string())]);
        assert_eq!(end.send().await.unwrap().status(), 204);
        // The upkeep of the first day may have run before; that of the next start has all to look at.
        service.terminate();
        service.start_again();
        service.wait_until_ready().await;
        service
            .wait_until(|| service.log().contains("erased from the index"))
            .await;
        service.terminate();
        let configuration = service.configuration();
        done(run(&[
            "index",
            "verify",
            "--config",
            configuration.to_str().unwrap(),
        ]));

        // Kept for longer, it would be answered again, were it still there.
        set_years(&service, 20);
        service.start_again();
        service.wait_until_ready().await;
        let day = long_ago - chrono::Days::new(10);
        assert!(!service.is_listed_on(&customers[0], day).await, "{engine:?}");
        assert!(service.is_listed_on(&customers[1], day).await, "{engine:?}");
        assert!(service.is_listed_on(&customers[2], day).await, "{engine:?}");
        let found = service.account(&account).send().await.unwrap();
        assert_eq!(found.status(), 404, "{engine:?}");
        service.terminate();

        // It is in the journal until the bank delivers anew: this test would see it.
        done(run(&[
            "index",
            "rebuild",
            "--config",
            configuration.to_str().unwrap(),
        ]));
        service.start_again();
        service.wait_until_ready().await;
        assert!(service.is_listed_on(&customers[0], day).await, "{engine:?}");
    }
}
