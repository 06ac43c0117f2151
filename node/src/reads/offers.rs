//! Who serves a Leistung in a Gebiet on a day, with everything a caller needs in one answer.

use std::{cmp::Reverse, collections::BTreeSet};

use prost::Message;
use registry_core::{
    catalogue::{GebietAmTag, Gebietswechsel},
    fold::Position,
    limits::MESSAGE_BYTES_MAX,
    reject::Reject,
    view::{Offer, OfferAsk, Reuse},
};
use registry_proto::{
    terms::Ars,
    wire::registry::{
        self as wire, Angebot, AngebotNachnutzung, Auftraggeber, LogPosition,
        ResolveLeistungRequest, ResolveLeistungResponse, ServiceVersion, ZustaendigeStelle,
    },
};

use super::{Reads, nachnutzung::connected_state};

/// Offers as they go over the wire, and how many there are.
#[derive(Debug)]
pub(super) struct Found {
    angebote: Vec<Angebot>,
    total: u32,
}

/// Bytes of the offers of an answer; what is left is for the rest of the message.
const OFFERS_BYTES_MAX: usize = MESSAGE_BYTES_MAX - (64 << 10);

impl Reads {
    /// The versions that serve a Leistung in a Gebiet on a day.
    ///
    /// # Errors
    ///
    /// [`Reject::Invalid`] on fields of another form; [`Reject::Precondition`] with
    /// `ANSWER_TOO_LARGE` if not even one offer with its proofs fits into a message; those of
    /// [`crate::index::Index::ask`], and of [`Self::inclusion_proof`] if proofs are asked for.
    pub fn resolve_leistung(
        &self,
        request: &ResolveLeistungRequest,
    ) -> Result<ResolveLeistungResponse, Reject> {
        let today = self.clock.today();
        let ask = OfferAsk::parse(request, today, self.lists.current().gebiete())?;
        let basis = self.basis(request.zeitpunkt.as_ref())?;
        let question = (ask.clone(), basis.when);
        let found = self.offers.answer(&basis.newest, question, Found::bytes, || {
            let (offers, total) = self.ask(&basis, |catalogue| catalogue.offers(&ask))?;
            let made = offers.into_iter().map(|offer| self.angebot(offer, &ask.gebiet));
            Ok(Found { angebote: fitting(made)?, total })
        })?;
        let given = found.angebote.iter().cloned();
        let angebote = if request.with_proof {
            fitting(given.map(|angebot| self.proved(angebot)))?
        } else {
            given.collect()
        };
        Ok(ResolveLeistungResponse {
            angebote,
            total: found.total,
            valid_at: ask.day.to_string(),
            ars: ask.gebiet.asked().to_string(),
            as_of: self.board.as_of(&basis.cut, |_| true),
            gebiete: ask.gebiet.on_day().iter().map(Ars::to_string).collect(),
            gebietswechsel: followed(&ask.gebiet, &found.angebote),
        })
    }

    fn angebot(&self, offer: Offer, asked: &GebietAmTag) -> Result<Angebot, Reject> {
        let version = self.whole_version(&offer.standing)?;
        let record = version.version.as_ref();
        let list = |of: fn(&ServiceVersion) -> &Vec<_>| record.map(of).cloned();
        Ok(Angebot {
            land: offer.service.land.clone(),
            service: Some(offer.service),
            gebiet: offer.gebiet.to_string(),
            onlinedienste: list(|it| &it.onlinedienste).unwrap_or_default(),
            zustaendige_stellen: record
                .map(|it| responsible(&it.zustaendige_stellen, asked))
                .unwrap_or_default(),
            version: Some(version),
            nachnutzung: offer.reuse.map(|it| nachnutzung(it, asked)),
            definition: Some(wire_position(offer.definition)),
            proof: None,
            definition_proof: None,
        })
    }

    /// Adds the proofs of all records of an offer.
    fn proved(&self, mut angebot: Angebot) -> Result<Angebot, Reject> {
        let provenance = angebot.version.as_ref().and_then(|it| it.provenance.as_ref());
        let prove = |at: Option<&LogPosition>| at.map(|at| self.proof_of(at)).transpose();
        angebot.proof = prove(provenance.and_then(|it| it.position.as_ref()))?;
        angebot.definition_proof = prove(angebot.definition.as_ref())?;
        if let Some(nachnutzung) = &mut angebot.nachnutzung {
            nachnutzung.proof = prove(nachnutzung.position.as_ref())?;
        }
        Ok(angebot)
    }
}

// === impl Found ===

impl Found {
    fn bytes(&self) -> usize {
        self.angebote.iter().map(Angebot::encoded_len).sum()
    }
}

