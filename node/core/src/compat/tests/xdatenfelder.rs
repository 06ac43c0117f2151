use super::*;

fn field(id: &str, anzahl: &str, datentyp: &str) -> String {
    format!(
        "<xdf:struktur><xdf:anzahl>{anzahl}</xdf:anzahl><xdf:enthaelt><xdf:datenfeld>\
         <xdf:identifikation><xdf:id>{id}</xdf:id><xdf:version>1.0</xdf:version>\
         </xdf:identifikation><xdf:datentyp><code>{datentyp}</code></xdf:datentyp>\
         </xdf:datenfeld></xdf:enthaelt></xdf:struktur>"
    )
}

fn group(id: &str, anzahl: &str, inner: &str) -> String {
    format!(
        "<xdf:struktur><xdf:anzahl>{anzahl}</xdf:anzahl><xdf:enthaelt><xdf:datenfeldgruppe>\
         <xdf:identifikation><xdf:id>{id}</xdf:id></xdf:identifikation>{inner}\
         </xdf:datenfeldgruppe></xdf:enthaelt></xdf:struktur>"
    )
}

fn schema(inner: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<xdf:xdatenfelder.stammdatenschema.0102 \
         xmlns:xdf=\"urn:xoev-de:fim:standard:xdatenfelder_3.0.0\"><xdf:stammdatenschema>\
         {inner}</xdf:stammdatenschema></xdf:xdatenfelder.stammdatenschema.0102>"
    )
}

#[track_caller]
fn check_xml(old: &str, new: &str, expect: &[&str]) {
    check(&compare_files("xdatenfelder", old, new), expect);
}

#[test]
fn fields_and_groups() {
    let old = schema(
        &[
            group("G1", "1:1", &[field("F1", "1:1", "text"), field("F2", "0:*", "num")].concat()),
            group("G2", "0:1", &field("F3", "1:1", "text")),
            field("F4", "0:1", "date"),
            field("F5", "1:1", "date"),
        ]
        .concat(),
    );
    let new = schema(
        &[
            group("G1", "1:1", &[field("F1", "1:1", "num"), field("F2", "1:5", "num")].concat()),
            field("F5", "0:1", "date"),
            field("F5", "0:1", "date"),
            group("G3", "0:1", &field("F6", "1:1", "text")),
            field("F7", "1:1", "text"),
        ]
        .concat(),
    );
    check_xml(&old, &old.replace("xdatenfelder_3.0.0", "xdatenfelder_2"), &[]);
    check_xml(
        &old,
        &new,
        &[
            "! XDF_ELEMENT_REMOVED #F4",
            "! XDF_ELEMENT_REQUIRED_ADDED #F7",
            "! XDF_DATENTYP #G1/F1",
            "! XDF_ANZAHL_NARROWED #G1/F2",
            "! XDF_ELEMENT_REMOVED #G2",
            "+ XDF_ANZAHL_WIDENED #F5",
            "+ XDF_ELEMENT_ADDED #F5*2",
            "+ XDF_ELEMENT_ADDED #G3",
        ],
    );
    let newer = old.replacen("<xdf:version>1.0", "<xdf:version>1.1", 1);
    check_xml(&old, &newer, &["? XDF_ELEMENT_VERSION #G1/F1"]);
}

#[test]
fn damaged_and_hostile_documents() {
    let good = schema(&field("F1", "1:1", "text"));
    let dtd = "<!DOCTYPE a [<!ENTITY x \"y\">]><struktur>&x;</struktur>";
    for bad in ["", "<a>", "<a/>", "{}", dtd, &"<struktur>".repeat(100_000)] {
        check_xml(&good, bad, &["! DOCUMENT_UNREADABLE "]);
        check_xml(bad, &good, &["? NOT_COMPARED "]);
    }
    let open = "<struktur><enthaelt><datenfeldgruppe>".repeat(5_000);
    let close = "</datenfeldgruppe></enthaelt></struktur>".repeat(5_000);
    check_xml(&good, &format!("{open}{close}"), &["! DOCUMENT_UNREADABLE "]);
}
