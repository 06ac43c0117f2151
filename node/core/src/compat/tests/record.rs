use registry_proto::wire::registry::{
    Datenaustausch, DvdvDienst, Onlinedienst, Parameter, Zustellung,
};

use super::*;

fn check_record(change: impl FnOnce(&mut ServiceVersion, &mut ServiceVersion), expect: &[&str]) {
    let (mut old, mut new) = (version("1.0.0"), version("1.1.0"));
    change(&mut old, &mut new);
    check(&compare(&old, &new, &Shelf::default()), expect);
}

fn parameter(name: &str, datentyp: &str, pflicht: bool) -> Parameter {
    Parameter {
        name: name.to_owned(),
        datentyp: datentyp.to_owned(),
        pflicht,
        ..Parameter::default()
    }
}

#[test]
fn parameters() {
    check_record(
        |old, new| {
            let mut changed = parameter("wert", "text", false);
            old.parameter = vec![
                parameter("weg", "text", false),
                parameter("typ", "zahl", false),
                parameter("wird_pflicht", "bool", false),
                parameter("wird_frei", "bool", true),
                changed.clone(),
            ];
            changed.wertebereich = "1..9".to_owned();
            changed.quelle = "PVOG".to_owned();
            changed.standard = true;
            new.parameter = vec![
                changed,
                parameter("wird_frei", "bool", false),
                parameter("wird_pflicht", "bool", true),
                parameter("typ", "text", false),
                parameter("neu", "text", false),
                parameter("neu_pflicht", "text", true),
            ];
        },
        &[
            "! PARAMETER_REQUIRED_ADDED parameter[neu_pflicht]",
            "! PARAMETER_DATENTYP parameter[typ].datentyp",
            "! PARAMETER_REMOVED parameter[weg]",
            "! PARAMETER_REQUIRED parameter[wird_pflicht].pflicht",
            "? PARAMETER_QUELLE parameter[wert].quelle",
            "? PARAMETER_STANDARD parameter[wert].standard",
            "? PARAMETER_WERTEBEREICH parameter[wert].wertebereich",
            "+ PARAMETER_ADDED parameter[neu]",
            "+ PARAMETER_OPTIONAL parameter[wird_frei].pflicht",
        ],
    );
}

#[test]
fn data_exchange() {
    let exchange = |standard: &str, version: &str, transport: &str| Datenaustausch {
        standard: standard.to_owned(),
        version: version.to_owned(),
        transport: transport.to_owned(),
    };
    check_record(
        |old, new| {
            old.datenaustausch = vec![
                exchange("urn:a", "1.0", "fit_connect"),
                exchange("urn:a", "1.0", "osci_xta"),
                exchange("urn:b", "1.0", "andere"),
                exchange("urn:c", "2.3", "andere"),
            ];
            new.datenaustausch = vec![
                exchange("urn:a", "1.1", "fit_connect"),
                exchange("urn:c", "3.0", "andere"),
                exchange("urn:c", "3.0", "fit_connect"),
                exchange("urn:d", "1.0", "andere"),
            ];
        },
        &[
            "! TRANSPORT_REMOVED datenaustausch[urn:a].transport",
            "! STANDARD_REMOVED datenaustausch[urn:b]",
            "! STANDARD_MAJOR_VERSION datenaustausch[urn:c].version",
            "? STANDARD_VERSION datenaustausch[urn:a].version",
            "+ TRANSPORT_ADDED datenaustausch[urn:c].transport",
            "+ STANDARD_ADDED datenaustausch[urn:d]",
        ],
    );
}

#[test]
fn areas() {
    let areas = |all: &[&str]| all.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    let check_areas = |old: &[&str], new: &[&str], expect: &[&str]| {
        let (old, new) = (areas(old), areas(new));
        check_record(
            |before, after| {
                before.verfuegbarkeitsgebiet = old;
                after.verfuegbarkeitsgebiet = new;
            },
            expect,
        );
    };
    check_areas(&["10"], &["00"], &["+ GEBIET_ADDED verfuegbarkeitsgebiet[00]"]);
    check_areas(
        &["10041", "07"],
        &["10"],
        &["! GEBIET_REMOVED verfuegbarkeitsgebiet[07]", "+ GEBIET_ADDED verfuegbarkeitsgebiet[10]"],
    );
    check_areas(&["10"], &["10041"], &["! GEBIET_REMOVED verfuegbarkeitsgebiet[10]"]);
}

#[test]
fn entry_points() {
    let entry = |id: &str, link: &str, level: &str| Onlinedienst {
        id: id.to_owned(),
        link: link.to_owned(),
        vertrauensniveau: level.to_owned(),
        language_code: "de".to_owned(),
        ..Onlinedienst::default()
    };
    check_record(
        |old, new| {
            old.onlinedienste = vec![
                entry("L1.OD.1", "https://a", "10"),
                entry("L1.OD.2", "https://b", "40"),
                entry("", "https://c", "10"),
            ];
            new.onlinedienste = vec![
                entry("L1.OD.2", "https://b2", "10"),
                entry("L1.OD.1", "https://a", "30"),
                entry("", "https://d", "10"),
            ];
        },
        &[
            "! VERTRAUENSNIVEAU_RAISED onlinedienste[L1.OD.1, de].vertrauensniveau",
            "! ONLINEDIENST_REMOVED onlinedienste[https://c, de]",
            "? ONLINEDIENST_LINK onlinedienste[L1.OD.2, de].link",
            "+ VERTRAUENSNIVEAU_LOWERED onlinedienste[L1.OD.2, de].vertrauensniveau",
            "+ ONLINEDIENST_ADDED onlinedienste[https://d, de]",
        ],
    );
}

#[test]
fn deliveries_and_directories_are_notes() {
    let to = |id: &str| Zustellung { destination_id: id.to_owned(), ..Zustellung::default() };
    let dvdv =
        |uri: &str| DvdvDienst { dienstbeschreibung_uri: uri.to_owned(), ..DvdvDienst::default() };
    check_record(
        |old, new| {
            old.zustellungen = vec![to("a"), to("b")];
            new.zustellungen = vec![to("c"), to("a")];
            old.dvdv_dienste = vec![dvdv("urn:x")];
        },
        &[
            "? DVDV_DIENST_CHANGED dvdv_dienste[urn:x]",
            "? ZUSTELLUNG_CHANGED zustellungen[b]",
            "? ZUSTELLUNG_CHANGED zustellungen[c]",
        ],
    );
}
