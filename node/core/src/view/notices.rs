//! What needs the attention of a Land.

use std::collections::{BTreeMap, BTreeSet};

use registry_proto::{
    terms::{Date, Land},
    wire::registry::{Lifecycle, Notice, NoticeKind, SubscriptionState},
};
use uuid::Uuid;

use super::{
    Catalogue, Facts, FactsError, Lineage, Lineages, Standing, catalogue::timestamp,
    nachnutzung::needs,
};
use crate::{
    fold::{Fact, LeadersFact, keys},
    moves::{
        nachnutzung::{Side, Subscription},
        uebergabe,
    },
};

/// Days a new version, a new owner, or the end of a Nachnutzung is told of.
const NEWS_DAYS: i64 = 30;
/// Nachnutzungen that are looked at.
const SUBSCRIPTIONS_MAX: usize = 50_000;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

impl<F: Facts> Catalogue<'_, F> {
    /// What needs the attention of a Land, the most urgent first: what has a deadline by its
    /// days, then the rest by age.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn notices(
        &self,
        land: Land,
        today: Date,
        now_unix_ms: i64,
    ) -> Result<Vec<Notice>, FactsError> {
        let mut notices = Vec::new();
        let handed: BTreeMap<_, _> = self.handed_over(None)?.into_iter().collect();
        let mine = |it: &Subscription| {
            it.side(land).is_some() && (it.is_open() || is_news(it, land, now_unix_ms))
        };
        for it in self.subscriptions(None, SUBSCRIPTIONS_MAX, mine)? {
            let Some(side) = it.side(land) else { continue };
            let about = About { subscription: Some(&it), land: it.publisher, service: it.service };
            if !it.is_open() {
                notices.push(about.notice(
                    NoticeKind::ReuseEnded,
                    land,
                    ended(&it),
                    it.head().recorded_unix_ms,
                ));
                continue;
            }
            notices.extend(waiting(&it, side).map(|text| {
                let since = it.head().recorded_unix_ms;
                about.notice(NoticeKind::RequestWaiting, land, text, since)
            }));
            if side == Side::Subscriber {
                notices.extend(owner_changed(&about, &handed, &it, now_unix_ms));
                let standings = self.standings(it.publisher, it.service)?;
                self.owed_notices(&about, land, today, &standings, &mut notices)?;
                version_notices(&about, land, today, now_unix_ms, &standings, &mut notices);
            }
        }
        for of in handed.values() {
            self.offer_notices(of, land, &mut notices)?;
        }
        self.countersignatures(land, &handed, &mut notices)?;
        for notice in &mut notices {
            notice.bezeichnung = self.name_of(notice)?;
        }
        notices.sort_by_key(|it| {
            let since = it.since.as_ref().map_or(0, |it| it.seconds);
            (
                it.days_left.unwrap_or(i32::MAX),
                since,
                it.subscription_id.clone(),
                it.version.clone(),
            )
        });
        Ok(notices)
    }

    fn owed_notices(
        &self,
        about: &About<'_>,
        land: Land,
        today: Date,
        standings: &[Standing],
        notices: &mut Vec<Notice>,
    ) -> Result<(), FactsError> {
        let Some(subscription) = about.subscription else { return Ok(()) };
        for owed in self.owed(subscription, standings)? {
            let what = match owed.anlass {
                Lifecycle::Freigegeben => "bricht mit früheren Versionen",
                Lifecycle::Abgekuendigt => "ist abgekündigt",
                Lifecycle::Abgeschaltet => "ist abgeschaltet",
                _ => "ist zurückgezogen",
            };
            let text = format!(
                "Version {} {what}; zur Kenntnis nehmen mit: registry nachnutzung bestaetigen {} \
                 --version {} --anlass {}",
                owed.number,
                subscription.id,
                owed.number,
                anlass(owed.anlass),
            );
            let since = standings
                .iter()
                .find(|it| it.state.number == owed.number)
                .map_or(0, |it| it.fact.recorded_unix_ms);
            notices.push(Notice {
                version: owed.number.to_string(),
                days_left: owed.abschaltung_am.map(|day| days(today, day)),
                ..about.notice(NoticeKind::AcknowledgementOwed, land, text, since)
            });
        }
        Ok(())
    }

    /// Offers that wait for a Land: to be taken, or to be countersigned.
    fn offer_notices(
        &self,
        of: &Lineages,
        land: Land,
        notices: &mut Vec<Notice>,
    ) -> Result<(), FactsError> {
        for lineage in &of.all {
            let Some(offer) = uebergabe::open_offer(&lineage.owners, &of.said) else { continue };
            let service = lineage.service;
            let about = About { subscription: None, land: lineage.land(), service };
            let (from, to) = (lineage.land(), &offer.record.an_land);
            let signed = self.offer_signed(lineage, offer)?;
            let missing = signed.missing();
            if *to == land.code() && signed.is_enough() {
                let text =
                    format!("{from} bietet die Leistung an: registry uebergabe annehmen {service}");
                let kind = NoticeKind::HandoverOffered;
                notices.push(about.notice(kind, land, text, offer.recorded_unix_ms));
            } else if missing.contains(&land) && !signed.is_enough() {
                let text = format!(
                    "{from} will die Leistung an {to} übergeben und wartet auf die Mitzeichnung: \
                     registry mitzeichnen {service} --uebergabe"
                );
                let kind = NoticeKind::CountersignatureOwed;
                notices.push(about.notice(kind, land, text, offer.recorded_unix_ms));
            }
        }
        Ok(())
    }

    /// Versions, and changes of who leads, that wait for the countersignature of a Land.
    fn countersignatures(
        &self,
        land: Land,
        handed: &BTreeMap<Uuid, Lineages>,
        notices: &mut Vec<Notice>,
    ) -> Result<(), FactsError> {
        // whoever is named no more may have to agree to that, so every definition is looked at
        let mut named = BTreeSet::new();
        self.each(&keys::definitions_in(None), |Fact { key, value }| {
            let (service, at) = keys::parse_definition(&key)?;
            let leads = LeadersFact::parse(&value)?.mit_laender.iter().any(|it| it == land.code());
            if leads && self.cut.holds(at) && !handed.contains_key(&service) {
                named.insert((at.log.land, service));
            }
            Ok(true)
        })?;
        let handed = handed.values().flat_map(|it| &it.all).cloned();
        let alone = named.into_iter().map(|(owner, service)| Lineage::of(owner, service));
        for lineage in handed.chain(alone) {
            self.versions_waiting(&lineage, land, notices)?;
            self.leaders_waiting(&lineage, land, notices)?;
        }
        Ok(())
    }

    /// The newest definition names other leaders, and those who lead have not agreed yet.
    fn leaders_waiting(
        &self,
        of: &Lineage,
        land: Land,
        notices: &mut Vec<Notice>,
    ) -> Result<(), FactsError> {
        let leaders = self.leaders(of, None)?;
        if !leaders.laender.contains(&land) {
            return Ok(());
        }
        let Some((leaf, named, recorded)) = self.named_last(of)? else { return Ok(()) };
        let signed = leaders.countersigned(self.countersigners(of.service, &leaf)?);
        if named == leaders || signed.is_enough() || !signed.missing().contains(&land) {
            return Ok(());
        }
        let service = of.service;
        let about = About { subscription: None, land: of.land(), service };
        let text = format!(
            "der Steckbrief ändert, wer mitführt, und wartet auf die Mitzeichnung: registry \
             mitzeichnen {service} --steckbrief"
        );
        notices.push(about.notice(NoticeKind::CountersignatureOwed, land, text, recorded));
        Ok(())
    }

    fn versions_waiting(
        &self,
        of: &Lineage,
        land: Land,
        notices: &mut Vec<Notice>,
    ) -> Result<(), FactsError> {
        let service = of.service;
        let about = About { subscription: None, land: of.land(), service };
        for it in self.all_standings(of)? {
            if !it.countersigned.missing().contains(&land) || it.countersigned.is_enough() {
                continue;
            }
            let text = format!(
                "Version {} wartet auf die Mitzeichnung: registry mitzeichnen {service} \
                 --version {}",
                it.state.number, it.state.number
            );
            let kind = NoticeKind::CountersignatureOwed;
            notices.push(Notice {
                version: it.state.number.to_string(),
                ..about.notice(kind, land, text, it.fact.recorded_unix_ms)
            });
        }
        Ok(())
    }

    fn name_of(&self, notice: &Notice) -> Result<String, FactsError> {
        let (Ok(land), Ok(service)) = (notice.service_land.parse(), notice.service_id.parse())
        else {
            return Ok(String::new());
        };
        self.bezeichnung(land, service)
    }

    /// Official name of a service; empty while its definition is not here.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn bezeichnung(&self, land: Land, service: Uuid) -> Result<String, FactsError> {
        Ok(self.newest(land, service)?.map(|it| it.fact.bezeichnung).unwrap_or_default())
    }
}

