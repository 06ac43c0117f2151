//! One function per command: ask, then print.

mod artefact;
mod charter;
mod differences;
mod draft;
mod edit;
mod epoch;
mod erase;
mod freigabe;
mod held;
mod inbox;
mod invite;
mod kinds;
mod kontakt;
mod life;
mod manifest;
mod nachnutzung;
mod offers;
mod proof;
mod proved;
mod publish;
mod receipts;
mod service;
mod status;
mod trusted;
mod uebergabe;
mod version;
mod watch;
mod write;

use clap_complete::generate;
use registry_client::{Client, ClientConfig, connect::ANSWER_TIMEOUT};
use registry_proto::terms::Land;

use self::trusted::Trusted;
use crate::{
    args::{
        Artefact, Cli, Command, Draft, ExampleKind, Format, Global, Nachnutzung, Service, Version,
    },
    documents,
    errors::CliError,
    output,
};

/// Does what the command line says.
pub(crate) async fn run(cli: Cli) -> Result<(), CliError> {
    let global = &cli.global;
    let format = global.output;
    if format == Format::Csv && !matches!(cli.command, Command::Nachnutzung(Nachnutzung::Matrix(_)))
    {
        return Err(CliError::Usage(
            "csv gibt es nur bei registry nachnutzung matrix; hier table, json oder yaml"
                .to_owned(),
        ));
    }
    match cli.command {
        Command::Service(Service::List(args)) => {
            service::list(&connect(global).await?, format, args).await
        }
        Command::Service(Service::Show(args)) => {
            let charter = proved::charter(&args.proving)?;
            service::show(&connect(global).await?, format, args, charter.as_ref()).await
        }
        Command::Service(Service::Edit(args)) => {
            let prepared = edit::prepare(&args)?;
            edit::edit(&connect(global).await?, format, args, prepared).await
        }
        Command::Version(Version::List(args)) => {
            version::list(&connect(global).await?, format, args).await
        }
        Command::Version(Version::Show(args)) => {
            let charter = proved::charter(&args.proving)?;
            version::show(&connect(global).await?, format, args, charter.as_ref()).await
        }
        Command::Version(Version::Resolve(args)) => {
            let charter = proved::charter(&args.proving)?;
            version::resolve(&connect(global).await?, format, args, charter.as_ref()).await
        }
        Command::Version(Version::Diff(args)) => {
            differences::versions(&connect(global).await?, format, args).await
        }
        Command::Resolve(args) => {
            let charter = proved::charter(&args.proving)?;
            offers::resolve(&connect(global).await?, format, args, charter.as_ref()).await
        }
        Command::Version(Version::Deprecate(args)) => {
            life::deprecate(&connect(global).await?, format, args).await
        }
        Command::Version(Version::Retire(args)) => {
            life::retire(&connect(global).await?, format, args).await
        }
        Command::Version(Version::Withdraw(args)) => {
            life::withdraw(&connect(global).await?, format, args).await
        }
        Command::Mitzeichnen(args) => {
            life::countersign(&connect(global).await?, format, args).await
        }
        Command::Nachnutzung(command) => {
            let wanted = nachnutzung::prepare(&command)?;
            nachnutzung::run(&connect(global).await?, format, command, wanted).await
        }
        Command::Uebergabe(command) => {
            uebergabe::run(&connect(global).await?, format, command).await
        }
        Command::Inbox(args) => inbox::inbox(&connect(global).await?, format, args).await,
        Command::Search(args) => service::search(&connect(global).await?, format, args).await,
        Command::Publish(args) => {
            // the files first: their mistakes need no node
            let documents = documents::read(&args.files)?;
            publish::publish(&connect(global).await?, format, args, documents).await
        }
        Command::Apply(args) => {
            let directory = manifest::read(&args.manifests.files)?;
            manifest::apply(&connect(global).await?, format, args, directory).await
        }
        Command::Diff(args) => {
            let compared = async {
                let directory = manifest::read(&args.manifests.files)?;
                manifest::diff(&connect(global).await?, format, args, directory).await
            };
            compared.await.map_err(CliError::beside_differences)
        }
        Command::Export(args) => manifest::export(&connect(global).await?, format, args).await,
        Command::Schema(args) => manifest::schema(args.kind),
        Command::Draft(command) => {
            let documents = match &command {
                Draft::Save(args) => Some(documents::read(&args.files)?),
                _ => None,
            };
            draft::run(&connect(global).await?, format, command, documents).await
        }
        Command::Freigabe(command) => freigabe::run(&connect(global).await?, format, command).await,
        Command::Charter(command) => charter::run(&connect(global).await?, format, command).await,
        Command::Held(command) => held::run(&connect(global).await?, format, command).await,
        Command::Kontakt(command) => kontakt::run(&connect(global).await?, format, command).await,
        Command::Epoch(command) => epoch::run(&connect(global).await?, format, command).await,
        Command::Erase(command) => erase::run(&connect(global).await?, format, command).await,
        Command::Artefact(Artefact::Push(args)) => {
            // the digests first: a connection would only wait
            let described = artefact::describe(args)?;
            artefact::push(&connect(global).await?, format, described).await
        }
        Command::Artefact(Artefact::Pull(args)) => {
            artefact::pull(&connect(global).await?, format, args).await
        }
        Command::Artefact(Artefact::List(args)) => {
            artefact::list(&connect(global).await?, format, args).await
        }
        Command::Artefact(Artefact::Collect(args)) => {
            artefact::collect(&connect(global).await?, format, args).await
        }
        Command::Watch(args) => {
            let start = watch::start(&args)?;
            watch::watch(&connect(global).await?, format, args, start).await
        }
        Command::Status => status::status(&connect(global).await?, format).await,
        Command::Proof(args) => {
            let charter = Trusted::read(&args.charter)?;
            proof::proof(&connect(global).await?, format, args, &charter).await
        }
        Command::Receipts(args) => {
            let charter = args.charter.as_deref().map(Trusted::read).transpose()?;
            receipts::receipts(&connect(global).await?, format, args, charter.as_ref()).await
        }
        Command::Example(args) => output::write(match args.kind {
            ExampleKind::Service => include_str!("../templates/service.yaml"),
            ExampleKind::Version => include_str!("../templates/version.yaml"),
            ExampleKind::Manifest => return output::write(&manifest::example()),
        }),
        Command::Completion(args) => {
            let mut script = Vec::new();
            let mut command = registry_client::usage::command::<Cli>();
            generate(args.shell, &mut command, "registry", &mut script);
            output::write(&String::from_utf8_lossy(&script))
        }
    }
}

