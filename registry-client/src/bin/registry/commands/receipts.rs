//! `registry receipts`.

use registry_client::{Client, ClientError, proof::verify_inclusion, witness::verify_receipt};
use registry_proto::{
    receipt::{self, Receipt},
    wire::registry::{GetVersionRequest, LogPosition},
};

use super::trusted::Trusted;
use crate::{
    args::{Format, Receipts},
    errors::CliError,
    json::{Node, Object},
    output,
};

pub(super) async fn receipts(
    client: &Client,
    format: Format,
    args: Receipts,
    charter: Option<&Trusted>,
) -> Result<(), CliError> {
    let request = GetVersionRequest {
        service_id: args.id,
        version: args.version,
        land: args.land.map_or_else(String::new, |it| it.code().to_owned()),
        ..GetVersionRequest::default()
    };
    let answer = client.version(request).await?;
    let provenance = answer.version.and_then(|it| it.provenance);
    let position = provenance.and_then(|it| it.position).ok_or_else(|| {
        CliError::Internal("die Antwort nennt die Stelle der Version nicht".to_owned())
    })?;
    let held = client.receipts(position.clone()).await?;
    let mut receipts = Vec::new();
    match charter {
        Some(trusted) => {
            let charter = trusted.charter();
            let proof = client.inclusion_proof(position.clone()).await?;
            let entry = verify_inclusion(&proof, charter, &position).map_err(ClientError::Proof)?;
            for it in &held {
                let verified = verify_receipt(it, charter, &entry).map_err(ClientError::Proof)?;
                receipts.push(verified);
            }
        }
        None => {
            for it in &held {
                let told = receipt::claimed(&it.statement)
                    .map_err(|error| CliError::Internal(format!("Empfangsbestätigung: {error}")))?;
                receipts.push(told);
            }
        }
    }
    let verified = charter.is_some();
    let object = || {
        let object = Object::default()
            .with("position", Node::Text(place(&position)))
            .with("verified", Node::Bool(verified))
            .with("receipts", Node::List(receipts.iter().map(node).collect()));
        Ok(match charter {
            Some(charter) => charter.show(object),
            None => object,
        })
    };
    output::print(format, object, || table(&position, &receipts, verified))
}

fn node(it: &Receipt) -> Node {
    Node::Object(
        Object::default()
            .with("land", Node::Text(it.holder.code().to_owned()))
            .with("since", Node::Text(instant(it).replacen(' ', "T", 1)))
            .with("size", Node::Number(it.size))
            .with("root", Node::Text(it.root.to_string()))
            .with("bodies_missing", Node::Number(it.bodies_missing)),
    )
}

fn table(position: &LogPosition, receipts: &[Receipt], verified: bool) -> String {
    let mut text = format!("Eintrag {}, Eigentümer {}\n\n", place(position), position.land);
    text.push_str(&output::table(
        ["Land", "Hält ihn spätestens seit", "Einträge", "Fehlende Inhalte"],
        &[0, 1],
        receipts.iter().map(|it| {
            [
                it.holder.code().to_owned(),
                instant(it),
                it.size.to_string(),
                it.bodies_missing.to_string(),
            ]
        }),
    ));
    text.push_str(match (receipts.is_empty(), verified) {
        (true, _) => "\nNoch kein Land hat den Empfang bestätigt.\n",
        (false, true) => "\nGeprüft: jedes Land hat das selbst unterschrieben.\n",
        (false, false) => "\nUngeprüft; mit --charter gegen die Urkunde prüfen.\n",
    });
    text
}

fn place(position: &LogPosition) -> String {
    format!("{}/{}/{}", position.land, position.epoch, position.index)
}

fn instant(it: &Receipt) -> String {
    output::instant(&prost_types::Timestamp { seconds: it.unix_ms.div_euclid(1_000), nanos: 0 })
}
