//! Moves judged against the catalogue: what the log of this Land alone cannot decide, because the
//! other side writes to its own.
//!
//! Runs before the submission reaches the log. What it saw of an object of this Land goes along
//! as a revision, and the log refuses the record if that is no longer the newest; what the other
//! side writes meanwhile is settled by the fold.

use std::collections::HashSet;

use registry_proto::{
    log::{Hash, Kind, Reference},
    terms::{Ars, Date, Land, LogId, SemVer},
    wire::registry::{
        Anschluss, Bestaetigung, Lifecycle, Mitzeichnung, SubscriptionMove, SubscriptionState,
        VersionStatus,
    },
};
use uuid::Uuid;

use super::{Contents, Prepared, Submission, handover::given_away};
use crate::{
    fold::Move,
    moves::{
        lifecycle,
        nachnutzung::{self, Side, Subscription},
    },
    reject::{FieldViolation, Reject},
    view::{Affected, Catalogue, Facts, Lineage, QueryError, Standing},
};

/// What judging needs besides the catalogue.
pub(super) struct Judge<'a, F> {
    pub(super) catalogue: &'a Catalogue<'a, F>,
    pub(super) own: LogId,
    today: Date,
}

/// What a judgement adds to a record.
#[derive(Default)]
pub(super) struct Judged {
    pub(super) references: Vec<Reference>,
    pub(super) judged_at: Option<u64>,
    pub(super) handovers_seen: Option<u64>,
    pub(super) of_service: Option<Uuid>,
    pub(super) warnings: Vec<(&'static str, String)>,
}

pub(super) type Verdict = Result<Judged, QueryError>;

impl Submission {
    /// True if [`Self::judge`] has more to read than who owns what.
    pub fn has_moves(&self) -> bool {
        self.records.iter().any(|it| it.said.is_some())
    }

    /// Judges every record against the catalogue of the node that holds the log `own`: whether
    /// this Land owns the service, and whether a move is legal; fills the references of their
    /// entries. `contents` reads what a former owner published. A request with an idempotency key
    /// is refused only by the log, which knows whether it was published before.
    ///
    /// # Errors
    ///
    /// [`Reject::Invalid`] naming the moves that would be legal; [`Reject::Precondition`] with
    /// `MISSING_ACKNOWLEDGEMENTS`, with `OTHER_LAND` if this Land has no say, or with
    /// `HANDOVER_OPEN` while it offers the service to another; [`Reject::NotFound`];
    /// [`crate::view::FactsError`]; those of `contents`.
    pub fn judge<F: Facts>(
        mut self,
        catalogue: &Catalogue<'_, F>,
        own: LogId,
        today: Date,
        contents: &Contents<'_>,
    ) -> Result<Self, QueryError> {
        match self.judge_all(&Judge { catalogue, own, today }, contents) {
            Err(QueryError::Reject(refused)) if self.request.is_some() => {
                self.refused = Some(refused);
                Ok(self)
            }
            judged => judged.map(|()| self),
        }
    }

    fn judge_all<F: Facts>(
        &mut self,
        judge: &Judge<'_, F>,
        contents: &Contents<'_>,
    ) -> Result<(), QueryError> {
        let mut violations = Vec::new();
        let mut moved = HashSet::new();
        let handed: HashSet<_> = self
            .records
            .iter()
            .filter(|it| it.kind == Kind::Uebergabe)
            .map(|it| it.service)
            .collect();
        for record in &mut self.records {
            if record.kind != Kind::Uebergabe && handed.contains(&record.of_service) {
                let text = "eine Übergabe steht allein; was die Leistung sonst betrifft, danach \
                            einreichen";
                return Err(Reject::field(record.path.clone(), "ONE_MOVE_A_BATCH", text).into());
            }
            let Some(said) = record.said.take() else {
                judge.written(record, contents)?;
                continue;
            };
            let anlass = match &said {
                Move::Bestaetigung(it) => it.anlass,
                _ => 0,
            };
            // any number of Kommunen, of countersigned entries and of contacts go into one batch
            if !matches!(said, Move::Anschluss(_) | Move::Mitzeichnung(_) | Move::Kontakt(_))
                && !moved.insert((record.service, record.version, anlass))
            {
                let text = "zwei Schritte zum selben Gegenstand in einem Stapel; nacheinander \
                            einreichen";
                return Err(Reject::field(record.path.clone(), "ONE_MOVE_A_BATCH", text).into());
            }
            match judge.one(record, &said) {
                Ok(judged) => judged.into(record),
                Err(QueryError::Reject(Reject::Invalid(more))) => violations.extend(more),
                Err(other) => return Err(other),
            }
        }
        if violations.is_empty() { Ok(()) } else { Err(Reject::Invalid(violations).into()) }
    }
}

// === impl Judged ===

impl Judged {
    fn into(self, record: &mut Prepared) {
        record.references = self.references;
        record.judged_at = self.judged_at;
        record.handovers_seen = self.handovers_seen;
        if let Some(service) = self.of_service {
            record.of_service = service.into();
        }
        let found = self.warnings.into_iter().map(|(reason, description)| FieldViolation {
            field: record.path.clone(),
            reason,
            description,
        });
        record.warn(found.collect());
    }
}

// === impl Judge ===

impl<F: Facts> Judge<'_, F> {
    fn one(&self, record: &Prepared, said: &Move) -> Verdict {
        let path = record.path.as_str();
        match said {
            Move::Status(it) => self.status(path, record, it),
            Move::Subscription(it) => self.subscription(path, record, it),
            Move::Anschluss(it) => self.anschluss(path, record, it),
            Move::Bestaetigung(it) => self.bestaetigung(path, record, it),
            Move::Mitzeichnung(it) => self.mitzeichnung(path, record, it),
            Move::Uebergabe(it) => self.uebergabe(path, record, it),
            Move::Kontakt(_) => self.kontakt(record),
        }
    }

