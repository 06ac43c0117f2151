//! What entries of each kind are called, and what became of them in words.

use registry_proto::{
    log::Kind,
    wire::registry::{
        AnschlussStatus, Lifecycle, SubscriptionState, UebergabeSchritt, watch_event::Record,
    },
};

use super::german;

/// The message in the body of an entry; `None` for kinds this software does not know.
pub(super) fn message(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::ServiceDefinition => Some("ServiceDefinition"),
        Kind::ServiceVersion => Some("ServiceVersion"),
        Kind::Unfenced => Some("Unfenced"),
        Kind::VersionStatus => Some("VersionStatus"),
        Kind::SubscriptionMove => Some("SubscriptionMove"),
        Kind::Anschluss => Some("Anschluss"),
        Kind::Bestaetigung => Some("Bestaetigung"),
        Kind::Mitzeichnung => Some("Mitzeichnung"),
        Kind::Uebergabe => Some("Uebergabe"),
        Kind::CharterVote => Some("CharterVote"),
        Kind::AuditHead => Some("AuditHead"),
        Kind::Erasure => Some("Erasure"),
        Kind::Recovered => Some("Recovered"),
        Kind::EpochReset => Some("EpochReset"),
        Kind::Contact => Some("Kontakt"),
        Kind::Unknown(_) => None,
    }
}

/// The kind in German.
pub(super) fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::ServiceDefinition => "Steckbrief",
        Kind::ServiceVersion => "Version",
        Kind::Unfenced => "Ohne Partner",
        Kind::VersionStatus => "Lebenszyklus",
        Kind::SubscriptionMove => "Nachnutzung",
        Kind::Anschluss => "Anschluss",
        Kind::Bestaetigung => "Bestätigung",
        Kind::Mitzeichnung => "Mitzeichnung",
        Kind::Uebergabe => "Übergabe",
        Kind::CharterVote => "Stimme",
        Kind::AuditHead => "Auditstand",
        Kind::Erasure => "Löschung",
        Kind::Recovered => "Wiederhergestellt",
        Kind::EpochReset => "Neubeginn",
        Kind::Contact => "Kontakt",
        Kind::Unknown(_) => "Unbekannt",
    }
}

/// An entry in one line of German.
pub(super) fn summary(kind: Kind, record: Option<&Record>) -> String {
    let Some(record) = record else {
        return match kind {
            Kind::Unfenced => "das Land schrieb, ohne dass ein Partner da war".to_owned(),
            Kind::CharterVote => "Stimme zur nächsten Charta".to_owned(),
            Kind::AuditHead => "Stand des Auditlogs eines Knotens".to_owned(),
            Kind::Recovered => "das Land holte eigene Einträge von Partnern zurück".to_owned(),
            Kind::EpochReset => "das Protokoll begann in dieser Epoche neu".to_owned(),
            Kind::Unknown(kind) => format!("Art {kind} braucht neuere Software"),
            _ => "Inhalt nicht hier".to_owned(),
        };
    };
    match record {
        Record::ServiceDefinition(it) => german(&it.bezeichnung),
        Record::ServiceVersion(it) => {
            let note = it.versionshinweis.as_ref().map_or("", |note| note.text.as_str());
            format!("{} {note}", it.version)
        }
        Record::VersionStatus(it) => format!("{} {}", it.version, lifecycle(it.lifecycle())),
        Record::SubscriptionMove(it) => {
            format!("{} {}", it.subscriber_land, zustand(it.zustand()))
        }
        Record::Anschluss(it) => format!("{} {}", it.ars, anschluss(it.status())),
        Record::Bestaetigung(it) => format!("{} {}", it.version, lifecycle(it.anlass())),
        Record::Mitzeichnung(it) => format!("Eintrag {}", hex::encode(&it.leaf_hash)),
        Record::Uebergabe(it) => {
            format!("{} an {}: {}", it.von_land, it.an_land, schritt(it.schritt()))
        }
        Record::Kontakt(it) => format!("{}: {}", it.rolle, it.stelle),
        Record::Erasure(it) if it.epoch > 0 => {
            format!("Eintrag {} der Epoche {}: {}", it.index, it.epoch, it.grund)
        }
        Record::Erasure(it) => format!("Eintrag {}: {}", it.index, it.grund),
    }
}

/// A state of a version.
pub(super) fn lifecycle(it: Lifecycle) -> &'static str {
    match it {
        Lifecycle::Unspecified => "unbekannt",
        Lifecycle::Entwurf => "Entwurf",
        Lifecycle::Freigegeben => "freigegeben",
        Lifecycle::Abgekuendigt => "abgekündigt",
        Lifecycle::Abgeschaltet => "abgeschaltet",
        Lifecycle::Zurueckgezogen => "zurückgezogen",
    }
}

/// A state of a Nachnutzung.
pub(super) fn zustand(it: SubscriptionState) -> &'static str {
    match it {
        SubscriptionState::Unspecified => "unbekannt",
        SubscriptionState::Interesse => "Interesse",
        SubscriptionState::Abstimmung => "Abstimmung",
        SubscriptionState::Zugesagt => "zugesagt",
        SubscriptionState::Abgelehnt => "abgelehnt",
        SubscriptionState::Vertrag => "Vertrag",
        SubscriptionState::Produktiv => "produktiv",
        SubscriptionState::Beendet => "beendet",
    }
}

/// A state of a Kommune.
pub(super) fn anschluss(it: AnschlussStatus) -> &'static str {
    match it {
        AnschlussStatus::Unspecified => "unbekannt",
        AnschlussStatus::Geplant => "geplant",
        AnschlussStatus::InTest => "im Test",
        AnschlussStatus::Angeschlossen => "angeschlossen",
        AnschlussStatus::Getrennt => "getrennt",
    }
}

fn schritt(it: UebergabeSchritt) -> &'static str {
    match it {
        UebergabeSchritt::Unspecified => "unbekannt",
        UebergabeSchritt::Angebot => "Angebot",
        UebergabeSchritt::Annahme => "Annahme",
        UebergabeSchritt::Ruecknahme => "Rücknahme",
    }
}
