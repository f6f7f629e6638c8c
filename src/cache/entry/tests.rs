use super::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

const BANKS: [&str; 3] = ["123456785", "810059672", "988077917"];

fn entries(key: u8) -> Entries {
    let key = MasterKey::parse(&STANDARD.encode([key; 64])).unwrap();
    Entries::new(&key)
}

fn sealed() -> impl Strategy<Value = Sealed> {
    prop::collection::vec(any::<u8>(), 17..=Sealed::MAX_BYTES)
        .prop_map(|bytes| Sealed::from_bytes(&bytes).unwrap())
}

fn publication() -> impl Strategy<Value = PublicationId> {
    (any::<u64>(), any::<[u8; 8]>()).prop_map(|(number, drawn)| PublicationId { number, drawn })
}

fn interval() -> impl Strategy<Value = Interval> {
    (1..4_000_000i32, prop::option::of(0..100_000i32)).prop_map(|(from, runs)| {
        let day = |n| NaiveDate::from_num_days_from_ce_opt(n).unwrap();
        Interval::new(day(from), runs.map(|runs| day(from + runs))).unwrap()
    })
}

fn bank() -> impl Strategy<Value = OrganizationNumber> {
    prop::sample::select(&BANKS[..]).prop_map(|number| OrganizationNumber::parse(number).unwrap())
}

fn relationship() -> impl Strategy<Value = HeldRelationship> {
    let role = prop::sample::select(vec![
        Role::Owner,
        Role::SecondaryOwner,
        Role::Other,
        Role::Unknown,
    ]);
    (bank(), role, any::<bool>(), any::<bool>(), interval()).prop_map(
        |(bank, role, creditable, holds_funds, interval)| HeldRelationship {
            bank,
            relationship: Relationship::new(role, creditable, holds_funds, interval),
        },
    )
}

fn account() -> impl Strategy<Value = HeldAccount> {
    (bank(), interval()).prop_map(|(bank, interval)| HeldAccount { bank, interval })
}

