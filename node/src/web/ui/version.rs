//! A version: where it is offered, what connecting to it takes, how it may be re-used.

use maud::{Markup, Render, html};
use registry_proto::wire::registry::{
    Artefakt, AsOf, Nachnutzung, Onlinedienst, Parameter, ServiceDefinition, ServiceVersion,
    Version, ZustaendigeStelle,
};

use super::{
    links,
    page::{Area, Page},
    parts::{
        Tone, alert, as_of, badge, demonstration, findings, inline, list, outward, pairs, section,
        some, table,
    },
    service, words,
};

/// What the page shows.
pub(super) struct VersionPage<'a> {
    pub(super) definition: &'a ServiceDefinition,
    pub(super) version: &'a Version,
    /// The version published before it; empty when it is the first.
    pub(super) before: &'a str,
    /// The log of the owner.
    pub(super) as_of: Option<&'a AsOf>,
    /// Clock of the node, Unix seconds.
    pub(super) now: i64,
}

// === impl VersionPage ===

impl VersionPage<'_> {
    /// The page; none if the record cannot be read.
    pub(super) fn page(&self) -> Option<Page> {
        let of = self.version.version.as_ref()?;
        let definition = self.definition;
        Some(Page {
            title: format!("Version {}", of.version),
            area: Area::Catalogue,
            above: vec![
                ("Katalog".to_owned(), links::CATALOGUE.to_owned()),
                (
                    service::name(definition).to_owned(),
                    links::service(&definition.land, &definition.service_id),
                ),
            ],
            body: self.body(of),
        })
    }

    fn body(&self, of: &ServiceVersion) -> Markup {
        let (state, tone) = words::lifecycle(of.lifecycle);
        let hint = of.versionshinweis.as_ref();
        html! {
            div.kern-hgroup {
                p.kern-preline { (service::name(self.definition)) }
                h1.kern-heading-large { "Version " (of.version) }
            }
            p.badges { (badge(state, tone)) }
            @if let Some(hint) = hint {
                @if hint.breaking {
                    (alert(Tone::Warning, "Wer nachnutzt, muss handeln", &html! { p { (hint.text) } }))
                } @else {
                    p.lead { (hint.text) }
                }
            }
            (demonstration(&of.demonstration_fields))
            div.split {
                div { (self.details(of)) }
                div {
                    (section("eckdaten", "Eckdaten", &self.facts(of)))
                    (section("herkunft", "Herkunft", &html! {
                        (pairs([("Stand des Logs", Some(as_of(self.as_of, self.now)))]))
                        (service::provenance(self.version.provenance.as_ref()))
                    }))
                    (findings(&of.hinweise))
                }
            }
        }
    }

    fn facts(&self, of: &ServiceVersion) -> Markup {
        let approved = match (of.fachlich_freigegeben_am.as_str(), &of.fachlich_freigegeben_durch) {
            ("", by) => by.clone(),
            (on, by) => format!("{} durch {by}", words::day(on)),
        };
        let day = |text: &str| some(&words::day(text));
        let maturity = of.reifegrad.as_ref().map(|it| {
            html! { "Stufe " (it.stufe) " (Modell " (it.modell) ")" }
        });
        let definition = self.definition;
        let before = (!self.before.is_empty()).then(|| {
            let (land, id) = (&definition.land, &definition.service_id);
            html! { a.kern-link href=(links::diff(land, id, self.before, &of.version)) {
                "Unterschied zu " (self.before)
            } }
        });
        pairs([
            ("Gültig", some(&service::validity(&of.gueltig_ab, &of.gueltig_bis))),
            ("Abkündigung", day(&of.abkuendigung_am)),
            ("Abschaltung", day(&of.abschaltung_am)),
            ("Freigabestatus", some(&words::freigabe(of.freigabe_status))),
            ("Fachliche Freigabe", some(&approved)),
            ("Reifegrad", maturity),
            ("Gebiet", inline(of.verfuegbarkeitsgebiet.iter().map(|it| words::area(it)))),
            ("Gebietsstand", day(&of.gebietsstand)),
            ("Lizenz", some(&of.lizenz)),
            ("Vergleich", before),
        ])
    }

    fn details(&self, of: &ServiceVersion) -> Markup {
        html! {
            (section("zugang", "Zugang", &each(&of.onlinedienste, endpoint)))
            (section("nachnutzung", "Nachnutzung", &each(&of.nachnutzung, terms)))
            (section("anschluss", "Anschluss", &connection(of)))
            @if !of.parameter.is_empty() || !of.parameter_schema.is_empty() {
                (section("parameter", "Parameter", &parameters(of)))
            }
            @if !of.zustaendige_stellen.is_empty() {
                (section("stellen", "Zuständige Stellen", &each(&of.zustaendige_stellen, body)))
            }
            @if !of.artefakte.is_empty() {
                (section("artefakte", "Artefakte", &artefacts(&of.artefakte)))
            }
            @if !of.efa_checks.is_empty() {
                (section("efa", "EfA-Selbsterklärung", &self_declaration(of)))
            }
        }
    }
}

