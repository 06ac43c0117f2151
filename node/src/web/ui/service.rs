//! A service: who offers what on which basis, and its versions.

use std::{collections::HashMap, sync::LazyLock};

use maud::{Markup, Render, html};
use registry_core::catalogue::ShippedCatalogue;
use registry_proto::wire::registry::{
    AsOf, Handlungsgrundlage, KontaktEintrag, LocalizedText, Provenance, Relation, Service,
    ServiceDefinition, ServiceOwner, VersionSummary,
};

use super::{
    links,
    page::{Area, Page},
    parts::{
        Tone, as_of, badge, demonstration, findings, inline, list, outward, pairs, section, some,
    },
    richtext, words,
};

/// What the page shows.
pub(super) struct ServicePage<'a> {
    pub(super) service: &'a Service,
    /// Newest first.
    pub(super) versions: &'a [TimelineEntry],
    /// Leads to older versions.
    pub(super) next_page_token: &'a str,
    /// The log of the owner.
    pub(super) as_of: Option<&'a AsOf>,
    /// Clock of the node, Unix seconds.
    pub(super) now: i64,
}

/// A version of the timeline.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct TimelineEntry {
    pub(super) version: VersionSummary,
    /// What changed, in words; may be empty.
    pub(super) note: String,
}

/// Names of the shipped Leistungskatalog by key.
static LEIKA: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
    let all = ShippedCatalogue::shipped().leistungen.iter();
    all.map(|it| (it.schluessel.as_str(), it.bezeichnung.as_str())).collect()
});

/// Official German name of a service.
pub(super) fn name(definition: &ServiceDefinition) -> &str {
    match german(&definition.bezeichnung) {
        "" => "Leistung ohne Namen",
        name => name,
    }
}

/// The German one of several texts, else the first.
fn german(texts: &[LocalizedText]) -> &str {
    let german = texts.iter().find(|it| it.language_code == "de").or_else(|| texts.first());
    german.map_or("", |it| it.text.as_str())
}

// === impl ServicePage ===

impl ServicePage<'_> {
    /// The page; none if the service has no definition that can be read.
    pub(super) fn page(&self) -> Option<Page> {
        let definition = self.service.definition.as_ref()?;
        Some(Page {
            title: name(definition).to_owned(),
            area: Area::Catalogue,
            above: vec![("Katalog".to_owned(), links::CATALOGUE.to_owned())],
            body: self.body(definition),
        })
    }

    fn body(&self, of: &ServiceDefinition) -> Markup {
        let rich = |id, title, texts: &[LocalizedText]| {
            let text = german(texts);
            html! {
                @if !text.is_empty() {
                    (section(id, title, &html! { div.text { (richtext::render(text)) } }))
                }
            }
        };
        html! {
            div.kern-hgroup {
                p.kern-preline { "Leistung · " (words::land(&of.land)) }
                h1.kern-heading-large { (name(of)) }
            }
            @if !of.teaser.is_empty() { div.lead { (richtext::render(german(&of.teaser))) } }
            (demonstration(&of.demonstration_fields))
            div.split {
                div {
                    (section("versionen", "Versionen", &self.timeline(of)))
                    (rich("kurztext", "Kurztext", &of.kurztext))
                    (rich("volltext", "Volltext", &of.volltext))
                    (section("schluessel", "Leistungsschlüssel", &keys(&of.leistungsschluessel)))
                    @if let Some(bases) = bases(&of.handlungsgrundlagen) {
                        (section("rechtsgrundlagen", "Rechtsgrundlagen", &bases))
                    }
                }
                div {
                    (section("steckbrief", "Steckbrief", &facts(of)))
                    @if let Some(owners) = owners(&self.service.owners) {
                        (section("eigentuemer", "Eigentümer", &owners))
                    }
                    @if let Some(contacts) = contacts(&self.service.kontakte) {
                        (section("kontakte", "Kontakte", &contacts))
                    }
                    (section("herkunft", "Herkunft", &self.origin()))
                    (findings(&of.hinweise))
                }
            }
        }
    }

    fn timeline(&self, of: &ServiceDefinition) -> Markup {
        html! {
            @if self.versions.is_empty() {
                p { "Noch ist keine Version veröffentlicht." }
            }
            ol.timeline {
                @for (at, entry) in self.versions.iter().enumerate() {
                    li.timeline__entry { (timeline_entry(of, entry, self.versions.get(at + 1))) }
                }
            }
            @if !self.next_page_token.is_empty() {
                p {
                    a.kern-link href={
                        (links::service(&of.land, &of.service_id))
                        (links::query([("ab", self.next_page_token)]))
                    } { "Ältere Versionen" }
                }
            }
        }
    }

    fn origin(&self) -> Markup {
        html! {
            (pairs([
                ("Stand des Logs", Some(as_of(self.as_of, self.now))),
            ]))
            (provenance(self.service.provenance.as_ref()))
        }
    }
}

