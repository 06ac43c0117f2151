//! When certificates and revocation lists end, and who is warned when.

use std::collections::BTreeMap;

use registry_proto::wire::registry::{CertificateKind, CertificateLevel, CertificateStatus};
use rustls::pki_types::{CertificateDer, UnixTime};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tracing::{error, warn};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use crate::tls::{self, Crls, Material, MemberTrust, Profile, Trust};

/// Something that ends at a known time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// What it is.
    pub what: What,
    /// Node name, or common name of the CA.
    pub name: String,
    /// Begin of validity, Unix seconds.
    pub not_before: i64,
    /// End of validity, Unix seconds; of a revocation list, when the next is due.
    pub not_after: i64,
    /// Whether it, or a CA above it, is on a list that is here; asked of [`What::Own`] only.
    pub revoked: bool,
}

/// What ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// The certificate of this node.
    Own,
    /// A CA in the chain of this node.
    Chain,
    /// An anchor of a member, or for clients.
    Anchor,
    /// A revocation list.
    Crl,
    /// The certificate of a partner's node, as its connection shows it.
    Peer,
}

/// How near the end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Far.
    Fine,
    /// At most 30 days.
    Days30,
    /// At most 14 days.
    Days14,
    /// At most 3 days, or a quarter of a short life.
    Days3,
    /// Its time has not come, and partners refuse it: a certificate of this node, or a CA above it.
    NotYet,
    /// Over.
    Expired,
    /// On a revocation list, or a CA above it is: the certificate of this node.
    Revoked,
}

/// Where the ends are found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends<'a> {
    /// Name of this node.
    pub(crate) node: &'a str,
    /// Its certificate, then its sub-CAs.
    pub(crate) chain: &'a [CertificateDer<'static>],
    /// Members of the charters.
    pub(crate) members: &'a [MemberTrust],
    /// Anchors for clients.
    pub(crate) client_anchors: &'a [CertificateDer<'static>],
    /// Revocation lists.
    pub(crate) crls: &'a Crls,
}

// === impl Ends ===

impl<'a> Ends<'a> {
    pub(super) fn of(node: &'a str, material: &'a Material) -> Self {
        let Material { chain, members, client_anchors, crls, .. } = material;
        Self { node, chain, members, client_anchors, crls }
    }

    /// [`collect`] of what files say, also whether the certificate of the node is revoked.
    pub(crate) fn collected(&self, now: UnixTime) -> Vec<Expiry> {
        let mut all = collect(self, BTreeMap::new());
        let (members, anchors) = (self.members.to_vec(), self.client_anchors.to_vec());
        let trust = Trust::new(members, anchors, Vec::new(), self.crls, Profile::BSI.provider());
        // anchors that cannot be used are told on their own
        mark_revoked(&mut all, trust.is_ok_and(|it| is_revoked(&it, self.chain, now)));
        all
    }
}

/// Who was warned of what.
#[derive(Debug, Default)]
pub(super) struct Warned {
    levels: BTreeMap<(What, String), (i64, Level)>,
}

// === impl Expiry ===

impl Expiry {
    /// Seconds until the end; negative after it.
    pub fn left(&self, now: i64) -> i64 {
        self.not_after.saturating_sub(now)
    }

    /// When anchors and revocation lists begin, nobody asks.
    fn begins_later(&self, now: i64) -> bool {
        matches!(self.what, What::Own | What::Chain) && self.not_before > now
    }

    /// How near the end is. What is issued for a short time only is not warned of all its life: a
    /// threshold counts if the whole life is at least twice as long, the last one from a quarter of
    /// the life on.
    pub fn level(&self, now: i64) -> Level {
        let (left, life) = (self.left(now), self.not_after.saturating_sub(self.not_before));
        let within = |days: i64| left <= days * DAY && life >= 2 * days * DAY;
        if self.revoked {
            Level::Revoked
        } else if left < 0 {
            Level::Expired
        } else if self.begins_later(now) {
            Level::NotYet
        } else if left <= (3 * DAY).min(life / 4) {
            Level::Days3
        } else if within(14) {
            Level::Days14
        } else if within(30) {
            Level::Days30
        } else {
            Level::Fine
        }
    }
}