fn each<T>(all: &[T], show: impl Fn(&T) -> Markup) -> Markup {
    html! {
        @if all.is_empty() { p { "Keine Angabe." } }
        @for one in all { div.card { (show(one)) } }
    }
}

fn endpoint(of: &Onlinedienst) -> Markup {
    let title = if of.titel.is_empty() { &of.link } else { &of.titel };
    html! {
        h3.kern-title { (title) }
        (pairs([
            ("Adresse", some(&of.link).map(|_| outward(&of.link, &of.link))),
            ("Vertrauensniveau", some(&of.vertrauensniveau)),
            ("Sprache", some(words::code(&of.language_code))),
            ("Linktyp", some(&of.linktyp)),
            ("Kennung", some(&of.id)),
        ]))
    }
}

fn terms(of: &Nachnutzung) -> Markup {
    let contract = match (of.vertrag_id.as_str(), of.vertrag_url.as_str()) {
        ("", "") => None,
        ("", url) => Some(outward(url, url)),
        (id, "") => some(id),
        (id, url) => Some(outward(id, url)),
    };
    html! {
        h3.kern-title { (words::code(&of.modell)) }
        (pairs([
            ("Vertrag", contract),
            ("Kosten", some(&of.kosten_text)),
            ("Kontakt", some(&of.kontakt)),
        ]))
    }
}

fn connection(of: &ServiceVersion) -> Markup {
    let exchange: Vec<_> = of
        .datenaustausch
        .iter()
        .map(|it| {
            html! {
                (outward(&it.standard, &it.standard)) " " (it.version)
                @if !it.transport.is_empty() { " über " (words::code(&it.transport)) }
            }
        })
        .collect();
    let delivery: Vec<_> =
        of.zustellungen.iter().map(|it| html! { code { (it.destination_id) } }).collect();
    let dvdv: Vec<_> = of
        .dvdv_dienste
        .iter()
        .map(|it| html! { (it.kategorie) " " code { (it.organisationsschluessel) } })
        .collect();
    pairs([
        ("Datenaustausch", list(&exchange, "weitere")),
        ("FIT-Connect-Zustellpunkt", list(&delivery, "weitere")),
        ("DVDV", list(&dvdv, "weitere")),
    ])
}

fn parameters(of: &ServiceVersion) -> Markup {
    let row = |it: &Parameter| {
        vec![
            html! { code { (it.name) } },
            words::code(&it.datentyp).render(),
            html! { @if it.pflicht { (badge("Pflicht", Tone::Warning)) } @else { "optional" } },
            it.seit_version.render(),
            html! {
                (it.beschreibung)
                @if !it.wertebereich.is_empty() { br; "Werte: " (it.wertebereich) }
            },
        ]
    };
    let rows: Vec<_> = of.parameter.iter().map(row).collect();
    html! {
        @if !rows.is_empty() {
            (table("Parameter", &["Name", "Art", "Angabe", "Seit", "Bedeutung"], &rows))
        }
        @if !of.parameter_schema.is_empty() {
            details.more {
                summary { "JSON Schema der Parameter" }
                div.table-region role="region" aria-label="JSON Schema" tabindex="0" {
                    pre { (of.parameter_schema) }
                }
            }
        }
    }
}

fn body(of: &ZustaendigeStelle) -> Markup {
    let place = format!("{} {}", of.plz, of.ort);
    let address = [of.strasse.as_str(), place.trim()];
    html! {
        h3.kern-title { (of.name) }
        (pairs([
            ("Anschrift", inline(address.into_iter().filter(|it| !it.is_empty()).map(str::to_owned))),
            ("Gebiet", some(&of.gebiet).map(|_| words::area(&of.gebiet).render())),
            ("Aufgabe", some(&of.rolle)),
            ("Kennung", some(&of.id)),
        ]))
    }
}

fn artefacts(all: &[Artefakt]) -> Markup {
    let row = |it: &Artefakt| {
        vec![
            it.name.render(),
            words::code(&it.typ).render(),
            words::bytes(it.bytes).render(),
            html! { code.hash { (hex::encode(&it.sha256)) } },
        ]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    table("Artefakte", &["Name", "Art", "Größe", "SHA-256"], &rows)
}

fn self_declaration(of: &ServiceVersion) -> Markup {
    let row = |it: &registry_proto::wire::registry::EfaCheck| {
        let tone = match it.erfuellt.as_str() {
            "ja" => Tone::Success,
            "nein" => Tone::Warning,
            _ => Tone::Info,
        };
        let evidence = some(&it.nachweis_url).map(|_| {
            let name = format!("Nachweis {}", words::code(&it.dimension));
            outward(&name, &it.nachweis_url)
        });
        vec![
            words::code(&it.dimension).render(),
            it.level.render(),
            badge(&it.erfuellt, tone),
            evidence.unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = of.efa_checks.iter().map(row).collect();
    table("EfA-Selbsterklärung", &["Bereich", "Stufe", "Erfüllt", "Nachweis"], &rows)
}
