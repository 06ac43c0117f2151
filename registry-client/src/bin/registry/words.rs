//! What a node says, in German: sentences about the reasons that it names. Without one the text of
//! the node stands as it is.

use registry_client::error::Refusal;

/// The sentence about a refusal without violations, if there is one.
pub(crate) fn german(of: &Refusal) -> Option<String> {
    let value = |key: &str| of.metadata.get(key).map(String::as_str).unwrap_or_default();
    let text = match of.reason.as_deref()? {
        "NOT_FOUND" => match value("what") {
            "version" => {
                let (service, number) = value("name").split_once(' ')?;
                match number.split_once(" that is released and valid on ") {
                    Some((number, day)) => format!(
                        "von {service} gibt es hier keine freigegebene Version {number}, die am \
                         {day} gilt"
                    ),
                    None => format!("von {service} gibt es hier keine Version {number}"),
                }
            }
            what => format!("{} {} gibt es hier nicht", thing(what), value("name")),
        },
        "CONFLICT" => match value("what") {
            "a request" => {
                "unter diesem Schlüssel (idempotency_key) wurde etwas anderes geschrieben"
                    .to_owned()
            }
            what => format!(
                "{} {} ist mit anderem Inhalt veröffentlicht",
                thing(what),
                value("name").replace(" of service ", " von ")
            ),
        },
        "MOVED_ON" => {
            let name = value("name");
            let name = name.strip_prefix("draft ").map(|id| format!("der Entwurf {id}"));
            let name = name.unwrap_or_else(|| value("name").to_owned());
            format!("{name} hat inzwischen Revision {}", value("revision"))
        }
        "LIMIT_REACHED" => format!("höchstens {} {}", value("max"), limit(value("limit"))),
        "ROLE_MISSING" | "RULE_DENIES" | "OUT_OF_SCOPE" | "SAME_PERSON" => rights(of)?,
        "QUOTA" => format!("mehr als {} {}", value("max"), limit(value("limit"))),
        "LOG_QUOTA" => {
            let fits = match value("retry_s").parse::<u64>() {
                Ok(seconds) => format!("passt wieder in {} min", seconds.div_ceil(60)),
                Err(_) => "ist mehr, als ein Tag hat: in Teilen senden".to_owned(),
            };
            format!(
                "die Charta erlaubt diesem Land {} {} in seinem Protokoll; diese Veröffentlichung \
                 {fits}",
                value("max"),
                limit(value("limit"))
            )
        }
        "ACK_TIMEOUT" => {
            let by = value("acknowledged_by");
            let count = if by.is_empty() { 0 } else { by.split(',').count() };
            format!(
                "dauerhaft gespeichert als {}, aber nur {count} von {} Ländern haben es rechtzeitig \
                 bestätigt ({}); es wird weiter verteilt, nicht noch einmal veröffentlichen",
                value("position"),
                value("asked"),
                if by.is_empty() { "keines" } else { by }
            )
        }
        reason => return of_the_node(reason, &of.message),
    };
    Some(text)
}

/// The sentence about a right that is missing.
fn rights(of: &Refusal) -> Option<String> {
    let value = |key: &str| of.metadata.get(key).map(String::as_str).unwrap_or_default();
    let text = match of.reason.as_deref()? {
        "ROLE_MISSING" => match value("action") {
            "publish" => role("Veröffentlichen", "publisher"),
            "retire" => role("Abkündigen und Zurückziehen", "publisher"),
            "reuse" => role("Nachnutzen", "publisher"),
            "countersign" => role("Mitzeichnen", "publisher"),
            "handover" => role("Übergeben", "publisher"),
            "draft" => role("Entwerfen", "publisher"),
            "confirm" => role("Freigeben", "publisher"),
            "operate" => role("Betreiben", "operator"),
            "replicate" => role("Replizieren", "peer"),
            "read" => role("Lesen", "reader"),
            "edit this service" => {
                let (_, why) = of.message.split_once(": ")?;
                format!("diesen Dienst ändern: {why}")
            }
            _ => return None,
        },
        "RULE_DENIES" => {
            format!("{}die Regel {} verbietet es ({})", place(of), value("rules"), asked(of))
        }
        "OUT_OF_SCOPE" => format!(
            "{}keine Regel erlaubt es ({}); die Rolle {} ist durch {} nur begrenzt vergeben",
            place(of),
            asked(of),
            value("role"),
            value("rules")
        ),
        "NOT_INVITED" => "diese Einladung kennt der Knoten nicht".to_owned(),
        "SAME_PERSON" => "freigeben muss eine andere Person als die, die eingereicht hat: dieses \
                          Zertifikat hat denselben Schlüssel oder denselben Namen"
            .to_owned(),
        _ => return None,
    };
    Some(text)
}