fn timeline_entry(
    of: &ServiceDefinition,
    entry: &TimelineEntry,
    before: Option<&TimelineEntry>,
) -> Markup {
    let version = &entry.version;
    let (state, tone) = words::lifecycle(version.lifecycle);
    html! {
        h3.timeline__name {
            a.kern-link href=(links::version(&of.land, &of.service_id, &version.version)) {
                "Version " (version.version)
            }
        }
        p.badges {
            (badge(state, tone)) " "
            @if version.breaking { (badge("Handlungsbedarf", Tone::Warning)) }
        }
        p.quiet {
            "Gültig " (validity(&version.gueltig_ab, &version.gueltig_bis))
            @if let Some(at) = &version.recorded_at { " · veröffentlicht " (words::moment(at)) }
        }
        @if !entry.note.is_empty() { p { (entry.note) } }
        @if let Some(before) = before {
            p {
                a.kern-link.kern-link--small href=(links::diff(
                    &of.land, &of.service_id, &before.version.version, &version.version,
                )) { "Unterschied zu " (before.version.version) }
            }
        }
    }
}

/// From when until when something is valid.
pub(super) fn validity(from: &str, until: &str) -> String {
    match (from, until) {
        ("", "") => "ohne Angabe".to_owned(),
        (from, "") => format!("ab {}", words::day(from)),
        ("", until) => format!("bis {}", words::day(until)),
        (from, until) => format!("{} bis {}", words::day(from), words::day(until)),
    }
}

fn facts(of: &ServiceDefinition) -> Markup {
    let typisierung = of.typisierung.iter().map(|it| words::typisierung(it));
    let schemas = of.datenschemata.iter().map(|it| format!("{} {}", it.fim_id, it.version));
    let processes = of.prozesse.iter().map(|it| format!("{} {}", it.id, it.version));
    let external =
        of.external_ids.iter().map(|it| format!("{} {} {}", it.scheme, it.agency, it.value));
    let others = of.bezeichnung.iter().filter(|it| it.language_code != "de");
    let others = others.map(|it| format!("{} ({})", it.text, words::code(&it.language_code)));
    html! {
        (pairs([
            ("Land", some(words::land(&of.land))),
            ("Herausgeber", of.herausgeber.as_ref().and_then(|it| some(&it.name))),
            ("Federführung", shared(of)),
            ("Bürgernaher Name", some(german(&of.bezeichnung_buergernah))),
            ("Weitere Sprachen", inline(others)),
            ("Themenfeld", some(words::themenfeld(&of.themenfeld))),
            ("Lagen", inline(of.lagen.iter().cloned())),
            ("Für", inline(of.leistungsadressaten.iter().map(|it| words::adressat(it).to_owned()))),
            ("Typisierung", list(&typisierung.map(|it| it.render()).collect::<Vec<_>>(), "weitere")),
            ("OZG-ID", inline(of.ozg_ids.iter().cloned())),
            ("SDG", inline(of.sdg_informationsbereiche.iter().cloned())),
            ("Datenschemata", inline(schemas)),
            ("Prozesse", inline(processes)),
            ("Beziehungen", inline(of.relationen.iter().map(relation))),
            ("Bearbeitung", inline(of.bearbeiter.iter().map(|it| {
                format!("{} ({})", it.principal, words::code(&it.rolle))
            }))),
            ("Andere Kennungen", inline(external)),
            ("Kennung", Some(html! { code { (of.service_id) } })),
        ]))
    }
}

