//! Certificate revocation lists: which ones there are, which may take the place of which.
//!
//! A list counts for the issuer whose name it bears and whose key signed it. `rustls-webpki` looks
//! at the name first and at one list only, so lists of two keys of one name (a CA that changed its
//! key) go into separate [`Crls::sets`].

use std::{collections::BTreeMap, path::Path};

use registry_core::limits::{CRL_BYTES_MAX, CRLS_MAX};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, pem::PemObject};
use webpki::OwnedCertRevocationList;
use x509_parser::{
    certificate::X509Certificate, extensions::ParsedExtension,
    oid_registry::OID_X509_EXT_ISSUER_DISTRIBUTION_POINT, prelude::FromDer,
    revocation_list::CertificateRevocationList,
};

use crate::tls::{MaterialError, material, profile};

/// The revocation lists of a node.
#[derive(Clone, Debug, Default)]
pub struct Crls {
    all: Vec<Crl>,
    /// Whether a certificate counts whose issuer has no list here, or an expired one.
    required: bool,
}

/// One list, parsed; its signature is verified where it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crl {
    /// Name of the issuer, for messages.
    pub issuer: String,
    /// Begin of validity, Unix seconds.
    pub this_update: i64,
    /// When the next one is due, Unix seconds.
    pub next_update: i64,
    /// Number in the sequence of its issuer, big-endian without leading zeros.
    number: Option<Vec<u8>>,
    line: Line,
    der: CertificateRevocationListDer<'static>,
}

/// Lists of one line replace each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    /// Encoded name of the issuer.
    issuer: Vec<u8>,
    /// Which certificates of the issuer: the encoded distribution point, empty for all.
    scope: Vec<u8>,
    /// Which key of the issuer, if the list says so.
    key: Option<Vec<u8>>,
}

/// Why a revocation list is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CrlError {
    /// It cannot be read.
    #[error("is no certificate revocation list that can be used: {0}")]
    Unreadable(String),
    /// It is of before the one in use.
    #[error("the list of {issuer:?} is older than the one in use")]
    Older {
        /// Name of the issuer.
        issuer: String,
    },
    /// Another key than that of its issuer signed it.
    #[error("the list of {issuer:?} is not signed with the key of that issuer")]
    Signature {
        /// Name of the issuer.
        issuer: String,
    },
    /// Too many, or too long.
    #[error("{what} is above the limit of {limit}")]
    Limit {
        /// What was counted.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// Lists are required and there is none.
    #[error("a list for every issuer is required, and there is none")]
    None,
}

// === impl Crls ===

impl Crls {
    /// These lists; if `required`, a certificate counts only if its issuer has one that is valid.
    ///
    /// # Errors
    ///
    /// There are too many, or none although they are required.
    pub fn new(all: Vec<Crl>, required: bool) -> Result<Self, CrlError> {
        if all.len() > CRLS_MAX {
            return Err(CrlError::Limit { what: "the number of lists", limit: CRLS_MAX as u64 });
        }
        if required && all.is_empty() {
            return Err(CrlError::None);
        }
        Ok(Self { all, required })
    }

    /// All lists.
    pub fn iter(&self) -> impl Iterator<Item = &Crl> {
        self.all.iter()
    }

    /// Whether a certificate without a valid list of its issuer is refused.
    pub fn required(&self) -> bool {
        self.required
    }

    /// Checks that these lists may take the place of `before`.
    ///
    /// # Errors
    ///
    /// One of them is older than the one it would replace.
    pub(crate) fn check_newer_than(&self, before: &Self) -> Result<(), CrlError> {
        let older = self.all.iter().find(|new| {
            before.all.iter().any(|old| old.line == new.line && old.is_newer_than(new))
        });
        older.map_or(Ok(()), |it| Err(CrlError::Older { issuer: it.issuer.clone() }))
    }

