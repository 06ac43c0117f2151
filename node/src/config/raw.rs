//! `node.toml` as it was written: types are checked, unknown keys are found, nothing is judged.
//!
//! Hand-written instead of derived, because a derived reader stops at the first problem.

use toml::{Table, Value};

use crate::config::{
    Problem, Problems,
    fit_connect::RawFitConnect,
    keys::{RawKeys, RawSecret},
};

/// The file. `None` also stands for what was there and is reported already.
#[derive(Debug, Default)]
pub(super) struct RawConfig {
    pub(super) land: Option<String>,
    pub(super) node: Option<String>,
    pub(super) data_dir: Option<String>,
    pub(super) charter: Option<String>,
    pub(super) keys: RawKeys,
    pub(super) listen: RawListen,
    pub(super) tls: RawTls,
    pub(super) peers: Vec<RawPeer>,
    pub(super) clients: Vec<RawClient>,
    pub(super) policy_file: Option<String>,
    pub(super) four_eyes: Option<bool>,
    pub(super) limits: RawLimits,
    pub(super) fence_policy: Option<String>,
    pub(super) fence_available_after: Option<String>,
    pub(super) fence_quiet: Option<String>,
    pub(super) mass_retirement_percent: Option<i64>,
    pub(super) log_format: Option<String>,
    pub(super) log_level: Option<String>,
    pub(super) audit_syslog: Option<String>,
    pub(super) artefacts: RawArtefacts,
    pub(super) shutdown_grace: Option<String>,
    pub(super) data_package: Option<String>,
    pub(super) data_keys: Vec<String>,
    pub(super) fit_connect: RawFitConnect,
}

/// `[artefacts]`
#[derive(Debug, Default)]
pub(super) struct RawArtefacts {
    pub(super) store: Option<String>,
    pub(super) fetch: Option<String>,
    pub(super) grace: Option<String>,
    pub(super) s3: Option<RawS3>,
}

/// `[artefacts.s3]`
#[derive(Debug, Default)]
pub(super) struct RawS3 {
    pub(super) endpoint: Option<String>,
    pub(super) region: Option<String>,
    pub(super) access_key_id: Option<String>,
    pub(super) secret_key: Option<String>,
    pub(super) ca: Option<String>,
}

/// `[listen]`
#[derive(Debug, Default)]
pub(super) struct RawListen {
    pub(super) grpc: Option<String>,
    pub(super) web: Option<String>,
    pub(super) admin: Option<String>,
    pub(super) monitoring: Option<String>,
    pub(super) http: Option<String>,
    pub(super) join: Option<String>,
}

/// `[tls]`
#[derive(Debug, Default)]
pub(super) struct RawTls {
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
    pub(super) client_anchors: Option<String>,
    pub(super) crls: Vec<String>,
    pub(super) crl_required: Option<bool>,
    pub(super) profile: Option<String>,
    pub(super) tls12: Option<bool>,
    pub(super) hybrid: Option<bool>,
}

/// One of `[[peers]]`.
#[derive(Debug, Default)]
pub(super) struct RawPeer {
    pub(super) land: Option<String>,
    pub(super) node: Option<String>,
    pub(super) address: Option<String>,
}

/// One of `[[clients]]`.
#[derive(Debug, Default)]
pub(super) struct RawClient {
    pub(super) role: Option<String>,
    pub(super) san: Option<String>,
    pub(super) spki: Option<String>,
}

/// `[limits]`
#[derive(Debug, Default)]
pub(super) struct RawLimits {
    pub(super) calls_per_second: Option<i64>,
    pub(super) burst: Option<i64>,
    pub(super) calls: Option<i64>,
    pub(super) streams: Option<i64>,
}

/// One table of the file; what is left at the end is unknown.
struct Section {
    /// Key of the table with a dot behind, empty at the top.
    prefix: String,
    table: Table,
}

// === impl RawConfig ===

