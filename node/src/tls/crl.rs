//! Certificate revocation lists: which ones there are, which may take the place of which.
//!
//! A list counts for the issuer whose name it bears and whose key signed it: lists of two keys of one
//! name (a CA that changed its key) stand side by side, and each is renewed by its own kind only.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use registry_core::limits::{CRL_BYTES_MAX, CRL_SETS_MAX, CRLS_MAX};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, pem::PemObject};
use webpki::OwnedCertRevocationList;
use x509_parser::{
    certificate::X509Certificate, extensions::ParsedExtension,
    oid_registry::OID_X509_EXT_ISSUER_DISTRIBUTION_POINT, prelude::FromDer,
    revocation_list::CertificateRevocationList,
};

use crate::tls::{MaterialError, MemberTrust, material, profile};

/// The revocation lists of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    scope: Scope,
    /// Which key of the issuer signed it, as the list says, if it does.
    key_id: Option<Vec<u8>>,
    der: CertificateRevocationListDer<'static>,
    /// Where it was read.
    file: PathBuf,
}

/// What a list is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Scope {
    /// Encoded name of the issuer.
    issuer: Vec<u8>,
    /// Which certificates of the issuer: the encoded distribution point, empty for all.
    point: Vec<u8>,
}

/// Lists of one line replace each other.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    scope: Scope,
    key: Key,
}

/// Which key of an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Key {
    /// It verifies the signature.
    Signer(Vec<u8>),
    /// Not known here; what the list says of it, and where it was read: whoever writes one file must
    /// not replace what another one says with a list that nobody can verify.
    Named(Option<Vec<u8>>, PathBuf),
}

/// The certificates whose lists can be verified here.
#[derive(Default)]
pub(crate) struct Issuers<'a> {
    /// All keys of their names: during a change of the key both are named.
    anchors: Vec<X509Certificate<'a>>,
    /// One key of the name, where the issuer may have others.
    chain: Vec<X509Certificate<'a>>,
}

