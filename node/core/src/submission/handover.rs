//! Handovers judged, and who may write about a service that is handed over.

use registry_proto::{
    log::{Hash, Reference},
    terms::{Land, SemVer},
    wire::registry::{Uebergabe, UebergabeSchritt as Schritt},
};
use uuid::Uuid;

use super::{
    Prepared,
    judge::{Judge, Judged, Verdict, invalid, name, other_land},
};
use crate::{
    fold::Position,
    log::Mark,
    moves::uebergabe::{self, OWNERS_MAX, Outcome, STEPS_MAX, Said},
    reject::Reject,
    view::{Facts, Lineage, Lineages, QueryError},
};

/// What a service brought along that this Land took over.
#[derive(Clone, Debug)]
pub(crate) struct Inherited {
    /// Its highest version, whoever published it.
    pub(crate) last: Option<SemVer>,
    /// The entry of a former owner with the number of the record.
    pub(crate) stands: Option<(Position, Mark)>,
}

/// A service that this Land may write about.
pub(super) struct Mine {
    pub(super) lineage: Lineage,
    /// 1 + index of what this Land said last about a handover of it.
    pub(super) seen: u64,
}

/// Content of the body at a position, as [`super::content_of`] gives it.
pub type Contents<'a> = dyn Fn(Position) -> Result<Hash, Reject> + 'a;

