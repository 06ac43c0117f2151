use expect_test::expect;
use registry_core::authorize::{Action, Effect, Role, Scope, Who};
use registry_proto::terms::{Land, Themenfeld};

use super::*;

fn problems(text: &str) -> String {
    match read::rules(text, false) {
        Ok(rules) => format!("{} Regeln", rules.len()),
        Err(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

#[test]
fn a_file_means_what_it_says() {
    let rules = read::rules(
        r#"
format = 1

[[rules]]
name = "bauamt"
role = "publisher"
issuer = "CN=SL CA"
subject = "CN=Bauamt, O=Saarland"
themenfeld = "bauen_wohnen"
actions = ["publish", "draft"]
vier_augen = true

[[rules]]
name = "leitstelle"
role = "operator"
san = "Leitstelle.sl.example"

[[rules]]
name = "verloren"
effect = "deny"
spki = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

[[rules]]
name = "nicht.mit-TH"
effect = "deny"
role = "peer"
san = "*"
land = ["TH"]
"#,
        false,
    )
    .unwrap();
    let [office, center, lost, partner] = rules.as_slice() else { panic!("{rules:?}") };
    assert_eq!((office.effect, office.role), (Effect::Allow, Some(Role::Publisher)));
    assert_eq!(office.actions, [Action::Publish, Action::Draft]);
    assert!(office.four_eyes && !center.four_eyes);
    assert_eq!(office.scope.themenfelder, [Themenfeld::BauenWohnen]);
    let subject = "CN=Bauamt, O=Saarland".to_owned();
    assert_eq!(office.who, Who::Subject { issuer: "CN=SL CA".to_owned(), subject });
    assert_eq!(center.who, Who::Name("leitstelle.sl.example".to_owned()));
    assert_eq!((lost.effect, lost.role), (Effect::Deny, None));
    assert_eq!((&lost.scope, lost.actions.len()), (&Scope::default(), 0));
    assert_eq!((&partner.who, &partner.scope.laender), (&Who::Any, &vec![Land::TH]));
    assert_eq!(problems("format = 1"), "0 Regeln");
}

#[test]
fn every_problem_is_named_with_its_line() {
    let text = r#"format = 2
regeln = []
[[rules]]
name = "a"
role = "chef"
san = "a b"
effect = "maybe"
[[rules]]
name = "charter"
san = "a.example"
spki = "00"
actions = ["operate", 7]
[[rules]]
name = "leser"
role = "reader"
san = "*"
land = "SL"
[[rules]]
name = "leser"
role = "publisher"
spki = "00"
themenfeld = ["bauen"]
land = ["XX", "SL"]
service = []
actions = ["operate"]
until = 2027-01-01
vier_augen = 1
[[rules]]
role = "peer"
issuer = "CN=CA"
themenfeld = ["bildung"]
"#;
    expect![[r#"
        Zeile 1, format: diese Software kennt nur 1
        Zeile 7, rules[0].effect: "maybe" gibt es nicht; erwartet wird allow oder deny
        Zeile 5, rules[0].role: "chef" gibt es nicht; erwartet wird reader, publisher, operator oder peer
        Zeile 6, rules[0].san: "a b" ist kein DNS-Name; erwartet wird einer oder *
        Zeile 9, rules[1].name: so heißt die Regel der Charta
        Zeile 8, rules[1].role: fehlt; erwartet wird reader, publisher oder operator
        Zeile 8, rules[1]: gesucht wird genau eines: san, spki, oder issuer mit subject
        Zeile 12, rules[1].actions[1]: erwartet wird ein Text
        Zeile 17, rules[2].land: Lesen und Betreiben lassen sich nicht auf Dienste begrenzen
        Zeile 21, rules[3].spki: erwartet werden 64 hexadezimale Ziffern (SHA-256 des öffentlichen Schlüssels; registry-node policy check zeigt ihn)
        Zeile 25, rules[3].actions[0]: "operate" gibt es für publisher nicht; möglich: read, publish, retire, reuse, countersign, handover, draft, confirm
        Zeile 23, rules[3].land[0]: "XX"; erwartet wird ein Land wie SL
        Zeile 22, rules[3].themenfeld[0]: "bauen"; erwartet wird eines von arbeit_ruhestand, bauen_wohnen, bildung, ein_auswanderung, engagement_hobby, familie_kind, forschung_foerderung, gesundheit, mobilitaet_reisen, querschnittsleistungen, recht_ordnung, steuern_zoll, umwelt, unternehmensfuehrung_entwicklung
        Zeile 24, rules[3].service: erwartet wird ein Text oder eine Liste von 1 bis 1000
        Zeile 27, rules[3].vier_augen: erwartet wird true oder false, bei role = "publisher"
        Zeile 26, rules[3].until: diesen Schlüssel gibt es nicht
        Zeile 28, rules[4].name: fehlt; eine Regel braucht einen Namen, der in Ablehnungen genannt wird
        Zeile 29, rules[4].role: wer Partner ist, sagt die Charta; eine Regel kann es nur verbieten (effect = "deny")
        Zeile 28, rules[4]: gesucht wird genau eines: san, spki, oder issuer mit subject
        Zeile 2, regeln: diesen Schlüssel gibt es nicht"#]].assert_eq(&problems(text));
    expect!["Zeile 2: kein TOML: unclosed array table, expected `]`"]
        .assert_eq(&problems("format = 1\n[[rules]\nname = \"a\"\nname = \"b\"\n"));
}

#[test]
fn the_example_can_be_used() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/examples/policy.toml");
    assert_eq!(read_policy(Path::new(example), false).unwrap().len(), 7);
}

#[test]
fn a_file_that_cannot_be_read_is_one_problem() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.toml");
    let shown = |path: &Path| read_policy(path, false).unwrap_err().problems[0].to_string();
    assert_eq!(shown(&path), "gibt es nicht");
    std::fs::write(&path, b"\xff").unwrap();
    assert_eq!(shown(&path), "ist kein UTF-8-Text");
    std::fs::write(&path, vec![b'#'; POLICY_BYTES_MAX as usize + 1]).unwrap();
    assert_eq!(shown(&path), "hat mehr als 1048576 Bytes");
}