/// What a file of revocation lists holds.
pub type CrlFile = (PathBuf, Result<Vec<Crl>, MaterialError>);

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
        let crls = Self { all, required };
        crls.within_limits()?;
        if crls.is_missing() { Err(CrlError::None) } else { Ok(crls) }
    }

    fn within_limits(&self) -> Result<(), CrlError> {
        if self.all.len() > CRLS_MAX {
            return Err(too_many());
        }
        if !self.required {
            return Ok(());
        }
        let sets = self.by_issuer().values().fold(1_usize, |all, it| all.saturating_mul(keys(it)));
        if sets > CRL_SETS_MAX {
            let what = "the number of combinations of the keys of all issuers with several";
            return Err(CrlError::Limit { what, limit: CRL_SETS_MAX as u64 });
        }
        Ok(())
    }

    /// Whether lists are required and there is none: nobody counts then.
    pub(crate) fn is_missing(&self) -> bool {
        self.required && self.all.is_empty()
    }

    /// No lists yet; while they are required and there is none, nobody counts.
    pub(crate) fn none(required: bool) -> Self {
        Self { all: Vec::new(), required }
    }

    /// All lists.
    pub fn iter(&self) -> impl Iterator<Item = &Crl> {
        self.all.iter()
    }

    /// Whether a certificate without a valid list of its issuer is refused.
    pub fn required(&self) -> bool {
        self.required
    }

    /// Checks that each of these lists is signed by its issuer, where `issuers` know it, and not
    /// older than the one in `before` that it replaces. What others signed counts for nobody.
    ///
    /// # Errors
    ///
    /// The first that may not be taken.
    pub(crate) fn check(&self, before: &Self, issuers: &Issuers<'_>) -> Result<(), CrlError> {
        let before = before.lines(issuers);
        self.all.iter().try_for_each(|it| it.check(&before, issuers))
    }

    /// What is in use after `files` were read. A list that may not be taken, or a file that cannot be
    /// read, leaves in use what it would have replaced and holds up no other list; why is returned.
    /// May leave none although they are required, see [`Self::is_missing`].
    pub(crate) fn renewed(
        &self,
        files: Vec<CrlFile>,
        issuers: &Issuers<'_>,
    ) -> (Self, Vec<MaterialError>) {
        let before = self.lines(issuers);
        let (mut taken, mut failed, mut held) = (Vec::new(), Vec::new(), vec![false; before.len()]);
        let mut hold = |is_replaced: &dyn Fn(&Crl) -> bool| {
            for (held, (_, old)) in held.iter_mut().zip(&before) {
                *held |= is_replaced(old);
            }
        };
        for (path, lists) in files {
            match lists {
                Ok(lists) => {
                    for new in lists {
                        if let Err(source) = new.check(&before, issuers) {
                            hold(&|old| old.scope == new.scope);
                            failed.push(MaterialError::Crl { path: path.clone(), source });
                        } else {
                            taken.push(new);
                        }
                    }
                }
                Err(error) => {
                    hold(&|old| old.file == path);
                    failed.push(error);
                }
            }
        }
        let lines: Vec<_> = taken.iter().map(|it| it.line(issuers)).collect();
        let kept = before.iter().zip(held).filter(|(_, held)| *held).map(|(old, _)| old);
        let kept = kept.filter(|(line, old)| {
            !lines.contains(line) && !taken.iter().any(|new| new.der == old.der)
        });
        let kept: Vec<_> = kept.map(|(_, old)| (*old).clone()).collect();
        taken.extend(kept);
        let (crls, over) = Self::limited(taken, self.required, issuers);
        failed.extend(over);
        (crls, failed)
    }

    /// As many of these as the limits allow, and why the others are left out: what is verified goes
    /// first, then what stands first in its file, so that no file takes the place of all others.
    fn limited(all: Vec<Crl>, required: bool, issuers: &Issuers<'_>) -> (Self, Vec<MaterialError>) {
        let mut of_file: BTreeMap<PathBuf, usize> = BTreeMap::new();
        let mut ranked = Vec::with_capacity(all.len());
        for it in all {
            let before = of_file.entry(it.file.clone()).or_default();
            ranked.push((issuers.signer(&it).is_none(), *before, it));
            *before += 1;
        }
        ranked.sort_by_key(|(unverified, before, _)| (*unverified, *before));
        let mut crls = Self::none(required);
        let mut over: Vec<(PathBuf, CrlError)> = Vec::new();
        for (_, _, it) in ranked {
            let path = it.file.clone();
            crls.all.push(it);
            if let Err(source) = crls.within_limits() {
                crls.all.pop();
                let why = (path, source);
                if !over.contains(&why) {
                    over.push(why);
                }
            }
        }
        let over = over.into_iter().map(|(path, source)| MaterialError::Crl { path, source });
        (crls, over.collect())
    }

    fn lines(&self, issuers: &Issuers<'_>) -> Vec<(Line, &Crl)> {
        self.all.iter().map(|it| (it.line(issuers), it)).collect()
    }

    /// Sets in which each issuer has the lists of one key, for every combination of the keys of all
    /// issuers. For where lists are required: a chain counts if it counts with one of them and is
    /// revoked in none. A chain may hold any key of one issuer below any of another.
    pub(crate) fn sets(&self) -> Vec<Vec<CertificateRevocationListDer<'static>>> {
        let mut sets: Vec<Vec<CertificateRevocationListDer<'static>>> = vec![Vec::new()];
        for scopes in self.by_issuer().values() {
            let mut longer = Vec::new();
            for set in &sets {
                for at in 0..keys(scopes) {
                    let of_key = scopes.values().filter_map(|it| it.get(at).or_else(|| it.last()));
                    let of_key = of_key.map(|it| it.der());
                    longer.push(set.iter().cloned().chain(of_key).collect());
                }
            }
            sets = longer;
        }
        sets
    }

    /// By name of the issuer and by scope, in the order of the files.
    fn by_issuer(&self) -> BTreeMap<&[u8], BTreeMap<&Scope, Vec<&Crl>>> {
        let mut all: BTreeMap<&[u8], BTreeMap<&Scope, Vec<&Crl>>> = BTreeMap::new();
        for crl in &self.all {
            let scopes = all.entry(&crl.scope.issuer).or_default();
            scopes.entry(&crl.scope).or_default().push(crl);
        }
        all
    }
}

