//! Who may connect, and as whom.
//!
//! A chain alone proves nothing: every member has its own anchors, and a node name counts only
//! under the anchors of the member that owns it. A pinned key counts without any anchor.

use std::{net::IpAddr, sync::Arc};

use registry_core::authorize::{Barred, Certificate, Effect, PeerIdentity, Principal, Rule, Who};
use registry_proto::{
    charter::{self, Charter, Standing},
    terms::Land,
};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use sha2::{Digest, Sha256};
use tracing::warn;

use crate::tls::{
    crl::Crls,
    leaf::Leaf,
    material::MaterialError,
    strength,
    verifiers::{Verifiers, is_revoked, is_unknown_issuer},
};

/// A member as the charter names it: its nodes, and the anchors under which their names count.
#[derive(Clone, Debug)]
pub struct MemberTrust {
    /// Land of the member.
    pub land: Land,
    /// Its nodes.
    pub nodes: Vec<NodeTrust>,
    /// Certificates under which the names of the nodes count.
    pub anchors: Vec<CertificateDer<'static>>,
    /// Set of a member that takes no part: its nodes are known, so that they are told why, and
    /// nothing is granted to them.
    pub bar: Option<Bar>,
}

/// Why a member takes no part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bar {
    /// It was suspended.
    Suspended,
    /// It was removed.
    Removed,
}

/// A node of a member.
#[derive(Clone, Debug)]
pub struct NodeTrust {
    /// DNS name in the SAN of its certificate.
    pub name: String,
    /// SHA-256 over the SubjectPublicKeyInfo; each counts without any anchor.
    pub spki_pins: Vec<[u8; 32]>,
}

/// What the certificate of a connection proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Pseudonym, rights and, for a member's node, which.
    pub principal: Arc<Principal>,
    /// DNS names in the SAN, verified only as far as a role or peer was found.
    pub names: Vec<String>,
    /// SHA-256 over the SubjectPublicKeyInfo.
    pub spki: [u8; 32],
    /// End of validity, Unix seconds.
    pub not_after: i64,
}

/// What is known of a chain, for explanations.
#[derive(Debug)]
pub struct Presented<'a> {
    /// What rules are asked about.
    pub certificate: Certificate,
    /// All rules, also those about others.
    pub rules: &'a [Rule],
    /// Whether it may connect at all.
    pub connects: Result<(), Error>,
}

/// Why the certificate of a partner's node is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerRefused {
    /// The charter has no such node.
    #[error("node {} of {} is not in the charter", .0.node, .0.land)]
    NotInCharter(PeerIdentity),
    /// The chain ends at an anchor of another member.
    #[error("certificate belongs to {found}, expected {expected}")]
    WrongLand {
        /// The member that was dialled.
        expected: Land,
        /// The member under whose anchors the chain verifies.
        found: Land,
    },
    /// The right member, but not this node.
    #[error("certificate is for {presented:?}, expected {expected}")]
    NameMismatch {
        /// Node name in the charter.
        expected: String,
        /// DNS names in the certificate.
        presented: Vec<String>,
    },
}

/// All trust of a node: the charter's members, the local client anchors and rules.
#[derive(Debug)]
pub struct Trust {
    members: Vec<Member>,
    clients: Option<Verifiers>,
    /// That of the charter first.
    rules: Vec<Rule>,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
struct Member {
    land: Land,
    nodes: Vec<NodeTrust>,
    /// None when the member has pins only.
    verifiers: Option<Verifiers>,
    bar: Option<Bar>,
}

// === impl Identity ===

impl Identity {
    /// Somebody without a certificate: proves nothing and may do nothing. What one network may ask
    /// for at most is counted under it, as that of a certificate under its key.
    pub(crate) fn stranger(network: IpAddr) -> Self {
        let spki = Sha256::digest(format!("network {network}")).into();
        let certificate = Certificate {
            names: Vec::new(),
            spki,
            issuer: String::new(),
            subject: String::new(),
            under_client_anchors: false,
            peer: None,
            barred: None,
        };
        let principal = Arc::new(Principal::of(&certificate, &[]));
        Self { principal, names: Vec::new(), spki, not_after: i64::MAX }
    }
}

// === impl MemberTrust ===

impl MemberTrust {
    /// The members of a charter that take part.
    pub fn of(charter: &Charter) -> Vec<Self> {
        charter.voters().map(|it| Self::new(it, None)).collect()
    }

