//! The directory of the demo: PKI, charter, and one directory per Land as an operator has it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use registry_proto::terms::Land;
use time::OffsetDateTime;

use crate::{
    app::Bound,
    cli::{
        charter::{self, CharterCommandError, MemberCard},
        init::{self, InitError},
    },
    config::Listen,
    demo::DemoNode,
    pki::{Pki, PkiError},
};

/// Why the directory cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The PKI cannot be made or used.
    #[error("PKI")]
    Pki(#[from] PkiError),
    /// A key cannot be made or read.
    #[error("Schlüssel")]
    Key(#[from] InitError),
    /// The charter cannot be made.
    #[error("Charta")]
    Charter(#[from] CharterCommandError),
    /// A file cannot be written.
    #[error("{}: kann nicht geschrieben werden", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A prepared directory.
#[derive(Debug)]
pub struct Prepared {
    dir: PathBuf,
    /// Its throw-away PKI.
    pub pki: Pki,
    laender: Vec<Land>,
    verbund: String,
}

/// Makes what is missing in `dir` for a Verbund of these Länder, each with one node at these
/// addresses, and writes the configurations: everyone dials everyone.
///
/// # Errors
///
/// See [`PrepareError`].
pub fn prepare(
    dir: &Path,
    name: &str,
    members: &[(Land, Bound)],
) -> Result<Prepared, PrepareError> {
    fs::create_dir_all(dir).map_err(|source| file_error(dir, source))?;
    let dir = dir.canonicalize().map_err(|source| file_error(dir, source))?;
    let laender: Vec<Land> = members.iter().map(|(land, _)| *land).collect();
    let pki = Pki::ensure(&dir, &laender, OffsetDateTime::now_utc())?;
    let mut cards = Vec::new();
    for land in laender.iter().copied() {
        let home = home(&dir, land);
        fs::create_dir_all(&home).map_err(|source| file_error(&home, source))?;
        let card = card(&home, land, &pki)?;
        cards.push(charter::member(&card, &home)?);
    }
    let charter = charter::assemble(name, true, None, cards)?;
    let path = dir.join("charter.binpb");
    // same keys and anchors, same bytes: the verbund id survives a second start
    fs::write(&path, charter.raw()).map_err(|source| file_error(&path, source))?;
    let prepared = Prepared { dir, pki, laender, verbund: charter.id().to_string() };
    for (land, own) in members {
        let path = prepared.config(*land);
        let paths = Paths { pki: &prepared.pki, charter: "../charter.binpb" };
        let text = toml(&paths, *land, own, members);
        fs::write(&path, text).map_err(|source| file_error(&path, source))?;
    }
    Ok(prepared)
}

/// The card of a Land with one node; its keys are made in `home` where they are missing.
pub(super) fn card(home: &Path, land: Land, pki: &Pki) -> Result<MemberCard, PrepareError> {
    let ensure = |name| init::ensure_key(&home.join(name)).map(|key| key.verifying_key());
    let [log, freshness, offline] = init::KEY_FILES.map(ensure);
    let (log, freshness, offline) = (log?, freshness?, offline?);
    let anchor = pki.anchor(land);
    let anchor = fs::read_to_string(&anchor).map_err(|source| file_error(&anchor, source))?;
    Ok(init::card(land, &Pki::node_name(land), [&log, &freshness, &offline], vec![anchor]))
}

/// What will be bound, before it is.
pub(super) fn as_bound(listen: &Listen) -> Bound {
    Bound {
        grpc: listen.grpc,
        web: listen.web,
        admin: listen.admin,
        monitoring: listen.monitoring,
        http: listen.http,
        join: listen.join,
    }
}

// === impl Prepared ===

impl Prepared {
    /// Configuration of a Land.
    pub fn config(&self, land: Land) -> PathBuf {
        home(&self.dir, land).join("node.toml")
    }

    /// The charter.
    pub fn charter(&self) -> PathBuf {
        self.dir.join("charter.binpb")
    }

    /// Directory of everything.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// What was set up, for people.
    pub(super) fn describe(&self, nodes: &[DemoNode]) -> String {
        let mut text = format!(
            "Testverbund {}\nVerzeichnis {}\n\n{:<5} {:<17} {:<22} {:<22} {}",
            self.verbund,
            self.dir.display(),
            "Land",
            "Name",
            "gRPC (mTLS)",
            "Web (mTLS)",
            "HTTP (nur lokal)"
        );
        for node in nodes {
            let (land, bound) = (node.land(), node.bound());
            let or_none = |it: Option<std::net::SocketAddr>| {
                it.map_or_else(|| "–".to_owned(), |it| it.to_string())
            };
            text.push_str(&format!(
                "\n{:<5} {:<17} {:<22} {:<22} {}",
                land,
                land.name(),
                bound.grpc,
                or_none(bound.web),
                or_none(bound.http),
            ));
        }
        text
    }

    /// How to ask the nodes.
    pub(super) fn how_to_ask(&self, nodes: &[DemoNode]) -> String {
        let Some(first) = nodes.first() else { return String::new() };
        let pki = self.dir.join("pki");
        let pki = pki.display();
        let mut text = format!(
            "\nAbfragen:\n  export REGISTRY_ENDPOINT=https://{} REGISTRY_CA={pki}/ca.pem \
             REGISTRY_CERT={pki}/reader.pem REGISTRY_KEY={pki}/reader.key\n  \
             registry service list --land SL\n  registry search gewerbe karte\n  \
             registry watch\nVeröffentlichen:\n  registry example service > dienst.yaml\n  \
             registry --cert {pki}/publisher-sl.pem --key {pki}/publisher-sl.key publish -f \
             dienst.yaml\nCharta (für `registry proof`): {}\n",
            first.bound().grpc.to_string().replace("127.0.0.1", "localhost"),
            self.charter().display(),
        );
        if let Some(http) = first.bound().http {
            text.push_str(&format!(
                "Ohne TLS: http://{http}/ im Browser, curl http://{http}/api/v1/status\n"
            ));
        }
        text
    }

    /// How to run the four nodes as processes of their own.
    pub(super) fn how_to_run(&self) -> String {
        let mut text = format!(
            "Testverbund {}\nVorbereitet in {}. Je Land ein Prozess:",
            self.verbund,
            self.dir.display()
        );
        for land in self.laender.iter().copied() {
            text.push_str(&format!(
                "\n  registry-node run --config {}",
                self.config(land).display()
            ));
        }
        text
    }
}

/// What a configuration names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paths<'a> {
    pub(super) pki: &'a Pki,
    pub(super) charter: &'a str,
}

pub(super) fn toml(paths: &Paths<'_>, land: Land, own: &Bound, all: &[(Land, Bound)]) -> String {
    let files = paths.pki.node(land);
    let mut text = format!(
        "# Von `registry-node demo` bei jedem Start neu geschrieben.\n\
         land = \"{land}\"\nnode = \"{}\"\ndata_dir = \"data\"\n\
         charter = {:?}\n\n\
         [keys]\nlog = \"log.key\"\nfreshness = \"freshness.key\"\n\n\
         [listen]\ngrpc = \"{}\"\nadmin = \"{}\"\nmonitoring = \"{}\"\n",
        Pki::node_name(land),
        paths.charter,
        own.grpc,
        own.admin,
        own.monitoring,
    );
    for (key, address) in [("web", own.web), ("http", own.http), ("join", own.join)] {
        if let Some(address) = address {
            text.push_str(&format!("{key} = \"{address}\"\n"));
        }
    }
    text.push_str(&format!(
        "\n[tls]\ncertificate = {:?}\nkey = {:?}\nclient_anchors = {:?}\n",
        files.certificate,
        files.key,
        paths.pki.client_anchors(land),
    ));
    for (peer, bound) in all.iter().filter(|(peer, _)| *peer != land) {
        text.push_str(&format!(
            "\n[[peers]]\nland = \"{peer}\"\nnode = \"{}\"\naddress = \"{}\"\n",
            Pki::node_name(*peer),
            bound.grpc,
        ));
    }
    for (role, san) in [
        ("publisher", Pki::publisher_name(land)),
        ("operator", Pki::operator_name(land)),
        ("reader", "*".to_owned()),
    ] {
        text.push_str(&format!("\n[[clients]]\nrole = \"{role}\"\nsan = \"{san}\"\n"));
    }
    text
}

pub(super) fn home(dir: &Path, land: Land) -> PathBuf {
    dir.join(land.code().to_lowercase())
}

pub(super) fn file_error(path: &Path, source: io::Error) -> PrepareError {
    PrepareError::File { path: path.to_owned(), source }
}