    /// Who has a service names its contacts.
    fn kontakt(&self, record: &Prepared) -> Verdict {
        let service = record.service.uuid();
        let mine = self.mine(service)?;
        let defined = self.catalogue.newest_definition(self.own.land, service)?.is_some();
        if !defined && mine.lineage.owners.len() < 2 {
            if let Some(elsewhere) = self.catalogue.lineages(service)?.all.first() {
                return Err(given_away(self.own.land, elsewhere).into());
            }
            let name = service.to_string();
            return Err(Reject::NotFound { what: "service of this Land", name }.into());
        }
        Ok(Judged { handovers_seen: Some(mine.seen), ..Judged::default() })
    }

    fn status(&self, path: &str, record: &Prepared, it: &VersionStatus) -> Verdict {
        let (own, service) = (self.own.land, record.service.uuid());
        let lineage = self.mine(service)?.lineage;
        let standing = match record.version {
            Some(number) => self.catalogue.standing(&lineage, &number)?,
            None => None,
        };
        let Some(standing) = standing else {
            return invalid(
                format!("{path}.version"),
                "VERSION_UNKNOWN",
                format!(
                    "{own} hat von dieser Leistung keine Version {} veröffentlicht",
                    it.version
                ),
            );
        };
        let (from, to) = (standing.life.lifecycle, it.lifecycle());
        if !lifecycle::next(from).contains(&to) {
            return invalid(
                format!("{path}.lifecycle"),
                "LIFECYCLE_MOVE",
                format!(
                    "von {} führt kein Weg nach {}; möglich: {}",
                    name(from.as_str_name()),
                    name(to.as_str_name()),
                    names(lifecycle::next(from).iter().map(Lifecycle::as_str_name)),
                ),
            );
        }
        if let Some(refused) = self.too_early(path, &standing, it) {
            return Err(refused.into());
        }
        let mut warnings = Vec::new();
        if matches!(to, Lifecycle::Abgeschaltet | Lifecycle::Zurueckgezogen) {
            let missing = missing(self.catalogue.impact(&standing, to, self.today)?);
            if !missing.is_empty() {
                let text = format!(
                    "Bestätigungen fehlen: {}; abwarten oder ohne_bestaetigung_grund angeben",
                    missing.join(", ")
                );
                let reason = "MISSING_ACKNOWLEDGEMENTS";
                if it.ohne_bestaetigung_grund.is_empty() {
                    return Err(Reject::Precondition { reason, description: text }.into());
                }
                warnings.push((reason, text));
            }
        }
        warnings.extend(self.unknown_successor(&lineage, it)?);
        Ok(Judged {
            references: vec![reference(&standing)?],
            judged_at: Some(self.catalogue.revision(own, service)?),
            warnings,
            ..Judged::default()
        })
    }

