//! From what was written to what can be used.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use registry_core::authorize::PeerIdentity;
use registry_proto::{
    charter::{Charter, Member, Standing},
    log::VerifierKey,
    terms::Land,
};
use rustls::pki_types::{CertificateDer, ServerName};

use crate::{
    config::{
        Config, Data, FencePolicy, Listen, Lists, Log, Problem, Problems, Tls, Unlock,
        charter::not_named,
        raw::{RawConfig, RawListen, RawTls},
        words,
    },
    observe::{Format, check_level},
    policy::Rules,
    serving::Patience,
    tls::{
        self, CrlError, Crls, Issuers, MaterialError, MemberTrust, Profile, read_certificates,
        read_private_key,
    },
};

/// Judges one file. Every method reports what is wrong and returns what is right.
pub(super) struct Check<'a> {
    base: &'a Path,
    pub(super) unlock: &'a Unlock,
    lists: Lists,
    problems: &'a mut Problems,
}

// === impl Check ===

impl<'a> Check<'a> {
    pub(super) fn new(base: &'a Path, unlock: &'a Unlock, problems: &'a mut Problems) -> Self {
        Self { base, unlock, lists: Lists::LeftOut, problems }
    }

    pub(super) fn with(self, lists: Lists) -> Self {
        Self { lists, ..self }
    }

    /// `None` only if a problem was reported.
    pub(super) fn config(&mut self, file: &Path, raw: RawConfig) -> Option<Config> {
        let land = self.land("land", raw.land.as_deref());
        let data_dir = self.data_dir(raw.data_dir.as_deref());
        let (charters, decisions) = self.charters(raw.charter.as_deref(), data_dir.as_deref());
        let charter = charters.last().cloned();
        let member = land.and_then(|land| self.member(land, charter.as_ref()));
        let node = self.own_node(raw.node, charter.as_ref(), member);
        let keys = self.keys(&raw.keys, member);
        let listen = self.listen(&raw.listen);
        let own = land
            .zip(node.as_deref())
            .map(|(land, node)| PeerIdentity { land, node: node.to_owned() });
        let rules = self.rules(&raw.clients, raw.policy_file.as_deref(), raw.four_eyes);
        let own_name = own.as_ref().filter(|own| knows(member, own));
        let tls = self.tls(raw.tls, rules, &charters, own_name);
        let peers = self.peers(raw.peers, &charters, own.as_ref());
        let fence = self.fence(raw.fence_policy.as_deref(), raw.fence_available_after.as_deref());
        let is_test = charter.as_ref().is_some_and(Charter::is_test);
        let fence_quiet = self.fence_quiet(raw.fence_quiet.as_deref(), is_test);
        let mass_retirement_percent = self.percent(raw.mass_retirement_percent);
        let limits = self.limits(&raw.limits);
        let log = self.log(raw.log_format.as_deref(), raw.log_level);
        let audit_syslog = raw.audit_syslog.as_deref().and_then(|text| {
            let target = text.parse();
            target.map_err(|_| self.wrong("audit.syslog", text, words::NO_SYSLOG)).ok()
        });
        let artefacts = self.artefacts(raw.artefacts, data_dir.as_ref());
        let data = self.data(raw.data_package.as_deref(), &raw.data_keys);
        let fit_connect = self.fit_connect(raw.fit_connect);
        let shutdown_grace = self.duration("shutdown.grace", raw.shutdown_grace.as_deref(), GRACE);
        let (keys, keys_held, signer) = keys?;
        Some(Config {
            file: file.to_owned(),
            file_sha256: [0; 32],
            land: land?,
            node: node?,
            data_dir: data_dir?,
            charter: charter?,
            charters,
            decisions,
            keys,
            keys_held,
            signer,
            listen: listen?,
            tls: tls?,
            peers,
            limits: limits?,
            fence: fence?,
            fence_quiet: fence_quiet?,
            mass_retirement_percent: mass_retirement_percent?,
            log: log?,
            audit_syslog,
            artefacts: artefacts?,
            data,
            fit_connect: fit_connect?,
            shutdown_grace: shutdown_grace?,
            patience: Patience::default(),
        })
    }

    pub(super) fn land(&mut self, key: &str, text: Option<&str>) -> Option<Land> {
        let text = text?;
        text.parse().map_err(|_| self.wrong(key, text, words::no_land())).ok()
    }