/// How many keys of an issuer have lists: one list of each scope is of one key.
fn keys(scopes: &BTreeMap<&Scope, Vec<&Crl>>) -> usize {
    scopes.values().map(Vec::len).max().unwrap_or(0).max(1)
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
        let point =
            crl.extensions().iter().find(|it| it.oid == OID_X509_EXT_ISSUER_DISTRIBUTION_POINT);
        let key_id = crl.extensions().iter().find_map(|it| match it.parsed_extension() {
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
            scope: Scope {
                issuer: crl.issuer().as_raw().to_vec(),
                point: point.map_or_else(Vec::new, |it| it.value.to_vec()),
            },
            key_id,
            der,
            file: PathBuf::new(),
        })
    }

    fn check(&self, before: &[(Line, &Self)], issuers: &Issuers<'_>) -> Result<(), CrlError> {
        let issuer = || self.issuer.clone();
        if issuers.should_verify(self) && issuers.signer(self).is_none() {
            return Err(CrlError::Signature { issuer: issuer() });
        }
        let line = self.line(issuers);
        // of keys that are not known here and not named, several may be in use
        let stays = before.iter().any(|(_, old)| old.der == self.der);
        let is_older = before.iter().any(|(old, it)| *old == line && it.is_newer_than(self));
        if is_older && !stays { Err(CrlError::Older { issuer: issuer() }) } else { Ok(()) }
    }

    /// The key that verifies a list tells more than what the list says of it, which may be nothing.
    fn line(&self, issuers: &Issuers<'_>) -> Line {
        let key = match issuers.signer(self) {
            Some(signer) => Key::Signer(signer.public_key().raw.to_vec()),
            None => Key::Named(self.key_id.clone(), self.file.clone()),
        };
        Line { scope: self.scope.clone(), key }
    }

    /// Encoded name of the issuer.
    pub(crate) fn issuer_der(&self) -> Vec<u8> {
        self.scope.issuer.clone()
    }

    pub(crate) fn der(&self) -> CertificateRevocationListDer<'static> {
        self.der.clone()
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

// === impl Issuers ===

impl<'a> Issuers<'a> {
    /// Those of these certificates that can be read: `anchors`, and the `chain` of the node.
    pub(crate) fn new(
        anchors: impl Iterator<Item = &'a CertificateDer<'static>>,
        chain: impl Iterator<Item = &'a CertificateDer<'static>>,
    ) -> Self {
        let read = |der: &'a CertificateDer<'static>| X509Certificate::from_der(der).ok();
        Self {
            anchors: anchors.filter_map(read).map(|it| it.1).collect(),
            chain: chain.filter_map(read).map(|it| it.1).collect(),
        }
    }

    /// What the revocation lists of a node are verified with.
    pub(crate) fn of(
        members: &'a [MemberTrust],
        client_anchors: &'a [CertificateDer<'static>],
        chain: &'a [CertificateDer<'static>],
    ) -> Self {
        let anchors = members.iter().flat_map(|it| &it.anchors).chain(client_anchors);
        Self::new(anchors, chain.iter())
    }

    fn named<'s>(&'s self, crl: &'s Crl) -> impl Iterator<Item = &'s X509Certificate<'a>> {
        let all = self.anchors.iter().chain(&self.chain);
        all.filter(|it| it.subject().as_raw() == crl.scope.issuer)
    }

    /// Whether a key that is known here must have signed the list. Of an intermediate CA only the key
    /// above the certificate of this node is known, before and after a change of its key: a list that
    /// does not name that one may be of the other.
    fn should_verify(&self, crl: &Crl) -> bool {
        let is_anchor = |it: &X509Certificate<'_>| it.subject().as_raw() == crl.scope.issuer;
        self.anchors.iter().any(is_anchor)
            || crl.key_id.is_some() && self.named(crl).any(|it| key_id(it) == crl.key_id)
    }

    fn signer<'s>(&'s self, crl: &'s Crl) -> Option<&'s X509Certificate<'a>> {
        self.named(crl).find(|it| crl.is_signed_by(it))
    }
}

