//! The catalogue: search, facets, list.

use maud::{Markup, html};
use registry_core::limits::QUERY_CHARS_MAX;
use registry_proto::wire::registry::ServiceSummary;

use super::{
    find::{FACETS, Facet, FacetValue, Found, PAGE_SIZE, Query},
    links,
    page::{Area, Page},
    parts::{Tone, alert, badge},
    words,
};

/// What the page shows.
pub(super) struct CataloguePage<'a> {
    pub(super) query: &'a Query,
    pub(super) found: &'a Found,
    /// Why nothing can be found with this query.
    pub(super) problem: Option<&'a str>,
}

// === impl CataloguePage ===

impl CataloguePage<'_> {
    /// The page.
    pub(super) fn page(&self) -> Page {
        let words = self.query.words.trim();
        let title = match (words.is_empty(), self.pages()) {
            (true, 0..=1) => "Katalog".to_owned(),
            (true, _) => format!("Katalog, Seite {}", self.query.page),
            (false, _) => format!("Suche nach „{words}“"),
        };
        Page { title, area: Area::Catalogue, above: Vec::new(), body: self.body() }
    }

    fn body(&self) -> Markup {
        html! {
            div.intro {
                h1.kern-heading-large { "Leistungen im Verbund" }
                p.lead {
                    "Was die Länder zur Nachnutzung anbieten („Einer für Alle“), aus den "
                    "signierten Logs aller Länder."
                }
                (self.form())
            }
            @if let Some(problem) = self.problem {
                div role="alert" {
                    (alert(Tone::Warning, "Suche nicht möglich", &html! { p { (problem) } }))
                }
            } @else {
                div.columns {
                    (self.facets())
                    (self.results())
                }
            }
        }
    }

    fn form(&self) -> Markup {
        let query = self.query;
        html! {
            search {
                form.search action=(links::CATALOGUE) method="get" {
                    div.kern-form-input {
                        label.kern-label for="q" { "Suche" }
                        div.kern-hint #q-hinweis { "Name, Leistungsschlüssel, OZG-ID, Themenfeld oder Lage" }
                        div.search__row {
                            input.kern-form-input__input #q type="search" name="q" value=(query.words)
                                maxlength=(QUERY_CHARS_MAX) autocomplete="off"
                                aria-describedby="q-hinweis";
                            button.kern-btn.kern-btn--primary type="submit" {
                                span.kern-label { "Suchen" }
                            }
                        }
                    }
                    @for (facet, chosen) in FACETS.iter().zip(&query.chosen) {
                        @if !chosen.is_empty() {
                            input type="hidden" name=(facet.name) value=(chosen);
                        }
                    }
                }
            }
        }
    }

    fn facets(&self) -> Markup {
        let chosen = self.query.chosen.iter().filter(|it| !it.is_empty()).count();
        html! {
            nav.facets aria-label="Filter" {
                details open[chosen > 0] {
                    summary.facets__summary {
                        "Filter"
                        @if chosen > 0 { " (" (chosen) " gewählt)" }
                    }
                    @for facet in &self.found.facets {
                        @if !facet.values.is_empty() {
                            (self.facet(facet))
                        }
                    }
                }
            }
        }
    }

    /// A facet; the values of a long one that most services have stand first, all others open on
    /// demand.
    fn facet(&self, facet: &Facet) -> Markup {
        let id = format!("facette-{}", facet.kind.name);
        let mut counts: Vec<u64> = facet.values.iter().map(|it| it.count).collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let least = match counts.get(VALUES_SHOWN - 1) {
            Some(least) if facet.values.len() > VALUES_MAX => *least,
            _ => 0,
        };
        let is_chosen = |it: &FacetValue| self.query.chosen(facet.kind.name) == it.value;
        let (often, rarely): (Vec<_>, Vec<_>) =
            facet.values.iter().partition(|it| it.count >= least || is_chosen(it));
        html! {
            h2.facets__title id=(id) { (facet.kind.label) }
            ul aria-labelledby=(id) {
                @for value in often { li { (self.facet_value(facet, value)) } }
            }
            @if !rarely.is_empty() {
                details.more {
                    summary {
                        (words::number(rarely.len() as u64)) " weitere"
                        span.kern-sr-only { " Werte von " (facet.kind.label) }
                    }
                    ul aria-labelledby=(id) {
                        @for value in rarely { li { (self.facet_value(facet, value)) } }
                    }
                }
            }
        }
    }

    fn facet_value(&self, facet: &Facet, value: &FacetValue) -> Markup {
        let chosen = self.query.chosen(facet.kind.name) == value.value;
        let target = if chosen { "" } else { value.value.as_str() };
        let address = address(&self.query.with(facet.kind.name, target));
        html! {
            a.facet href=(address) aria-current=[chosen.then_some("true")] {
                span { (value.label) @if chosen { span.kern-sr-only { " (Filter aufheben)" } } }
                span.facet__count {
                    (words::number(value.count)) span.kern-sr-only {
                        (if value.count == 1 { " Leistung" } else { " Leistungen" })
                    }
                }
            }
        }
    }

    fn results(&self) -> Markup {
        let found = self.found;
        html! {
            section.results aria-labelledby="treffer" {
                div.results__head {
                    h2.kern-heading-small #treffer {
                        (words::count(found.total, "Leistung", "Leistungen"))
                    }
                    (self.chosen())
                }
                @if found.total == 0 {
                    (nothing(self.query))
                }
                @if (found.reachable as u64) < found.total {
                    p.note {
                        "Gezeigt werden die ersten " (words::number(found.reachable as u64))
                        ". Weitere Wörter oder ein Filter grenzen die Suche ein."
                    }
                }
                ol.hits start=(self.first() + 1) {
                    @for service in &found.services { li.hit { (hit(service)) } }
                }
                (self.paging())
            }
        }
    }

    /// The chosen filters, each to be taken back.
    fn chosen(&self) -> Markup {
        let values = self.found.facets.iter().filter_map(|facet| {
            let chosen = self.query.chosen(facet.kind.name);
            let value = facet.values.iter().find(|it| !chosen.is_empty() && it.value == chosen)?;
            Some((facet, value))
        });
        let mut values = values.peekable();
        html! {
            @if values.peek().is_some() {
                ul.chips aria-label="Gewählte Filter" {
                    @for (facet, value) in values {
                        li {
                            a.chip href=(address(&self.query.with(facet.kind.name, ""))) {
                                (facet.kind.label) ": " (value.label)
                                span aria-hidden="true" { " ×" }
                                span.kern-sr-only { " aufheben" }
                            }
                        }
                    }
                }
            }
        }
    }

    fn first(&self) -> usize {
        self.query.page.saturating_sub(1).saturating_mul(PAGE_SIZE)
    }

    fn pages(&self) -> usize {
        self.found.reachable.div_ceil(PAGE_SIZE)
    }

    fn paging(&self) -> Markup {
        let (page, pages) = (self.query.page, self.pages());
        let at = |page| address(&Query { page, ..self.query.clone() });
        let near = |it: &usize| *it == 1 || *it == pages || it.abs_diff(page) <= 1;
        let shown: Vec<_> = (1..=pages).filter(near).collect();
        html! {
            @if pages > 1 {
                nav.paging aria-label="Seiten" {
                    ul {
                        @if page > 1 && page <= pages {
                            li { a.kern-link rel="prev" href=(at(page - 1)) { "Zurück" } }
                        }
                        @for (i, number) in shown.iter().enumerate() {
                            @if i > 0 && shown[i - 1] + 1 < *number { li aria-hidden="true" { "…" } }
                            li {
                                a.paging__page href=(at(*number))
                                    aria-current=[(*number == page).then_some("page")]
                                    aria-label={ "Seite " (number) } { (number) }
                            }
                        }
                        @if page < pages {
                            li { a.kern-link rel="next" href=(at(page + 1)) { "Weiter" } }
                        }
                    }
                }
            }
        }
    }
}