    /// A successor may be named before it is published, so an unknown one is only told.
    fn unknown_successor(
        &self,
        lineage: &Lineage,
        it: &VersionStatus,
    ) -> Result<Option<(&'static str, String)>, QueryError> {
        // of another service it may stand in a log that has not come here yet
        if !it.nachfolger_service_id.is_empty() {
            return Ok(None);
        }
        let Ok(number) = it.nachfolger_version.parse::<SemVer>() else { return Ok(None) };
        if self.catalogue.standing(lineage, &number)?.is_some() {
            return Ok(None);
        }
        let text = format!(
            "die Nachfolgerin {number} ist von dieser Leistung noch nicht veröffentlicht; Nachnutzer \
             finden sie erst dann"
        );
        Ok(Some(("NACHFOLGER_UNKNOWN", text)))
    }

    /// Deadlines: no deprecation in the past, a retirement not before its day, and a day once
    /// named only moves back.
    fn too_early(&self, path: &str, now: &Standing, it: &VersionStatus) -> Option<Reject> {
        if it.lifecycle() == Lifecycle::Abgekuendigt
            && let Ok(announced) = it.abkuendigung_am.parse::<Date>()
            && announced < self.today
            && now.life.abkuendigung_am != Some(announced)
        {
            return Some(Reject::field(
                format!("{path}.abkuendigung_am"),
                "ABKUENDIGUNG_RUECKWIRKEND",
                format!(
                    "{announced} liegt vor heute ({}); abgekündigt wird nicht rückwirkend",
                    self.today
                ),
            ));
        }
        let known = now.life.abschaltung_am?;
        match it.lifecycle() {
            Lifecycle::Abgeschaltet if self.today < known => Some(Reject::field(
                format!("{path}.lifecycle"),
                "ABSCHALTUNG_FRIST",
                format!(
                    "abgeschaltet werden darf erst am {known}, heute ist {}; zurückziehen geht \
                     jederzeit mit Grund",
                    self.today
                ),
            )),
            Lifecycle::Abgekuendigt
                if it.abschaltung_am.parse::<Date>().is_ok_and(|day| day < known) =>
            {
                Some(Reject::field(
                    format!("{path}.abschaltung_am"),
                    "ABSCHALTUNG_FRIST",
                    format!(
                        "{} liegt vor dem angekündigten Tag {known}; er lässt sich nur nach \
                         hinten verschieben",
                        it.abschaltung_am
                    ),
                ))
            }
            _ => None,
        }
    }

    fn subscription(&self, path: &str, record: &Prepared, it: &SubscriptionMove) -> Verdict {
        let own = self.own.land;
        let known = self.catalogue.subscription(record.service.uuid())?;
        let (state, side) = match &known {
            None => (None, Side::Subscriber),
            Some(known) => {
                let given =
                    known.side(own).is_none() && known.owners.iter().any(|it| it.land == own);
                if given {
                    return Err(given_away(own, &lineage_of(known)).into());
                }
                let same = it.service_id == known.service.to_string()
                    && it.publisher_land == known.publisher.code()
                    && it.subscriber_land == known.subscriber.code();
                if !same {
                    return invalid(
                        path,
                        "OTHER_NACHNUTZUNG",
                        format!(
                            "Nachnutzung {} gehört zur Leistung {} von {} für {}",
                            known.id, known.service, known.publisher, known.subscriber
                        ),
                    );
                }
                (Some(known.zustand()), self.side(known)?)
            }
        };
        if known.is_none() && it.subscriber_land != own.code() {
            let name = it.subscription_id.clone();
            return Err(Reject::NotFound { what: "Nachnutzung", name }.into());
        }
        let legal = nachnutzung::next(state, side);
        if !legal.contains(&it.zustand()) {
            return invalid(format!("{path}.zustand"), "ILLEGAL_MOVE", illegal(state, side, it));
        }
        let contract = known.as_ref().map_or("", |it| it.terms.vertrag_id.as_str());
        let bound =
            matches!(it.zustand(), SubscriptionState::Vertrag | SubscriptionState::Produktiv);
        if bound && it.vertrag_id.is_empty() && contract.is_empty() {
            let text = "ab Zustand vertrag gehört die Kennung des Vertrags dazu";
            return invalid(format!("{path}.vertrag_id"), "VERTRAG_MISSING", text);
        }
        let warnings =
            if known.is_none() { self.can_be_subscribed(path, record, it)? } else { vec![] };
        let references = match &known {
            Some(known) => vec![Reference {
                land: known.head().at.log.land,
                object_id: known.id,
                leaf_hash: known.head().leaf,
            }],
            None => Vec::new(),
        };
        let handovers_seen = match &known {
            Some(known) if side == Side::Publisher => Some(self.mine(known.service)?.seen),
            _ => None,
        };
        let judged_at = Some(known.map_or(0, |it| own_revision(&it, self.own.land)));
        Ok(Judged { references, judged_at, handovers_seen, warnings, ..Judged::default() })
    }

