//! The master of a Sentinel group.
//!
//! It is the one that a majority of the Sentinels names, and nothing is answered from another: an instance that is cut
//! off together with a former master cannot know of deliveries that went to the present one.

use super::super::target::Address;
use super::informants::{Informants, Told};
use crate::index::IndexError;

pub(super) async fn master(
    informants: &Informants,
    sentinels: &[Address],
    name: &str,
) -> Result<Address, IndexError> {
    let mut ask = redis::cmd("SENTINEL");
    ask.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    let enough = |told: &[Told<_>]| named_by_majority(told, sentinels.len()).is_some();
    let told = informants.ask(sentinels, &ask, enough).await;
    if let Some(address) = named_by_majority(&told, sentinels.len()) {
        return Ok(address);
    }
    let unknown = |(_, told): &Told<Named>| matches!(told, Ok(None));
    if !told.is_empty() && told.iter().all(unknown) {
        return Err(IndexError::Unfit(format!(
            "the Sentinels know no master \"{name}\": end index.url in the name that stands in their line \
             `sentinel monitor NAME …`"
        )));
    }
    let heard = told.iter().filter(|(_, told)| told.is_ok()).count();
    let all = sentinels.len();
    Err(IndexError::Unavailable(format!(
        "{heard} of {all} Sentinels answer, and no majority names the same master"
    )))
}

type Named = Option<(String, u16)>;

/// The address that more than half of all Sentinels name, heard or not.
fn named_by_majority(told: &[Told<Named>], sentinels: usize) -> Option<Address> {
    let named = || told.iter().filter_map(|(_, told)| told.as_ref().ok()?.as_ref());
    let majority = |one: &&(String, u16)| 2 * named().filter(|other| other == one).count() > sentinels;
    let (host, port) = named().find(majority)?;
    Some(Address {
        host: host.clone(),
        port: *port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(ports: &[Option<u16>]) -> Vec<Told<Named>> {
        let sentinel = || Address::parse("s", 1).unwrap();
        let named = |port: &Option<u16>| Ok(port.map(|port| ("h".to_owned(), port)));
        ports.iter().map(|port| (sentinel(), named(port))).collect()
    }

    #[test]
    fn half_of_the_sentinels_decide_nothing() {
        let port =
            |ports: &[Option<u16>], all| named_by_majority(&told(ports), all).map(|address| address.port);
        assert_eq!(port(&[Some(1), Some(2), Some(1)], 3), Some(1));
        assert_eq!(port(&[Some(1)], 3), None);
        assert_eq!(port(&[Some(1), Some(2)], 3), None);
        assert_eq!(port(&[Some(1), Some(1)], 4), None);
        assert_eq!(port(&[None, None, Some(1)], 3), None);
        assert_eq!(port(&[Some(1)], 1), Some(1));
    }
}