    /// All members of the last of these charters. Whoever was removed has neither nodes nor anchors
    /// there and is known by those it had last.
    pub fn of_all(charters: &[Charter]) -> Vec<Self> {
        let Some((last, earlier)) = charters.split_last() else { return Vec::new() };
        let had_nodes = |land: Land| {
            let mut before = earlier.iter().rev().filter_map(|it| it.member(land));
            before.find(|it| !it.nodes.is_empty())
        };
        let member = |it: &charter::Member| match it.standing {
            Standing::Active => Some(Self::new(it, None)),
            Standing::Suspended(_) => Some(Self::new(it, Some(Bar::Suspended))),
            Standing::Removed(_) => Some(Self::new(had_nodes(it.land)?, Some(Bar::Removed))),
        };
        last.members().iter().filter_map(member).collect()
    }

    fn new(member: &charter::Member, bar: Option<Bar>) -> Self {
        let nodes = member
            .nodes
            .iter()
            .map(|node| NodeTrust { name: node.name.clone(), spki_pins: node.spki_pins.clone() });
        let anchors = member.anchors.iter().map(|der| CertificateDer::from(der.to_vec()));
        Self { land: member.land, nodes: nodes.collect(), anchors: anchors.collect(), bar }
    }
}

// === impl Trust ===

impl Trust {
    /// Trust from the charter's members and the local configuration.
    pub(crate) fn new(
        members: Vec<MemberTrust>,
        client_anchors: Vec<CertificateDer<'static>>,
        rules: Vec<Rule>,
        crls: &Crls,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, MaterialError> {
        let members = members
            .into_iter()
            .map(|member| {
                let source = format!("charter, anchors of {}", member.land);
                let anchors = strong_anchors(member.land, member.anchors);
                let verifiers = Verifiers::new(&source, anchors, crls, &provider)?;
                Ok(Member { land: member.land, nodes: member.nodes, verifiers, bar: member.bar })
            })
            .collect::<Result<_, MaterialError>>()?;
        let clients = Verifiers::new("client anchors", client_anchors, crls, &provider)?;
        let rules = std::iter::once(Rule::of_charter()).chain(rules).collect();
        Ok(Self { members, clients, rules, provider })
    }

    /// Says who presents `chain` (end entity first). Grants nothing that `chain` does not prove.
    ///
    /// # Errors
    ///
    /// The chain is empty, its first certificate cannot be read or is not valid now, or it is
    /// revoked under any anchors known here.
    pub fn identify(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<Identity, Error> {
        let Some((end_entity, intermediates)) = chain.split_first() else {
            return Err(Error::NoCertificatesPresented);
        };
        let leaf = Leaf::parse(end_entity)?;
        leaf.require_valid_at(now)?;
        self.require_not_revoked(end_entity, intermediates, now)?;
        let certificate = self.certificate(&leaf, end_entity, intermediates, now);
        Ok(Identity {
            principal: Arc::new(Principal::of(&certificate, &self.rules)),
            names: leaf.names,
            spki: leaf.spki,
            not_after: leaf.not_after,
        })
    }

    /// What rules are asked about a certificate, whether or not it may connect.
    fn certificate(
        &self,
        leaf: &Leaf,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Certificate {
        let client = |it: &Verifiers| it.client(end_entity, intermediates, now).is_ok();
        let node = |bar| self.member_node(bar, leaf, end_entity, intermediates, now);
        let peer = node(None);
        // a name that went from one member to another is that of who has it now
        let barred = |bar| Some(Barred { peer: node(Some(bar))?, removed: bar == Bar::Removed });
        let barred = match peer {
            Some(_) => None,
            None => barred(Bar::Suspended).or_else(|| barred(Bar::Removed)),
        };
        Certificate {
            names: leaf.names.clone(),
            spki: leaf.spki,
            issuer: leaf.issuer.clone(),
            subject: leaf.subject.clone(),
            under_client_anchors: self.clients.as_ref().is_some_and(client),
            peer,
            barred,
        }
    }

    /// What is known of a chain, whether or not it counts.
    ///
    /// # Errors
    ///
    /// The chain is empty, or its first certificate cannot be read.
    pub fn explain(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Presented<'_>, Error> {
        let Some((end_entity, intermediates)) = chain.split_first() else {
            return Err(Error::NoCertificatesPresented);
        };
        let leaf = Leaf::parse(end_entity)?;
        let certificate = self.certificate(&leaf, end_entity, intermediates, now);
        let connects = self.verify_client(end_entity, intermediates, now).map(|_| ());
        let connects = connects.and_then(|()| leaf.require_valid_at(now));
        Ok(Presented { certificate, rules: &self.rules, connects })
    }

    /// The node of the one member, among those that take part or are barred, that the certificate
    /// proves. One that proves nodes of two Länder proves none: it cannot say for whom it speaks.
    fn member_node(
        &self,
        bar: Option<Bar>,
        leaf: &Leaf,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Option<PeerIdentity> {
        let members = self.members.iter().filter(|it| it.bar == bar);
        let mut proved = members.filter_map(|member| {
            let node = member.nodes.iter().find(|node| {
                node.spki_pins.contains(&leaf.spki)
                    || (leaf.is_named(&node.name)
                        && member.verifiers.as_ref().is_some_and(|verifiers| {
                            verifiers.client(end_entity, intermediates, now).is_ok()
                        }))
            })?;
            Some(PeerIdentity { land: member.land, node: node.name.clone() })
        });
        let first = proved.next()?;
        proved.next().is_none().then_some(first)
    }

    /// Whether any part of the trust knows a client with this chain.
    ///
    /// # Errors
    ///
    /// Nobody does, it is revoked, or too weak.
    pub(crate) fn verify_client(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let leaf = Leaf::parse(end_entity)?;
        strength::require_strong(std::iter::once(end_entity).chain(intermediates))?;
        if self.is_pinned(&leaf.spki) {
            leaf.require_valid_at(now)?;
            self.require_not_revoked(end_entity, intermediates, now)?;
            return Ok(ClientCertVerified::assertion());
        }
        let (mut counts, mut refused) = (false, UNKNOWN_ISSUER);
        for verifier in self.verifiers() {
            match verifier.client(end_entity, intermediates, now) {
                Ok(()) => counts = true,
                Err(error) if is_revoked(&error) => return Err(error),
                Err(error) if is_unknown_issuer(&refused) => refused = error,
                Err(_) => {} // the first error that is not "unknown issuer" tells most
            }
        }
        if counts { Ok(ClientCertVerified::assertion()) } else { Err(refused) }
    }

    /// A pin says whose a key is, not that it may not be revoked.
    fn require_not_revoked(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let mut judged = self.verifiers().map(|it| it.client(end_entity, intermediates, now));
        let revoked = judged.find_map(|it| it.err().filter(is_revoked));
        revoked.map_or(Ok(()), Err)
    }

    fn verifiers(&self) -> impl Iterator<Item = &Verifiers> {
        self.members.iter().filter_map(|member| member.verifiers.as_ref()).chain(&self.clients)
    }

    /// Whether the chain is that of this node of this member.
    ///
    /// # Errors
    ///
    /// It is not, with a [`PeerRefused`] inside where that says more.
    pub(crate) fn verify_server(
        &self,
        expect: &PeerIdentity,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let not_in_charter = || refused(PeerRefused::NotInCharter(expect.clone()));
        let takes_part = |it: &&Member| it.land == expect.land && it.bar.is_none();
        let member = self.members.iter().find(takes_part);
        let member = member.ok_or_else(not_in_charter)?;
        let node = member.nodes.iter().find(|node| node.name == expect.node);
        let node = node.ok_or_else(not_in_charter)?;

        let leaf = Leaf::parse(end_entity)?;
        strength::require_strong(std::iter::once(end_entity).chain(intermediates))?;
        if node.spki_pins.contains(&leaf.spki) {
            leaf.require_valid_at(now)?;
            return self.require_not_revoked(end_entity, intermediates, now);
        }
        match member.chain(&node.name, end_entity, intermediates, now) {
            Ok(()) if leaf.is_named(&node.name) => Ok(()),
            Ok(()) => Err(refused(PeerRefused::NameMismatch {
                expected: node.name.clone(),
                presented: leaf.names,
            })),
            Err(error) if is_unknown_issuer(&error) => {
                let others = self.members.iter().filter(|other| other.land != expect.land);
                let owner = others
                    .filter(|other| other.chain(&node.name, end_entity, intermediates, now).is_ok())
                    .map(|other| other.land)
                    .next();
                Err(owner.map_or(error, |found| {
                    refused(PeerRefused::WrongLand { expected: expect.land, found })
                }))
            }
            Err(error) => Err(error),
        }
    }

    fn is_pinned(&self, spki: &[u8; 32]) -> bool {
        self.members.iter().flat_map(|member| &member.nodes).any(|n| n.spki_pins.contains(spki))
            || self
                .rules
                .iter()
                .any(|rule| rule.effect == Effect::Allow && rule.who == Who::Spki(*spki))
    }
}

// === impl Member ===

impl Member {
    /// Whether the chain ends at an anchor of the member; the name is not looked at.
    fn chain(
        &self,
        name: &str,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let Some(verifiers) = &self.verifiers else { return Err(UNKNOWN_ISSUER) };
        let name = ServerName::try_from(name).map_err(|_| Error::UnsupportedNameType)?;
        verifiers.server(&name, end_entity, intermediates, now)
    }
}

/// Accepts on a listener whoever any part of the trust knows; [`Trust::identify`] says as whom.
#[derive(Debug)]
pub(crate) struct AnyKnownClient(pub(crate) Arc<Trust>);

impl ClientCertVerifier for AnyKnownClient {
    /// No hints: a pinned certificate has no issuer to name, and the list would tell strangers
    /// who is a member.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.0.verify_client(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Accepts from a dialled server only the certificate of one node of one member.
#[derive(Debug)]
pub(crate) struct OnlyThisPeer {
    pub(crate) trust: Arc<Trust>,
    pub(crate) expect: PeerIdentity,
}

impl ServerCertVerifier for OnlyThisPeer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>, // `expect` says more
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.trust.verify_server(&self.expect, end_entity, intermediates, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.trust.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.trust.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Anchors with a key that the profile allows; the others are left out and told. A charter is what
/// all members agreed on: one weak anchor in it must not keep the nodes of the others from working.
pub(super) fn strong_anchors(
    land: Land,
    mut anchors: Vec<CertificateDer<'static>>,
) -> Vec<CertificateDer<'static>> {
    anchors.retain(|anchor| match strength::require_strong_anchor(anchor) {
        Ok(()) => true,
        Err(error) => {
            let reason = strength::reason(&error);
            warn!(%land, reason, "an anchor in the charter does not count");
            false
        }
    });
    anchors
}

fn refused(reason: PeerRefused) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(reason))))
}

const UNKNOWN_ISSUER: Error = Error::InvalidCertificate(CertificateError::UnknownIssuer);