/// The sentence about a node that cannot at the moment, or has nothing more to say.
fn of_the_node(reason: &str, message: &str) -> Option<String> {
    let text = match reason {
        "AMBIGUOUS_SERVICE" => "zwei Länder verwenden diese UUID",
        // a charter, or what it says of the Land that asks
        "FENCED" | "MEMBER_SUSPENDED" => {
            return fence(message).or_else(|| barred(message)).map(str::to_owned);
        }
        "MEMBER_REMOVED" => return barred(message).map(str::to_owned),
        "NO_CERTIFICATE" => "der Knoten kennt das Zertifikat nicht",
        "SHUTTING_DOWN" => "der Knoten wird gerade beendet",
        "INDEX_REBUILDING" => "der Katalog wird gerade aus dem Protokoll aufgebaut",
        "SEARCH_REBUILDING" => {
            "der Suchindex wird gerade aufgebaut; Listen und einzelne Dienste gehen schon"
        }
        "ARTEFACT_NOT_HERE" => {
            let laender =
                message.split_once("nodes of ").and_then(|(_, it)| it.split_once(" published"));
            let (laender, _) = laender?;
            return Some(format!(
                "die Datei liegt nicht vollständig bei diesem Knoten; er holt sie, wenn er sie haben \
                 soll ([artefacts] fetch), und Knoten von {laender} haben sie"
            ));
        }
        "ARTEFACT_COLLECTED" => "der Knoten räumt dieses Stück gerade weg; es kommt noch einmal",
        "ARTEFACT_STORE" => {
            "der Speicher für Dateien versagt oder wird noch gelesen; der Betreiber sieht die Ursache \
             im Protokoll des Knotens"
        }
        "ARTEFACT_MARK" => {
            "ein Protokoll ist nicht bis zum Ende lesbar; solange wird keine Datei gelöscht"
        }
        "UPLOAD_BROKEN" => "die Übertragung brach ab; von diesem Stück ist nichts gespeichert",
        "AUDIT_FULL" => "das Auditprotokoll kommt nicht nach; ohne Spur geschieht nichts",
        "AUDIT_FAILED" => {
            "das Auditprotokoll lässt sich nicht schreiben, und ohne Spur geschieht nichts; der \
             Betreiber sieht die Ursache im Protokoll des Knotens"
        }
        "SIGNING_FAILED" => {
            "der Schlüssel des Landes unterschreibt nicht; der Betreiber sieht die Ursache im \
             Protokoll des Knotens"
        }
        "NO_CHECKPOINT" => {
            "hier steht kein Prüfpunkt über diesem Eintrag; gleich noch einmal fragen, bei einer \
             beendeten Epoche einen Knoten, der das Protokoll schon vorher führte"
        }
        "ANSWER_TOO_LARGE" => {
            "die Antwort ist zu groß; ohne Beweise oder mit kleinerem --limit fragen"
        }
        "JOURNAL_DAMAGED" => {
            "ein Protokoll ist beschädigt; der Betreiber sieht die Stelle im Protokoll des Knotens"
        }
        "VOTES_UNREAD" => "der Knoten hat noch nicht alle Stimmen gelesen",
        "LOG_WRITE_FAILED" => {
            "das Protokoll des Landes lässt sich nicht schreiben; der Betreiber sieht die Ursache \
             im Protokoll des Knotens"
        }
        "STORAGE" => {
            "der Speicher des Knotens versagt; der Betreiber sieht die Ursache im Protokoll des \
             Knotens"
        }
        _ => return None,
    };
    Some(text.to_owned())
}

