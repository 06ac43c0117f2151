//! The state of the Verbund as this node sees it: logs, partners, certificates.

use maud::{Markup, Render, html};
use registry_client::charter::{later_words, needs_help};
use registry_proto::{
    charter::Charter,
    wire::registry::{CharterStanding, GetStatusResponse, PeerLog},
};

use super::{
    certificates::{CertificateDate, CertificateKind},
    page::{Area, Frame, Page},
    parts::{Tone, badge, pairs, section, table},
    words,
};

/// What the page shows.
pub(super) struct VerbundPage<'a> {
    pub(super) frame: &'a Frame,
    /// Members and their nodes.
    pub(super) charter: &'a Charter,
    pub(super) certificates: &'a [CertificateDate],
}

/// A certificate is renewed within this time before it ends.
const RENEW_DAYS: i64 = 30;
const DAY_SECONDS: i64 = 86_400;

// === impl VerbundPage ===

impl VerbundPage<'_> {
    /// The page.
    pub(super) fn page(&self) -> Page {
        Page {
            title: "Verbund".to_owned(),
            area: Area::Verbund,
            above: Vec::new(),
            body: self.body(),
        }
    }

    fn status(&self) -> &GetStatusResponse {
        self.frame.status()
    }

    fn body(&self) -> Markup {
        html! {
            h1.kern-heading-large { "Zustand des Verbunds" }
            p.lead {
                "Gesehen von " (self.status().node) " (" (words::land(&self.status().land)) "). "
                "Ein Zustand folgt aus geprüften Daten, nicht daraus, dass eine Verbindung steht."
            }
            (section("logs", "Logs der Länder", &self.logs()))
            (section("partner", "Partner", &self.partners()))
            (section("zertifikate", "Zertifikate", &self.certificates()))
            (section("knoten", "Dieser Knoten", &self.node()))
        }
    }

    fn logs(&self) -> Markup {
        let now = self.frame.now();
        let row = |log: &registry_proto::wire::registry::AsOf| {
            let (state, tone) = words::replication(log.state);
            let fresh = match &log.fresh_at {
                Some(at) => html! { "vor " (words::span(now - at.seconds)) },
                None => html! { "noch nie" },
            };
            let shown = if log.folded == log.size {
                html! { (words::number(log.folded)) }
            } else {
                html! { (words::number(log.folded)) " von " (words::number(log.size)) }
            };
            vec![
                land(&log.land),
                badge(state, tone),
                held(log),
                shown,
                fresh,
                self.worst_lag(&log.land),
            ]
        };
        let rows: Vec<_> = self.status().logs.iter().map(row).collect();
        let head =
            ["Land", "Zustand", "Einträge", "Im Katalog", "Bestätigt", "Rückstand bei Partnern"];
        table("Logs der Länder", &head, &rows)
    }

    /// How far the partner is behind that is furthest behind in the log of a Land.
    fn worst_lag(&self, land: &str) -> Markup {
        let of_log = self.status().peers.iter().filter(|it| it.connected && it.land == land);
        match of_log.max_by_key(|it| it.lag) {
            None => html! { span.quiet { "kein Partner verbunden" } },
            Some(peer) if peer.lag == 0 => html! { "keiner" },
            Some(peer) => html! {
                (badge(&lag(peer.lag), Tone::Warning)) " " (words::land(&peer.peer_land))
            },
        }
    }

    fn partners(&self) -> Markup {
        let logs: Vec<&str> = self.status().logs.iter().map(|it| it.land.as_str()).collect();
        let head: Vec<String> = ["Knoten".to_owned(), "Verbindung".to_owned()]
            .into_iter()
            .chain(logs.iter().map(|it| format!("Log {it}")))
            .collect();
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        let nodes = self.charter.members().iter().flat_map(|member| {
            member.nodes.iter().map(move |node| (member.land.code(), node.name.as_str()))
        });
        let others = nodes.filter(|(_, node)| *node != self.status().node);
        let rows: Vec<_> = others.map(|(land, node)| self.partner(land, node, &logs)).collect();
        html! {
            @if rows.is_empty() {
                p { "Die Charta nennt keine anderen Knoten." }
            } @else {
                p {
                    "Je Log, wie viele Einträge dem Partner fehlen. Ein Partner ohne Verbindung "
                    "kann über andere Knoten auf dem Laufenden sein."
                }
                (table("Partner und ihr Rückstand je Log", &head, &rows))
            }
        }
    }

    fn partner(&self, of: &str, node: &str, logs: &[&str]) -> Vec<Markup> {
        let holds: Vec<&PeerLog> =
            self.status().peers.iter().filter(|it| it.peer_node == node).collect();
        let member = self.charter.members().iter().find(|it| it.land.code() == of);
        let link = match holds.first() {
            _ if member.is_some_and(|it| !it.is_active()) => {
                badge("Mitgliedschaft ruht", Tone::Warning)
            }
            Some(peer) if peer.connected => badge("verbunden", Tone::Success),
            _ => badge("keine Verbindung", Tone::Warning),
        };
        let lag_of = |land: &&str| match holds.iter().find(|it| it.land == *land) {
            None => html! { span.quiet { "–" span.kern-sr-only { " unbekannt" } } },
            Some(peer) if peer.lag == 0 => html! { "aktuell" },
            Some(peer) => badge(&lag(peer.lag), words::replication(peer.state).1),
        };
        let name = html! { (land(of)) div.quiet { (node) } };
        [name, link].into_iter().chain(logs.iter().map(lag_of)).collect()
    }

    fn certificates(&self) -> Markup {
        let row = |it: &CertificateDate| {
            let kind = match it.kind {
                CertificateKind::Own => "Dieser Knoten",
                CertificateKind::Anchor => "Anker des Landes",
            };
            let subject = if it.subject.is_empty() { "ohne Namen" } else { &it.subject };
            let (until, rest) = match it.not_after {
                Some(end) => (words::day_of(end).render(), self.validity(end)),
                None => (html! { "unbekannt" }, badge("nicht lesbar", Tone::Danger)),
            };
            vec![land(it.land.code()), kind.render(), subject.render(), until, rest]
        };
        let rows: Vec<_> = self.certificates.iter().map(row).collect();
        html! {
            (table("Zertifikate", &["Land", "Wofür", "Name", "Gültig bis", "Rest"], &rows))
            p.quiet {
                "Die Zertifikate der Partnerknoten stehen nicht in der Charta; hier stehen die "
                "Anker, unter denen sie gelten."
            }
        }
    }

    fn validity(&self, end: i64) -> Markup {
        let left = end - self.frame.now();
        let days = left / DAY_SECONDS;
        match left {
            ..=0 => badge("abgelaufen", Tone::Danger),
            _ if days < RENEW_DAYS => badge(&format!("noch {}", words::span(left)), Tone::Warning),
            _ => html! { (words::count(days.unsigned_abs(), "Tag", "Tage")) },
        }
    }

    fn node(&self) -> Markup {
        let status = self.status();
        let fence = match status.fence.as_str() {
            "open" if status.signing_failed => html! {
                (badge("unterschreibt nicht", Tone::Danger)) " Ein Schlüssel des Landes unterschreibt "
                "nicht, Veröffentlichen scheitert; den Grund nennt das Log des Knotens."
            },
            "open" => html! { (badge("offen", Tone::Success)) " Der Knoten kann veröffentlichen." },
            why => html! {
                (badge("geschlossen", Tone::Warning)) " Der Knoten kann lesen, aber nicht "
                "veröffentlichen: "
                @match words::fence(why) {
                    Some(german) => (german),
                    None => span lang="en" { (why) },
                }
            },
        };
        let index = match status.index.as_str() {
            "ready" => html! { (badge("bereit", Tone::Success)) },
            other => {
                html! { (badge("nicht vollständig", Tone::Warning)) " " span lang="en" { (other) } }
            }
        };
        pairs([
            ("Sperre (Fence)", Some(fence)),
            ("Katalog (Index)", Some(index)),
            ("Uhr", status.now.as_ref().map(words::moment)),
            ("Software", Some(status.software.render())),
            ("Kennung des Verbunds", Some(html! { code.hash { (status.verbund) } })),
            ("Charta", status.charter.as_ref().map(charter)),
        ])
    }
}

