//! What ended longer ago than it is kept is erased, not only left out of answers.

use super::{BANK, journal, line, whole_set};
use crate::commands::{done, run};
use crate::harness::identifiers::{accounts, people};
use crate::harness::world::today;
use crate::harness::{ENGINES, Service};
use chrono::Months;
use reqwest::Method;

fn set_years(service: &Service, years: i64) {
    configure(service, "retention", "closed_years", years);
}

fn configure(service: &Service, section: &str, key: &str, value: i64) {
    let path = service.configuration();
    let mut configured: toml::Table = std::fs::read_to_string(&path).unwrap().parse().unwrap();
    let section = configured[section].as_table_mut().unwrap();
    section.insert(key.to_owned(), value.into());
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

        // It is in the journal's entries for good, since the set is small: this test would see it.
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

#[tokio::test]
async fn what_ended_long_ago_leaves_the_files_of_the_journal_and_cannot_be_ended_again() {
    for engine in ENGINES {
        let configuration = "[retention]\nclosed_years = 5\n[journal]\nupkeep_seconds = 3600\n";
        let mut service = Service::start_with(engine, configuration).await;
        let customers: Vec<String> = people().skip(3_000).take(2).collect();
        let years_ago = |years: u32| (today() - Months::new(12 * years)).to_string();
        let set = [
            whole_set(&years_ago(8)),
            line(
                &customers[0],
                &years_ago(8),
                &format!(",\"toDate\":\"{}\"", years_ago(6)),
            ),
            line(
                &customers[1],
                &years_ago(8),
                &format!(",\"toDate\":\"{}\"", years_ago(4)),
            ),
        ];
        assert_eq!(service.put_set(BANK, "KAR", set.concat()).await.status(), 200);
        let end_again = async |service: &Service, customer: &str| {
            let (from, to) = (years_ago(8), years_ago(1));
            let identity = format!("\"customerID\":\"{customer}\",\"fromDate\":\"{from}\"");
            let request = service.v2(Method::POST, BANK, "relationships/changes?register=KAR");
            let sent = request
                .body(format!("{{\"end\":{{{identity},\"toDate\":\"{to}\"}}}}"))
                .send()
                .await;
            sent.unwrap().status().as_u16()
        };
        // Erased already or not: it is gone.
        assert_eq!(end_again(&service, &customers[0]).await, 422, "{engine:?}");
        assert_eq!(end_again(&service, &customers[1]).await, 200, "{engine:?}");
        service.terminate();
        let size = |service: &Service| {
            let bodies = std::fs::read_dir(journal(service).join("bodies")).unwrap();
            bodies
                .map(|body| body.unwrap().metadata().unwrap().len())
                .collect::<Vec<_>>()
        };
        let before = size(&service);
        configure(&service, "journal", "upkeep_seconds", 1);
        service.start_again();
        service.wait_until_ready().await;
        service
            .wait_until(|| service.log().contains("erased from the journal's whole sets"))
            .await;
        assert_eq!(end_again(&service, &customers[0]).await, 422, "{engine:?}");
        service.terminate();
        let after = size(&service);
        assert!(
            before.len() == 1 && after.len() == 1 && after[0] < before[0],
            "{before:?} {after:?}"
        );

        let configuration = service.configuration();
        let configuration = configuration.to_str().unwrap();
        done(run(&["index", "verify", "--config", configuration]));
        set_years(&service, 20);
        done(run(&["index", "rebuild", "--config", configuration]));
        service.start_again();
        service.wait_until_ready().await;
        assert!(
            !service.is_listed_on(&customers[0], years_ago(7)).await,
            "{engine:?}"
        );
        assert!(
            service.is_listed_on(&customers[1], years_ago(2)).await,
            "{engine:?}"
        );
        assert!(
            service
                .is_listed_on(&people().next().unwrap(), years_ago(7))
                .await,
            "{engine:?}"
        );
    }
}
