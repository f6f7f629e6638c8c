//! Pseudonyms of one key turned into those of another. What they stand for never leaves here.

use super::{KeyFingerprint, KindKey, Pseudonyms, Sealed, SealedAgreement};
use std::sync::Arc;
use zeroize::Zeroizing;

/// A pseudonym was not made with the key it is said to be of, or was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a pseudonym was not made with the key it should be of")]
pub struct NotOfThisKey;

/// From the pseudonyms of one key to those of another.
#[derive(Debug, Clone)]
pub struct Reseal {
    pub from: Arc<Pseudonyms>,
    pub to: Arc<Pseudonyms>,
}

impl Reseal {
    /// The key of what this makes.
    pub fn key(&self) -> KeyFingerprint {
        self.to.fingerprint
    }

    pub fn customer(&self, sealed: &Sealed) -> Result<Sealed, NotOfThisKey> {
        self.from.customers.reseal(sealed, &self.to.customers)
    }

    pub fn agreement(&self, agreement: &SealedAgreement) -> Result<SealedAgreement, NotOfThisKey> {
        Ok(match agreement {
            SealedAgreement::CustomerLevel => SealedAgreement::CustomerLevel,
            SealedAgreement::Account(sealed) => {
                SealedAgreement::Account(self.from.accounts.reseal(sealed, &self.to.accounts)?)
            }
            SealedAgreement::Reference(sealed) => {
                SealedAgreement::Reference(self.from.agreements.reseal(sealed, &self.to.agreements)?)
            }
        })
    }
}

impl KindKey {
    fn reseal(&self, sealed: &Sealed, to: &Self) -> Result<Sealed, NotOfThisKey> {
        let opened = self.with_cipher(|cipher| cipher.decrypt::<[&[u8]; 0], _>([], sealed.as_bytes()));
        Ok(to.seal(&Zeroizing::new(opened.map_err(|_| NotOfThisKey)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::identifiers::{AccountNumber, CustomerId, IdentifierRules};
    use crate::domain::relationship::{Agreement, AgreementId};
    use crate::pseudonym::MasterKey;

    fn new_key() -> Arc<Pseudonyms> {
        Arc::new(Pseudonyms::new(&MasterKey::generate().unwrap()))
    }

    #[test]
    fn resealed_pseudonyms_are_those_that_the_other_key_makes() {
        let (from, to) = (new_key(), new_key());
        let reseal = Reseal {
            from: from.clone(),
            to: to.clone(),
        };
        let id = CustomerId::parse("17912099997", &IdentifierRules::SYNTHETIC).unwrap();
        assert_eq!(reseal.customer(&from.customer(&id)), Ok(to.customer(&id)));
        for agreement in [
            Agreement::CustomerLevel,
            Agreement::Account(AccountNumber::parse_lookup_key("17912099997").unwrap()),
            Agreement::Reference(AgreementId::parse("17912099997").unwrap()),
        ] {
            assert_eq!(
                reseal.agreement(&from.agreement(&agreement)),
                Ok(to.agreement(&agreement))
            );
        }
    }

    #[test]
    fn a_pseudonym_of_another_key_or_kind_is_refused() {
        let (from, to) = (new_key(), new_key());
        let id = CustomerId::parse("17912099997", &IdentifierRules::SYNTHETIC).unwrap();
        let sealed = to.customer(&id);
        let reseal = Reseal { from, to };
        assert_eq!(reseal.customer(&sealed), Err(NotOfThisKey));
        let account = reseal
            .from
            .account(&AccountNumber::parse_lookup_key("17912099997").unwrap());
        assert_eq!(reseal.customer(&account), Err(NotOfThisKey));
    }
}
