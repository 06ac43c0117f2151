//! Rules of contacts.

use registry_proto::wire::registry::Kontakt;

use super::{
    Validated,
    findings::{Findings, Shown},
    moves::finish,
    record, text,
};
use crate::{limits::NAME_CHARS_MAX, reject::FieldViolation};

/// What a contact is for.
pub const ROLLEN: [&str; 4] = ["fachlich", "technisch", "nachnutzung", "datenschutz"];
/// Characters of a mail address (RFC 5321).
const EMAIL_CHARS_MAX: usize = 254;
/// Characters of a telephone number.
const TELEFON_CHARS_MAX: usize = 40;

/// Checks a contact of a service.
///
/// # Errors
///
/// Every violation, at most [`VIOLATIONS_MAX`](crate::limits::VIOLATIONS_MAX).
pub fn kontakt(record: Kontakt, path: &str) -> Result<Validated<Kontakt>, Vec<FieldViolation>> {
    let mut findings = Findings::new(path);
    record::service_id(&mut findings, &record.service_id);
    record::one_of(
        &mut findings,
        &record.rolle,
        &ROLLEN,
        "rolle",
        "KONTAKT_ROLLE",
        ("keine Rolle eines Kontakts", "Regel dieses Registers"),
    );
    record::name(&mut findings, &record.stelle, "stelle");
    text::optional(&mut findings, &record.name, NAME_CHARS_MAX, "name");
    let (email, telefon) = (&record.email, &record.telefon);
    findings.require(!email.is_empty() || !telefon.is_empty(), "email", "KONTAKT_WEG", || {
        "weder E-Mail noch Telefon; eines von beiden ist nötig".to_owned()
    });
    findings.require(email.is_empty() || is_email(email), "email", "EMAIL_FORM", || {
        format!("{} ist keine E-Mail-Adresse (RFC 5321)", Shown(email))
    });
    findings.require(telefon.is_empty() || is_telefon(telefon), "telefon", "TELEFON_FORM", || {
        format!(
            "{} ist keine Telefonnummer: Ziffern, Leerzeichen, + / - ( ), höchstens \
             {TELEFON_CHARS_MAX} Zeichen",
            Shown(telefon)
        )
    });
    finish(findings, record)
}

fn is_email(text: &str) -> bool {
    let Some((name, host)) = text.rsplit_once('@') else { return false };
    let plain = text.chars().all(|it| !it.is_whitespace() && !it.is_control());
    let dotted = host.contains('.') && host.split('.').all(|it| !it.is_empty());
    !name.is_empty()
        && !name.contains('@')
        && dotted
        && plain
        && text.chars().count() <= EMAIL_CHARS_MAX
}

fn is_telefon(text: &str) -> bool {
    let allowed = |it: char| it.is_ascii_digit() || " +/-()".contains(it);
    text.len() <= TELEFON_CHARS_MAX
        && text.chars().all(allowed)
        && text.chars().filter(char::is_ascii_digit).count() >= 3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Kontakt {
        Kontakt {
            service_id: "01890a5d-ac96-774b-bcce-b302099a8057".to_owned(),
            rolle: "fachlich".to_owned(),
            stelle: "Referat 12".to_owned(),
            name: "Ada Beispiel".to_owned(),
            email: "ada@amt.example".to_owned(),
            telefon: "+49 681 501-00".to_owned(),
            hinweise: Vec::new(),
        }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Kontakt), expect: &str) {
        let mut record = good();
        change(&mut record);
        let found = match kontakt(record, "kontakt") {
            Ok(_) => String::new(),
            Err(all) => all.iter().map(|it| it.reason).collect::<Vec<_>>().join(" "),
        };
        assert_eq!(found, expect);
    }

    #[test]
    fn each_rule_of_a_contact_has_its_name() {
        check(|_| (), "");
        check(|it| it.name.clear(), "");
        check(|it| it.email.clear(), "");
        check(|it| it.telefon.clear(), "");
        check(|it| it.rolle = "chef".to_owned(), "KONTAKT_ROLLE");
        check(|it| it.rolle.clear(), "KONTAKT_ROLLE");
        check(|it| (it.email, it.telefon) = (String::new(), String::new()), "KONTAKT_WEG");
        for email in ["ada", "@amt.example", "ada@amt", "a b@amt.example", "a@b@c.example", "a@.b"]
        {
            check(|it| it.email = email.to_owned(), "EMAIL_FORM");
        }
        for telefon in ["anrufen", "+", "12", &"1".repeat(41)] {
            check(|it| it.telefon = telefon.to_owned(), "TELEFON_FORM");
        }
        check(|it| it.service_id = "keine".to_owned(), "SERVICE_ID_FORM");
    }
}
