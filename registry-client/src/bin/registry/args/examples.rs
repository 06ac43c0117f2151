//! What `--help` shows below the options.

pub(super) const SERVICE_LIST_EXAMPLES: &str = "\
Beispiele:
  registry service list
  registry service list --land SL --themenfeld umwelt
  registry service list --leistungsschluessel 99050012104000
  registry service list -o json | jq -r '.services[].service_id'";

pub(super) const RESOLVE_EXAMPLES: &str = "\
Beispiele:
  registry version resolve UUID '^1.4'
  registry version resolve UUID '*' --at 2027-01-01";

pub(super) const SEARCH_EXAMPLES: &str = "\
Beispiele:
  registry search gewerbe anmelden
  registry search steuer --land HE --status freigegeben
  registry search --lage Tierhaltung -o json";

pub(super) const DIFF_EXAMPLES: &str = "\
Beispiele:
  registry version diff UUID 1.0.0 1.1.0
  registry version diff UUID --against-previous -o json";

pub(super) const OFFER_EXAMPLES: &str = "\
Beispiele:
  registry resolve 99050012104000 10041
  registry resolve 99050012104000 100410100100 --am 2027-01-01 -o yaml
  registry resolve 99050012104000 10 --recorded-at 2026-03-01
  registry resolve 99050012104000 10 --charter charter.binpb

Gezeigt wird, wer das Gebiet am engsten umschließt, also der Kreis vor dem Land und das Land vor
dem Bund, je Dienst die höchste Version, die am Tag gilt.";

pub(super) const PUBLISH_EXAMPLES: &str = "\
Eine Datei enthält YAML-Dokumente (durch --- getrennt) oder JSON-Objekte, jedes eines von:
  service_definition: {...}     neuer Dienst oder neuer Stand eines Dienstes
  service_version: {...}        neue Version eines Dienstes
  version_status, subscription_move, anschluss, bestaetigung, mitzeichnung, uebergabe
                                Schritte, für die es auch eigene Befehle gibt
  records: [{...}, {...}]       mehrere davon
Alle Dateien zusammen sind ein Stapel: alles wird veröffentlicht oder nichts.

Beispiele:
  registry example service > dienst.yaml     Vorlage, dann ausfüllen
  registry publish -f dienst.yaml --dry-run  nur prüfen
  registry publish -f dienst.yaml version.yaml --ack-peers 1

Tragen Sie service_id selbst ein, dann kann dieselbe Datei nach einer Störung gefahrlos
noch einmal veröffentlicht werden: was schon steht, bleibt unverändert. Dasselbe leistet
--idempotency-key: ein wiederholter Aufruf wird mit dem beantwortet, was aus dem ersten wurde.";

pub(super) const WATCH_EXAMPLES: &str = "\
Beispiele:
  registry watch                              heutiger Bestand, dann alle Änderungen
  registry watch --from-now --land RP         nur was in RP noch kommt
  registry watch -o json | while read -r zeile; do ...; done
  registry watch --resume TOKEN               nach dem Token fortsetzen

Das Token steht am Ende auf der Fehlerausgabe, bei json und yaml auch im letzten Ereignis
jedes Stapels. Es gilt an jedem Knoten des Verbunds.";

pub(super) const PROOF_EXAMPLES: &str = "\
Beispiel:
  registry proof SL/1/17 --charter charter.binpb

Geprüft wird hier, nicht beim Knoten: Kopf des Eintrags, Unterschriften des Landes unter dem
Prüfpunkt, Beweispfad vom Eintrag zum Prüfpunkt, Inhalt gegen den Kopf.";