    /// Checks the signature of every list whose issuer is among `known`; what others signed shows
    /// when a certificate of theirs comes.
    ///
    /// # Errors
    ///
    /// The first that its issuer did not sign.
    pub(crate) fn check_signed_by<'a>(
        &self,
        known: impl Iterator<Item = &'a CertificateDer<'static>>,
    ) -> Result<(), CrlError> {
        let known: Vec<_> =
            known.filter_map(|der| X509Certificate::from_der(der).ok().map(|it| it.1)).collect();
        for crl in &self.all {
            let mut issuers =
                known.iter().filter(|it| it.subject().as_raw() == crl.line.issuer).peekable();
            if issuers.peek().is_some() && !issuers.any(|issuer| crl.is_signed_by(issuer)) {
                return Err(CrlError::Signature { issuer: crl.issuer.clone() });
            }
        }
        Ok(())
    }

    /// Sets in which each name and scope has one list; at least one set. A chain counts if it
    /// counts with one of them and is revoked in none.
    pub(crate) fn sets(&self) -> Vec<Vec<CertificateRevocationListDer<'static>>> {
        let mut groups: BTreeMap<(&[u8], &[u8]), Vec<&Crl>> = BTreeMap::new();
        for crl in &self.all {
            groups.entry((&crl.line.issuer, &crl.line.scope)).or_default().push(crl);
        }
        let most = groups.values().map(Vec::len).max().unwrap_or(0).max(1);
        let set = |at: usize| {
            let one =
                |group: &Vec<&Crl>| group.get(at).or_else(|| group.last()).map(|it| it.der.clone());
            groups.values().filter_map(one).collect()
        };
        (0..most).map(set).collect()
    }
}

// === impl Crl ===

impl Crl {
    /// Reads one list.
    ///
    /// # Errors
    ///
    /// It is damaged, has no end of validity, or is of a kind that cannot be used (indirect, delta).
    pub fn parse(der: CertificateRevocationListDer<'static>) -> Result<Self, CrlError> {
        // what webpki does not take would only fail later
        OwnedCertRevocationList::from_der(&der)
            .map_err(|error| CrlError::Unreadable(error.to_string()))?;
        let unreadable = |why: &str| CrlError::Unreadable(why.to_owned());
        let (_, crl) = CertificateRevocationList::from_der(&der)
            .map_err(|error| CrlError::Unreadable(error.to_string()))?;
        let next = crl.next_update().ok_or_else(|| unreadable("no end of validity"))?;
        let scope =
            crl.extensions().iter().find(|it| it.oid == OID_X509_EXT_ISSUER_DISTRIBUTION_POINT);
        let key = crl.extensions().iter().find_map(|it| match it.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                id.key_identifier.as_ref().map(|it| it.0.to_vec())
            }
            _ => None,
        });
        Ok(Self {
            issuer: crl.issuer().to_string(),
            this_update: crl.last_update().timestamp(),
            next_update: next.timestamp(),
            number: crl.crl_number().map(|it| it.to_bytes_be()),
            line: Line {
                issuer: crl.issuer().as_raw().to_vec(),
                scope: scope.map_or_else(Vec::new, |it| it.value.to_vec()),
                key,
            },
            der,
        })
    }

    /// By the numbers of the issuer, or by its dates if it does not number.
    fn is_newer_than(&self, other: &Self) -> bool {
        match (&self.number, &other.number) {
            (Some(own), Some(others)) => {
                (own.len(), own.as_slice()) > (others.len(), others.as_slice())
            }
            _ => self.this_update > other.this_update,
        }
    }

    fn is_signed_by(&self, issuer: &X509Certificate<'_>) -> bool {
        let Ok((_, crl)) = CertificateRevocationList::from_der(&self.der) else { return false };
        let key = issuer.public_key().subject_public_key.as_ref();
        // an algorithm of another kind of key does not take the key
        profile::VERIFICATION.all.iter().any(|algorithm| {
            let signed = crl.tbs_cert_list.as_ref();
            algorithm.verify_signature(key, signed, crl.signature_value.as_ref()).is_ok()
        })
    }
}