/// What a notice is about.
struct About<'a> {
    subscription: Option<&'a Subscription>,
    land: Land,
    service: Uuid,
}

// === impl About ===

impl About<'_> {
    fn notice(&self, kind: NoticeKind, land: Land, text: String, since_ms: i64) -> Notice {
        Notice {
            kind: kind as i32,
            land: land.code().to_owned(),
            service_id: self.service.to_string(),
            service_land: self.land.code().to_owned(),
            bezeichnung: String::new(),
            subscription_id: self.subscription.map(|it| it.id.to_string()).unwrap_or_default(),
            version: String::new(),
            days_left: None,
            text,
            since: Some(timestamp(since_ms)),
        }
    }
}

/// Tells a subscriber whose service it re-uses now.
fn owner_changed(
    about: &About<'_>,
    handed: &BTreeMap<Uuid, Lineages>,
    of: &Subscription,
    now_unix_ms: i64,
) -> Option<Notice> {
    let (last, before) = of.owners.split_last()?;
    let (from, former) = (last.from?, before.last()?.land);
    let said = &handed.get(&of.service)?.said;
    let taken = said.iter().find(|it| it.at == from)?.recorded_unix_ms;
    let (land, id) = (last.land, of.id);
    let text = if of.rests() {
        format!(
            "die Leistung gehört jetzt {land} selbst (vorher {former}), die Nachnutzung ruht; sie \
             bringt die Leistung weiter in ihre Gebiete, bis eine eigene Version das tut: registry \
             nachnutzung beenden {id} --grund …"
        )
    } else if now_unix_ms.saturating_sub(taken) < NEWS_DAYS * DAY_MS {
        format!("die Leistung gehört jetzt {land} (vorher {former}); die Nachnutzung geht weiter")
    } else {
        return None;
    };
    Some(about.notice(NoticeKind::OwnerChanged, of.subscriber, text, taken))
}

