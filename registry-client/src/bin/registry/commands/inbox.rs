//! `registry inbox`.

use registry_client::{
    Client,
    nachnutzung::{NOTICES_MAX, NoticeUpdate},
};
use registry_proto::wire::registry::{Notice, NoticeKind};

use super::count;
use crate::{
    args::{Format, Inbox},
    errors::{self, CliError},
    json::{self, Node, Object},
    output::{self, clean},
};

pub(super) async fn inbox(client: &Client, format: Format, args: Inbox) -> Result<(), CliError> {
    if args.watch {
        return watch(client, format, args).await;
    }
    let limit = args.limit.unwrap_or(NOTICES_MAX);
    if limit == 0 || limit > NOTICES_MAX {
        return Err(CliError::Usage(format!("--limit liegt zwischen 1 und {NOTICES_MAX}")));
    }
    let answer = client.notices(args.land, limit).await?;
    let object = || {
        Ok(Object::default()
            .with("notices", json::list("Notice", &answer.notices)?)
            .with("total", Node::Number(u64::from(answer.total)))
            .with("as_of", json::list("AsOf", &answer.as_of)?))
    };
    output::print(format, object, || table(&answer.notices))?;
    output::notice_age(&answer.as_of);
    if answer.total == 0 {
        eprintln!("Nichts zu tun.");
    }
    let more = (answer.total as usize).saturating_sub(answer.notices.len());
    if more > 0 {
        eprintln!("Hinweis: {}", count(more, "weiterer Punkt", "weitere Punkte"));
    }
    Ok(())
}

/// Shows all notices, then what comes and what goes.
async fn watch(client: &Client, format: Format, args: Inbox) -> Result<(), CliError> {
    let mut stream = client.watch_notices(args.land);
    let mut known: Option<Vec<Notice>> = None;
    loop {
        let update = tokio::select! {
            update = stream.next() => update?,
            _ = tokio::signal::ctrl_c() => return Err(CliError::Interrupted),
        };
        match update {
            NoticeUpdate::Notices(notices) => {
                if format == Format::Table {
                    output::write(&changes(known.as_deref(), &notices))?;
                } else {
                    let object = Object::default().with("notices", json::list("Notice", &notices)?);
                    output::print_streamed(format, &object)?;
                }
                known = Some(notices);
            }
            NoticeUpdate::Interrupted { cause, retry_in } => {
                let why = errors::client(&cause, None);
                let why = why.lines().next().unwrap_or_default();
                eprintln!("Verbindung unterbrochen, neuer Versuch in {retry_in:.1?}: {why}");
            }
        }
    }
}

fn changes(before: Option<&[Notice]>, now: &[Notice]) -> String {
    let Some(before) = before else { return table(now) };
    // the days that are left change by themselves
    let same = |a: &Notice, b: &Notice| {
        a.text == b.text && a.service_id == b.service_id && a.subscription_id == b.subscription_id
    };
    let line = |word: &str, it: &Notice| {
        format!("{word} {} {}: {}\n", what(it), clean(&it.bezeichnung), clean(&it.text))
    };
    let new = now.iter().filter(|it| !before.iter().any(|old| same(old, it)));
    let gone = before.iter().filter(|old| !now.iter().any(|it| same(old, it)));
    let new: String = new.map(|it| line("neu:     ", it)).collect();
    new + &gone.map(|it| line("erledigt:", it)).collect::<String>()
}

fn table(notices: &[Notice]) -> String {
    output::table(
        ["Frist", "Was", "Dienst", "Anbieter", "Was zu tun ist"],
        &[0, 1, 3],
        notices.iter().map(|it| {
            [
                days(it.days_left),
                what(it).to_owned(),
                it.bezeichnung.clone(),
                it.service_land.clone(),
                it.text.clone(),
            ]
        }),
    )
}

fn days(left: Option<i32>) -> String {
    match left {
        None => "–".to_owned(),
        Some(0) => "heute".to_owned(),
        Some(1) => "1 Tag".to_owned(),
        Some(left @ 2..) => format!("{left} Tage"),
        Some(-1) => "seit 1 Tag".to_owned(),
        Some(late) => format!("seit {} Tagen", late.unsigned_abs()),
    }
}

fn what(it: &Notice) -> &'static str {
    match it.kind() {
        NoticeKind::Unspecified => "Hinweis",
        NoticeKind::RequestWaiting => "Am Zug",
        NoticeKind::AcknowledgementOwed => "Bestätigung",
        NoticeKind::Deprecation => "Abkündigung",
        NoticeKind::Retired => "Außer Betrieb",
        NoticeKind::NewVersion => "Neue Version",
        NoticeKind::CountersignatureOwed => "Mitzeichnung",
        NoticeKind::HandoverOffered => "Übergabe",
        NoticeKind::OwnerChanged => "Neuer Anbieter",
        NoticeKind::ReuseEnded => "Beendet",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(text: &str, days_left: i32) -> Notice {
        Notice { text: text.to_owned(), days_left: Some(days_left), ..Notice::default() }
    }

    #[test]
    fn a_watch_tells_what_comes_and_what_goes_but_not_that_a_day_has_passed() {
        let (before, now) = ([notice("a", 3), notice("b", 5)], [notice("a", 2), notice("c", 9)]);
        let told = changes(Some(&before), &now);
        assert_eq!(told, "neu:      Hinweis : c\nerledigt: Hinweis : b\n");
        assert_eq!(changes(Some(&now), &now), "");
        assert!(changes(None, &now).contains("9 Tage"));
    }

    #[test]
    fn deadlines_read_as_people_say_them() {
        let shown = [None, Some(-5), Some(-1), Some(0), Some(1), Some(80)].map(days);
        assert_eq!(shown, ["–", "seit 5 Tagen", "seit 1 Tag", "heute", "1 Tag", "80 Tage"]);
    }
}