/// Why nothing is published, of what the node says about it.
pub(crate) fn fence(text: &str) -> Option<&'static str> {
    let all: [(&str, &str, &'static str); 11] = [
        (
            "waiting because somebody else",
            "",
            "mit den Schlüsseln des Landes scheint noch jemand zu signieren; läuft eine Kopie des \
             Knotens, hält der Betreiber sie an, dann geht es von selbst weiter",
        ),
        (
            "waiting for what counts of the epochs",
            "",
            "dem Knoten fehlt noch, was von den früheren Epochen des eigenen Protokolls zählt; er \
             holt es von den Partnern",
        ),
        (
            "waiting for proof",
            "",
            "ein Partner zeigt einen Stand des eigenen Protokolls, der den letzten Einträgen hier \
             widerspricht; bis einer ihn belegt, ist zu (der Betreiber prüft [[peers]] und hält jede Kopie \
             des Knotens an); danach legt der Knoten sein Ende beiseite",
        ),
        (
            "stopped: this epoch",
            "",
            "die Epoche des eigenen Protokolls ist beendet; der Knoten beginnt gleich in der \
             nächsten",
        ),
        (
            "stopped: the end of our own log",
            "",
            "am Ende des eigenen Protokolls stehen Einträge, die nur dieser Knoten hat und ohne die es \
             anderswo weiterging; er legt sie beiseite und beginnt gleich neu",
        ),
        (
            "waiting",
            "more members than",
            "nach einem Absturz, einer Wiederherstellung, einer Kopie, einem Sprung der Uhr oder einem \
             Stillstand bestätigen erst mehrere Länder das eigene Protokoll, und niemand sonst darf \
             eine Weile damit signiert haben; das Veröffentlichen beginnt von selbst",
        ),
        (
            "waiting",
            "",
            "noch hat kein Knoten eines anderen Landes das eigene Protokoll bestätigt; das \
             Veröffentlichen beginnt, sobald einer erreichbar ist (der Betreiber prüft [[peers]] \
             und das Netz)",
        ),
        (
            "our own log lacks",
            "",
            "dem Knoten fehlen eigene Einträge, die unterschrieben sind; er holt sie von den \
             Partnern zurück",
        ),
        (
            "stopped: the charter suspended",
            "",
            "die Mitgliedschaft des Landes ruht nach der Charta; was es jetzt schriebe, zählte nicht, \
             bis die anderen Länder es wieder zulassen",
        ),
        (
            "stopped: another copy",
            "",
            "eine Kopie dieses Knotens signiert mit denselben Schlüsseln; der Betreiber hält alle \
             Kopien bis auf eine an und startet diese neu",
        ),
        (
            "stopped: our own log has two histories",
            "",
            "das eigene Protokoll hat zwei Fassungen; der Betreiber hält alle Kopien des Knotens \
             an und hebt die Daten jeder Kopie auf",
        ),
    ];
    let fits = |begin: &str, part: &str| text.starts_with(begin) && text.contains(part);
    all.into_iter().find(|(begin, part, _)| fits(begin, part)).map(|(_, _, german)| german)
}

/// Why the nodes of a Land get no session.
fn barred(text: &str) -> Option<&'static str> {
    let says = |what: &str| text.starts_with("the charter in force has ") && text.contains(what);
    if says("suspended") {
        return Some(
            "die Mitgliedschaft dieses Landes ruht nach der Charta; seine Knoten bekommen keine \
             Verbindung, bis die anderen Länder es wieder zulassen",
        );
    }
    let gone = "dieses Land ist nach der Charta aus dem Verbund ausgeschieden; seine Knoten bekommen \
                keine Verbindung";
    says("removed").then_some(gone)
}

fn role(what: &str, role: &str) -> String {
    format!(
        "{what} braucht die Rolle {role}, die dieses Zertifikat hier nicht hat; der Betreiber \
         vergibt sie in der Konfiguration des Knotens unter [[clients]]"
    )
}

/// The record a refusal is about, with a colon.
fn place(of: &Refusal) -> String {
    let field = of.metadata.get("field").filter(|it| !it.is_empty());
    field.map_or_else(String::new, |it| format!("{it}: "))
}

/// What was asked for, as rules see it.
fn asked(of: &Refusal) -> String {
    let value = |key: &str| of.metadata.get(key).map(String::as_str).unwrap_or_default();
    format!("{} {}", value("action"), value("scope")).trim_end().to_owned()
}

fn thing(what: &str) -> &str {
    match what {
        "service" => "Dienst",
        "version" => "Version",
        "entry" => "Eintrag",
        "log" => "Protokoll",
        "artefact" => "Datei",
        "draft" => "Entwurf",
        "approval" => "Einreichung",
        "invitation" => "Einladung",
        "erasure of entry" => "Löschung des Eintrags",
        "service of this Land" => "Dienst dieses Landes",
        "chunk" => "Stück einer Datei",
        other => other,
    }
}

