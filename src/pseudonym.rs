//! Keyed pseudonyms: the only form in which customers, accounts and agreements are stored.
//!
//! A [`Sealed`] value is deterministic authenticated encryption (AES-SIV, RFC 5297): the holder of the key
//! can reverse it, nobody else learns more than equality. Each kind has a key of its own, so that equal
//! digits of different kinds do not look alike. The synthetic IV of a sealed value is itself a keyed
//! pseudorandom function of it, so its first bytes serve as a short one-way key.

mod ring;

pub use ring::{PseudonymRing, UnderEachKey};

use crate::domain::identifiers::{AccountNumber, CustomerId};
use crate::domain::relationship::{Agreement, AgreementId};
use crate::secrets::{self, SecretFileError};
use aes_siv::KeyInit;
use aes_siv::siv::Aes256Siv;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hkdf::Hkdf;
use sha2::Sha256;
use std::fmt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Mutex;
use zeroize::Zeroizing;

/// Bytes of secret in a key file.
pub const KEY_BYTES: usize = 64;
/// Bytes of synthetic IV in front of a sealed value.
const IV_BYTES: usize = 16;
/// Names the key without telling it: stored beside what was made with it.
pub type KeyFingerprint = [u8; 8];

/// Why there is no usable key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the key file {0}; `kundeforhold key new FILE` makes one")]
    File(#[from] SecretFileError),
    #[error("the key is not one line of base64 for {KEY_BYTES} bytes; `kundeforhold key new FILE` makes one")]
    Shape,
    #[error("the key file {path} cannot be made: {cause}")]
    NotMade { path: String, cause: std::io::Error },
}

/// The secret from which all keys of pseudonyms are derived. Wiped when dropped.
pub struct MasterKey(Zeroizing<[u8; KEY_BYTES]>);

impl MasterKey {
    /// A key from the operating system's random numbers.
    pub fn generate() -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        getrandom::fill(bytes.as_mut()).map_err(|_| KeyError::Shape)?;
        Ok(Self(bytes))
    }

    /// Reads one line of base64.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let decoded = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| KeyError::Shape)?);
        let bytes: [u8; KEY_BYTES] = decoded.as_slice().try_into().map_err(|_| KeyError::Shape)?;
        Ok(Self(Zeroizing::new(bytes)))
    }

    /// Reads a key file, which others may not be able to read.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        Self::parse(&secrets::read(path)?)
    }

    /// Writes a new key file, readable by its owner only; an existing file is never overwritten.
    pub fn create(path: &Path) -> Result<(), KeyError> {
        let not_made = |cause| KeyError::NotMade {
            path: path.display().to_string(),
            cause,
        };
        let line = Zeroizing::new(STANDARD.encode(Self::generate()?.0.as_ref()) + "\n");
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(not_made)?;
        std::io::Write::write_all(&mut file, line.as_bytes()).map_err(not_made)?;
        file.sync_all().map_err(not_made)
    }

    /// A key for one purpose; different labels give unrelated keys.
    pub fn derive<const N: usize>(&self, label: &str) -> Zeroizing<[u8; N]> {
        let mut derived = Zeroizing::new([0; N]);
        Hkdf::<Sha256>::new(Some(b"kundeforhold/1"), self.0.as_ref())
            .expand(label.as_bytes(), derived.as_mut())
            .expect("N is far below HKDF's limit of 8160 bytes");
        derived
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(masked)")
    }
}

/// Ciphers that are kept made: as many as threads seal at a time.
const MOST_READY: usize = 64;

/// The key of one kind of identifier. Making a cipher of it costs as much as using it, so ciphers are kept.
struct KindKey {
    key: Zeroizing<[u8; KEY_BYTES]>,
    ready: Mutex<Vec<Aes256Siv>>,
}

impl KindKey {
    fn new(key: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        Self {
            key,
            ready: Mutex::default(),
        }
    }

    fn seal(&self, plain: &[u8]) -> Sealed {
        self.with_cipher(|cipher| cipher.encrypt::<[&[u8]; 0], _>([], plain))
            .map(|bytes| Sealed(bytes.into()))
            .expect("without associated data AES-SIV has nothing to refuse")
    }

