use super::*;
use std::collections::BTreeSet;

fn settings() -> LimitSettings {
    LimitSettings {
        rate_per_second: NonZeroU32::new(500).unwrap(),
        rate_burst: NonZeroU32::new(2000).unwrap(),
        daily_customers: 100_000,
        refusals_per_minute: NonZeroU32::new(600).unwrap(),
        unusual_factor: 3,
        unusual_floor: 10,
    }
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn asking(customer: u64, today: &str) -> Asking {
    Asking {
        consumer: OrganizationNumber::parse("974761076").unwrap(),
        customer: Some(customer),
        case: Some(Uuid::from_u128(customer.into())),
        today: day(today),
        at: day(today).and_hms_opt(22, 0, 0).unwrap().and_utc(),
    }
}

#[test]
fn a_burst_passes_and_what_exceeds_it_waits() {
    let settings = LimitSettings {
        rate_burst: NonZeroU32::new(20).unwrap(),
        ..settings()
    };
    let limits = Limits::new(settings, History::default());
    let admitted = (0..200)
        .filter(|at| limits.admit(&asking(*at, "2026-11-20")).is_ok())
        .count();
    assert!((20..60).contains(&admitted), "{admitted}");
    let refused = (0..200).find_map(|at| limits.admit(&asking(at, "2026-11-20")).err());
    assert!(
        matches!(refused, Some(OverLimit::Rate { retry_after }) if retry_after <= Duration::from_secs(1))
    );
}

#[test]
fn the_rate_of_one_consumer_is_not_spent_by_another() {
    let settings = LimitSettings {
        rate_burst: NonZeroU32::new(1).unwrap(),
        rate_per_second: NonZeroU32::MIN,
        ..settings()
    };
    let limits = Limits::new(settings, History::default());
    let other = Asking {
        consumer: OrganizationNumber::parse("986186999").unwrap(),
        ..asking(1, "2026-11-20")
    };
    assert!(limits.admit(&asking(1, "2026-11-20")).is_ok());
    assert!(limits.admit(&asking(1, "2026-11-20")).is_err());
    assert!(limits.admit(&other).is_ok());
}

#[test]
fn a_day_has_room_for_so_many_customers_and_the_next_day_begins_anew() {
    let limits = Limits::new(
        LimitSettings {
            daily_customers: 3,
            ..settings()
        },
        History::default(),
    );
    for customer in [1, 2, 3, 2, 1] {
        assert!(limits.admit(&asking(customer, "2026-11-20")).is_ok());
    }
    let refused = limits.admit(&asking(4, "2026-11-20"));
    assert_eq!(
        refused,
        Err(OverLimit::DailyCustomers {
            retry_after: Duration::from_secs(3600)
        })
    );
    assert!(limits.admit(&asking(3, "2026-11-20")).is_ok());
    assert!(limits.admit(&asking(4, "2026-11-21")).is_ok());
}

#[test]
fn leaving_the_usual_range_is_told_once_a_day_and_dimension() {
    let limits = Limits::new(settings(), History::default());
    for customer in 0..8 {
        assert_eq!(limits.admit(&asking(customer, "2026-11-19")), Ok(Vec::new()));
    }
    let mut told = Vec::new();
    for customer in 0..100 {
        told.extend(limits.admit(&asking(customer, "2026-11-20")).unwrap());
    }
    let dimensions: BTreeSet<&str> = told.iter().map(|unusual| unusual.dimension.name()).collect();
    assert_eq!((told.len(), dimensions.len()), (2, 2), "{told:?}");
    assert!(
        told.iter()
            .all(|unusual| unusual.count == 25 && unusual.usual_most == 8),
        "{told:?}"
    );
}

#[test]
fn history_survives_a_restart() {
    let limits = Limits::new(settings(), History::default());
    for customer in 0..8 {
        limits.admit(&asking(customer, "2026-11-19")).unwrap();
    }
    let text = serde_json::to_string(&limits.history()).unwrap();
    let again = Limits::new(settings(), serde_json::from_str(&text).unwrap());
    assert_eq!(again.history(), limits.history());
    let told: Vec<Unusual> = (0..100)
        .flat_map(|at| again.admit(&asking(at, "2026-11-20")).unwrap())
        .collect();
    assert!(told.iter().all(|unusual| unusual.usual_most == 8) && told.len() == 2);
}

#[test]
fn a_day_has_room_for_thirty_six_thousand_guardianships() {
    let limits = Limits::new(settings(), History::default());
    // Ten a second for an hour is far below the rate: what could refuse them is the daily ceiling.
    let admitted = (0..36_000).filter(|at| {
        let within_rate = limits.admit(&asking(*at, "2026-11-20"));
        within_rate.is_ok() || matches!(within_rate, Err(OverLimit::Rate { .. }))
    });
    assert_eq!(admitted.count(), 36_000);
}

#[test]
fn the_customers_of_a_day_are_counted_on_after_a_restart() {
    let settings = LimitSettings {
        daily_customers: 3,
        ..settings()
    };
    let limits = Limits::new(settings, History::default());
    for customer in [1, 2, 3] {
        assert!(limits.admit(&asking(customer, "2026-11-20")).is_ok());
    }
    let text = serde_json::to_string(&limits.history()).unwrap();
    let again = Limits::new(settings, serde_json::from_str(&text).unwrap());
    assert!(again.admit(&asking(2, "2026-11-20")).is_ok());
    assert!(matches!(
        again.admit(&asking(4, "2026-11-20")),
        Err(OverLimit::DailyCustomers { .. })
    ));
    assert!(again.admit(&asking(4, "2026-11-21")).is_ok());
}

#[test]
fn what_instances_tell_one_another_is_counted_by_both() {
    let settings = LimitSettings {
        daily_customers: 4,
        unusual_floor: 3,
        ..settings()
    };
    let (one, other) = (
        Limits::shared(settings, History::default()),
        Limits::shared(settings, History::default()),
    );
    for customer in [1, 2] {
        assert_eq!(one.admit(&asking(customer, "2026-11-20")), Ok(Vec::new()));
    }
    for customer in [2, 3] {
        assert_eq!(other.admit(&asking(customer, "2026-11-20")), Ok(Vec::new()));
    }
    let told = one.take_fresh();
    assert_eq!(told.len(), 4, "two customers, and a case of each");
    assert!(one.take_fresh().is_empty());
    other.learn(&told);
    one.learn(&other.take_fresh());
    assert!(one.take_fresh().is_empty(), "what was learnt is not told on");
    for limits in [&one, &other] {
        assert_eq!(limits.admit(&asking(3, "2026-11-20")), Ok(Vec::new()));
    }
    let unusual = other.admit(&asking(4, "2026-11-20")).unwrap();
    assert!(unusual.iter().all(|unusual| unusual.count == 4) && unusual.len() == 2);
    assert!(matches!(
        other.admit(&asking(5, "2026-11-20")),
        Err(OverLimit::DailyCustomers { .. })
    ));
    // Of another day it is nothing to today.
    let tomorrow = asking(5, "2026-11-21");
    assert!(one.admit(&tomorrow).is_ok());
    one.learn(&other.take_fresh());
    assert_eq!(one.days(day("2026-11-21"))[0].today.customers, 1);
}