impl RawConfig {
    pub(super) fn read(table: Table, problems: &mut Problems) -> Self {
        let mut top = Section { prefix: String::new(), table };
        let mut raw = Self {
            land: top.required(problems, "land"),
            node: top.required(problems, "node"),
            data_dir: top.required(problems, "data_dir"),
            charter: top.required(problems, "charter"),
            ..Self::default()
        };
        raw.keys = RawKeys::read(&mut top, problems);

        let mut listen = top.section(problems, "listen");
        raw.listen = RawListen {
            grpc: listen.required(problems, "grpc"),
            web: listen.text(problems, "web"),
            admin: listen.required(problems, "admin"),
            monitoring: listen.required(problems, "monitoring"),
            http: listen.text(problems, "http"),
            join: listen.text(problems, "join"),
        };
        listen.end(problems);

        let mut tls = top.section(problems, "tls");
        raw.tls = RawTls {
            certificate: tls.required(problems, "certificate"),
            key: tls.required(problems, "key"),
            client_anchors: tls.required(problems, "client_anchors"),
            crls: tls.texts(problems, "crls"),
            crl_required: tls.flag(problems, "crl_required"),
            profile: tls.text(problems, "profile"),
            tls12: tls.flag(problems, "tls12"),
            hybrid: tls.flag(problems, "hybrid"),
        };
        tls.end(problems);

        for mut peer in top.sections(problems, "peers") {
            raw.peers.push(RawPeer {
                land: peer.required(problems, "land"),
                node: peer.required(problems, "node"),
                address: peer.required(problems, "address"),
            });
            peer.end(problems);
        }
        for mut client in top.sections(problems, "clients") {
            raw.clients.push(RawClient {
                role: client.required(problems, "role"),
                san: client.text(problems, "san"),
                spki: client.text(problems, "spki"),
            });
            client.end(problems);
        }

        let mut policy = top.section(problems, "policy");
        raw.policy_file = policy.text(problems, "file");
        raw.four_eyes = policy.flag(problems, "vier_augen");
        policy.end(problems);
        let mut limits = top.section(problems, "limits");
        raw.limits = RawLimits {
            calls_per_second: limits.number(problems, "calls_per_second"),
            burst: limits.number(problems, "burst"),
            calls: limits.number(problems, "concurrent_calls"),
            streams: limits.number(problems, "concurrent_streams"),
        };
        limits.end(problems);

        raw.read_behaviour(&mut top, problems);
        top.end(problems);
        raw
    }

    /// The sections that say how the node behaves.
    fn read_behaviour(&mut self, top: &mut Section, problems: &mut Problems) {
        let raw = self;
        let mut fence = top.section(problems, "fence");
        raw.fence_policy = fence.text(problems, "policy");
        raw.fence_available_after = fence.text(problems, "available_after");
        raw.fence_quiet = fence.text(problems, "quiet");
        fence.end(problems);

        let mut guard = top.section(problems, "guard");
        raw.mass_retirement_percent = guard.number(problems, "mass_retirement_percent");
        guard.end(problems);

        let mut log = top.section(problems, "log");
        raw.log_format = log.text(problems, "format");
        raw.log_level = log.text(problems, "level");
        log.end(problems);

        let mut audit = top.section(problems, "audit");
        raw.audit_syslog = audit.text(problems, "syslog");
        audit.end(problems);

        let mut artefacts = top.section(problems, "artefacts");
        raw.artefacts = RawArtefacts::read(&mut artefacts, problems);
        artefacts.end(problems);
        let mut data = top.section(problems, "data");
        raw.data_package = data.text(problems, "package");
        raw.data_keys = data.texts(problems, "keys");
        data.end(problems);

        let mut fit_connect = top.section(problems, "fit_connect");
        raw.fit_connect.roots = fit_connect.texts(problems, "roots");
        raw.fit_connect.jwks = fit_connect.text(problems, "jwks");
        fit_connect.end(problems);

        let mut shutdown = top.section(problems, "shutdown");
        raw.shutdown_grace = shutdown.text(problems, "grace");
        shutdown.end(problems);
    }
}

// === impl RawKeys ===

impl RawKeys {
    fn read(top: &mut Section, problems: &mut Problems) -> Self {
        let mut keys = top.section(problems, "keys");
        let raw = Self {
            log: keys.required(problems, "log"),
            freshness: keys.required(problems, "freshness"),
            next_log: keys.text(problems, "next_log"),
            next_freshness: keys.text(problems, "next_freshness"),
            passphrase: keys.secret(problems, "passphrase"),
            pin: keys.secret(problems, "pin"),
        };
        keys.end(problems);
        raw
    }
}

// === impl RawArtefacts ===