impl<F: Facts> Judge<'_, F> {
    /// The service, if this Land may write about it as its owner, or has not heard of it.
    pub(super) fn mine(&self, service: Uuid) -> Result<Mine, QueryError> {
        let own = self.own.land;
        if !self.catalogue.may_be_handed_over(service)? {
            return Ok(Mine { lineage: Lineage::of(own, service), seen: 0 });
        }
        let found = self.catalogue.lineages(service)?;
        let seen = self.seen(&found);
        if let Some(lineage) = found.owned_by(own) {
            if let Some(offer) = uebergabe::open_offer(&lineage.owners, &found.said) {
                return Err(handover_open(service, offer).into());
            }
            return Ok(Mine { lineage: lineage.clone(), seen });
        }
        if let Some(lineage) = found.meant_by(own) {
            return Err(given_away(own, lineage).into());
        }
        if let Some((from, _)) = offered_to(&found, own) {
            return Err(Reject::Precondition {
                reason: "HANDOVER_NOT_TAKEN",
                description: format!(
                    "{from} bietet {own} die Leistung {service} an; erst annehmen, dann schreiben: \
                     registry uebergabe annehmen {service}"
                ),
            }
            .into());
        }
        Ok(Mine { lineage: Lineage::of(own, service), seen })
    }

    /// Judges a definition or version: notes what the log must know of the service beside what
    /// this Land wrote.
    pub(super) fn written(
        &self,
        record: &mut Prepared,
        contents: &Contents<'_>,
    ) -> Result<(), QueryError> {
        let Mine { lineage, seen } = self.mine(record.service.uuid())?;
        record.handovers_seen = Some(seen);
        if lineage.owners.len() < 2 {
            return Ok(());
        }
        let last = self.catalogue.highest(&lineage)?.map(|(number, _)| number);
        let same = match record.version {
            Some(number) => self.catalogue.standing(&lineage, &number)?,
            None => None,
        };
        let stands = match same.filter(|it| it.state.position.log.land != self.own.land) {
            Some(it) => {
                let at = it.state.position;
                let leaf = leaf(&it.fact.leaf)?;
                Some((at, Mark { content: contents(at)?, number: at.number(), leaf }))
            }
            None => None,
        };
        record.inherited = Some(Inherited { last, stands });
        Ok(())
    }

    pub(super) fn uebergabe(&self, path: &str, record: &Prepared, it: &Uebergabe) -> Verdict {
        let service = record.service.uuid();
        let found = self.catalogue.lineages(service)?;
        // what is offered can be taken back
        let left = if it.schritt() == Schritt::Angebot { 2 } else { 1 };
        let steps = found.said.iter().filter(|it| it.at.log.land == self.own.land).count();
        if steps + left > STEPS_MAX {
            return too_often(path);
        }
        let judged = match it.schritt() {
            Schritt::Annahme => self.annahme(path, &found, service, it)?,
            Schritt::Ruecknahme => self.ruecknahme(path, &found, it)?,
            Schritt::Angebot | Schritt::Unspecified => self.angebot(path, &found, service, it)?,
        };
        let judged_at = Some(self.catalogue.revision(self.own.land, service)?);
        Ok(Judged { judged_at, ..judged })
    }

    fn angebot(&self, path: &str, found: &Lineages, service: Uuid, it: &Uebergabe) -> Verdict {
        let own = self.own.land;
        let Some(lineage) = found.owned_by(own) else {
            let Some(other) = found.meant_by(own).or_else(|| found.all.first()) else {
                let name = service.to_string();
                return Err(Reject::NotFound { what: "service", name }.into());
            };
            return Err(given_away(own, other).into());
        };
        if let Some(offer) = uebergabe::open_offer(&lineage.owners, &found.said) {
            return illegal(
                path,
                format!(
                    "die Leistung ist schon {} angeboten ({}); möglich: ruecknahme; {} kann: annahme",
                    offer.record.an_land, offer.at, offer.record.an_land
                ),
            );
        }
        if lineage.owners.len() >= OWNERS_MAX {
            return too_often(path);
        }
        let to = it.an_land.parse::<Land>().ok();
        if let Some(to) = to.filter(|to| found.all.iter().any(|it| it != lineage && it.names(*to)))
        {
            return invalid(
                format!("{path}.an_land"),
                "HANDOVER_OTHER_SERVICE",
                format!("{to} hat unter der UUID {service} schon eine andere Leistung"),
            );
        }
        let mut warnings = Vec::new();
        let all = self.catalogue.subscriptions_of(own, service)?;
        let open: Vec<_> = all
            .iter()
            .filter(|it| it.is_open())
            .map(|it| {
                let state = name(it.zustand().as_str_name()).to_lowercase();
                format!("{} ({state})", it.subscriber)
            })
            .collect();
        if !open.is_empty() {
            let text = format!("diese Nachnutzungen gehen mit über: {}", open.join(", "));
            warnings.push(("NACHNUTZUNGEN_FOLLOW", text));
        }
        let leaders = self.catalogue.leaders(lineage, None)?;
        if !leaders.laender.is_empty() {
            let laender: Vec<_> = leaders.laender.iter().map(ToString::to_string).collect();
            let text = format!(
                "angenommen werden kann erst, wenn {} von {} mitgezeichnet haben ({})",
                leaders.k,
                laender.len(),
                laender.join(", ")
            );
            warnings.push(("MITZEICHNUNGEN_NEEDED", text));
        }
        Ok(Judged { warnings, ..Judged::default() })
    }

    fn ruecknahme(&self, path: &str, found: &Lineages, it: &Uebergabe) -> Verdict {
        let own = self.own.land;
        let offer = named(found, it)?;
        if offer.at.log.land != own {
            let text = format!("das Angebot ist von {}; zurück nimmt es {0}", offer.at.log.land);
            return Err(other_land(text).into());
        }
        match found.outcome(offer).1 {
            Outcome::Open => Ok(Judged { references: vec![reference(offer)], ..Judged::default() }),
            other => illegal(path, became(offer, &other)),
        }
    }

    fn annahme(&self, path: &str, found: &Lineages, service: Uuid, it: &Uebergabe) -> Verdict {
        let own = self.own.land;
        let offer = named(found, it)?;
        if offer.record.an_land != own.code() {
            let to = &offer.record.an_land;
            return Err(other_land(format!("das Angebot gilt {to}; annehmen kann es {to}")).into());
        }
        if it.von_land != offer.record.von_land {
            let from = &offer.record.von_land;
            let text = format!("das Angebot ist von {from}, nicht von {}", it.von_land);
            return invalid(format!("{path}.von_land"), "OTHER_OFFER", text);
        }
        match found.outcome(offer).1 {
            Outcome::Open => {}
            other => return illegal(path, became(offer, &other)),
        }
        let lineage = found.all.iter().find(|it| it.land() == offer.at.log.land);
        if let Some(mine) = found.all.iter().find(|it| it.names(own) && Some(*it) != lineage) {
            return Err(Reject::Precondition {
                reason: "HANDOVER_OTHER_SERVICE",
                description: format!(
                    "{own} hat unter der UUID {service} schon eine andere Leistung (sie gehört {})",
                    mine.land()
                ),
            }
            .into());
        }
        if let Some(lineage) = lineage {
            let signed = self.catalogue.offer_signed(lineage, offer)?;
            if !signed.is_enough() {
                let missing: Vec<_> = signed.missing().iter().map(ToString::to_string).collect();
                return Err(Reject::Precondition {
                    reason: "COUNTERSIGNATURES_MISSING",
                    description: format!(
                        "die Leistung wird gemeinsam geführt; zur Übergabe fehlen {} von {} \
                         Mitzeichnungen (offen: {}): registry mitzeichnen {service} --uebergabe",
                        signed.leaders.k - signed.by.len(),
                        signed.leaders.k,
                        missing.join(", ")
                    ),
                }
                .into());
            }
        }
        Ok(Judged { references: vec![reference(offer)], ..Judged::default() })
    }

    /// 1 + number of what this Land said last about a handover of a service.
    fn seen(&self, found: &Lineages) -> u64 {
        let own = found.said.iter().filter(|it| it.at.log.land == self.own.land);
        own.map(|it| it.at.number() + 1).max().unwrap_or_default()
    }
}

