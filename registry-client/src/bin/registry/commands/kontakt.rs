//! `registry kontakt …`.

use registry_client::Client;
use registry_proto::wire::registry::{
    GetServiceRequest, Kontakt as Said, KontaktEintrag, record::Record,
};

use super::write;
use crate::{
    args::{Format, Kontakt, KontaktSet, KontaktShow},
    errors::CliError,
    json::{self, Object},
    output,
};

pub(super) async fn run(client: &Client, format: Format, command: Kontakt) -> Result<(), CliError> {
    match command {
        Kontakt::Setzen(args) => set(client, format, args).await,
        Kontakt::Zeigen(args) => show(client, format, args).await,
    }
}

/// The contacts of a service, each with its entry.
pub(super) async fn of(
    client: &Client,
    service_id: String,
    land: String,
) -> Result<Vec<KontaktEintrag>, CliError> {
    let request = GetServiceRequest { service_id, land, ..GetServiceRequest::default() };
    let answer = client.service(request).await?;
    Ok(answer.service.map(|it| it.kontakte).unwrap_or_default())
}

async fn set(client: &Client, format: Format, args: KontaktSet) -> Result<(), CliError> {
    let rolle = args.rolle.code();
    let said = Said {
        service_id: args.service,
        rolle: rolle.to_owned(),
        stelle: args.stelle,
        name: args.name,
        email: args.email,
        telefon: args.telefon,
        hinweise: Vec::new(),
    };
    let next = format!("registry erase kontakt {} --rolle {rolle}", said.service_id);
    let lines = [
        ("Dienst", said.service_id.clone()),
        ("Rolle", rolle.to_owned()),
        ("Dienststelle", said.stelle.clone()),
        ("Löschen", next),
    ];
    let said = vec![Record::Kontakt(said)];
    let answer = write::moves(client, said, &args.writing, args.writing.key()).await?;
    write::report(format, &answer, &args.writing, lines)
}

async fn show(client: &Client, format: Format, args: KontaktShow) -> Result<(), CliError> {
    let land = args.land.map_or_else(String::new, |it| it.code().to_owned());
    let found = of(client, args.service, land).await?;
    let object = || Ok(Object::default().with("kontakte", json::list("KontaktEintrag", &found)?));
    output::print(format, object, || table(&found))?;
    if found.is_empty() {
        eprintln!("Der Dienst hat keine Kontakte.");
    }
    Ok(())
}

fn table(found: &[KontaktEintrag]) -> String {
    output::table(
        ["Rolle", "Dienststelle", "Name", "E-Mail", "Telefon", "Eintrag"],
        &[0, 5],
        found.iter().map(|it| {
            let place = output::place(it.position.as_ref());
            let it = it.kontakt.clone().unwrap_or_default();
            [it.rolle, it.stelle, it.name, it.email, it.telefon, place]
        }),
    )
}