    /// What was sealed; `None`: not with this key.
    fn open(&self, sealed: &Sealed) -> Option<Zeroizing<Vec<u8>>> {
        let opened = self.with_cipher(|cipher| cipher.decrypt::<[&[u8]; 0], _>([], sealed.as_bytes()));
        opened.ok().map(Zeroizing::new)
    }

    fn reseal(&self, sealed: &Sealed, to: &Self) -> Option<Sealed> {
        self.open(sealed).map(|plain| to.seal(&plain))
    }

    /// Nobody waits for a cipher: where others are just taking one, another is made.
    fn with_cipher<T>(&self, work: impl FnOnce(&mut Aes256Siv) -> T) -> T {
        let kept = self.ready.try_lock().ok().and_then(|mut ready| ready.pop());
        let mut cipher = kept.unwrap_or_else(|| {
            let key: &[u8; KEY_BYTES] = &self.key;
            Aes256Siv::new(key.into())
        });
        let done = work(&mut cipher);
        if let Ok(mut ready) = self.ready.try_lock()
            && ready.len() < MOST_READY
        {
            ready.push(cipher);
        }
        done
    }
}

/// A customer, account or agreement as it is stored: 16 bytes of synthetic IV and the ciphertext.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sealed(Box<[u8]>);

impl Sealed {
    /// Longest sealed value: an agreement reference.
    pub const MAX_BYTES: usize = IV_BYTES + AgreementId::MAX_LENGTH;

    /// Reads back [`as_bytes`](Self::as_bytes); `None` unless it could have come from there.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        (IV_BYTES < bytes.len() && bytes.len() <= Self::MAX_BYTES).then(|| Self(bytes.into()))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The first bytes of the synthetic IV: short, one-way.
    fn prefix<const N: usize>(&self) -> [u8; N] {
        const { assert!(N <= IV_BYTES) };
        let mut prefix = [0; N];
        prefix.copy_from_slice(&self.0[..N]);
        prefix
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// Names a customer or an account in a few bytes, one-way. Two may share a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub [u8; 8]);

/// An agreement with its pseudonym.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SealedAgreement {
    CustomerLevel,
    Account(Sealed),
    Reference(Sealed),
}

impl SealedAgreement {
    /// What stands in a row; empty at customer level.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::CustomerLevel => &[],
            Self::Account(sealed) | Self::Reference(sealed) => sealed.as_bytes(),
        }
    }

    pub fn account(&self) -> Option<&Sealed> {
        match self {
            Self::Account(sealed) => Some(sealed),
            Self::CustomerLevel | Self::Reference(_) => None,
        }
    }
}

impl Sealed {
    pub fn tag(&self) -> Tag {
        Tag(self.prefix())
    }

    /// The bytes of its tag.
    pub fn tag_bytes(&self) -> &[u8] {
        &self.0[..size_of::<Tag>()]
    }

    /// The synthetic IV: names the value, and cannot be reversed.
    pub fn one_way(&self) -> [u8; IV_BYTES] {
        self.prefix()
    }
}

/// Makes pseudonyms, one key a kind.
pub struct Pseudonyms {
    customers: KindKey,
    accounts: KindKey,
    agreements: KindKey,
    fingerprint: KeyFingerprint,
}

impl Pseudonyms {
    /// Those of the store.
    pub fn new(key: &MasterKey) -> Self {
        Self::for_use(key, "pseudonym")
    }

    /// Those of the record of use, which do not match the ones of the store.
    pub fn for_record(key: &MasterKey) -> Self {
        Self::for_use(key, "record")
    }

    fn for_use(key: &MasterKey, place: &str) -> Self {
        Self {
            customers: KindKey::new(key.derive(&format!("{place}/customer"))),
            accounts: KindKey::new(key.derive(&format!("{place}/account"))),
            agreements: KindKey::new(key.derive(&format!("{place}/agreement"))),
            fingerprint: *key.derive(&format!("{place}/fingerprint")),
        }
    }

    /// Tells this key from others without telling the key.
    pub fn fingerprint(&self) -> KeyFingerprint {
        self.fingerprint
    }

    pub fn customer(&self, id: &CustomerId) -> Sealed {
        self.customers.seal(&id.to_secret_bytes())
    }

    pub fn account(&self, number: &AccountNumber) -> Sealed {
        self.accounts.seal(&number.to_secret_bytes())
    }