fn too_many() -> CrlError {
    CrlError::Limit { what: "the number of lists", limit: CRLS_MAX as u64 }
}

fn key_id(certificate: &X509Certificate<'_>) -> Option<Vec<u8>> {
    certificate.extensions().iter().find_map(|it| match it.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
        _ => None,
    })
}

/// Reads all lists of a file, PEM (one or more) or DER (one).
///
/// # Errors
///
/// The file cannot be read, is too long, holds no list, too many, or one that cannot be used.
pub fn read_crls(path: &Path) -> Result<Vec<Crl>, MaterialError> {
    let bad = |source| MaterialError::Crl { path: path.to_owned(), source };
    let bytes = material::read(path, CRL_BYTES_MAX)?;
    let is_pem = bytes.windows(PEM.len()).any(|part| part == PEM);
    let lists: Vec<_> = if is_pem {
        CertificateRevocationListDer::pem_slice_iter(&bytes)
            .take(CRLS_MAX + 1)
            .collect::<Result<_, _>>()
            .map_err(|source| MaterialError::Pem { path: path.to_owned(), source })?
    } else {
        vec![CertificateRevocationListDer::from(bytes)]
    };
    if lists.is_empty() {
        return Err(MaterialError::Missing { path: path.to_owned(), what: "revocation list" });
    }
    if lists.len() > CRLS_MAX {
        return Err(bad(too_many()));
    }
    let read = |der| Ok(Crl { file: path.to_owned(), ..Crl::parse(der).map_err(bad)? });
    lists.into_iter().map(read).collect()
}

const PEM: &[u8] = b"-----BEGIN ";

#[cfg(test)]
mod tests {
    use time::{Duration, OffsetDateTime};

    use super::*;
    use crate::pki::Authority;