    pub(super) fn member<'c>(
        &mut self,
        land: Land,
        charter: Option<&'c Charter>,
    ) -> Option<&'c Member> {
        let charter = charter?;
        let member = charter.member(land);
        if member.is_none() {
            let members = join(charter.members().iter().map(|member| member.land));
            self.wrong(
                "land",
                land,
                format_args!(
                    "ist kein Mitglied der Charta; sie nennt {members}. Ist {land} später \
                     aufgenommen worden, gehört hierher die ganze Kette: bei einem Mitglied registry \
                     charter export DATEI aufrufen und diese Datei nehmen"
                ),
            );
        }
        member
    }

    fn own_node(
        &mut self,
        node: Option<String>,
        charter: Option<&Charter>,
        member: Option<&Member>,
    ) -> Option<String> {
        let node = node?;
        if let (Some(member), Some(charter)) = (member, charter)
            && matches!(member.standing, Standing::Removed(_))
        {
            self.wrong("node", &node, not_named(charter, member.land));
        } else if let (Some(member), Some(charter)) = (member, charter)
            && !member.nodes.iter().any(|known| known.name == node)
        {
            self.wrong("node", &node, not_named(charter, member.land));
        }
        Some(node)
    }

    pub(super) fn data_dir(&mut self, path: Option<&str>) -> Option<PathBuf> {
        let path = path?;
        let full = self.path(path);
        if full.exists() && !full.is_dir() {
            self.wrong("data_dir", path, "ist kein Verzeichnis");
        }
        Some(full)
    }

    fn listen(&mut self, raw: &RawListen) -> Option<Listen> {
        let grpc = self.address("listen.grpc", raw.grpc.as_deref());
        let web = self.address("listen.web", raw.web.as_deref());
        let admin = self.address("listen.admin", raw.admin.as_deref());
        let monitoring = self.address("listen.monitoring", raw.monitoring.as_deref());
        let http = self.address("listen.http", raw.http.as_deref());
        let join = self.address("listen.join", raw.join.as_deref());
        if let Some(open) = http.filter(|address| !address.ip().is_loopback()) {
            let reason = "HTTP ohne TLS nur für Loopback; für andere Adressen gibt es listen.web";
            self.wrong("listen.http", open, reason);
        }
        let all = [
            ("listen.grpc", grpc),
            ("listen.web", web),
            ("listen.admin", admin),
            ("listen.monitoring", monitoring),
            ("listen.http", http),
            ("listen.join", join),
        ];
        for (at, &(key, address)) in all.iter().enumerate() {
            let Some(address) = address else { continue };
            let earlier = all[..at]
                .iter()
                .find(|(_, other)| other.is_some_and(|other| collide(other, address)));
            if let Some((other, _)) = earlier {
                self.wrong(key, address, format_args!("ist schon die Adresse von {other}"));
            }
        }
        Some(Listen { grpc: grpc?, web, admin: admin?, monitoring: monitoring?, http, join })
    }

    fn address(&mut self, key: &str, text: Option<&str>) -> Option<SocketAddr> {
        let text = text?;
        text.parse()
            .map_err(|_| self.wrong(key, text, "erwartet Adresse und Port wie 127.0.0.1:7443"))
            .ok()
    }

    fn tls(
        &mut self,
        raw: RawTls,
        rules: Rules,
        charters: &[Charter],
        own: Option<&PeerIdentity>,
    ) -> Option<Tls> {
        if let Some(profile) = raw.profile.as_deref().filter(|name| *name != Profile::NAME) {
            self.wrong("tls.profile", profile, "das einzige Profil ist bsi");
        }
        let default = Profile::BSI;
        let profile = Profile {
            tls12: raw.tls12.unwrap_or(default.tls12),
            hybrid: raw.hybrid.unwrap_or(default.hybrid),
        };
        let own_chain = self.certificates("tls.certificate", raw.certificate.as_deref());
        let anchors = self.certificates("tls.client_anchors", raw.client_anchors.as_deref());
        if let (Some(anchors), Some(path)) = (&anchors, &raw.client_anchors) {
            if let Err(error) = tls::check_anchors(anchors) {
                self.wrong("tls.client_anchors", path, words::unsound_anchor(&error));
            } else if let Err(error) = tls::check_strong_anchors(anchors) {
                self.wrong("tls.client_anchors", path, words::weak(&error));
            }
        }
        let key = raw.key.as_deref().and_then(|path| {
            let read = read_private_key(&self.path(path));
            read.map_err(|error| self.wrong("tls.key", path, words::material(&error))).ok()
        });
        if let (Some(own_chain), Some(key), Some(path)) = (&own_chain, key, &raw.key)
            && let Err(error) = tls::check_pair(profile, own_chain.clone(), key.clone_key())
        {
            self.wrong("tls.key", path, words::pair(&error));
        }
        if let (Some(own_chain), Some(path)) = (&own_chain, &raw.certificate)
            && let Err(error) = tls::check_strong(own_chain)
        {
            self.wrong("tls.certificate", path, words::weak(&error));
        }
        let members = MemberTrust::of_all(charters);
        let (anchors, chain) = (anchors.unwrap_or_default(), own_chain.as_deref());
        let issuers = Issuers::of(&members, &anchors, chain.unwrap_or_default());
        self.crls(&raw.crls, raw.crl_required, &issuers);
        if let (Some(own_chain), Some(charter), Some(own)) = (&own_chain, charters.last(), own)
            && let Err(error) = tls::check_own_name(profile, own_chain, members_of(charter), own)
        {
            let path = raw.certificate.as_deref().unwrap_or_default();
            self.wrong("tls.certificate", path, words::not_for_node(&error));
        }
        Some(Tls {
            certificate: self.path(raw.certificate.as_deref()?),
            key: self.path(raw.key.as_deref()?),
            client_anchors: self.path(raw.client_anchors.as_deref()?),
            crls: raw.crls.iter().map(|path| self.path(path)).collect(),
            crl_required: raw.crl_required.unwrap_or(false),
            profile,
            rules,
        })
    }

    pub(super) fn certificates(
        &mut self,
        key: &str,
        path: Option<&str>,
    ) -> Option<Vec<CertificateDer<'static>>> {
        let path = path?;
        let read = read_certificates(&self.path(path));
        read.map_err(|error| self.wrong(key, path, words::material(&error))).ok()
    }

    /// The lists that a start would take, and why it leaves others out.
    pub(super) fn crls(
        &mut self,
        paths: &[String],
        required: Option<bool>,
        issuers: &Issuers<'_>,
    ) -> (Crls, Vec<String>) {
        let mut left_out = Vec::new();
        let mut all = Crls::none(required.unwrap_or(false));
        if all.is_missing() && paths.is_empty() {
            self.wrong("tls.crl_required", true, "braucht Listen in tls.crls");
            return (all, left_out);
        }
        let judged = self.lists == Lists::Judged;
        let files: Vec<_> = paths.iter().map(|path| self.path(path)).collect();
        let read = files.iter().map(|path| (path.clone(), tls::read_crls(path))).collect();
        let (taken, refused) = all.renewed(read, issuers);
        all = taken;
        for error in refused {
            let reason = words::material(&error);
            // a file that is not there is a wrong path
            if !judged && !matches!(error, MaterialError::Read { .. }) {
                left_out.push(reason);
                continue;
            }
            let at = files.iter().position(|it| error.path() == Some(it.as_path()));
            let (key, value) = match at.and_then(|at| paths.get(at).map(|path| (at, path))) {
                Some((at, path)) => (format!("tls.crls[{at}]"), path.clone()),
                None => ("tls.crls".to_owned(), paths.join(", ")),
            };
            self.wrong(&key, value, reason);
        }
        if judged && all.is_missing() {
            self.wrong("tls.crls", paths.join(", "), words::crl(&CrlError::None));
        }
        (all, left_out)
    }

    fn fence(&mut self, policy: Option<&str>, after: Option<&str>) -> Option<FencePolicy> {
        let after = self.duration("fence.available_after", after, AVAILABLE_AFTER);
        match policy {
            None | Some("strict") => Some(FencePolicy::Strict),
            Some("available") => Some(FencePolicy::Available { after: after? }),
            Some(other) => {
                self.wrong("fence.policy", other, "erwartet strict oder available");
                None
            }
        }
    }

    fn percent(&mut self, number: Option<i64>) -> Option<u32> {
        let number = number.unwrap_or(MASS_RETIREMENT_PERCENT);
        let percent = u32::try_from(number).ok().filter(|it| (1..=100).contains(it));
        if percent.is_none() {
            let reason = "erwartet 1 bis 100; 100 hält nichts zurück";
            self.wrong("guard.mass_retirement_percent", number, reason);
        }
        percent
    }

    fn log(&mut self, format: Option<&str>, level: Option<String>) -> Option<Log> {
        let format = match format {
            None | Some("human") => Some(Format::Human),
            Some("json") => Some(Format::Json),
            Some(other) => {
                self.wrong("log.format", other, "erwartet human oder json");
                None
            }
        };
        let level = level.unwrap_or_else(|| LEVEL.to_owned());
        if check_level(&level).is_err() {
            self.wrong("log.level", &level, words::NO_LEVEL);
        }
        Some(Log { format: format?, level })
    }

    pub(super) fn data(&mut self, package: Option<&str>, texts: &[String]) -> Option<Data> {
        let Some(package) = package else {
            if !texts.is_empty() {
                self.wrong("data.package", Problem::MISSING, "data.keys braucht ein Paket");
            }
            return None;
        };
        if texts.is_empty() {
            let reason =
                "muss die Schlüssel nennen, die Pakete signieren, wie \"name+01234567+A...\"";
            self.wrong("data.keys", Problem::MISSING, reason);
        }
        if texts.len() > DATA_KEYS_MAX {
            let reason = format!("hat mehr als {DATA_KEYS_MAX} Schlüssel");
            self.wrong("data.keys", texts.len(), reason);
        }
        let full = self.path(package);
        if full.exists() && !full.is_dir() {
            self.wrong("data.package", package, "ist kein Verzeichnis");
        }
        let mut keys: Vec<VerifierKey> = Vec::new();
        for (at, text) in texts.iter().take(DATA_KEYS_MAX).enumerate() {
            match text.parse() {
                Ok(key) => keys.push(key),
                Err(error) => {
                    self.wrong(&format!("data.keys[{at}]"), text, words::verifier_key(&error));
                }
            }
        }
        Some(Data { package: full, keys })
    }

    /// A copy signs its time about once a minute; whoever waits for less goes on beside it. In a
    /// Verbund for testing that may be wanted.
    fn fence_quiet(&mut self, text: Option<&str>, is_test: bool) -> Option<Duration> {
        let quiet = self.duration("fence.quiet", text, FENCE_QUIET)?;
        if quiet < FENCE_QUIET && !is_test {
            self.wrong(
                "fence.quiet",
                text.unwrap_or_default(),
                format_args!("übersieht Kopien; mindestens {}s", FENCE_QUIET.as_secs()),
            );
            return None;
        }
        Some(quiet)
    }

    pub(super) fn duration(
        &mut self,
        key: &str,
        text: Option<&str>,
        default: Duration,
    ) -> Option<Duration> {
        let Some(text) = text else { return Some(default) };
        let duration = parse_duration(text);
        if duration.is_none() {
            self.wrong(key, text, "erwartet eine ganze Zahl mit ms, s, m oder h, wie 10m");
        }
        duration
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.base.join(path)
    }

    pub(super) fn wrong(&mut self, key: &str, value: impl fmt::Display, reason: impl fmt::Display) {
        self.problems.add(key, value, reason.to_string());
    }
}