/// Reads all lists of a file, PEM (one or more) or DER (one).
///
/// # Errors
///
/// The file cannot be read, is too long, holds no list, or one that cannot be used.
pub fn read_crls(path: &Path) -> Result<Vec<Crl>, MaterialError> {
    let bad = |source| MaterialError::Crl { path: path.to_owned(), source };
    let bytes = material::read(path, CRL_BYTES_MAX)?;
    let is_pem = bytes.windows(PEM.len()).any(|part| part == PEM);
    let lists: Vec<_> = if is_pem {
        CertificateRevocationListDer::pem_slice_iter(&bytes)
            .collect::<Result<_, _>>()
            .map_err(|source| MaterialError::Pem { path: path.to_owned(), source })?
    } else {
        vec![CertificateRevocationListDer::from(bytes)]
    };
    if lists.is_empty() {
        return Err(MaterialError::Missing { path: path.to_owned(), what: "revocation list" });
    }
    lists.into_iter().map(|der| Crl::parse(der).map_err(bad)).collect()
}

const PEM: &[u8] = b"-----BEGIN ";

#[cfg(test)]
mod tests {
    use time::{Duration, OffsetDateTime};

    use super::*;
    use crate::pki::Authority;

    #[test]
    fn a_list_replaces_an_older_one_of_its_issuer_only() {
        let ca = authority("CA");
        let (first, second) = (crl(&ca, 1), crl(&ca, 2));
        let other = crl(&authority("Andere CA"), 1);
        let check = |before: &[&Crl], after: &[&Crl], taken: bool| {
            let result = crls(after).check_newer_than(&crls(before));
            assert_eq!(result.is_ok(), taken, "{result:?}");
        };
        check(&[], &[&first], true);
        check(&[&first], &[&second], true);
        check(&[&first], &[&first], true);
        check(&[&second], &[&first], false);
        check(&[&second, &other], &[&second, &other], true);
        check(&[&second], &[&other], true);
        check(&[&second], &[], true);
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        let ca = authority("CA");
        assert!(crl(&ca, 256).is_newer_than(&crl(&ca, 255)));
        assert!(!crl(&ca, 9).is_newer_than(&crl(&ca, 10)));
    }

    #[test]
    fn a_list_that_its_issuer_did_not_sign_is_refused() {
        let (ca, forger, stranger) = (authority("CA"), authority("CA"), authority("Fremde CA"));
        let known = [ca.der(), stranger.der()];
        assert!(crls(&[&crl(&ca, 1)]).check_signed_by(known.iter()).is_ok());
        let forged = crls(&[&crl(&forger, 1)]).check_signed_by(known.iter());
        assert_eq!(forged, Err(CrlError::Signature { issuer: "CN=CA".to_owned() }));
        let unknown = crls(&[&crl(&authority("Dritte CA"), 1)]);
        assert!(unknown.check_signed_by(known.iter()).is_ok(), "nobody here can say");
    }

    #[test]
    fn lists_of_two_keys_of_one_name_go_into_two_sets() {
        let (old, new, other) = (authority("CA"), authority("CA"), authority("Andere CA"));
        let all = crls(&[&crl(&old, 1), &crl(&new, 1), &crl(&other, 1)]);
        let sets = all.sets();
        assert_eq!(sets.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
        assert_ne!(sets[0], sets[1]);
        assert_eq!(Crls::default().sets(), [Vec::new()]);
    }

    #[test]
    fn what_is_required_must_be_there_and_limits_hold() {
        assert_eq!(Crls::new(Vec::new(), true).unwrap_err(), CrlError::None);
        let many = vec![crl(&authority("CA"), 1); CRLS_MAX + 1];
        assert!(matches!(Crls::new(many, false), Err(CrlError::Limit { .. })));
        assert!(Crl::parse(CertificateRevocationListDer::from(vec![0x30, 0])).is_err());
    }

    fn authority(name: &str) -> Authority {
        Authority::root(name, OffsetDateTime::now_utc()).unwrap()
    }

    fn crl(ca: &Authority, number: u64) -> Crl {
        let pem = ca.crl(number, &[], OffsetDateTime::now_utc() + Duration::days(7)).unwrap();
        Crl::parse(CertificateRevocationListDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap()
    }

    fn crls(all: &[&Crl]) -> Crls {
        Crls::new(all.iter().map(|it| (*it).clone()).collect(), false).unwrap()
    }
}