/// As many as fit into a message; at least one, if there is one.
fn fitting(offers: impl Iterator<Item = Result<Angebot, Reject>>) -> Result<Vec<Angebot>, Reject> {
    let (mut fit, mut bytes) = (Vec::new(), 0);
    for offer in offers {
        let offer = offer?;
        bytes += offer.encoded_len() + FRAME_BYTES;
        if bytes > OFFERS_BYTES_MAX {
            if fit.is_empty() {
                return Err(Reject::Precondition {
                    reason: "ANSWER_TOO_LARGE",
                    description: "the offer does not fit into a message; ask without proofs, or \
                                  read its version"
                        .to_owned(),
                });
            }
            break;
        }
        fit.push(offer);
    }
    Ok(fit)
}

/// Tag and length of an offer in its answer.
const FRAME_BYTES: usize = 8;

/// The changes of areas behind an answer, the earliest first.
fn followed(asked: &GebietAmTag, offers: &[Angebot]) -> Vec<wire::Gebietswechsel> {
    let found: Vec<Ars> = offers.iter().filter_map(|it| it.gebiet.parse().ok()).collect();
    let by_offers = found.iter().flat_map(|gebiet| asked.changes_to(gebiet));
    let all: BTreeSet<_> = asked.changes().iter().chain(by_offers).collect();
    let list = |all: &[Ars]| all.iter().map(Ars::to_string).collect();
    let change = |it: &Gebietswechsel| wire::Gebietswechsel {
        ab: it.ab.to_string(),
        vorher: list(&it.vorher),
        nachher: list(&it.nachher),
    };
    all.into_iter().map(change).collect()
}

/// The bodies whose area encloses `ars` most closely; a body without an area is for all areas.
fn responsible(all: &[ZustaendigeStelle], asked: &GebietAmTag) -> Vec<ZustaendigeStelle> {
    let nearness = |it: &ZustaendigeStelle| {
        if it.gebiet.is_empty() {
            return Some(None);
        }
        asked.around([it.gebiet.as_str()].into_iter()).map(|it| Some(it.ebene()))
    };
    let Some(nearest) = all.iter().filter_map(nearness).max() else { return Vec::new() };
    all.iter().filter(|it| nearness(it) == Some(nearest)).cloned().collect()
}

fn nachnutzung(it: Reuse, asked: &GebietAmTag) -> AngebotNachnutzung {
    let Reuse { subscription, anschluss } = it;
    let position = wire_position(subscription.head().at);
    let terms = subscription.terms;
    let around = |it: &Auftraggeber| {
        asked.around(it.gebiete.iter().map(String::as_str)).map(|it| it.ebene())
    };
    let mut auftraggeber: Vec<_> =
        terms.auftraggeber.into_iter().filter(|it| around(it).is_some()).collect();
    auftraggeber.sort_by_key(|it| Reverse(around(it)));
    AngebotNachnutzung {
        subscription_id: subscription.id.to_string(),
        subscriber_land: subscription.subscriber.to_string(),
        version_requirement: terms.version_requirement,
        auftraggeber,
        modell: terms.modell,
        vertrag_id: terms.vertrag_id,
        vertrag_url: terms.vertrag_url,
        kosten_text: terms.kosten_text,
        kontakt: terms.kontakt,
        anschluss: anschluss.map(connected_state),
        position: Some(position),
        proof: None,
    }
}

fn wire_position(at: Position) -> LogPosition {
    LogPosition { land: at.log.land.to_string(), epoch: at.log.epoch, index: at.index }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_responsible(areas: &[&str], ars: &str, expect: &[&str]) {
        let body = |gebiet: &&str| ZustaendigeStelle {
            gebiet: (*gebiet).to_owned(),
            ..ZustaendigeStelle::default()
        };
        let all: Vec<_> = areas.iter().map(body).collect();
        let asked = GebietAmTag::unchanged(ars.parse().unwrap());
        let found = responsible(&all, &asked);
        let found: Vec<_> = found.iter().map(|it| it.gebiet.as_str()).collect();
        assert_eq!(found, expect, "{ars}");
    }

    #[test]
    fn the_nearest_responsible_bodies_are_named() {
        let all = ["10", "10041", "10041", "10042", "", "nonsense"];
        check_responsible(&all, "100410100100", &["10041", "10041"]);
        check_responsible(&all, "10043", &["10"]);
        check_responsible(&all, "07", &[""]);
        check_responsible(&["10"], "07", &[]);
        check_responsible(&["00", ""], "07", &["00"]);
    }

    #[test]
    fn an_answer_holds_as_many_offers_as_fit() {
        let offer = |bytes: usize| Ok(Angebot { gebiet: "x".repeat(bytes), ..Angebot::default() });
        let fit = |sizes: &[usize]| fitting(sizes.iter().map(|bytes| offer(*bytes)));
        assert_eq!(fit(&[]).unwrap().len(), 0);
        assert_eq!(fit(&[1_000, 1_000]).unwrap().len(), 2);
        assert_eq!(fit(&[1_000, OFFERS_BYTES_MAX, 1_000]).unwrap().len(), 1);
        let refused = fit(&[OFFERS_BYTES_MAX]).unwrap_err();
        assert!(matches!(refused, Reject::Precondition { reason: "ANSWER_TOO_LARGE", .. }));
    }
}
