//! Answers about Nachnutzungen, about whom a move affects, and about what needs attention.

use registry_core::{
    moves::nachnutzung::{self, Placed, Side, Subscription},
    reject::{FieldViolation, Reject},
    validate::CodeLists,
    view::{Affected, Catalogue, Connected, Facts, QueryError},
};
use registry_proto::{
    terms::{Date, Land},
    wire::registry::{
        self as wire, AnschlussState, GetImpactRequest, GetImpactResponse, GetSubscriptionRequest,
        GetSubscriptionResponse, GetVersionRequest, Lifecycle, ListNoticesRequest,
        ListNoticesResponse, ListSubscriptionsRequest, ListSubscriptionsResponse, LogPosition,
        OwedBestaetigung, SubscriptionStep,
    },
};
use uuid::Uuid;

use super::Reads;
use crate::batches::timestamp;

/// Items of a page, and those of a page that names no size.
const PAGE_MAX: u32 = registry_core::limits::PAGE_MAX;
const PAGE_DEFAULT: u32 = registry_core::limits::PAGE_DEFAULT;
/// Characters of a value that a refusal shows.
const SHOWN_CHARS_MAX: usize = 80;

impl Reads {
    /// A page of Nachnutzungen.
    ///
    /// # Errors
    ///
    /// [`Reject::Invalid`] on fields of another form; those of [`crate::index::Index::ask`].
    pub fn list_subscriptions(
        &self,
        request: &ListSubscriptionsRequest,
    ) -> Result<ListSubscriptionsResponse, Reject> {
        let size = page_size("page_size", request.page_size)?;
        let after = optional::<Uuid>("page_token", &request.page_token)?;
        let service = optional::<Uuid>("service_id", &request.service_id)?;
        let publisher = optional::<Land>("publisher_land", &request.publisher_land)?;
        let subscriber = optional::<Land>("subscriber_land", &request.subscriber_land)?;
        let passes = |it: &Subscription| {
            service.is_none_or(|wanted| wanted == it.service)
                && publisher.is_none_or(|wanted| wanted == it.publisher)
                && subscriber.is_none_or(|wanted| wanted == it.subscriber)
                && (request.zustaende.is_empty()
                    || request.zustaende.contains(&(it.zustand() as i32)))
        };
        let (all, cut) = self.index.ask(|catalogue| {
            let found = catalogue.subscriptions(after, size + 1, passes)?;
            let messages = found.iter().map(|it| message(catalogue, it));
            messages.collect::<Result<Vec<_>, QueryError>>()
        })?;
        let mut subscriptions = all;
        let more = subscriptions.len() > size;
        subscriptions.truncate(size);
        let last = subscriptions.last().filter(|_| more);
        let next_page_token = last.map(|it| it.subscription_id.clone()).unwrap_or_default();
        let as_of = self.board.as_of(&cut, |_| true);
        Ok(ListSubscriptionsResponse { subscriptions, next_page_token, as_of })
    }

    /// One Nachnutzung with its history.
    ///
    /// # Errors
    ///
    /// [`Reject::NotFound`]; as [`Self::list_subscriptions`].
    pub fn subscription(
        &self,
        request: &GetSubscriptionRequest,
    ) -> Result<GetSubscriptionResponse, Reject> {
        let id = parsed::<Uuid>("subscription_id", &request.subscription_id)?;
        let ((it, subscription, connected), cut) = self.index.ask(|catalogue| {
            let Some(it) = catalogue.subscription(id)? else {
                let name = id.to_string();
                return Err(Reject::NotFound { what: "Nachnutzung", name }.into());
            };
            let connected = catalogue.connected(&it)?;
            let subscription = message(catalogue, &it)?;
            Ok((it, subscription, connected))
        })?;
        let steps = |list: &[Placed], superseded, pending| {
            list.iter().map(|it| step(it, superseded, pending)).collect::<Vec<_>>()
        };
        let mut all = steps(&it.history, false, false);
        all.extend(steps(&it.superseded, true, false));
        all.extend(steps(&it.pending, false, true));
        let sides = [it.publisher, it.subscriber];
        Ok(GetSubscriptionResponse {
            subscription: Some(subscription),
            steps: all,
            anschluesse: connected.into_iter().map(connected_state).collect(),
            as_of: self.board.as_of(&cut, |land| sides.contains(&land)),
        })
    }

    /// Whom a move of a version would affect.
    ///
    /// # Errors
    ///
    /// As [`registry_core::view::Catalogue::version`] and [`crate::index::Index::ask`].
    pub fn impact(&self, request: &GetImpactRequest) -> Result<GetImpactResponse, Reject> {
        let version = GetVersionRequest {
            service_id: request.service_id.clone(),
            version: request.version.clone(),
            land: request.land.clone(),
            ..GetVersionRequest::default()
        };
        let to = match request.lifecycle() {
            Lifecycle::Unspecified => Lifecycle::Abgeschaltet,
            to => to,
        };
        let today = self.clock.today();
        let ((affected, life, earliest), cut) = self.index.ask(|catalogue| {
            let standing = catalogue.version_stands(&version)?;
            let found = catalogue.impact(&standing, to, today)?;
            let affected = found.into_iter().map(|it| affected(catalogue, it));
            let affected = affected.collect::<Result<Vec<_>, QueryError>>()?;
            let earliest = match standing.life.abschaltung_am {
                Some(day) => Some(day),
                None => today.plus_months(NOTICE_MONTHS),
            };
            Ok((affected, standing.message(), earliest))
        })?;
        Ok(GetImpactResponse {
            affected,
            life: Some(life),
            abschaltung_fruehestens: earliest.map(|day| day.to_string()).unwrap_or_default(),
            as_of: self.board.as_of(&cut, |_| true),
        })
    }