proptest! {
    #[test]
    fn what_was_written_of_a_customer_is_read_back(
        sealed in sealed(), at in publication(), held in prop::collection::vec(relationship(), 0..40),
    ) {
        let entry = entries(1).encode(&sealed, at, &held).unwrap();
        prop_assert_eq!(entry.len(), HEAD_BYTES + MAC_BYTES + 11 * held.len());
        prop_assert_eq!(entries(1).decode(&sealed, &entry), Some(Cached { at, held }));
    }

    #[test]
    fn what_was_written_of_an_account_is_read_back(
        sealed in sealed(), at in publication(), held in prop::collection::vec(account(), 0..40),
    ) {
        let entry = entries(1).encode(&sealed, at, &held).unwrap();
        prop_assert_eq!(entries(1).decode(&sealed, &entry), Some(Cached { at, held }));
    }

    #[test]
    fn no_byte_can_be_changed(
        sealed in sealed(), at in publication(), held in prop::collection::vec(relationship(), 0..4),
        place in any::<prop::sample::Index>(), change in 1..=255u8,
    ) {
        let mut entry = entries(1).encode(&sealed, at, &held).unwrap();
        let place = place.index(entry.len());
        entry[place] ^= change;
        prop_assert_eq!(entries(1).decode::<HeldRelationship>(&sealed, &entry), None);
    }

    #[test]
    fn nothing_can_be_left_off_or_added(
        sealed in sealed(), at in publication(), held in prop::collection::vec(account(), 0..4),
        place in any::<prop::sample::Index>(), more in prop::collection::vec(any::<u8>(), 1..12),
    ) {
        let entry = entries(1).encode(&sealed, at, &held).unwrap();
        let shorter = &entry[..place.index(entry.len())];
        prop_assert_eq!(entries(1).decode::<HeldAccount>(&sealed, shorter), None);
        let longer = [entry, more].concat();
        prop_assert_eq!(entries(1).decode::<HeldAccount>(&sealed, &longer), None);
    }

    #[test]
    fn an_entry_of_another_is_refused_though_the_key_is_the_same(
        one in sealed(), tail in prop::collection::vec(any::<u8>(), 1..60), at in publication(),
    ) {
        let other = Sealed::from_bytes(&[&one.as_bytes()[..IV_BYTES], &tail].concat()).unwrap();
        prop_assume!(other != one);
        prop_assert_eq!(redis_key::<HeldAccount>(&one), redis_key::<HeldAccount>(&other));
        let entry = entries(1).encode::<HeldAccount>(&one, at, &[]).unwrap();
        prop_assert_eq!(entries(1).decode::<HeldAccount>(&other, &entry), None);
    }

    #[test]
    fn an_entry_of_another_register_or_kind_is_refused(sealed in sealed(), at in publication()) {
        let entry = entries(1).encode::<HeldAccount>(&sealed, at, &[]).unwrap();
        prop_assert_eq!(entries(2).decode::<HeldAccount>(&sealed, &entry), None);
        prop_assert_eq!(entries(1).decode::<HeldRelationship>(&sealed, &entry), None);
    }

    #[test]
    fn anything_else_is_refused(sealed in sealed(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(entries(1).decode::<HeldRelationship>(&sealed, &bytes), None);
    }
}

/// As an entry of a format to come would be made: under the right key.
#[test]
fn a_version_that_is_not_known_is_refused() {
    let sealed = Sealed::from_bytes(&[7; 27]).unwrap();
    let at = PublicationId {
        number: 1,
        drawn: [0; 8],
    };
    let entries = entries(1);
    let written = entries.encode::<HeldAccount>(&sealed, at, &[]).unwrap();
    let mut body = written[..HEAD_BYTES].to_vec();
    for (version, is_known) in [(FORMAT_VERSION, true), (FORMAT_VERSION + 1, false), (0, false)] {
        body[0] = version;
        let tag = entries.tag::<HeldAccount>(&sealed, &body);
        let entry = [&body, &tag.as_ref()[..MAC_BYTES]].concat();
        assert_eq!(
            entries.decode::<HeldAccount>(&sealed, &entry).is_some(),
            is_known,
            "{version}"
        );
    }
}

#[test]
fn the_format_is_what_it_says() {
    let sealed = Sealed::from_bytes(&[7; 27]).unwrap();
    let day = |n| NaiveDate::from_num_days_from_ce_opt(n).unwrap();
    let held = [HeldRelationship {
        bank: OrganizationNumber::parse("123456785").unwrap(),
        relationship: Relationship::new(
            Role::Other,
            true,
            true,
            Interval::new(day(0x0001_0203), None).unwrap(),
        ),
    }];
    let at = PublicationId {
        number: 0x0102,
        drawn: *b"drawn by",
    };
    let entry = entries(1).encode(&sealed, at, &held).unwrap();
    let head = b"\x01\0\0\0\0\0\0\x01\x02drawn by\0\x01";
    let row = b"\x07\x5b\xcd\x11\x0e\x01\x02\x03\xff\xff\xff";
    assert_eq!(entry[..HEAD_BYTES + 11], [&head[..], &row[..]].concat());
    let key = [b"kf1:c:".as_slice(), &[7; 16]].concat();
    assert_eq!(redis_key::<HeldRelationship>(&sealed), key);
    assert!(key.starts_with(PREFIX));
}

#[test]
fn what_is_too_long_or_does_not_fit_is_not_cached() {
    let sealed = Sealed::from_bytes(&[7; 27]).unwrap();
    let at = PublicationId {
        number: 1,
        drawn: [0; 8],
    };
    let held = |from, to| HeldAccount {
        bank: OrganizationNumber::parse("123456785").unwrap(),
        interval: Interval::new(from, to).unwrap(),
    };
    let today = NaiveDate::from_ymd_opt(2026, 7, 1).unwrap();
    let rows = vec![held(today, None); MOST_ROWS + 1];
    assert_eq!(entries(1).encode(&sealed, at, &rows), None);
    assert!(entries(1).encode(&sealed, at, &rows[1..]).is_some());
    for unfit in [held(NaiveDate::MIN, None), held(today, Some(NaiveDate::MAX))] {
        assert_eq!(entries(1).encode(&sealed, at, &[unfit]), None);
    }
}