/// Which charter is in force, and whether anything bears it out here.
fn charter(it: &CharterStanding) -> Markup {
    html! {
        "Nr. " (it.number) " " code.hash { (hex::encode(&it.digest)) }
        @if !it.contradicted.is_empty() {
            " " (badge("widerspricht den Stimmen", Tone::Danger))
        } @else if !it.unproved.is_empty() {
            " " (badge("ohne Stimmen und Beweis", Tone::Warning))
            " Prüfsumme mit anderen Ländern vergleichen."
        }
        @if let Some(later) = it.later.as_ref().filter(|it| needs_help(it)) {
            " " (badge("hinter Partnern", Tone::Warning)) " " (later_words(later))
        }
    }
}

fn land(code: &str) -> Markup {
    html! { (words::land(code)) " (" (code) ")" }
}

fn lag(entries: u64) -> String {
    words::count(entries, "Eintrag fehlt", "Einträge fehlen")
}

/// Entries that are here, what of a known head is missing, and from where on they are disputed.
fn held(log: &registry_proto::wire::registry::AsOf) -> Markup {
    html! {
        (words::number(log.size))
        @if log.known > log.size { " von " (words::number(log.known)) }
        @if let Some(end) = log.ends_at {
            " " (badge(&format!("gilt bis {end}"), Tone::Warning))
        }
        @if let Some(from) = log.disputed_from {
            " " (badge(&format!("strittig ab {from}"), Tone::Warning))
        }
    }
}