/// Who owned the service when; nothing if it never was handed over.
fn owners(owners: &[ServiceOwner]) -> Option<Markup> {
    let shown = owners.iter().map(|it| {
        let since = match &it.taken_at {
            Some(at) => html! { " seit " (words::moment(at)) },
            None => html! { ", von Anfang an" },
        };
        let place = it.taken.as_ref().map(|at| {
            html! { span.quiet { " (Eintrag " (at.land) "/" (at.epoch) "/" (at.index) ")" } }
        });
        html! { (words::land(&it.land)) (since) (place.unwrap_or_default()) }
    });
    let shown: Vec<_> = shown.collect();
    if shown.len() > 1 { list(&shown, "weitere") } else { None }
}

/// Whom to ask; nothing if nobody is named.
fn contacts(all: &[KontaktEintrag]) -> Option<Markup> {
    let shown = all.iter().filter_map(|it| it.kontakt.as_ref()).map(|it| {
        let parts = [&it.stelle, &it.name, &it.email, &it.telefon];
        let parts: Vec<&str> =
            parts.into_iter().map(String::as_str).filter(|it| !it.is_empty()).collect();
        html! { (it.rolle) ": " (parts.join(", ")) }
    });
    let shown: Vec<_> = shown.collect();
    if shown.is_empty() { None } else { list(&shown, "weitere") }
}

fn relation(of: &Relation) -> String {
    format!("{}: {}", words::code(&of.typ), of.ziel)
}

fn shared(of: &ServiceDefinition) -> Option<Markup> {
    let shared = of.mitfederfuehrung.as_ref()?;
    let laender: Vec<_> = shared.laender.iter().map(|it| words::land(it)).collect();
    Some(html! {
        "gemeinsam mit " (laender.join(", ")) "; " (shared.k) " von " (laender.len())
        " müssen mitzeichnen"
    })
}

fn keys(keys: &[String]) -> Markup {
    let shown: Vec<_> = keys
        .iter()
        .map(|key| {
            html! {
                code { (key) }
                @if let Some(name) = LEIKA.get(key.as_str()) { " " (name) }
            }
        })
        .collect();
    list(&shown, "weitere Leistungsschlüssel").unwrap_or_else(|| html! { p { "Keine." } })
}

fn bases(bases: &[Handlungsgrundlage]) -> Option<Markup> {
    let shown: Vec<_> = bases.iter().map(|it| outward(&it.text, &it.url)).collect();
    list(&shown, "weitere Rechtsgrundlagen")
}

/// Where a record comes from.
pub(super) fn provenance(of: Option<&Provenance>) -> Markup {
    let Some(of) = of else { return html! {} };
    let place = of.position.as_ref().map(|at| {
        html! { "Log " (words::land(&at.land)) ", Epoche " (at.epoch) ", Eintrag " (words::number(at.index)) }
    });
    let digest = (!of.leaf_hash.is_empty()).then(|| {
        html! { code.hash { (hex::encode(&of.leaf_hash)) } }
    });
    pairs([
        ("Eintrag", place),
        ("Veröffentlicht", of.recorded_at.as_ref().map(words::moment)),
        ("Hier seit", of.received_at.as_ref().map(words::moment)),
        ("Durch", some(&of.principal)),
        ("Prüfsumme (Leaf-Hash)", digest),
    ])
}