fn limit(what: &str) -> &str {
    match what {
        "drafts" => "Entwürfe an einem Knoten",
        "submissions waiting" => "wartende Veröffentlichungen",
        "watches" => "Beobachtungen",
        "submissions that wait for a second person" => "Einreichungen, die auf Freigabe warten",
        "submissions of one person that wait for a second" => {
            "Einreichungen einer Person, die auf Freigabe warten"
        }
        "bytes of submissions that wait for a second person" => {
            "Byte an Einreichungen, die auf Freigabe warten"
        }
        "calls per second" => "Aufrufe in der Sekunde mit einem Zertifikat",
        "calls at once" => "Aufrufe zugleich mit einem Zertifikat",
        "streams at once" => "offene Ströme mit einem Zertifikat",
        "certificates at once" => "Zertifikate zugleich",
        "entries a day" => "Einträge am Tag",
        "bytes a day" => "Byte am Tag",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use registry_client::error::Refusal;
    use tonic::Code;

    use super::*;

    #[track_caller]
    fn check(reason: &str, metadata: &[(&str, &str)], expect: Option<&str>) {
        let metadata = metadata.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let refusal = Refusal {
            code: Code::Unknown,
            message: "the text of the node".to_owned(),
            violations: Vec::new(),
            reason: Some(reason.to_owned()),
            metadata,
            retry_after: None,
        };
        assert_eq!(german(&refusal).as_deref(), expect);
    }

    #[test]
    fn reasons_have_a_german_sentence() {
        let version = [("what", "version"), ("name", "UUID 9.9.9")];
        check("NOT_FOUND", &version, Some("von UUID gibt es hier keine Version 9.9.9"));
        let name = "UUID ^1 that is released and valid on 2001-01-01";
        let text = "von UUID gibt es hier keine freigegebene Version ^1, die am 2001-01-01 gilt";
        check("NOT_FOUND", &[("what", "version"), ("name", name)], Some(text));
        let draft = [("what", "draft"), ("name", "x")];
        check("NOT_FOUND", &draft, Some("Entwurf x gibt es hier nicht"));
        let conflict = [("what", "version"), ("name", "1.0.0 of service UUID")];
        let text = "Version 1.0.0 von UUID ist mit anderem Inhalt veröffentlicht";
        check("CONFLICT", &conflict, Some(text));
        let moved = [("name", "draft x"), ("revision", "3")];
        check("MOVED_ON", &moved, Some("der Entwurf x hat inzwischen Revision 3"));
        let drafts = [("limit", "drafts"), ("max", "1000")];
        check("LIMIT_REACHED", &drafts, Some("höchstens 1000 Entwürfe an einem Knoten"));
        let scope = [
            ("action", "publish"),
            ("field", "records[0]"),
            ("scope", "land=SL themenfeld=bildung"),
            ("role", "publisher"),
            ("rules", "bauamt"),
        ];
        let text = "records[0]: keine Regel erlaubt es (publish land=SL themenfeld=bildung); die \
                    Rolle publisher ist durch bauamt nur begrenzt vergeben";
        check("OUT_OF_SCOPE", &scope, Some(text));
        let denied = [("action", "retire"), ("rules", "sperre")];
        check("RULE_DENIES", &denied, Some("die Regel sperre verbietet es (retire)"));
        let quota = [("limit", "calls at once"), ("max", "2")];
        check("QUOTA", &quota, Some("mehr als 2 Aufrufe zugleich mit einem Zertifikat"));
        let late = [("position", "SL/1/7"), ("asked", "2"), ("acknowledged_by", "RP")];
        let text = "dauerhaft gespeichert als SL/1/7, aber nur 1 von 2 Ländern haben es rechtzeitig \
                    bestätigt (RP); es wird weiter verteilt, nicht noch einmal veröffentlichen";
        check("ACK_TIMEOUT", &late, Some(text));
    }

    #[test]
    fn what_is_not_known_is_left_to_the_node() {
        check("OF_THE_FUTURE", &[], None);
        check("ROLE_MISSING", &[("action", "edit this service")], None);
        check("FENCED", &[], None);
        check("NOT_FOUND", &[("what", "version"), ("name", "x")], None);
    }
}