    fn side(&self, known: &Subscription) -> Result<Side, Reject> {
        let own = self.own.land;
        known
            .side(own)
            .ok_or_else(|| other_land(format!("{own} ist an dieser Nachnutzung nicht beteiligt")))
    }

    /// The service must be known here, and have something to re-use.
    fn can_be_subscribed(
        &self,
        path: &str,
        record: &Prepared,
        it: &SubscriptionMove,
    ) -> Result<Vec<(&'static str, String)>, QueryError> {
        let service = record.of_service.uuid();
        let publisher: Option<Land> = it.publisher_land.parse().ok();
        let defined = match publisher {
            Some(land) => self.catalogue.is_defined(land, service)?,
            None => false,
        };
        let (Some(land), true) = (publisher, defined) else {
            let lineages = self.catalogue.lineages(service)?;
            let now = publisher.and_then(|land| lineages.meant_by(land)).map(Lineage::land);
            let text = match now.filter(|now| Some(*now) != publisher) {
                Some(now) => format!(
                    "{} hat die Leistung {service} an {now} übergeben; Interesse gilt {now}",
                    it.publisher_land
                ),
                None => format!("{} hat hier keine Leistung {service}", it.publisher_land),
            };
            let field = format!("{path}.service_id");
            return Err(Reject::field(field, "SERVICE_UNKNOWN", text).into());
        };
        let mut warnings = Vec::new();
        let serves =
            self.catalogue.standings(land, service)?.iter().any(|it| it.serves_on(self.today));
        if !serves {
            let text = "die Leistung hat zurzeit keine freigegebene Version";
            warnings.push(("NOTHING_RELEASED", text.to_owned()));
        }
        let others = self.catalogue.subscriptions_of(land, service)?;
        if let Some(other) = others.iter().find(|it| it.subscriber == self.own.land && it.is_open())
        {
            let text = format!("es gibt schon eine offene Nachnutzung {}", other.id);
            warnings.push(("NACHNUTZUNG_OPEN", text));
        }
        Ok(warnings)
    }

    /// The Nachnutzung, if this Land is its subscriber.
    fn subscribed(&self, record: &Prepared) -> Result<Subscription, QueryError> {
        let id = record.service.uuid();
        let Some(known) = self.catalogue.subscription(id)? else {
            let name = id.to_string();
            return Err(Reject::NotFound { what: "Nachnutzung", name }.into());
        };
        if known.side(self.own.land) != Some(Side::Subscriber) {
            return Err(other_land(format!(
                "das sagt das anschließende Land ({}); dieser Knoten schreibt für {}",
                known.subscriber, self.own.land
            ))
            .into());
        }
        Ok(known)
    }

    fn anschluss(&self, path: &str, record: &Prepared, it: &Anschluss) -> Verdict {
        let known = self.subscribed(record)?;
        if !known.has_contract() {
            return invalid(
                format!("{path}.subscription_id"),
                "NO_CONTRACT",
                format!(
                    "Kommunen werden ab Zustand vertrag angeschlossen; die Nachnutzung ist in {}",
                    name(known.zustand().as_str_name())
                ),
            );
        }
        let inside = it.ars.parse::<Ars>().is_ok_and(|ars| {
            let mut areas = known
                .terms
                .gebiete
                .iter()
                .chain(known.terms.auftraggeber.iter().flat_map(|it| &it.gebiete));
            areas.any(|it| it.parse::<Ars>().is_ok_and(|it| it.covers(&ars)))
        });
        if !inside {
            return invalid(
                format!("{path}.ars"),
                "ARS_OUTSIDE",
                format!("{} liegt in keinem Gebiet der Nachnutzung", it.ars),
            );
        }
        Ok(Judged {
            references: vec![head(&known)],
            of_service: Some(known.service),
            ..Judged::default()
        })
    }

