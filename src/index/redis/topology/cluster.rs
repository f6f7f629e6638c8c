//! Where the slots of a Cluster are.

use super::super::target::Address;
use super::informants::{Informants, Told};
use super::{GROUPS, Group, Places};
use crate::index::IndexError;
use redis::ServerError;

const SLOTS: u16 = 16_384;

/// The slot of each group, in the order of groups.
fn slot_groups() -> impl Iterator<Item = (Group, u16)> {
    let rows = Group::all_rows().zip((0..=u8::MAX).map(|byte| slot(format!("{byte:02x}").as_bytes())));
    rows.chain([(Group::State, slot(b"kf"))])
}

/// The slot of a hash tag: CRC-16/XMODEM, as the Cluster specification has it.
fn slot(tag: &[u8]) -> u16 {
    let crc = tag.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| match crc & 0x8000 {
            0 => crc << 1,
            _ => crc << 1 ^ 0x1021,
        })
    });
    crc % SLOTS
}

/// A primary's claim to slots, as one of the nodes knows it.
struct Claim {
    address: Address,
    /// Of two claims to a slot, the one with the later epoch holds.
    epoch: u64,
    ranges: Vec<(u16, u16)>,
}

pub(super) async fn places(informants: &Informants, known: &[Address]) -> Result<Places, IndexError> {
    let mut ask = redis::cmd("CLUSTER");
    ask.arg("NODES");
    let told: Vec<Told<String>> = informants.ask(known, &ask, |_| false).await;
    let mut claims = Vec::new();
    let mut failed = None;
    for (informant, told) in told {
        match told {
            Ok(nodes) => claims.extend(nodes.lines().filter_map(|line| claim(line, &informant))),
            Err(cause) if is_no_cluster(&cause) => return Err(no_cluster()),
            Err(cause) => failed = Some(cause),
        }
    }
    match (places_of(&claims), failed) {
        (Some(places), _) => Ok(places),
        (None, Some(cause)) if claims.is_empty() => Err(cause.into()),
        (None, _) => {
            let say =
                "the Cluster does not have all its slots: a primary is down, or the Cluster is not made yet";
            Err(IndexError::Unavailable(say.to_owned()))
        }
    }
}

fn is_no_cluster(cause: &redis::RedisError) -> bool {
    cause.to_string().contains("cluster support disabled")
}

fn no_cluster() -> IndexError {
    let say = "index.url is redis-cluster:// but this Redis is no node of a Cluster: write redis:// or \
               redis-sentinel://, or set `cluster-enabled yes` in redis.conf";
    IndexError::Unfit(say.to_owned())
}

/// `None` if not every group has a primary.
fn places_of(claims: &[Claim]) -> Option<Places> {
    let (mut primaries, mut of_group) = (Vec::new(), [0; GROUPS]);
    for ((_, slot), place) in slot_groups().zip(&mut of_group) {
        let holds = |claim: &&Claim| {
            claim
                .ranges
                .iter()
                .any(|(first, last)| (*first..=*last).contains(&slot))
        };
        let claim = claims.iter().filter(holds).max_by_key(|claim| claim.epoch)?;
        let at = primaries.iter().position(|known| *known == claim.address);
        *place = at.unwrap_or_else(|| {
            primaries.push(claim.address.clone());
            primaries.len() - 1
        });
    }
    Some(Places { primaries, of_group })
}

/// A line of `CLUSTER NODES`: `id host:port@bus[,hostname] flags primary ping pong epoch link slots…`.
fn claim(line: &str, informant: &Address) -> Option<Claim> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, place, flags, _, _, _, epoch, _, slots @ ..] = words.as_slice() else {
        return None;
    };
    let flags: Vec<&str> = flags.split(',').collect();
    if !flags.contains(&"master") || flags.contains(&"fail") || flags.contains(&"noaddr") {
        return None;
    }
    let place = place.split(['@', ',']).next()?;
    let address = match place.strip_prefix(':') {
        // A node that nobody has met yet does not know its own address.
        Some(port) => Address {
            host: informant.host.clone(),
            port: port.parse().ok()?,
        },
        None => Address::parse_last_colon(place)?,
    };
    let range = |word: &&str| {
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        Some((first.parse().ok()?, last.parse().ok()?))
    };
    let ranges: Vec<(u16, u16)> = slots.iter().filter_map(range).collect();
    (!ranges.is_empty()).then_some(Claim {
        address,
        epoch: epoch.parse().ok()?,
        ranges,
    })
}

impl Address {
    /// As servers write it: an IPv6 address stands without brackets.
    fn parse_last_colon(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        Some(Self {
            host: host.to_owned(),
            port: port.parse().ok()?,
        })
    }

    /// Where ASK says that a slot is being moved to: `slot host:port`.
    pub(in super::super) fn of_ask(ask: &ServerError) -> Option<Self> {
        Self::parse_last_colon(ask.details()?.split_whitespace().nth(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(slot(b"123456789"), 0x31c3);
        assert_eq!(slot_groups().count(), GROUPS);
    }

    fn claims(nodes: &str) -> Vec<Claim> {
        let informant = Address::parse("seed", 1).unwrap();
        nodes.lines().filter_map(|line| claim(line, &informant)).collect()
    }

    #[test]
    fn of_two_claims_the_later_holds() {
        let former = "a 127.0.0.1:7000@17000 myself,master - 0 0 1 connected 0-16383";
        let later = "b :7001@17001,name master - 0 0 3 connected 0-8000 8001-16383 [77->-a]\n\
                     a 127.0.0.1:7000@17000 master,fail - 0 0 1 connected 0-16383\n\
                     c ::1:7002@17002 slave b 0 0 3 connected";
        let told = claims(&format!("{former}\n{later}"));
        assert_eq!(told.len(), 2);
        let places = places_of(&told).unwrap();
        assert_eq!(places.primaries, [Address::parse("seed:7001", 1).unwrap()]);
        assert!(places_of(&claims("a h:1@2 master - 0 0 1 connected 0-16382")).is_some());
        assert!(places_of(&claims("a h:1@2 master - 0 0 1 connected 0-8000")).is_none());
    }
}