    pub fn agreement(&self, agreement: &Agreement) -> SealedAgreement {
        match agreement {
            Agreement::CustomerLevel => SealedAgreement::CustomerLevel,
            Agreement::Account(number) => SealedAgreement::Account(self.account(number)),
            Agreement::Reference(id) => {
                SealedAgreement::Reference(self.agreements.seal(id.to_secret_bytes()))
            }
        }
    }

    /// A customer that was sealed with this key, sealed with another; `None`: it was not sealed with this one.
    pub fn reseal_customer(&self, sealed: &Sealed, to: &Self) -> Option<Sealed> {
        self.customers.reseal(sealed, &to.customers)
    }

    /// Likewise an agreement.
    pub fn reseal_agreement(&self, agreement: &SealedAgreement, to: &Self) -> Option<SealedAgreement> {
        Some(match agreement {
            SealedAgreement::CustomerLevel => SealedAgreement::CustomerLevel,
            SealedAgreement::Account(sealed) => {
                SealedAgreement::Account(self.accounts.reseal(sealed, &to.accounts)?)
            }
            SealedAgreement::Reference(sealed) => {
                SealedAgreement::Reference(self.agreements.reseal(sealed, &to.agreements)?)
            }
        })
    }
}

impl fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pseudonyms(masked)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::identifiers::IdentifierRules;

    fn pseudonyms() -> Pseudonyms {
        Pseudonyms::new(&MasterKey(Zeroizing::new([7; KEY_BYTES])))
    }

    fn customer(digits: &str) -> CustomerId {
        CustomerId::parse(digits, &IdentifierRules::SYNTHETIC).unwrap()
    }

    #[test]
    fn equal_identifiers_seal_alike_and_others_do_not() {
        let (p, id) = (pseudonyms(), customer("17912099997"));
        assert_eq!(p.customer(&id), p.customer(&id));
        assert_ne!(p.customer(&id), p.customer(&customer("57912075186")));
        assert_ne!(
            p.customer(&id),
            Pseudonyms::new(&MasterKey::generate().unwrap()).customer(&id)
        );
    }

    #[test]
    fn the_kinds_are_separated() {
        let p = pseudonyms();
        let account = AccountNumber::parse_lookup_key("17912099997").unwrap();
        let reference = Agreement::Reference(AgreementId::parse("17912099997").unwrap());
        let sealed_account = p.agreement(&Agreement::Account(account));
        assert_ne!(
            sealed_account.as_bytes()[..16],
            p.agreement(&reference).as_bytes()[..16]
        );
        assert_ne!(
            p.customer(&customer("17912099997")).one_way()[..],
            sealed_account.as_bytes()[..16]
        );
    }

    #[test]
    fn what_is_sealed_anew_is_as_the_other_key_seals_it() {
        let (one, other) = (pseudonyms(), Pseudonyms::new(&MasterKey::generate().unwrap()));
        let id = customer("17912099997");
        let resealed = one.reseal_customer(&one.customer(&id), &other);
        assert_eq!(resealed, Some(other.customer(&id)));
        assert_eq!(other.reseal_customer(&one.customer(&id), &one), None);
        let account = AccountNumber::parse_lookup_key("17912099997").unwrap();
        let reference = AgreementId::parse("a reference").unwrap();
        for agreement in [
            Agreement::CustomerLevel,
            Agreement::Account(account),
            Agreement::Reference(reference),
        ] {
            let resealed = one.reseal_agreement(&one.agreement(&agreement), &other);
            assert_eq!(resealed, Some(other.agreement(&agreement)));
        }
    }

    #[test]
    fn a_key_file_is_private_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        MasterKey::create(&path).unwrap();
        assert!(MasterKey::read(&path).is_ok());
        assert!(matches!(MasterKey::create(&path), Err(KeyError::NotMade { .. })));
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        assert!(matches!(
            MasterKey::read(&path),
            Err(KeyError::File(SecretFileError::OpenToOthers { mode: 0o644, .. }))
        ));
    }

    #[test]
    fn only_64_bytes_of_base64_are_a_key() {
        for text in [
            "",
            "AAAA",
            "not base64",
            &STANDARD.encode([1; 63]),
            &STANDARD.encode([1; 65]),
        ] {
            assert!(matches!(MasterKey::parse(text), Err(KeyError::Shape)));
        }
        assert!(MasterKey::parse(&STANDARD.encode([1; 64])).is_ok());
    }
}