/// The offer that a step names.
fn named<'a>(found: &'a Lineages, it: &Uebergabe) -> Result<&'a Said, QueryError> {
    let offers = found.said.iter().filter(|it| it.record.schritt() == Schritt::Angebot);
    let mut named = offers.filter(|offer| it.angebot.as_ref() == offer.leaf.as_bytes());
    named.next().ok_or_else(|| {
        let name = format!("{} {}", it.service_id, hex::encode(&it.angebot));
        Reject::NotFound { what: "Angebot", name }.into()
    })
}

fn became(offer: &Said, outcome: &Outcome) -> String {
    let (from, to) = (&offer.record.von_land, &offer.record.an_land);
    match outcome {
        Outcome::Taken(at) => {
            format!("{to} hat das Angebot angenommen ({at}); möglich: nichts; {to} kann: angebot")
        }
        Outcome::TakenBack(at) => {
            format!("{from} hat das Angebot zurückgenommen ({at}); {from} kann: angebot")
        }
        Outcome::Open => format!("das Angebot steht; {to} kann: annahme; {from} kann: ruecknahme"),
        Outcome::Void => "das Angebot gilt nicht mehr: ein neueres ist an seiner Stelle, oder die \
                          Leistung gehörte dem Land nicht"
            .to_owned(),
    }
}

/// An open offer of a service to a Land, and who makes it.
fn offered_to(found: &Lineages, to: Land) -> Option<(Land, &Said)> {
    found.all.iter().find_map(|lineage| {
        let offer = uebergabe::open_offer(&lineage.owners, &found.said)?;
        (offer.record.an_land == to.code()).then_some((lineage.land(), offer))
    })
}

fn handover_open(service: Uuid, offer: &Said) -> Reject {
    Reject::Precondition {
        reason: "HANDOVER_OPEN",
        description: format!(
            "die Leistung ist {} angeboten ({}); bis sie angenommen ist, ändert sie sich nicht, \
             oder vorher: registry uebergabe zuruecknehmen {service}",
            offer.record.an_land, offer.at
        ),
    }
}

pub(super) fn given_away(own: Land, lineage: &Lineage) -> Reject {
    let (owner, service) = (lineage.land(), lineage.service);
    other_land(if lineage.names(own) {
        format!(
            "die Leistung {service} gehört seit der Übergabe {owner}; über sie schreibt {owner}"
        )
    } else {
        format!("die Leistung {service} gehört {owner}; dieser Knoten schreibt für {own}")
    })
}

fn reference(offer: &Said) -> Reference {
    let object_id = offer.record.service_id.parse().unwrap_or_default();
    Reference { land: offer.at.log.land, object_id, leaf_hash: offer.leaf }
}

fn leaf(bytes: &[u8]) -> Result<Hash, QueryError> {
    let hash = Hash::try_from(bytes);
    hash.map_err(|_| Reject::Storage { operation: "reading the index" }.into())
}

fn too_often(path: &str) -> Verdict {
    let text = format!(
        "diese Leistung wurde zu oft übergeben: höchstens {OWNERS_MAX} Eigentümer, höchstens \
         {STEPS_MAX} Schritte eines Landes"
    );
    invalid(path, "HANDOVER_COUNT", text)
}

fn illegal(path: &str, text: String) -> Verdict {
    invalid(format!("{path}.schritt"), "ILLEGAL_MOVE", text)
}