    /// What needs the attention of a Land.
    ///
    /// # Errors
    ///
    /// As [`Self::list_subscriptions`].
    pub fn notices(&self, request: &ListNoticesRequest) -> Result<ListNoticesResponse, Reject> {
        let limit = page_size("limit", request.limit)?;
        let land = optional::<Land>("land", &request.land)?.unwrap_or(self.me.land);
        let now = self.clock.wall_ms();
        let today = Date::from_unix_ms(now);
        let (mut notices, cut) =
            self.index.ask(|catalogue| Ok(catalogue.notices(land, today, now)?))?;
        let total = u32::try_from(notices.len()).unwrap_or(u32::MAX);
        notices.truncate(limit);
        Ok(ListNoticesResponse { notices, total, as_of: self.board.as_of(&cut, |_| true) })
    }
}

/// Months between deprecation and retirement, at least (PVOG policy).
const NOTICE_MONTHS: u32 = 3;

fn message<F: Facts>(
    catalogue: &Catalogue<'_, F>,
    it: &Subscription,
) -> Result<wire::Subscription, QueryError> {
    let standings = catalogue.standings(it.publisher, it.service)?;
    let owed = catalogue.owed(it, &standings)?;
    let next =
        |side| nachnutzung::next(Some(it.zustand()), side).iter().map(|it| *it as i32).collect();
    let revision = |land: Land| {
        let all = it.history.iter().chain(&it.superseded).chain(&it.pending);
        all.filter(|it| it.at.log.land == land)
            .map(|it| it.at.number() + 1)
            .max()
            .unwrap_or_default()
    };
    Ok(wire::Subscription {
        subscription_id: it.id.to_string(),
        service_id: it.service.to_string(),
        publisher_land: it.publisher.to_string(),
        subscriber_land: it.subscriber.to_string(),
        zustand: it.zustand() as i32,
        terms: Some(it.terms.clone()),
        bezeichnung: catalogue.bezeichnung(it.publisher, it.service)?,
        next_by_subscriber: next(Side::Subscriber),
        next_by_publisher: next(Side::Publisher),
        owed: owed
            .into_iter()
            .map(|it| OwedBestaetigung {
                version: it.number.to_string(),
                anlass: it.anlass as i32,
                abschaltung_am: it.abschaltung_am.map(|day| day.to_string()).unwrap_or_default(),
            })
            .collect(),
        subscriber_revision: revision(it.subscriber),
        publisher_revision: revision(it.publisher),
        moved_at: Some(timestamp(it.head().recorded_unix_ms)),
    })
}

fn affected<F: Facts>(
    catalogue: &Catalogue<'_, F>,
    it: Affected,
) -> Result<wire::Affected, QueryError> {
    Ok(wire::Affected {
        subscription: Some(message(catalogue, &it.subscription)?),
        kommunen: it.kommunen.into_iter().map(connected_state).collect(),
        must_acknowledge: it.must_acknowledge,
        acknowledged: it.acknowledged,
        ersatz_version: it.ersatz.map(|it| it.to_string()).unwrap_or_default(),
    })
}

fn step(it: &Placed, superseded: bool, pending: bool) -> SubscriptionStep {
    SubscriptionStep {
        position: Some(LogPosition {
            land: it.at.log.land.to_string(),
            epoch: it.at.log.epoch,
            index: it.at.index,
        }),
        leaf_hash: it.leaf.as_bytes().to_vec().into(),
        recorded_at: Some(timestamp(it.recorded_unix_ms)),
        record: Some(it.record.clone()),
        superseded,
        pending,
    }
}

pub(super) fn connected_state(it: Connected) -> AnschlussState {
    let gebiete = CodeLists::shipped().gebiete();
    let found = it.anschluss.ars.parse().ok().and_then(|ars| gebiete.find(&ars));
    AnschlussState {
        name: found.map(|it| it.name.to_string()).unwrap_or_default(),
        anschluss: Some(it.anschluss),
        recorded_at: Some(timestamp(it.recorded_unix_ms)),
    }
}

fn page_size(field: &'static str, asked: u32) -> Result<usize, Reject> {
    match asked {
        0 => Ok(PAGE_DEFAULT as usize),
        1..=PAGE_MAX => Ok(asked as usize),
        _ => Err(Reject::field(field, "PAGE_SIZE", format!("{asked} ist mehr als {PAGE_MAX}"))),
    }
}

fn parsed<T>(field: &'static str, text: &str) -> Result<T, Reject>
where
    T: std::str::FromStr,
{
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
        let description = match field {
            "page_token" => {
                "gehört nicht zu dieser Abfrage; ohne page_token neu beginnen".to_owned()
            }
            _ if field.ends_with("land") => {
                format!("{shown:?} ist kein Kürzel eines Landes wie SL")
            }
            _ => format!("{shown:?} ist keine UUID (RFC 9562)"),
        };
        Reject::Invalid(vec![FieldViolation {
            field: field.to_owned(),
            reason: "FORM",
            description,
        }])
    })
}

fn optional<T>(field: &'static str, text: &str) -> Result<Option<T>, Reject>
where
    T: std::str::FromStr,
{
    if text.is_empty() { Ok(None) } else { parsed(field, text).map(Some) }
}