impl Expiry {
    /// As the API tells it.
    pub(super) fn status(&self, now: i64) -> CertificateStatus {
        let kind = match self.what {
            What::Own => CertificateKind::Own,
            What::Chain => CertificateKind::Chain,
            What::Anchor => CertificateKind::Anchor,
            What::Crl => CertificateKind::Crl,
            What::Peer => CertificateKind::Peer,
        };
        let level = match self.level(now) {
            Level::Fine => CertificateLevel::Fine,
            Level::Days30 => CertificateLevel::Days30,
            Level::Days14 => CertificateLevel::Days14,
            Level::Days3 => CertificateLevel::Days3,
            Level::NotYet => CertificateLevel::NotYet,
            Level::Expired => CertificateLevel::Expired,
            Level::Revoked => CertificateLevel::Revoked,
        };
        CertificateStatus {
            kind: kind.into(),
            name: self.name.clone(),
            not_after: Some(prost_types::Timestamp { seconds: self.not_after, nanos: 0 }),
            level: level.into(),
        }
    }
}

// === impl What ===

impl What {
    /// Value of the metric label and of the log field.
    pub fn label(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Chain => "chain",
            Self::Anchor => "anchor",
            Self::Crl => "crl",
            Self::Peer => "peer",
        }
    }
}

// === impl Warned ===

impl Warned {
    /// Logs what is not valid yet, or came nearer to its end since it was logged last; returns what
    /// was logged.
    pub(super) fn warn(&mut self, all: &[Expiry], now: i64) -> Vec<(What, Level)> {
        let mut logged = Vec::new();
        let mut levels = BTreeMap::new();
        for it in all {
            let level = it.level(now);
            let key = (it.what, it.name.clone());
            let before = self.levels.get(&key);
            let known = before.is_some_and(|(end, old)| *end == it.not_after && *old >= level);
            if level > Level::Fine && !known {
                log(it, level, now);
                logged.push((it.what, level));
            }
            levels.insert(key, (it.not_after, level));
        }
        self.levels = levels;
        logged
    }
}

fn log(it: &Expiry, level: Level, now: i64) {
    let (what, name, days) = (it.what.label(), &it.name, it.left(now) / DAY);
    let time = |seconds| {
        let time = OffsetDateTime::from_unix_timestamp(seconds).ok();
        time.and_then(|it| it.format(&Rfc3339).ok()).unwrap_or_default()
    };
    let until = time(it.not_after);
    match level {
        // the same words for it as it was loaded
        Level::Revoked => error!(what, name, until, "{REVOKED}"),
        Level::Expired => error!(what, name, until, "certificate or revocation list has ended"),
        Level::NotYet => {
            let from = time(it.not_before);
            warn!(what, name, from, "certificate is not valid yet, partners will refuse it");
        }
        _ => warn!(what, name, until, days, "certificate or revocation list ends soon"),
    }
}

/// All that can end, the first end first. Of one name the first end counts: each list is of a key of
/// its own. Only a CA of one Land whose successor is there already is none to warn of.
pub(super) fn collect(of_node: &Ends<'_>, partners: BTreeMap<String, (i64, i64)>) -> Vec<Expiry> {
    let Ends { node, chain, members, client_anchors, crls } = *of_node;
    let mut all: BTreeMap<(What, String), Expiry> = BTreeMap::new();
    let mut add = |it: Expiry| {
        let kept = all.entry((it.what, it.name.clone())).or_insert_with(|| it.clone());
        if it.not_after < kept.not_after {
            *kept = it;
        }
    };
    if let Some((leaf, cas)) = chain.split_first() {
        of(What::Own, leaf)
            .map(|it| Expiry { name: node.to_owned(), ..it })
            .into_iter()
            .for_each(&mut add);
        // each of them is needed, and none is the successor of another
        cas.iter().filter_map(|it| of(What::Chain, it)).for_each(&mut add);
    }
    let takes_part = members.iter().filter(|it| it.bar.is_none());
    let anchors = takes_part.map(|it| it.anchors.as_slice()).chain([client_anchors]);
    anchors.flat_map(latest).for_each(&mut add);
    crls.iter()
        .map(|it| Expiry {
            what: What::Crl,
            name: it.issuer.clone(),
            not_before: it.this_update,
            not_after: it.next_update,
            revoked: false,
        })
        .for_each(&mut add);
    partners
        .into_iter()
        .map(|(name, (not_before, not_after))| Expiry {
            what: What::Peer,
            name,
            not_before,
            not_after,
            revoked: false,
        })
        .for_each(&mut add);
    let mut all: Vec<_> = all.into_values().collect();
    all.sort_by_key(|it| it.not_after);
    all
}