async fn connect(global: &Global) -> Result<Client, CliError> {
    let missing: Vec<_> = [
        ("--endpoint (REGISTRY_ENDPOINT)", global.endpoint.is_none()),
        ("--ca (REGISTRY_CA)", global.ca.is_none()),
        ("--cert (REGISTRY_CERT)", global.cert.is_none()),
        ("--key (REGISTRY_KEY)", global.key.is_none()),
    ]
    .into_iter()
    .filter_map(|(option, is_missing)| is_missing.then_some(option))
    .collect();
    let (Some(endpoint), Some(ca), Some(cert), Some(key)) =
        (&global.endpoint, &global.ca, &global.cert, &global.key)
    else {
        return Err(CliError::Usage(format!(
            "es fehlt: {}.\nNächster Schritt: angeben oder als Umgebungsvariable setzen; Beispiele \
             stehen in registry --help",
            missing.join(", ")
        )));
    };
    let config = ClientConfig {
        endpoint: endpoint.clone(),
        ca: ca.clone(),
        cert: cert.clone(),
        key: key.clone(),
        timeout: global.timeout.map_or(ANSWER_TIMEOUT, |it| it.0),
    };
    let client = Client::connect(config).await?;
    // who says how long to wait means all of it
    Ok(if global.timeout.is_some() { client.bounded() } else { client })
}

/// The Land that the node writes for.
async fn own_land(client: &Client) -> Result<Land, CliError> {
    let land = client.status().await?.land;
    land.parse().map_err(|_| CliError::Internal(format!("Land des Knotens: {land:?}")))
}

/// The German text, else the first one.
fn german(texts: &[registry_proto::wire::registry::LocalizedText]) -> String {
    texts
        .iter()
        .find(|text| text.language_code == "de")
        .or_else(|| texts.first())
        .map_or_else(String::new, |text| text.text.clone())
}

/// What the node of the owner found when it signed a record, in one line.
fn findings(all: &[registry_proto::wire::registry::Hinweis]) -> String {
    let one = |it: &registry_proto::wire::registry::Hinweis| match it.field.as_str() {
        "" => it.description.clone(),
        field => format!("{field}: {}", it.description),
    };
    all.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// A number of things with its noun.
fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

/// Today (UTC), as nodes count days.
fn today() -> String {
    time::OffsetDateTime::now_utc().date().to_string()
}