impl RawArtefacts {
    fn read(section: &mut Section, problems: &mut Problems) -> Self {
        let s3 = section.table.contains_key("s3").then(|| {
            let mut s3 = section.section(problems, "s3");
            let raw = RawS3 {
                endpoint: s3.text(problems, "endpoint"),
                region: s3.text(problems, "region"),
                access_key_id: s3.text(problems, "access_key_id"),
                secret_key: s3.text(problems, "secret_key"),
                ca: s3.text(problems, "ca"),
            };
            s3.end(problems);
            raw
        });
        Self {
            store: section.text(problems, "store"),
            fetch: section.text(problems, "fetch"),
            grace: section.text(problems, "grace"),
            s3,
        }
    }
}

// === impl Section ===

impl Section {
    fn text(&mut self, problems: &mut Problems, key: &str) -> Option<String> {
        match self.table.remove(key)? {
            Value::String(text) => Some(text),
            other => {
                problems.add(self.key(key), &other, "erwartet einen Text in Anführungszeichen");
                None
            }
        }
    }

    /// The texts of a list; none if it is missing.
    fn texts(&mut self, problems: &mut Problems, key: &str) -> Vec<String> {
        let list = match self.table.remove(key) {
            None => return Vec::new(),
            Some(Value::Array(list)) => list,
            Some(other) => {
                problems.add(self.key(key), &other, "erwartet eine Liste von Texten");
                return Vec::new();
            }
        };
        let mut texts = Vec::with_capacity(list.len());
        for (at, value) in list.into_iter().enumerate() {
            match value {
                Value::String(text) => texts.push(text),
                other => {
                    let place = format!("{}[{at}]", self.key(key));
                    problems.add(place, &other, "erwartet einen Text in Anführungszeichen");
                }
            }
        }
        texts
    }

    fn required(&mut self, problems: &mut Problems, key: &str) -> Option<String> {
        if !self.table.contains_key(key) {
            problems.add(self.key(key), Problem::MISSING, "muss gesetzt sein");
        }
        self.text(problems, key)
    }

    /// Where a secret comes from, each way under a key of its own.
    fn secret(&mut self, problems: &mut Problems, key: &str) -> RawSecret {
        RawSecret {
            fd: self.number(problems, &format!("{key}_fd")),
            file: self.text(problems, &format!("{key}_file")),
            credential: self.text(problems, &format!("{key}_credential")),
        }
    }

    fn number(&mut self, problems: &mut Problems, key: &str) -> Option<i64> {
        match self.table.remove(key)? {
            Value::Integer(number) => Some(number),
            other => {
                problems.add(self.key(key), &other, "erwartet eine ganze Zahl");
                None
            }
        }
    }

    fn flag(&mut self, problems: &mut Problems, key: &str) -> Option<bool> {
        match self.table.remove(key)? {
            Value::Boolean(flag) => Some(flag),
            other => {
                problems.add(self.key(key), &other, "erwartet true oder false");
                None
            }
        }
    }

    /// A table below this one; an empty one if it is missing.
    fn section(&mut self, problems: &mut Problems, key: &str) -> Self {
        let table = match self.table.remove(key) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(other) => {
                problems.add(self.key(key), &other, format!("erwartet eine Tabelle [{key}]"));
                Table::new()
            }
        };
        Self { prefix: format!("{}.", self.key(key)), table }
    }

    /// The tables of a list, each with its place counted from 0.
    fn sections(&mut self, problems: &mut Problems, key: &str) -> Vec<Self> {
        let expected = format!("erwartet Tabellen [[{key}]]");
        let list = match self.table.remove(key) {
            None => return Vec::new(),
            Some(Value::Array(list)) => list,
            Some(other) => {
                problems.add(self.key(key), &other, expected);
                return Vec::new();
            }
        };
        let mut sections = Vec::with_capacity(list.len());
        for (at, value) in list.into_iter().enumerate() {
            let place = format!("{}[{at}]", self.key(key));
            match value {
                Value::Table(table) => {
                    sections.push(Self { prefix: format!("{place}."), table });
                }
                other => problems.add(place, &other, expected.as_str()),
            }
        }
        sections
    }

    fn end(self, problems: &mut Problems) {
        for (key, value) in &self.table {
            let value = match value {
                Value::Table(_) => "(Tabelle)".to_owned(),
                value => value.to_string(),
            };
            problems.add(self.key(key), value, "ist keine bekannte Angabe");
        }
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }
}