/// Whether the first certificate, or a CA above it, is on a list that is known here.
pub(super) fn is_revoked(trust: &Trust, chain: &[CertificateDer<'_>], now: UnixTime) -> bool {
    trust.identify(chain, now).is_err_and(|it| tls::is_revoked(&it))
}

/// Marks the certificate of this node.
pub(super) fn mark_revoked(all: &mut [Expiry], revoked: bool) {
    all.iter_mut().filter(|it| it.what == What::Own).for_each(|it| it.revoked = revoked);
}

/// Of anchors that stand beside each other under one subject, the last end.
fn latest(cas: &[CertificateDer<'_>]) -> impl Iterator<Item = Expiry> {
    let mut all: BTreeMap<String, Expiry> = BTreeMap::new();
    for (subject, it) in cas.iter().filter_map(|it| Some((subject(it)?, of(What::Anchor, it)?))) {
        let kept = all.entry(subject).or_insert_with(|| it.clone());
        if kept.not_after < it.not_after {
            *kept = it;
        }
    }
    all.into_values()
}

/// In full: two CAs of one common name may be of different organisations.
fn subject(der: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(certificate.subject().to_string())
}

fn of(what: What, der: &CertificateDer<'_>) -> Option<Expiry> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let mut names = certificate.subject().iter_common_name();
    let name = names.next().and_then(|it| it.as_str().ok()).map(str::to_owned);
    Some(Expiry {
        what,
        name: name.unwrap_or_else(|| certificate.subject().to_string()),
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
        revoked: false,
    })
}

const REVOKED: &str = "the certificate of this node is revoked, partners will refuse it";

const DAY: i64 = 86_400;

#[cfg(test)]
mod tests {
    use registry_proto::terms::Land;
    use rustls::pki_types::{CertificateRevocationListDer, pem::PemObject};

    use super::*;
    use crate::{pki::Authority, tls::Crl};

    #[test]
    fn thresholds_are_30_14_and_3_days_and_less_for_what_lives_short() {
        let year = 365;
        check(year, 31, Level::Fine);
        check(year, 30, Level::Days30);
        check(year, 14, Level::Days14);
        check(year, 3, Level::Days3);
        check(year, 0, Level::Days3);
        check(year, -1, Level::Expired);
        // a certificate of 40 days, a revocation list of a week, one of a day
        check(40, 30, Level::Fine);
        check(40, 14, Level::Days14);
        check(7, 3, Level::Fine);
        check(7, 1, Level::Days3);
        check(1, 1, Level::Fine);
    }

    #[test]
    fn only_what_partners_refuse_begins_later() {
        let at = |what, day: i64| Expiry { what, ..expiry(10, 375) }.begins_later(day * DAY);
        for (what, early) in [
            (What::Own, true),
            (What::Chain, true),
            (What::Anchor, false),
            (What::Crl, false),
            (What::Peer, false),
        ] {
            assert_eq!((at(what, 9), at(what, 10)), (early, false), "{what:?}");
        }
        let mut warned = Warned::default();
        let mut at = |day: i64| warned.warn(&[expiry(10, 375)], day * DAY);
        assert_eq!(at(8), [(What::Own, Level::NotYet)]);
        assert_eq!((at(9), at(10)), (Vec::new(), Vec::new()), "once");
    }

    #[test]
    fn each_threshold_is_logged_once_and_a_renewal_begins_anew() {
        let mut warned = Warned::default();
        let of = |end: i64| [expiry(end - 365, end)];
        let mut at = |end: i64, day: i64| warned.warn(&of(end), day * DAY);
        assert_eq!(at(100, 60), []);
        assert_eq!(at(100, 71), [(What::Own, Level::Days30)]);
        assert_eq!(at(100, 72), []);
        assert_eq!(at(100, 87), [(What::Own, Level::Days14)]);
        assert_eq!(at(100, 98), [(What::Own, Level::Days3)]);
        assert_eq!(at(100, 99), []);
        assert_eq!(at(100, 101), [(What::Own, Level::Expired)]);
        assert_eq!(at(200, 101), [], "renewed");
        assert_eq!(at(200, 171), [(What::Own, Level::Days30)]);
    }

    #[test]
    fn what_is_revoked_is_told_so_whenever_it_ends_and_once() {
        let mut warned = Warned::default();
        let mut at = |revoked: bool, day: i64| {
            let mut all = [expiry(0, 365), Expiry { what: What::Anchor, ..expiry(0, 365) }];
            mark_revoked(&mut all, revoked);
            warned.warn(&all, day * DAY)
        };
        assert_eq!(at(false, 10), []);
        assert_eq!((at(true, 10), at(true, 11)), (vec![(What::Own, Level::Revoked)], Vec::new()));
        assert_eq!(at(false, 12), [], "taken from the list, or renewed");
        assert_eq!(at(true, 366)[0], (What::Own, Level::Revoked));
    }

    #[test]
    fn an_end_is_not_hidden_by_another_of_the_same_name() {
        let now = OffsetDateTime::now_utc();
        let at = |days: i64| now - time::Duration::days(days);
        let ca = |days: i64| Authority::root("Root", at(days)).unwrap();
        let (old, new) = (ca(200), ca(0));
        let ends = |it: &Authority| of(What::Anchor, &it.der()).unwrap().not_after;
        let member = |land: Land, anchors: &[&Authority]| MemberTrust {
            land,
            nodes: Vec::new(),
            anchors: anchors.iter().map(|it| it.der()).collect(),
            bar: None,
        };
        let list = |ca: &Authority, days: i64| {
            let pem = ca.crl(1, &[], now + time::Duration::days(days)).unwrap();
            let der = CertificateRevocationListDer::from_pem_slice(pem.as_bytes()).unwrap();
            Crl::parse(der).unwrap()
        };
        let check = |members: &[MemberTrust], crls: Vec<Crl>, expected: &[i64]| {
            let crls = Crls::new(crls, false).unwrap();
            let (node, chain, client_anchors) = ("sl-1.example", [].as_slice(), [].as_slice());
            let of_node = Ends { node, chain, members, client_anchors, crls: &crls };
            let found = collect(&of_node, BTreeMap::new()).into_iter().map(|it| it.not_after);
            assert_eq!(found.collect::<Vec<_>>(), expected);
        };
        // a successor at the same Land, and another CA of that name at another one
        check(&[member(Land::SL, &[&old, &new])], Vec::new(), &[ends(&new)]);
        let of_two = [member(Land::SL, &[&new]), member(Land::HE, &[&old])];
        check(&of_two, Vec::new(), &[ends(&old)]);
        // the lists of two keys of one CA
        for (a, b) in [(3, 30), (30, 3)] {
            let (a, b) = (list(&old, a), list(&new, b));
            let first = a.next_update.min(b.next_update);
            check(&[], vec![a, b], &[first]);
        }
    }

    /// A CA that is called like all others, of this organisation.
    fn root_of(organisation: &str, days: i64) -> CertificateDer<'static> {
        let mut params = rcgen::CertificateParams::default();
        params.not_after = OffsetDateTime::now_utc() + time::Duration::days(days);
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "Root CA");
        params.distinguished_name.push(rcgen::DnType::OrganizationName, organisation);
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    #[test]
    fn only_an_anchor_of_the_same_subject_is_a_successor_and_in_a_chain_none_is() {
        let check = |chain: &[CertificateDer<'static>],
                     client_anchors: &[CertificateDer<'static>],
                     expected: &[(What, &CertificateDer<'static>)]| {
            let (node, members, crls) = ("sl-1.example", [].as_slice(), &Crls::default());
            let of_node = Ends { node, chain, members, client_anchors, crls };
            let found = collect(&of_node, BTreeMap::new()).into_iter();
            let expected: Vec<_> = (expected.iter())
                .map(|(what, it)| (*what, of(*what, it).unwrap().not_after))
                .collect();
            let found: Vec<_> = found.map(|it| (it.what, it.not_after)).collect();
            assert_eq!(found, expected);
        };
        let (old, new) = (root_of("A", 10), root_of("A", 300));
        let other = root_of("B", 200);
        check(&[], &[old.clone(), new.clone()], &[(What::Anchor, &new)]);
        // the first end of a name counts, and B's is not A's
        check(&[], &[old.clone(), new.clone(), other.clone()], &[(What::Anchor, &other)]);
        let leaf = root_of("C", 1);
        let expected = [(What::Own, &leaf), (What::Chain, &old)];
        check(&[leaf.clone(), new, old.clone()], &[], &expected);
    }

    fn check(life: i64, left: i64, expected: Level) {
        let it = expiry(-life, 0);
        assert_eq!(it.level(-left * DAY), expected, "{life} days of life, {left} left");
    }

    fn expiry(begin: i64, end: i64) -> Expiry {
        let name = "sl-1.demo.example".to_owned();
        let (not_before, not_after) = (begin * DAY, end * DAY);
        Expiry { what: What::Own, name, not_before, not_after, revoked: false }
    }
}
