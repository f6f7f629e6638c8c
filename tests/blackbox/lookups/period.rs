//! Days at the edges.

use super::*;
use chrono::Days;

#[tokio::test]
async fn a_period_may_begin_at_any_time_up_to_today_and_end_at_any_time_after() {
    for caching in EITHER_WAY {
        let service = with_world(caching).await;
        let today = world::today();
        let day = |offset: i64| match u64::try_from(offset) {
            Ok(ahead) => (today + Days::new(ahead)).to_string(),
            Err(_) => (today - Days::new(offset.unsigned_abs())).to_string(),
        };
        for (from, to, status) in [
            (day(0), day(0), 200),
            (day(0), day(1), 200),
            (day(-1), day(400), 200),
            (day(0), "9999-12-31".to_owned(), 200),
            ("0001-01-01".to_owned(), day(0), 200),
            ("0001-01-01".to_owned(), "9999-12-31".to_owned(), 200),
            ("0001-01-01".to_owned(), "0001-01-01".to_owned(), 200),
            ("2020-02-29".to_owned(), "2020-02-29".to_owned(), 200),
            (day(1), day(1), 400),
            (day(1), day(0), 400),
            (day(0), day(-1), 400),
            ("9999-12-31".to_owned(), "9999-12-31".to_owned(), 400),
            ("0000-01-01".to_owned(), day(0), 400),
            ("0000-12-31".to_owned(), day(0), 400),
            ("2020-02-30".to_owned(), day(0), 400),
            ("2100-02-29".to_owned(), "2100-02-29".to_owned(), 400),
            (day(0), "10000-01-01".to_owned(), 400),
        ] {
            let told = Ask::relationships(&service)
                .query("fromDate", &from)
                .query("toDate", &to)
                .send()
                .await;
            let code = if status == 400 { "ERR-003" } else { "" };
            assert_eq!(
                (told.status, told.error_code().as_str()),
                (status, code),
                "{from} – {to}"
            );
        }
    }
}

#[tokio::test]
async fn an_account_is_active_only_when_the_period_ends_today() {
    for caching in EITHER_WAY {
        let service = with_world(caching).await;
        let today = world::today();
        for (to, active) in [
            (today, true),
            (today - Days::new(1), false),
            (today + Days::new(1), false),
        ] {
            let banks = banks(Ask::relationships(&service).query("toDate", to.to_string())).await;
            assert_eq!(banks[0]["activeAccount"], active, "{to}");
        }
    }
}