fn knows(member: Option<&Member>, own: &PeerIdentity) -> bool {
    member.is_some_and(|member| member.nodes.iter().any(|node| node.name == own.node))
}

/// Whether two sockets cannot both be bound; port 0 is a new port each time.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && (any || one.ip() == other.ip())
}

pub(crate) fn is_host_and_port(text: &str) -> bool {
    if text.parse::<SocketAddr>().is_ok() {
        return true;
    }
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    is_dns_name(host) && port.parse::<u16>().is_ok()
}

pub(crate) fn is_dns_name(text: &str) -> bool {
    matches!(ServerName::try_from(text), Ok(ServerName::DnsName(_)))
}

fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        "h" => Some(Duration::from_secs(number.checked_mul(3_600)?)),
        _ => None,
    }
}

fn join(items: impl Iterator<Item = impl fmt::Display>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

const GRACE: Duration = Duration::from_secs(5);
/// Share of the versions of a Land that it may retire at once.
const MASS_RETIREMENT_PERCENT: i64 = 20;
const AVAILABLE_AFTER: Duration = Duration::from_secs(600);
const FENCE_QUIET: Duration = Duration::from_millis(registry_core::limits::FENCE_QUIET_MS);
/// Keys that may sign data packages.
const DATA_KEYS_MAX: usize = 16;
const LEVEL: &str = "info";

/// Members, also one that prepares for the time after its suspension.
fn members_of(charter: &Charter) -> Vec<MemberTrust> {
    MemberTrust::of_all(std::slice::from_ref(charter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(parse_duration("10m"), Some(Duration::from_secs(600)));
        assert_eq!(parse_duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse_duration("1h"), Some(Duration::from_secs(3_600)));
        for bad in ["", "10", "m", "-1s", "1.5s", "99999999999999999999s", "18446744073709551615h"]
        {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn addresses_have_a_host_and_a_port() {
        for good in ["rp-1.example:7443", "127.0.0.1:7443", "[::1]:7443", "localhost:1"] {
            assert!(is_host_and_port(good), "{good}");
        }
        for bad in ["rp-1.example", "rp-1.example:", ":7443", "a b:1", "rp:70000", "http://a:1"] {
            assert!(!is_host_and_port(bad), "{bad}");
        }
    }

    #[test]
    fn a_wildcard_address_collides_with_every_address_of_its_port() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert!(collide(at("0.0.0.0:7443"), at("127.0.0.1:7443")));
        assert!(!collide(at("127.0.0.2:7443"), at("127.0.0.1:7443")));
        assert!(!collide(at("127.0.0.1:0"), at("127.0.0.1:0")));
    }
}
