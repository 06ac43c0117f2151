//! Verification of chains against anchors, with the revocation lists that are here.
//!
//! `rustls-webpki` takes the first list that bears the name of an issuer, and refuses the chain if
//! another key signed it. A list of another key of that name is none of the issuer, so each list is
//! asked alone; where lists are required, sets of them are, of which one must do for the whole chain.

use std::sync::Arc;

use rustls::{
    CertRevocationListError, CertificateError, Error, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use crate::tls::{crl::Crls, material::MaterialError};

/// Verifies chains to one set of anchors.
#[derive(Debug)]
pub(crate) struct Verifiers {
    /// Without any list.
    bare: Pair,
    lists: Lists,
}

#[derive(Debug)]
enum Lists {
    /// Each alone, with the encoded name of its issuer: a chain counts if it is revoked in none.
    Each(Vec<(Vec<u8>, Pair)>),
    /// Sets with one for each issuer: a chain counts if it counts with one set.
    Required(Vec<Pair>),
}

#[derive(Debug)]
struct Pair {
    as_client: Arc<dyn ClientCertVerifier>,
    as_server: Arc<WebPkiServerVerifier>,
}

// === impl Verifiers ===

impl Verifiers {
    /// Verifiers for these anchors; none if there is none.
    ///
    /// # Errors
    ///
    /// An anchor cannot be used.
    pub(crate) fn new(
        source: &str,
        anchors: Vec<CertificateDer<'static>>,
        crls: &Crls,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Option<Self>, MaterialError> {
        if anchors.is_empty() {
            return Ok(None);
        }
        let mut roots = RootCertStore::empty();
        for anchor in anchors {
            roots.add(anchor).map_err(|error| MaterialError::anchors(source, error))?;
        }
        let roots = Arc::new(roots);
        let pair = |lists, required| Pair::new(source, &roots, lists, required, provider);
        let lists = if crls.required() {
            let sets = crls.sets().into_iter().map(|set| pair(set, true));
            Lists::Required(sets.collect::<Result<_, _>>()?)
        } else {
            let each = crls
                .iter()
                .map(|it| pair(vec![it.der()], false).map(|pair| (it.issuer_der(), pair)));
            Lists::Each(each.collect::<Result<_, _>>()?)
        };
        Ok(Some(Self { bare: pair(Vec::new(), false)?, lists }))
    }

    /// Whether the chain counts for a client.
    pub(crate) fn client(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        self.judge(end_entity, intermediates, |pair| {
            pair.as_client.verify_client_cert(end_entity, intermediates, now).map(|_| ())
        })
    }

    /// Whether the chain counts for a server; its name is not looked at.
    pub(crate) fn server(
        &self,
        name: &ServerName<'_>,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        self.judge(end_entity, intermediates, |pair| {
            match pair.as_server.verify_server_cert(end_entity, intermediates, name, &[], now) {
                Ok(_)
                | Err(Error::InvalidCertificate(
                    CertificateError::NotValidForName
                    | CertificateError::NotValidForNameContext { .. },
                )) => Ok(()),
                Err(error) => Err(error),
            }
        })
    }

    fn judge(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        verify: impl Fn(&Pair) -> Result<(), Error>,
    ) -> Result<(), Error> {
        verify(&self.bare)?;
        match &self.lists {
            Lists::Each(lists) => {
                let issuers = issuers(std::iter::once(end_entity).chain(intermediates))?;
                let concerned = lists.iter().filter(|(issuer, _)| issuers.contains(issuer));
                let mut refused = None;
                for (_, pair) in concerned {
                    match verify(pair) {
                        Ok(()) => {}
                        Err(error) if is_revoked(&error) => return Err(error),
                        Err(error) if is_of_another_key(&error) => {}
                        Err(error) => {
                            refused.get_or_insert(error);
                        }
                    }
                }
                refused.map_or(Ok(()), Err)
            }
            Lists::Required(sets) => judge_sets(sets, verify),
        }
    }
}

fn judge_sets(sets: &[Pair], verify: impl Fn(&Pair) -> Result<(), Error>) -> Result<(), Error> {
    let (mut counts, mut refused) = (false, None);
    for pair in sets {
        match verify(pair) {
            Ok(()) => counts = true,
            Err(error) if is_revoked(&error) => return Err(error),
            Err(error) if is_of_another_key(&error) => {}
            Err(error) => {
                refused.get_or_insert(error);
            }
        }
    }
    let no_list = Error::InvalidCertificate(CertificateError::UnknownRevocationStatus);
    if counts { Ok(()) } else { Err(refused.unwrap_or(no_list)) }
}

/// Encoded names of those who issued these certificates.
fn issuers<'a>(chain: impl Iterator<Item = &'a CertificateDer<'a>>) -> Result<Vec<Vec<u8>>, Error> {
    let bad = |_| Error::InvalidCertificate(CertificateError::BadEncoding);
    let issuer = |der: &CertificateDer<'_>| {
        let (_, certificate) = X509Certificate::from_der(der).map_err(bad)?;
        Ok(certificate.issuer().as_raw().to_vec())
    };
    chain.map(issuer).collect()
}

/// Of a chain that counts without lists: the list is of another key than that of the issuer. With
/// several anchors of one name `rustls-webpki` may say it of the wrong one.
fn is_of_another_key(error: &Error) -> bool {
    use CertRevocationListError as List;
    use CertificateError as It;
    matches!(
        error,
        Error::InvalidCertRevocationList(
            List::BadSignature | List::UnsupportedSignatureAlgorithmForPublicKeyContext { .. }
        ) | Error::InvalidCertificate(
            It::BadSignature | It::UnsupportedSignatureAlgorithmForPublicKeyContext { .. }
        )
    )
}