/// Whether another Land than this one ended a Nachnutzung lately.
fn is_news(it: &Subscription, land: Land, now_unix_ms: i64) -> bool {
    let head = it.head();
    let age_ms = now_unix_ms.saturating_sub(head.recorded_unix_ms);
    head.at.log.land != land && age_ms < NEWS_DAYS * DAY_MS
}

/// Who ended a Nachnutzung, and why.
fn ended(it: &Subscription) -> String {
    let head = it.head();
    let (by, id) = (head.at.log.land, it.id);
    let what = match it.zustand() {
        SubscriptionState::Abgelehnt => "die Anfrage abgelehnt",
        _ => "die Nachnutzung beendet",
    };
    let grund = match head.record.grund.as_str() {
        "" => String::new(),
        grund => format!(" ({grund})"),
    };
    format!("{by} hat {what}{grund}: registry nachnutzung show {id}")
}

/// Whose turn it is, and what the turn is.
fn waiting(it: &Subscription, side: Side) -> Option<String> {
    let id = it.id;
    if it.rests() {
        return None;
    }
    match (it.zustand(), side) {
        (SubscriptionState::Interesse, Side::Publisher) => Some(format!(
            "{} hat Interesse: registry nachnutzung abstimmung {id} oder ablehnen {id}",
            it.subscriber
        )),
        (SubscriptionState::Abstimmung, Side::Publisher) => Some(format!(
            "Abstimmung mit {} läuft: registry nachnutzung zusagen {id} oder ablehnen {id}",
            it.subscriber
        )),
        (SubscriptionState::Zugesagt, Side::Subscriber) => Some(format!(
            "{} hat zugesagt: registry nachnutzung vertrag {id} --vertrag-id …",
            it.publisher
        )),
        (SubscriptionState::Vertrag, Side::Subscriber) => {
            Some(format!("Vertrag steht: registry nachnutzung produktiv {id}"))
        }
        _ => None,
    }
}

fn version_notices(
    about: &About<'_>,
    land: Land,
    today: Date,
    now_unix_ms: i64,
    standings: &[Standing],
    notices: &mut Vec<Notice>,
) {
    let Some(subscription) = about.subscription else { return };
    let since = subscription.history.first().map_or(0, |it| it.recorded_unix_ms);
    let newest = standings.iter().find(|it| it.serves_on(today)).map(|it| it.state.number);
    for it in standings {
        let number = it.state.number;
        let asked = needs(subscription, &number);
        let at = it.fact.recorded_unix_ms;
        let (kind, text, end) = match it.life.lifecycle {
            Lifecycle::Abgekuendigt if asked => {
                let end = it.life.abschaltung_am;
                let day = end.map_or_else(|| "bald".to_owned(), |day| format!("am {day}"));
                let text = format!("Version {number} wird {day} abgeschaltet");
                (NoticeKind::Deprecation, text, end)
            }
            Lifecycle::Abgeschaltet | Lifecycle::Zurueckgezogen if asked => {
                let text = format!("Version {number} ist nicht mehr in Betrieb");
                (NoticeKind::Retired, text, it.life.abschaltung_am)
            }
            Lifecycle::Freigegeben
                if Some(number) == newest
                    && at > since
                    && now_unix_ms.saturating_sub(at) < NEWS_DAYS * DAY_MS =>
            {
                let fits = if asked { "sie passt" } else { "sie passt nicht" };
                let wanted = &subscription.terms.version_requirement;
                let text = format!("neue Version {number}; {fits} zur Anforderung {wanted}");
                (NoticeKind::NewVersion, text, None)
            }
            _ => continue,
        };
        notices.push(Notice {
            version: number.to_string(),
            days_left: end.map(|day| days(today, day)),
            ..about.notice(kind, land, text, at)
        });
    }
}

/// The name of a state as the command line takes it.
fn anlass(of: Lifecycle) -> &'static str {
    match of {
        Lifecycle::Freigegeben => "freigegeben",
        Lifecycle::Abgekuendigt => "abgekuendigt",
        Lifecycle::Abgeschaltet => "abgeschaltet",
        Lifecycle::Zurueckgezogen => "zurueckgezogen",
        Lifecycle::Entwurf | Lifecycle::Unspecified => "unbekannt",
    }
}

fn days(from: Date, to: Date) -> i32 {
    to.to_time().to_julian_day() - from.to_time().to_julian_day()
}
