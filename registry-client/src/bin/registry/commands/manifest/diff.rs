//! `registry diff`.

use registry_client::{Client, manifest::plan::State};

use super::{Compared, Service, compare, read::Directory, report};
use crate::{
    args::{Diff, Format},
    commands::{count, differences, own_land},
    errors::CliError,
    json::{Node, Object},
    output::{self, clean},
};

pub(in crate::commands) async fn diff(
    client: &Client,
    format: Format,
    args: Diff,
    mut directory: Directory,
) -> Result<(), CliError> {
    directory.is_whole &= !args.ignore_missing;
    let own = own_land(client).await?;
    let mut compared = compare(client, own, &mut directory).await?;
    if args.ignore_missing {
        for service in &mut compared.services {
            service.plan.steps.retain(|it| it.state != State::OnlyInLog);
        }
    }
    let Compared { services, only_in_log } = &compared;
    let differing: Vec<&Service> = services.iter().filter(|it| it.plan.differs()).collect();
    let object = || {
        let listed = differing.iter().map(|it| report::compared(it)).collect::<Result<_, _>>()?;
        Ok(Object::default()
            .with("services", Node::List(listed))
            .with("only_in_log", report::only_in_log(only_in_log)))
    };
    output::print(format, object, || text(&compared, &differing))?;
    if differing.is_empty() && only_in_log.is_empty() {
        eprintln!("Kein Unterschied: {}.", count(services.len(), "Dienst", "Dienste"));
        return Ok(());
    }
    eprintln!(
        "{} verglichen, {} mit Unterschieden, {} nur im Protokoll.",
        count(services.len(), "Dienst", "Dienste"),
        differing.len(),
        only_in_log.len()
    );
    Err(CliError::Differences)
}

/// All differences for people.
fn text(compared: &Compared, differing: &[&Service]) -> String {
    let mut text = String::new();
    for service in differing {
        let (id, title) = (&service.plan.service_id, clean(&service.title));
        text.push_str(&format!("{id} {title} ({})\n", clean(&service.file)));
        for step in service.plan.steps.iter().filter(|it| it.state != State::Unchanged) {
            let word = match step.state {
                State::New => "neu",
                State::Changed => "geändert",
                State::Conflict => {
                    "anders als veröffentlicht; eine veröffentlichte Version ändert sich nicht, \
                     nötig ist eine höhere Nummer"
                }
                State::OnlyInLog => "nur im Protokoll",
                State::Unchanged => continue,
            };
            text.push_str(&format!("  {}: {word}\n", clean(&report::what(step))));
            if !step.changes.is_empty() {
                for line in differences::table(&step.changes).lines() {
                    text.push_str(&format!("    {line}\n"));
                }
            }
        }
    }
    for it in &compared.only_in_log {
        text.push_str(&format!("{} {}: nur im Protokoll\n", it.service_id, clean(&it.bezeichnung)));
    }
    text
}
