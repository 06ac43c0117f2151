//! `registry charter invite`, `invitations`, `uninvite`, and who waits to become a member.

use registry_client::Client;
use registry_proto::{
    terms::Land,
    wire::registry::{Invitation, Member},
};

use crate::{
    args::{CharterInvite, CharterUninvite, Format},
    errors::CliError,
    json::{Node, Object},
    output,
};

pub(super) async fn invite(
    client: &Client,
    format: Format,
    args: CharterInvite,
) -> Result<(), CliError> {
    let (land, seconds) = (args.land.code().to_owned(), args.hours * 3_600);
    let made = client.invite(land, args.address, seconds).await?;
    let invitation = made.invitation.unwrap_or_default();
    let object = || {
        let Node::Object(object) = node(&invitation) else { return Ok(Object::default()) };
        Ok(object.with("token", Node::Text(made.token.clone())))
    };
    // the token alone on standard output, so that it can be written into a file
    output::print(format, object, || format!("{}\n", made.token))?;
    eprintln!(
        "Einladung {} für {}, gültig bis {}. Das Token steht nur hier; es gilt einmal.\nBeim neuen \
         Land: registry-node join - --config node.toml --wait < token.txt",
        invitation.invitation_id,
        invitation.land,
        end(&invitation),
    );
    Ok(())
}

pub(super) async fn list(client: &Client, format: Format) -> Result<(), CliError> {
    let all = client.invitations().await?;
    let object =
        || Ok(Object::default().with("invitations", Node::List(all.iter().map(node).collect())));
    output::print(format, object, || {
        output::table(
            ["Kennung", "Land", "Stand", "Bis"],
            &[0, 1, 3],
            all.iter().map(|it| {
                [it.invitation_id.clone(), it.land.clone(), state(it).to_owned(), end(it)]
            }),
        )
    })?;
    if all.is_empty() {
        eprintln!("Niemand ist eingeladen.");
    }
    Ok(())
}

pub(super) async fn revoke(
    client: &Client,
    format: Format,
    args: CharterUninvite,
) -> Result<(), CliError> {
    client.revoke_invitation(args.id.clone()).await?;
    let object = || Ok(Object::default().with("invitation_id", Node::Text(args.id.clone())));
    output::print(format, object, || format!("Einladung {} ist zurückgezogen.\n", args.id))
}

/// Invitations by which somebody waits.
pub(super) async fn waiting(client: &Client) -> Result<Vec<Invitation>, CliError> {
    let all = client.invitations().await?;
    Ok(all.into_iter().filter(|it| it.member.is_some() && !is_over(it)).collect())
}

/// The member record of the Land that waits; of the only one if none is named.
pub(super) async fn pending(
    client: &Client,
    land: Option<Land>,
) -> Result<(Land, Member), CliError> {
    let waiting = waiting(client).await?;
    let wanted = |it: &Invitation| land.is_none_or(|land| it.land == land.code());
    let mut fitting = waiting.into_iter().filter(wanted);
    let (Some(found), None) = (fitting.next(), fitting.next()) else {
        let which = land.map_or_else(String::new, |it| format!(" von {it}"));
        return Err(CliError::Usage(format!(
            "an diesem Knoten wartet nicht genau ein Anwärter{which}.\nNächster Schritt: registry \
             charter invitations"
        )));
    };
    let land = found.land.parse();
    match (land, found.member) {
        (Ok(land), Some(member)) => Ok((land, member)),
        _ => Err(CliError::Internal("Anwärter ohne Land".to_owned())),
    }
}

/// What the state of the vote says of those who wait.
pub(super) fn told_waiting(waiting: &[Invitation]) -> String {
    let one = |it: &Invitation| {
        let nodes: Vec<_> =
            it.member.iter().flat_map(|it| &it.nodes).map(|it| it.name.as_str()).collect();
        let key = it.member.as_ref().map(|it| hex::encode(&it.log_key)).unwrap_or_default();
        format!(
            "\nAnwärter {}, Einladung {}, bis {}\n  Knoten {}\n  Log-Schlüssel {key}\n  vorschlagen: \
             registry charter propose --pending {}\n",
            it.land,
            it.invitation_id,
            end(it),
            output::clean(&nodes.join(", ")),
            it.land,
        )
    };
    waiting.iter().map(one).collect()
}

pub(super) fn node(it: &Invitation) -> Node {
    let names = it.member.iter().flat_map(|it| &it.nodes).map(|it| Node::Text(it.name.clone()));
    let key = it.member.as_ref().map(|it| hex::encode(&it.log_key)).unwrap_or_default();
    Node::Object(
        Object::default()
            .with("invitation_id", Node::Text(it.invitation_id.clone()))
            .with("land", Node::Text(it.land.clone()))
            .with("state", Node::Text(state(it).to_owned()))
            .with("until", Node::Text(end(it)))
            .with("nodes", Node::List(names.collect()))
            .with("log_key", Node::Text(key)),
    )
}

fn state(it: &Invitation) -> &'static str {
    match (is_over(it), it.presented_at.is_some(), it.member.is_some()) {
        (_, true, false) => "aufgenommen",
        (true, _, _) => "abgelaufen",
        (false, true, true) => "Anwärter",
        (false, false, _) => "offen",
    }
}

/// As the node that refuses says; older ones leave it to the clock here.
fn is_over(it: &Invitation) -> bool {
    if let Some(expired) = it.expired {
        return expired;
    }
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    it.expires_at.as_ref().is_none_or(|end| end.seconds <= now)
}

fn end(it: &Invitation) -> String {
    it.expires_at.as_ref().map(output::instant).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_says_what_has_ended() {
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let of = |expired, seconds| {
            let expires_at = at(seconds);
            state(&Invitation { expired, expires_at, ..Invitation::default() })
        };
        // whatever the clock here says
        assert_eq!(of(Some(false), 1), "offen");
        assert_eq!(of(Some(true), i64::MAX), "abgelaufen");
        assert_eq!((of(None, 1), of(None, i64::MAX)), ("abgelaufen", "offen"));
    }
}