    #[test]
    fn a_list_replaces_an_older_one_of_its_key_only() {
        // of one name, as after a change of the key; none of the lists says which key it is of
        let (old, new) = (authority("CA"), authority("CA"));
        let of = |ca: &Authority, number| Crl { key_id: None, ..crl(ca, number) };
        let (first, second) = (of(&old, 1), of(&old, 2));
        let (first_of_new, other) = (of(&new, 1), of(&authority("Andere CA"), 1));
        let known = [old.der(), new.der()];
        let issuers = Issuers::new(known.iter(), [].iter());
        let nobody = Issuers::default();
        let check_with = |issuers: &Issuers<'_>, before: &[&Crl], after: &[&Crl], taken: bool| {
            let result = crls(after).check(&crls(before), issuers);
            assert_eq!(result.is_ok(), taken, "{result:?}");
        };
        let check = |before: &[&Crl], after: &[&Crl], taken| {
            check_with(&issuers, before, after, taken);
        };
        check(&[], &[&first], true);
        check(&[&first], &[&second], true);
        check(&[&first], &[&first], true);
        check(&[&second], &[&first], false);
        check(&[&second, &other], &[&second, &other], true);
        check(&[&second], &[&other], true);
        check(&[&second], &[], true);
        check(&[&second], &[&first_of_new], true);
        check(&[&second, &first_of_new], &[&second, &first_of_new], true);
        check(&[&second, &first_of_new], &[&first, &first_of_new], false);
        // nobody here can verify them: what is in use may stay in use
        check_with(&nobody, &[&second, &first_of_new], &[&second, &first_of_new, &other], true);
        check_with(&nobody, &[&second], &[&first], false);
    }

    #[test]
    fn a_list_that_cannot_be_taken_holds_up_no_other() {
        let (ca, forger, other) = (authority("CA"), authority("CA"), authority("Andere CA"));
        let known = [ca.der(), other.der()];
        let issuers = Issuers::new(known.iter(), [].iter());
        let at = |file: &str, it: Crl| Crl { file: file.into(), ..it };
        let own = at("ca", crl(&ca, 2));
        let before = crls(&[&own, &at("other", crl(&other, 1))]);
        let next = at("other", crl(&other, 2));
        let unreadable = || Err(MaterialError::Missing { path: "ca".into(), what: "list" });
        for (name, file) in [
            ("older", Ok(vec![at("ca", crl(&ca, 1))])),
            ("forged", Ok(vec![at("ca", crl(&forger, 9))])),
            ("unreadable", unreadable()),
        ] {
            let files = vec![("ca".into(), file), ("other".into(), Ok(vec![next.clone()]))];
            let (after, failed) = before.renewed(files, &issuers);
            assert_eq!(after.all, [next.clone(), own.clone()], "{name}");
            assert_eq!(failed.len(), 1, "{name}: {failed:?}");
        }
        // what is not there any more, or is renewed elsewhere, is not kept
        let moved = at("other", crl(&ca, 3));
        let files = vec![("ca".into(), unreadable()), ("other".into(), Ok(vec![moved.clone()]))];
        assert_eq!(before.renewed(files, &issuers).0.all, [moved]);
    }

    #[test]
    fn nobody_replaces_the_list_of_another_file_with_one_that_cannot_be_verified() {
        let (ca, forger, issuers) = (authority("CA"), authority("CA"), Issuers::default());
        let at = |file: &str, it: Crl| Crl { file: file.into(), ..it };
        let key_id = crl(&ca, 1).key_id;
        assert!(key_id.is_some());
        let forged = at("b", Crl { key_id, ..crl(&forger, 1_000_000_000) });
        let (own, next) = (at("a", crl(&ca, 1)), at("a", crl(&ca, 2)));
        let both = |a: Vec<Crl>, b: Vec<Crl>| vec![("a".into(), Ok(a)), ("b".into(), Ok(b))];

        let (after, failed) =
            crls(&[&own]).renewed(both(vec![own.clone()], vec![forged.clone()]), &issuers);
        assert_eq!((&after.all, failed.len()), (&vec![own, forged.clone()], 0));
        let (after, failed) =
            after.renewed(both(vec![next.clone()], vec![forged.clone()]), &issuers);
        assert_eq!((&after.all, failed.len()), (&vec![next.clone(), forged.clone()], 0));
        // of one file the newer one stays
        let (after, failed) =
            after.renewed(both(vec![at("a", crl(&ca, 1))], vec![forged.clone()]), &issuers);
        assert_eq!((after.all, failed.len()), (vec![forged, next], 1));
    }

    #[test]
    fn a_file_with_too_many_lists_keeps_none_of_another_file_out() {
        let (ca, junk) = (authority("CA"), authority("Erfunden"));
        let known = [ca.der()];
        let issuers = Issuers::new(known.iter(), [].iter());
        let of_partner = Crl { file: "partner".into(), ..crl(&authority("Zwischen-CA"), 1) };
        let verified = Crl { file: "own".into(), ..crl(&ca, 1) };
        // of one name: where lists are required, each is a key more
        let many: Vec<_> = (0..CRLS_MAX)
            .map(|it| Crl { file: "junk".into(), key_id: Some(vec![0; it]), ..crl(&junk, 1) })
            .collect();
        for (required, left) in [(false, CRLS_MAX - 2), (true, CRL_SETS_MAX)] {
            let files = vec![
                ("junk".into(), Ok(many.clone())),
                ("partner".into(), Ok(vec![of_partner.clone()])),
                ("own".into(), Ok(vec![verified.clone()])),
            ];
            let (after, failed) = Crls::none(required).renewed(files, &issuers);
            assert!(after.all.contains(&of_partner) && after.all.contains(&verified), "{required}");
            assert_eq!((after.all.len(), failed.len()), (left + 2, 1), "{failed:?}");
            let is_told = |it: &MaterialError| {
                matches!(it, MaterialError::Crl { path, source: CrlError::Limit { .. } }
                    if path == Path::new("junk"))
            };
            assert!(failed.iter().all(is_told), "{failed:?}");
        }
        // and in a file that is read
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("junk.crl");
        let pem = junk.crl(1, &[], OffsetDateTime::now_utc() + Duration::days(7)).unwrap();
        std::fs::write(&path, pem.repeat(CRLS_MAX)).unwrap();
        assert_eq!(read_crls(&path).unwrap().len(), CRLS_MAX);
        std::fs::write(&path, pem.repeat(CRLS_MAX + 1)).unwrap();
        let refused = read_crls(&path).unwrap_err();
        assert!(matches!(refused, MaterialError::Crl { .. }), "{refused}");
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
        let issuers = Issuers::new(known.iter(), [].iter());
        let check = |it: Crl| crls(&[&it]).check(&Crls::default(), &issuers);
        assert_eq!(check(crl(&ca, 1)), Ok(()));
        let forged = check(crl(&forger, 1));
        assert_eq!(forged, Err(CrlError::Signature { issuer: "CN=CA".to_owned() }));
        assert_eq!(check(crl(&authority("Dritte CA"), 1)), Ok(()), "nobody here can say");
    }

    #[test]
    fn of_an_intermediate_another_key_may_have_signed_a_list_that_does_not_name_the_known_one() {
        let now = OffsetDateTime::now_utc();
        let (root, forger) = (authority("Root"), authority("CA"));
        let (old, new) = (root.sub("CA", now).unwrap(), root.sub("CA", now).unwrap());
        let (anchors, chain) = ([root.der()], [new.der()]);
        let issuers = Issuers::new(anchors.iter(), chain.iter());
        let check = |it: &Crl| crls(&[it]).check(&Crls::default(), &issuers);
        let unnamed = |it: Crl| Crl { key_id: None, ..it };
        // before and after the change both lists are needed, named or not
        for it in [crl(&new, 1), crl(&old, 1), unnamed(crl(&new, 1)), unnamed(crl(&old, 1))] {
            assert_eq!(check(&it), Ok(()));
        }
        // who claims the known key, or is an anchor, has to prove it
        let claimed = Crl { key_id: crl(&new, 1).key_id, ..crl(&forger, 1) };
        assert!(claimed.key_id.is_some());
        assert!(matches!(check(&claimed), Err(CrlError::Signature { .. })));
        let above = unnamed(crl(&authority("Root"), 1));
        assert!(matches!(check(&above), Err(CrlError::Signature { .. })));
        // and the list of another key takes the place of none
        let before = crls(&[&crl(&new, 2)]);
        assert_eq!(crls(&[&crl(&new, 2), &crl(&old, 1)]).check(&before, &issuers), Ok(()));
    }

    #[test]
    fn every_key_of_one_issuer_meets_every_key_of_another() {
        let all = ["Eins", "Zwei"].map(|name| [authority(name), authority(name)]);
        let all = all.map(|keys| keys.map(|it| crl(&it, 1)));
        let sets = crls(&[&all[0][0], &all[0][1], &all[1][0], &all[1][1]]).sets();
        assert_eq!(sets.len(), 4);
        for (one, two) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            assert!(sets.contains(&vec![all[0][one].der(), all[1][two].der()]), "{one} {two}");
        }
        let names: Vec<_> = (0..6).map(|it| format!("CA {it}")).collect();
        let many: Vec<_> = names
            .iter()
            .flat_map(|it| [authority(it), authority(it)])
            .map(|it| crl(&it, 1))
            .collect();
        assert!(matches!(Crls::new(many.clone(), true), Err(CrlError::Limit { .. })));
        assert!(Crls::new(many, false).is_ok());
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
