//! The page that compares two versions.

use maud::{Markup, html};
use registry_proto::wire::registry::{ServiceDefinition, ServiceVersion, VersionSummary};

use super::{
    changes::{Change, ChangeKind, ChangedPart, changes},
    links,
    page::{Area, Page},
    parts::{Tone, alert, badge},
    service, words,
};

/// What the page shows.
pub(super) struct DiffPage<'a> {
    pub(super) definition: &'a ServiceDefinition,
    /// Versions that can be compared, newest first.
    pub(super) versions: &'a [VersionSummary],
    pub(super) from: &'a ServiceVersion,
    pub(super) to: &'a ServiceVersion,
}

// === impl DiffPage ===

impl DiffPage<'_> {
    /// The page.
    pub(super) fn page(&self) -> Page {
        let of = self.definition;
        let address = links::service(&of.land, &of.service_id);
        Page {
            title: format!("Unterschied {} zu {}", self.from.version, self.to.version),
            area: Area::Catalogue,
            above: vec![
                ("Katalog".to_owned(), links::CATALOGUE.to_owned()),
                (service::name(of).to_owned(), address.clone()),
            ],
            body: self.body(&address),
        }
    }

    fn body(&self, address: &str) -> Markup {
        let changes = changes(self.from, self.to);
        let hint = self.to.versionshinweis.as_ref();
        html! {
            div.kern-hgroup {
                p.kern-preline { (service::name(self.definition)) }
                h1.kern-heading-large { "Von " (self.from.version) " zu " (self.to.version) }
            }
            @if let Some(hint) = hint {
                @if hint.breaking {
                    (alert(Tone::Warning, "Wer nachnutzt, muss handeln", &html! { p { (hint.text) } }))
                } @else {
                    p.lead { (hint.text) }
                }
            }
            form.compare action={ (address) "/diff" } method="get" {
                (self.choice("von", "Von", &self.from.version))
                (self.choice("bis", "Zu", &self.to.version))
                button.kern-btn.kern-btn--secondary type="submit" { span.kern-label { "Vergleichen" } }
            }
            h2.kern-heading-medium {
                (words::count(changes.len() as u64, "geänderte Angabe", "geänderte Angaben"))
            }
            @if changes.is_empty() {
                p { "Beide Versionen haben die gleichen Angaben." }
            } @else {
                ul.changes { @for change in &changes { li.change { (one(change)) } } }
            }
        }
    }

    fn choice(&self, name: &str, label: &str, chosen: &str) -> Markup {
        html! {
            div.kern-form-input {
                label.kern-label for=(name) { (label) }
                div.kern-form-input__select-wrapper {
                    select.kern-form-input__select #(name) name=(name) {
                        @for version in self.versions {
                            option value=(version.version) selected[version.version == chosen] {
                                (version.version)
                            }
                        }
                        // an older one that the list does not reach
                        @if !self.versions.iter().any(|it| it.version == chosen) {
                            option value=(chosen) selected { (chosen) }
                        }
                    }
                }
            }
        }
    }
}

fn one(change: &Change) -> Markup {
    html! {
        h3.change__label {
            (change.subject) " "
            @match change.kind {
                ChangeKind::Came => { (badge("neu", Tone::Success)) },
                ChangeKind::Went => { (badge("entfallen", Tone::Warning)) },
                ChangeKind::Changed => {},
            }
        }
        dl { @for part in &change.parts { div.change__part { (one_part(change.kind, part)) } } }
    }
}

fn one_part(kind: ChangeKind, part: &ChangedPart) -> Markup {
    let side = |name: &str, class: &str, value: &Option<String>| {
        html! {
            dd class={ "change__side change__side--" (class) } {
                span.change__when { (name) ": " }
                @match value {
                    Some(value) => { (value) },
                    None => { span.quiet { "keine Angabe" } },
                }
            }
        }
    };
    html! {
        dt { @if part.name.is_empty() { span.kern-sr-only { "Wert" } } @else { (part.name) } }
        @if kind != ChangeKind::Came { (side("vorher", "before", &part.before)) }
        @if kind != ChangeKind::Went { (side("nachher", "after", &part.after)) }
    }
}