// === impl Pair ===

impl Pair {
    fn new(
        source: &str,
        roots: &Arc<RootCertStore>,
        crls: Vec<CertificateRevocationListDer<'static>>,
        required: bool,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, MaterialError> {
        let (roots, provider) = (|| Arc::clone(roots), || Arc::clone(provider));
        let mut client = WebPkiClientVerifier::builder_with_provider(roots(), provider())
            .with_crls(crls.clone());
        let mut server =
            WebPkiServerVerifier::builder_with_provider(roots(), provider()).with_crls(crls);
        if required {
            client = client.enforce_revocation_expiration();
            server = server.enforce_revocation_expiration();
        } else {
            client = client.allow_unknown_revocation_status();
            server = server.allow_unknown_revocation_status();
        }
        let bad = |error| MaterialError::anchors(source, error);
        Ok(Self {
            as_client: client.build().map_err(bad)?,
            as_server: server.build().map_err(bad)?,
        })
    }
}

/// True if the certificate, or a CA above it, is on a list.
pub(crate) fn is_revoked(error: &Error) -> bool {
    matches!(error, Error::InvalidCertificate(CertificateError::Revoked))
}

pub(crate) fn is_unknown_issuer(error: &Error) -> bool {
    matches!(error, Error::InvalidCertificate(CertificateError::UnknownIssuer))
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject;
    use time::{Duration, OffsetDateTime};

    use super::*;
    use crate::{
        pki::{Authority, Issued, Request},
        tls::{Crl, Profile},
    };

    /// A CA that changed its key under one name, below another CA that did so too.
    struct Changed {
        old_root: Authority,
        new_root: Authority,
        old: Authority,
        new: Authority,
    }

    #[test]
    fn a_list_of_another_key_of_the_name_is_none_of_the_issuer() {
        let now = OffsetDateTime::now_utc();
        let root = || Authority::root("Root", now).unwrap();
        let (old_root, new_root) = (root(), root());
        let (old, new) = (old_root.sub("CA", now).unwrap(), new_root.sub("CA", now).unwrap());
        let it = Changed { old_root, new_root, old, new };
        let by = |ca: &Authority| ca.issue(&Request::client("a.example", now)).unwrap();
        let (of_old, of_new) = (by(&it.old), by(&it.new));
        let revoked = Err(CertificateError::Revoked);
        let unknown = Err(CertificateError::UnknownRevocationStatus);

        // of one key only
        let of_one = [list(&it.old, &[&of_old])];
        it.check(&of_one, false, &of_new, Ok(()));
        it.check(&of_one, false, &of_old, revoked.clone());
        let above = [list(&it.old_root, &[]), list(&it.new_root, &[])];
        it.check(&[&of_one[..], &above].concat(), true, &of_new, unknown);
        it.check(&[&of_one[..], &above].concat(), true, &of_old, revoked.clone());
        // of both, and of both keys above, in any order
        let (a, b) = (list(&it.old, &[]), list(&it.new, &[&of_new]));
        let (c, d) = (list(&it.old_root, &[]), list(&it.new_root, &[]));
        for lists in [[&a, &b, &c, &d], [&b, &a, &c, &d], [&d, &c, &a, &b]] {
            let lists = lists.map(Clone::clone);
            it.check(&lists, false, &of_new, revoked.clone());
            it.check(&lists, false, &of_old, Ok(()));
        }
        // an old key above a new one, in any order of the files; and without the list of one of them
        let below = it.old_root.sub("CA", now).unwrap();
        let issued = by(&below);
        let issued = Issued { chain: [&issued.chain[..1], &[below.der()]].concat(), ..issued };
        let (e, mut lists) = (list(&below, &[]), vec![a.clone(), c.clone(), d.clone()]);
        let unknown = Err(CertificateError::UnknownRevocationStatus);
        it.check(&lists, true, &issued, unknown);
        for lists in [[&a, &e, &c, &d], [&a, &e, &d, &c], [&e, &a, &d, &c], [&e, &a, &c, &d]] {
            it.check(&lists.map(Clone::clone), true, &issued, Ok(()));
            it.check(&lists.map(Clone::clone), true, &of_old, Ok(()));
        }
        lists.push(list(&below, &[&issued]));
        it.check(&lists, true, &issued, revoked.clone());
        // what is revoked above is found whatever list is there of the key below
        let above = Issued { chain: vec![it.new.der()], ..by(&it.new) };
        for below in [&a, &b] {
            let lists = [below.clone(), c.clone(), list(&it.new_root, &[&above])];
            it.check(&lists, false, &by(&it.new), revoked.clone());
            it.check(&lists, false, &of_old, Ok(()));
        }
    }

    impl Changed {
        fn check(
            &self,
            lists: &[Crl],
            required: bool,
            issued: &Issued,
            expected: Result<(), CertificateError>,
        ) {
            let crls = Crls::new(lists.to_vec(), required).unwrap();
            let anchors = vec![self.old_root.der(), self.new_root.der()];
            let provider = Profile::BSI.provider();
            let verifiers = Verifiers::new("test", anchors, &crls, &provider).unwrap().unwrap();
            let (leaf, above) = issued.chain.split_first().unwrap();
            let judged = verifiers.client(leaf, above, UnixTime::now());
            assert_eq!(judged, expected.map_err(Error::InvalidCertificate));
        }
    }

    fn list(ca: &Authority, revoked: &[&Issued]) -> Crl {
        let pem = ca.crl(1, revoked, OffsetDateTime::now_utc() + Duration::days(7)).unwrap();
        Crl::parse(CertificateRevocationListDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap()
    }
}
