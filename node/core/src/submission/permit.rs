//! What a publisher may do with which service: rules that are bound to Länder, Themenfelder or
//! services can be judged only with the catalogue.

use std::collections::HashMap;

use registry_proto::{
    log::Kind,
    terms::{Land, ServiceId, Themenfeld},
    wire::registry::{Record, record},
};
use uuid::Uuid;

use super::{Prepared, Submission};
use crate::{
    authorize::{Action, Principal, Rule, Target, Verdict, decide, may_alone, require},
    fold::Move,
    reject::Reject,
    view::{Catalogue, Facts, FactsError, QueryError},
};

impl Submission {
    /// True if the rules of the sender cover every record. The log takes no other submission.
    pub fn is_permitted(&self) -> bool {
        self.permitted
    }

    /// Judges every record by the rules of the sender, and whether one person alone may do it. A
    /// version belongs to the Themenfeld of its
    /// definition; a definition that moves a service to another Themenfeld needs both.
    ///
    /// # Errors
    ///
    /// [`Reject::Forbidden`] naming the first record that is not covered;
    /// [`crate::view::FactsError`].
    pub fn permit<F: Facts>(
        mut self,
        catalogue: &Catalogue<'_, F>,
        own: Land,
    ) -> Result<Self, QueryError> {
        if self.permitted && !self.needs_second {
            return Ok(self);
        }
        let mut alone = true;
        let mut defined: HashMap<ServiceId, Vec<Themenfeld>> = HashMap::new();
        for record in &self.records {
            defined.entry(record.service).or_default().extend(record.themenfeld);
        }
        for record in &self.records {
            let anything = Target::default();
            let is_settled = is_covered(&self.rules, record.action, &anything)
                && (!self.needs_second || may_alone(&self.rules, record.action, &anything));
            if is_settled {
                continue;
            }
            let mut about = record.about(catalogue, own)?;
            if about.is_own {
                about.add(defined.get(&record.service).map_or(&[], Vec::as_slice));
            }
            about.require(&self.rules, record.action, &record.path)?;
            alone &= about.targets().all(|it| may_alone(&self.rules, record.action, &it));
        }
        self.permitted = true;
        self.needs_second &= !alone;
        Ok(self)
    }
}

/// Judges by the rules of a principal whether it may keep, see or delete a draft. What has no
/// Themenfeld yet may be kept by everyone who may keep drafts.
///
/// # Errors
///
/// [`Reject::Denied`] and [`Reject::Forbidden`]; [`crate::view::FactsError`].
pub fn permit_draft<F: Facts>(
    principal: &Principal,
    records: &[Record],
    catalogue: &Catalogue<'_, F>,
    own: Land,
) -> Result<(), QueryError> {
    require(principal, Action::Draft)?;
    if is_covered(principal.rules(), Action::Draft, &Target::default()) {
        return Ok(());
    }
    let mut defined: HashMap<&str, Vec<Themenfeld>> = HashMap::new();
    for record in records {
        if let Some(record::Record::ServiceDefinition(it)) = &record.record {
            defined.entry(&it.service_id).or_default().extend(it.themenfeld.parse::<Themenfeld>());
        }
    }
    for (at, record) in records.iter().enumerate() {
        let named = match &record.record {
            Some(record::Record::ServiceDefinition(it)) => &it.service_id,
            Some(record::Record::ServiceVersion(it)) => &it.service_id,
            _ => continue,
        };
        let service = named.parse::<ServiceId>().ok().map(ServiceId::uuid);
        let mut about = About::own(catalogue, own, service)?;
        about.add(defined.get(named.as_str()).map_or(&[], Vec::as_slice));
        if about.themenfelder.is_empty() && about.is_new {
            continue;
        }
        about.require(principal.rules(), Action::Draft, &format!("records[{at}]"))?;
    }
    Ok(())
}

/// True if the rules allow an action about such an object.
pub(super) fn is_covered(rules: &[Rule], action: Action, target: &Target) -> bool {
    matches!(decide(rules, action, target), Verdict::Allowed(_))
}

/// What a record is about.
struct About {
    land: Option<Land>,
    service: Option<Uuid>,
    /// All that count for it; none if that is not known.
    themenfelder: Vec<Themenfeld>,
    /// True if this Land writes the definition.
    is_own: bool,
    /// True if nobody has defined it.
    is_new: bool,
}

// === impl About ===

impl About {
    fn own<F: Facts>(
        catalogue: &Catalogue<'_, F>,
        own: Land,
        service: Option<Uuid>,
    ) -> Result<Self, FactsError> {
        let mut about = Self::of(catalogue, Some(own), service)?;
        about.is_own = true;
        Ok(about)
    }

    /// What the catalogue says of the service that a Land means.
    fn of<F: Facts>(
        catalogue: &Catalogue<'_, F>,
        land: Option<Land>,
        service: Option<Uuid>,
    ) -> Result<Self, FactsError> {
        let known = match (land, service) {
            (Some(land), Some(service)) => catalogue.themenfeld_of(land, service)?,
            _ => None,
        };
        let is_new = known.is_none();
        let (land, themenfelder) = match known {
            Some((owner, themenfeld)) => (Some(owner), themenfeld.into_iter().collect()),
            None => (land, Vec::new()),
        };
        Ok(Self { land, service, themenfelder, is_own: false, is_new })
    }

    fn add(&mut self, more: &[Themenfeld]) {
        for themenfeld in more {
            if !self.themenfelder.contains(themenfeld) {
                self.themenfelder.push(*themenfeld);
            }
        }
    }

    /// What the rules are asked about: each Themenfeld, or that nobody knows it.
    fn targets(&self) -> impl Iterator<Item = Target> {
        let unknown = self.themenfelder.is_empty().then_some(None);
        let all = self.themenfelder.iter().copied().map(Some).chain(unknown);
        all.map(|themenfeld| Target { land: self.land, themenfeld, service: self.service })
    }

    /// Asks the rules about each Themenfeld.
    fn require(&self, rules: &[Rule], action: Action, field: &str) -> Result<(), Reject> {
        let mut targets = self.targets();
        let refused = targets.find_map(|it| decide(rules, action, &it).refusal(rules, action, &it));
        match refused {
            None => Ok(()),
            Some(refusal) => {
                let field = field.to_owned();
                Err(Reject::Forbidden(Box::new(crate::authorize::Refusal { field, ..refusal })))
            }
        }
    }
}

impl Prepared {
    fn about<F: Facts>(
        &self,
        catalogue: &Catalogue<'_, F>,
        own: Land,
    ) -> Result<About, FactsError> {
        let named = |land: &str| land.parse::<Land>().ok();
        let service = self.of_service.uuid();
        if let Some(id) = self.subscription {
            if let Some(known) = catalogue.subscription(id)? {
                return About::of(catalogue, Some(known.publisher), Some(known.service));
            }
            // of a connected Kommune only the Nachnutzung is named
            let known = (self.kind != Kind::Anschluss).then_some(service);
            let land = match &self.said {
                Some(Move::Subscription(it)) => named(&it.publisher_land),
                _ => None,
            };
            return About::of(catalogue, land, known);
        }
        match &self.said {
            Some(Move::Mitzeichnung(it)) => About::of(catalogue, named(&it.land), Some(service)),
            Some(Move::Uebergabe(it)) => About::of(catalogue, named(&it.von_land), Some(service)),
            _ => About::own(catalogue, own, Some(service)),
        }
    }
}