    fn bestaetigung(&self, path: &str, record: &Prepared, it: &Bestaetigung) -> Verdict {
        let known = self.subscribed(record)?;
        let standings = self.catalogue.standings(known.publisher, known.service)?;
        let owed = self.catalogue.owed(&known, &standings)?;
        let this = owed
            .iter()
            .find(|owed| Some(owed.number) == record.version && owed.anlass == it.anlass());
        if this.is_none() {
            let open: Vec<_> = owed
                .iter()
                .map(|it| format!("{} {}", it.number, name(it.anlass.as_str_name())))
                .collect();
            let open = if open.is_empty() { "nichts".to_owned() } else { open.join(", ") };
            return invalid(
                path,
                "NOT_OWED",
                format!("das ist nicht zu bestätigen; offen: {open}"),
            );
        }
        Ok(Judged {
            references: vec![head(&known)],
            of_service: Some(known.service),
            ..Judged::default()
        })
    }

    fn mitzeichnung(&self, path: &str, record: &Prepared, it: &Mitzeichnung) -> Verdict {
        let service = record.service.uuid();
        let (Ok(land), Ok(leaf)) = (it.land.parse::<Land>(), Hash::try_from(&it.leaf_hash[..]))
        else {
            return invalid(path, "MITZEICHNUNG_FORM", "Land oder Blatt-Hash fehlt");
        };
        let Some(at) = self.catalogue.entry_of(land, service, &leaf)? else {
            let name = format!("{land} {service} {leaf}");
            return Err(Reject::NotFound { what: "Eintrag", name }.into());
        };
        let leaders = self.catalogue.leaders_at(service, at)?;
        if !leaders.laender.contains(&self.own.land) {
            return Err(other_land(format!(
                "{} führt diesen Eintrag nicht mit; mitzeichnen kann, wen der Steckbrief unter \
                 mitfederfuehrung nennt",
                self.own.land
            ))
            .into());
        }
        let references = vec![Reference { land, object_id: service, leaf_hash: leaf }];
        Ok(Judged { references, ..Judged::default() })
    }
}

fn own_revision(of: &Subscription, own: Land) -> u64 {
    let all = of.history.iter().chain(&of.superseded).chain(&of.pending);
    all.filter(|it| it.at.log.land == own).map(|it| it.at.number() + 1).max().unwrap_or_default()
}

fn head(of: &Subscription) -> Reference {
    let head = of.head();
    Reference { land: head.at.log.land, object_id: of.id, leaf_hash: head.leaf }
}

fn reference(of: &Standing) -> Result<Reference, QueryError> {
    let leaf_hash = Hash::try_from(&of.fact.leaf[..])
        .map_err(|_| Reject::Storage { operation: "reading the index" })?;
    let land = of.state.position.log.land;
    Ok(Reference { land, object_id: of.state.service, leaf_hash })
}

fn lineage_of(known: &Subscription) -> Lineage {
    Lineage { service: known.service, owners: known.owners.clone() }
}

fn missing(affected: Vec<Affected>) -> Vec<String> {
    affected
        .into_iter()
        .filter(|it| it.must_acknowledge && !it.acknowledged)
        .map(|it| format!("{} ({} Kommunen)", it.subscription.subscriber, it.kommunen.len()))
        .collect()
}

fn illegal(state: Option<SubscriptionState>, side: Side, it: &SubscriptionMove) -> String {
    let state_names =
        |all: &[SubscriptionState]| names(all.iter().map(SubscriptionState::as_str_name));
    let (who, other, others) = match side {
        Side::Subscriber => ("das anschließende Land", "das umsetzende Land", Side::Publisher),
        Side::Publisher => ("das umsetzende Land", "das anschließende Land", Side::Subscriber),
    };
    let from = state.map_or("keinem Zustand", |it| name(it.as_str_name()));
    format!(
        "von {} nach {} kann {who} nicht; möglich: {}; {other} kann: {}",
        from.to_lowercase(),
        name(it.zustand().as_str_name()).to_lowercase(),
        state_names(nachnutzung::next(state, side)),
        state_names(nachnutzung::next(state, others)),
    )
}

/// `LIFECYCLE_ABGEKUENDIGT` as `ABGEKUENDIGT`.
pub(super) fn name(constant: &'static str) -> &'static str {
    constant.rsplit('_').next().unwrap_or(constant)
}

fn names<'a>(all: impl Iterator<Item = &'static str> + 'a) -> String {
    let all: Vec<_> = all.map(|it| name(it).to_lowercase()).collect();
    if all.is_empty() { "nichts".to_owned() } else { all.join(", ") }
}

pub(super) fn other_land(description: String) -> Reject {
    Reject::Precondition { reason: "OTHER_LAND", description }
}

pub(super) fn invalid(
    field: impl Into<String>,
    reason: &'static str,
    description: impl Into<String>,
) -> Verdict {
    Err(Reject::field(field, reason, description).into())
}