fn hit(service: &ServiceSummary) -> Markup {
    html! {
        h3.hit__name {
            a.kern-link href=(links::service(&service.land, &service.service_id)) {
                (service.bezeichnung)
            }
        }
        p.hit__facts {
            span { (words::land(&service.land)) }
            @if !service.themenfeld.is_empty() { span { (words::themenfeld(&service.themenfeld)) } }
            @if let Some(ozg) = service.ozg_ids.first() { span { "OZG " (ozg) } }
            span { (words::count(service.leistungsschluessel.len() as u64, "Schlüssel", "Schlüssel")) }
        }
        p.hit__version {
            @if service.latest_version.is_empty() {
                (badge("noch keine Version", Tone::Warning))
            } @else {
                span.hit__latest { "Version " (service.latest_version) }
                @if service.version_count > 1 {
                    span.quiet { (words::count(u64::from(service.version_count), "Version", "Versionen")) }
                }
            }
        }
    }
}

fn nothing(query: &Query) -> Markup {
    let narrowed = query.is_narrowed();
    let wider = Query { words: query.words.clone(), page: 1, ..Query::default() };
    html! {
        div.empty {
            p { "Zu dieser Auswahl gibt es keine Leistung." }
            ul.values {
                @if narrowed { li { a.kern-link href=(address(&wider)) { "Ohne Filter suchen" } } }
                li { "Andere Schreibweise oder weniger Wörter versuchen" }
                li { a.kern-link href=(links::CATALOGUE) { "Alle Leistungen zeigen" } }
            }
        }
    }
}

/// Values of a facet up to which all are shown, and how many are of a longer one.
const VALUES_MAX: usize = 10;
const VALUES_SHOWN: usize = 8;

/// Address of the page for a query.
fn address(query: &Query) -> String {
    let page = if query.page > 1 { query.page.to_string() } else { String::new() };
    let chosen = FACETS.iter().zip(&query.chosen).map(|(kind, value)| (kind.name, value.as_str()));
    let parameters = std::iter::once(("q", query.words.trim())).chain(chosen);
    let parameters = parameters.chain([("seite", page.as_str())]);
    format!("{}{}", links::CATALOGUE, links::query(parameters))
}
