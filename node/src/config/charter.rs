//! `charter` and `[[peers]]`: the charters so far, and nodes to dial as they name them.

use std::path::Path;

use registry_core::{authorize::PeerIdentity, charter::decision::verified};
use registry_proto::{
    charter::{CHAIN_BYTES_MAX, Charter, Standing},
    german::German,
    terms::Land,
};

use super::{
    Config, ConfigError, Peer, Problems,
    check::{Check, is_host_and_port},
    raw::RawPeer,
    words,
};
use crate::{
    charters::{self, Decisions},
    lifecycle::chain,
    tls::{self, MemberTrust},
};

// === impl Check ===

impl Check<'_> {
    /// The genesis charter and all that is known to follow it, and why they did as far as that is
    /// proved; empty only if a problem was reported.
    pub(super) fn charters(
        &mut self,
        path: Option<&str>,
        data_dir: Option<&Path>,
    ) -> (Vec<Charter>, Decisions) {
        let nothing = <(Vec<Charter>, Decisions)>::default;
        let Some(path) = path else { return nothing() };
        let full = self.path(path);
        let raw = match std::fs::metadata(&full).map(|data| data.len()) {
            Ok(length) if length > CHAIN_BYTES_MAX as u64 => {
                let reason = format!("hat {length} Bytes, Chartas höchstens {CHAIN_BYTES_MAX}");
                self.wrong("charter", path, reason);
                return nothing();
            }
            Ok(_) => std::fs::read(&full),
            Err(error) => Err(error),
        };
        let raw = match raw {
            Ok(raw) => raw,
            Err(error) => {
                self.wrong("charter", path, format_args!("kann nicht gelesen werden: {error}"));
                return nothing();
            }
        };
        let (mut charters, decisions) = match Charter::chain_and_decisions(raw.into()) {
            Ok(read) => read,
            Err(error) => {
                for problem in error.problems {
                    self.wrong("charter", path, German(problem));
                }
                return nothing();
            }
        };
        let mut decisions = match verified(&charters, decisions) {
            Ok(decisions) => decisions,
            Err((number, error)) => {
                let why = German(error);
                let reason = format!(
                    "der Beweis der Abstimmung über Charta {number} gilt nicht ({why}); die Kette \
                     bei einem anderen Mitglied holen (registry charter export)"
                );
                self.wrong("charter", path, reason);
                return nothing();
            }
        };
        if let Some(data_dir) = data_dir
            && let Err(error) = charters::load(data_dir, &mut charters, &mut decisions)
        {
            self.wrong("data_dir", data_dir.display(), chain(&error));
        }
        for member in charters.last().map(MemberTrust::of).into_iter().flatten() {
            if let Err(error) = tls::check_anchors(&member.anchors) {
                let why = words::unsound_anchor(&error);
                let reason = format!("ein Anker von {} ist unbrauchbar: {why}", member.land);
                self.wrong("charter", path, reason);
            }
        }
        (charters, decisions)
    }

    pub(super) fn peers(
        &mut self,
        raw: Vec<RawPeer>,
        charters: &[Charter],
        own: Option<&PeerIdentity>,
    ) -> Vec<Peer> {
        let mut peers: Vec<Peer> = Vec::with_capacity(raw.len());
        for (at, raw) in raw.into_iter().enumerate() {
            let key = |field: &str| format!("peers[{at}].{field}");
            let land = self.land(&key("land"), raw.land.as_deref());
            if let Some(address) = raw.address.as_deref().filter(|text| !is_host_and_port(text)) {
                let reason = "erwartet Name und Port wie rp-1.example:7443";
                self.wrong(&key("address"), address, reason);
            }
            let (Some(land), Some(node), Some(address)) = (land, raw.node, raw.address) else {
                continue;
            };
            let identity = PeerIdentity { land, node };
            let was_named = charters.iter().rev().skip(1).any(|it| names(it, &identity));
            match charters.last().map(|it| (it.member(land), names(it, &identity))) {
                None | Some((Some(_), true)) => {}
                // a charter that was voted into force does not stop a node whose file is older
                Some(_) if was_named => continue,
                Some((None, _)) => self.wrong(&key("land"), land, "ist kein Mitglied der Charta"),
                Some((Some(_), false)) => {
                    let reason = format!("ist kein Knoten von {land} in der Charta");
                    self.wrong(&key("node"), &identity.node, reason);
                }
            }
            if own == Some(&identity) {
                self.wrong(&key("node"), &identity.node, "ist dieser Knoten selbst");
            } else if peers.iter().any(|peer| peer.identity == identity) {
                self.wrong(&key("node"), &identity.node, "steht zweimal in peers");
            }
            peers.push(Peer { identity, address });
        }
        peers
    }
}

// === impl Config ===

impl Config {
    /// The same configuration under the charters that are kept by now. The file is not read
    /// again: its passphrase may have been given once only.
    ///
    /// # Errors
    ///
    /// This node is not in the charter any more, or a file cannot be used.
    pub fn under_kept_charters(&self) -> Result<Self, ConfigError> {
        let mut problems = Problems::default();
        let mut next = self.clone();
        let kept = charters::load(&self.data_dir, &mut next.charters, &mut next.decisions);
        if let Err(error) = kept {
            problems.add("data_dir", self.data_dir.display(), chain(&error));
        }
        if let Some(last) = next.charters.last() {
            next.charter = last.clone();
        }
        let own = PeerIdentity { land: self.land, node: self.node.clone() };
        if !names(&next.charter, &own) {
            problems.add("node", &self.node, not_named(&next.charter, self.land));
        }
        match next.charter.member(self.land).map(|it| (it, self.keys_held.signer(it))) {
            Some((_, Ok(signer))) => next.signer = signer,
            Some((member, Err(missing))) => {
                for it in missing {
                    let place =
                        if it.which == "log" { &self.keys.log } else { &self.keys.freshness };
                    problems.add(format!("keys.{}", it.which), place, it.reason(Some(member)));
                }
            }
            None => {}
        }
        let charter = next.charter.clone();
        next.peers.retain(|it| names(&charter, &it.identity));
        if problems.0.is_empty() {
            return Ok(next);
        }
        Err(ConfigError { path: self.file.clone(), problems: problems.0 })
    }
}

/// Why a node cannot run for a Land that the charter does not name it for.
pub(super) fn not_named(charter: &Charter, land: Land) -> String {
    let number = charter.number();
    match charter.member(land).map(|it| it.standing) {
        Some(Standing::Removed(cut)) => format!(
            "{land} ist nach Charta {number} aus dem Verbund ausgeschieden; was es bis Eintrag {} \
             veröffentlicht hat, bleibt bei den anderen Ländern zu lesen, dieser Knoten kann nicht \
             mehr teilnehmen. Seine Daten bleiben, wo sie sind",
            cut.size
        ),
        _ => {
            let nodes = charter.member(land).into_iter().flat_map(|it| &it.nodes);
            let names: Vec<_> = nodes.map(|it| it.name.as_str()).collect();
            format!(
                "ist kein Knoten von {land} in der geltenden Charta (Nr. {number}); sie nennt {}. Hat sie \
                 ihn umbenannt, hier den neuen Namen eintragen, in tls.certificate ein Zertifikat auf \
                 ihn, und den Knoten starten",
                names.join(", ")
            )
        }
    }
}

fn names(charter: &Charter, node: &PeerIdentity) -> bool {
    let member = charter.member(node.land);
    member.is_some_and(|it| it.nodes.iter().any(|known| known.name == node.node))
}
