//! Certificates of nodes that run: revoked partners, files that change, files that are wrong, and
//! what still works when everything has expired.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use registry_client::{Client, ClientConfig, ClientError, error::ConnectError};
use registry_node::{
    app::{App, Listeners},
    config::Config,
    lifecycle::Shutdown,
    pki::{Authority, Files, Issued, Pki, Request},
};
use registry_proto::{
    charter::Charter,
    log::VerbundId,
    terms::Land::{self, HE, RP, SL},
    wire::peer::peer_message::Message,
};
use registry_tests::{
    cluster::{Cluster, Who, binary, eventually},
    partner::Partner,
};
use time::OffsetDateTime;

/// SL's node, and CAs of SL and RP whose keys the test has.
struct World {
    cluster: Cluster,
    sl: Authority,
    rp: Authority,
    rp_node: Issued,
}

//     HE, RP - SL        both with a session; RP's certificate is revoked while they stand
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_partner_is_disconnected_and_the_others_are_not() {
    let now = OffsetDateTime::now_utc();
    let mut world = World::new();
    world.write_crl(&world.rp.crl(1, &[], now + WEEK).expect("list"));
    world.configure_crl(false);
    world.cluster.run(SL);
    world.answers().await;
    let mut rp = world.partner(RP).await;
    let mut he = world.partner(HE).await;
    speaks(&mut he).await;
    speaks(&mut rp).await;

    let list = world.rp.crl(2, &[&world.rp_node], now + WEEK).expect("list");
    world.write_crl(&list);
    let ended = rp.expect(|_| None::<()>).await;
    assert!(!matches!(ended, Ok(Some(()))), "RP's session has ended");
    let metric = "registry_tls_disconnects_total{listener=\"grpc\",cause=\"revoked\"}";
    let words = ["WARN", "connection ended", "rp-1.demo.example", "cause=\"revoked\""];
    world.cluster.saw(SL, metric, &words).await;
    beacon(&mut he).await;
    world.tells_rp_that_it_is_revoked().await;
}

//     the list becomes a page of HTML, and the node begins again in its process, as under a charter
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_begins_again_keeps_the_lists_that_it_used() {
    let world = World::new();
    let end = OffsetDateTime::now_utc() + WEEK;
    world.write_crl(&world.rp.crl(1, &[&world.rp_node], end).expect("list"));
    world.configure_crl(false);
    let config = Config::load(&world.cluster.prepared().config(SL)).expect("configuration");
    let listeners = Listeners::bind(&config.listen).await.expect("bound");
    let sockets = listeners.keep().expect("kept");
    let app = App::start(config.clone(), listeners, Shutdown::new()).await.expect("starts");
    world.tells_rp_that_it_is_revoked().await;

    world.write_crl("<html>Wartungsarbeiten</html>");
    let crls = app.crls();
    app.stop().await;
    let listeners = sockets.listeners().expect("listeners");
    let again = App::start_after(Some(crls.clone()), config, listeners, Shutdown::new());
    let again = again.await.expect("begins again");
    assert_eq!((again.crls(), crls.iter().count()), (crls.clone(), 1));
    world.tells_rp_that_it_is_revoked().await;
    let failed = "registry_tls_reload_failed{part=\"crls\"} 1";
    eventually(LIMIT, "the alarm is there", async || {
        world.cluster.metrics(SL).await.lines().any(|line| line == failed)
    })
    .await;
    again.stop().await;
}

//     the key of another certificate, then the right one: loaded on SIGHUP, and nobody is cut off
#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_used_and_a_wrong_one_is_not() {
    let mut world = World::new();
    world.cluster.run(SL);
    world.answers().await;
    let mut he = world.partner(HE).await;
    speaks(&mut he).await;

    let files = world.cluster.files(Who::Node(SL));
    let next = world.issue_sl(OffsetDateTime::now_utc() + WEEK);
    fs::write(&files.key, &next.key_pem).expect("written");
    world.cluster.hangup(SL);
    let failed = "registry_tls_reload_failed{part=\"certificate\"}";
    let words = ["ERROR", "cannot be loaded", "keys may not be consistent", "sl-1.key"];
    world.cluster.saw(SL, failed, &words).await;
    world.answers().await;

    // the other half comes; nobody has to ask for it
    fs::write(&files.certificate, &next.chain_pem).expect("written");
    eventually(LIMIT, "the new certificate is used", async || {
        let metrics = world.cluster.metrics(SL).await;
        metrics.contains("registry_tls_reload_failed{part=\"certificate\"} 0")
    })
    .await;
    world.answers().await;
    beacon(&mut he).await;
    let metrics = world.cluster.metrics(SL).await;
    assert!(!metrics.contains("registry_tls_disconnects_total{"), "{metrics}");
}

//     SL's certificate ended: it starts, says so, and takes a new one without a restart; what needs
//     no connection works meanwhile
#[tokio::test(flavor = "multi_thread")]
async fn an_expired_node_can_be_helped() {
    let mut world = World::linked(&[(SL, RP)]);
    let now = OffsetDateTime::now_utc();
    let expired = world.issue_sl(now - time::Duration::hours(1));
    world.put(&expired);
    let config = world.cluster.prepared().config(SL);
    let charter = world.cluster.prepared().charter();
    let (config, charter) = (config.to_str().expect("UTF-8"), charter.to_str().expect("UTF-8"));
    for (args, shown) in [
        (&["run", "--check", "--config", config][..], "in Ordnung"),
        (&["charter", "show", charter], "sl-1.demo.example"),
        (&["certificates", "--config", config], "dieser Knoten  abgelaufen"),
    ] {
        let done = Command::new(binary("registry-node")).args(args).output().expect("runs");
        let text = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success(), "{args:?}\n{}", String::from_utf8_lossy(&done.stderr));
        assert!(text.contains(shown), "{args:?}\n{text}");
        let warned = String::from_utf8_lossy(&done.stderr);
        let is_warned = warned.contains("Warnung: nicht mehr gültig: dieser Knoten  abgelaufen");
        assert_eq!(is_warned, args[0] == "run", "{args:?}\n{warned}");
    }

    // one that was issued for next week is none either
    let early = Request { not_before: now + WEEK, ..Request::node(Pki::node_name(SL), now) };
    world.put(&world.sl.issue(&early).expect("issued"));
    let check = ["run", "--check", "--config", config];
    let done = Command::new(binary("registry-node")).args(check).output().expect("runs");
    let warned = String::from_utf8_lossy(&done.stderr);
    assert!(warned.contains("Warnung: noch nicht gültig, erst ab "), "{warned}");
    assert!(warned.contains("dieser Knoten  gilt später"), "{warned}");
    world.tells_that_it_is_revoked();
    world.put(&expired);

    world.cluster.run(RP);
    world.cluster.run(SL);
    let monitoring = world.cluster.bound(SL).monitoring;
    eventually(LIMIT, "SL starts", async || {
        tokio::net::TcpStream::connect(monitoring).await.is_ok()
    })
    .await;
    // its partner says why it gets no session, and so does its own log
    eventually(LIMIT, &format!("SL is told\n{}", world.cluster.stderr(SL)), async || {
        world.cluster.stderr(SL).lines().any(|it| {
            it.contains("refuses the certificate of this node") && it.contains("CertificateExpired")
        })
    })
    .await;
    let words = ["ERROR", "has ended", "what=\"own\"", "sl-1.demo.example"];
    world.cluster.saw(SL, "registry_certificate_expiry_timestamp_seconds", &words).await;
    let refused = Client::connect(world.shown(Who::Reader)).await.map(|_| ()).expect_err("refused");
    assert!(matches!(refused, ClientError::Connect(_)), "{refused:?}");
    let metrics = world.cluster.metrics(SL).await;
    let left = "registry_certificate_expires_seconds{what=\"own\",name=\"sl-1.demo.example\"} -";
    assert!(metrics.contains(left), "{metrics}");

    world.put(&world.issue_sl(now + time::Duration::days(10)));
    world.answers().await;
    let shown = world.cluster.registry(SL, Who::Reader, &["status"]).output().expect("runs");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let row = shown.lines().find(|line| line.starts_with("dieser Knoten")).unwrap_or_default();
    let told = row.contains("sl-1.demo.example") && row.contains("weniger als 14 Tagen");
    assert!(told, "{shown}");
}

// === impl World ===

impl World {
    fn new() -> Self {
        Self::linked(&[])
    }

    /// The same with nodes that dial each other.
    fn linked(links: &[(Land, Land)]) -> Self {
        let now = OffsetDateTime::now_utc();
        let ca = |name: &str| Authority::root(name, now).expect("root").sub(name, now).expect("CA");
        let (sl, rp) = (ca("Neue CA von SL"), ca("Neue CA von RP"));
        let issue = |ca: &Authority, land| {
            ca.issue(&Request::node(Pki::node_name(land), now)).expect("issued")
        };
        let (sl_node, rp_node) = (issue(&sl, SL), issue(&rp, RP));
        let cluster = Cluster::prepare_with(&[SL, RP, HE], links, |pki| {
            for (land, ca, node) in [(SL, &sl, &sl_node), (RP, &rp, &rp_node)] {
                fs::write(pki.anchor(land), ca.pem()).expect("anchor");
                let Files { certificate, key } = pki.node(land);
                fs::write(certificate, &node.chain_pem).expect("certificate");
                fs::write(key, &node.key_pem).expect("key");
            }
            let bundle = fs::read_to_string(pki.bundle()).expect("bundle");
            fs::write(pki.bundle(), bundle + &sl.pem()).expect("bundle");
        });
        Self { cluster, sl, rp, rp_node }
    }

    fn issue_sl(&self, not_after: OffsetDateTime) -> Issued {
        let now = OffsetDateTime::now_utc();
        let not_before = now - time::Duration::days(30);
        let request = Request { not_before, not_after, ..Request::node(Pki::node_name(SL), now) };
        self.sl.issue(&request).expect("issued")
    }

    fn put(&self, issued: &Issued) {
        let Files { certificate, key } = self.cluster.files(Who::Node(SL));
        fs::write(certificate, &issued.chain_pem).expect("certificate");
        fs::write(key, &issued.key_pem).expect("key");
    }

    fn crl(&self) -> PathBuf {
        self.cluster.dir().join("crl.pem")
    }

    /// As it should be done: a new file takes the place of the old one.
    fn write_crl(&self, text: &str) {
        let new = self.cluster.dir().join("crl.new");
        fs::write(&new, text).expect("written");
        fs::rename(&new, self.crl()).expect("renamed");
    }

    fn configure_crl(&self, required: bool) {
        let path = self.cluster.prepared().config(SL);
        let mut table: toml::Table =
            fs::read_to_string(&path).expect("configuration").parse().expect("TOML");
        let tls = table.get_mut("tls").and_then(toml::Value::as_table_mut).expect("[tls]");
        let crl = self.crl().display().to_string();
        tls.insert("crls".to_owned(), toml::Value::Array(vec![crl.into()]));
        tls.insert("crl_required".to_owned(), required.into());
        fs::write(path, table.to_string()).expect("configuration");
    }

    /// From its files alone, and why it would not start where lists are required and none is one.
    fn tells_that_it_is_revoked(&self) {
        let next = OffsetDateTime::now_utc() + WEEK;
        let own = self.issue_sl(next);
        self.put(&own);
        let run = |args: &[&str]| {
            let config = self.cluster.prepared().config(SL);
            let command = Command::new(binary("registry-node")).args(args).arg(config).output();
            let done = command.expect("runs");
            let [out, err] =
                [done.stdout, done.stderr].map(|it| String::from_utf8(it).expect("UTF-8"));
            (done.status.code(), out, err)
        };
        self.write_crl("<html>Wartungsarbeiten</html>");
        self.configure_crl(true);
        let (code, _, told) = run(&["run", "--config"]);
        let named = told.contains("crl.pem: ") && told.contains("Nächster Schritt: die Listen");
        assert!(code == Some(1) && named, "{told}");
        self.configure_crl(false);
        self.write_crl(&self.sl.crl(1, &[&own], next).expect("list"));
        let (code, out, told) = run(&["run", "--check", "--config"]);
        assert!(
            code == Some(0) && told.contains("Warnung: gesperrt (auf einer Sper"),
            "{out}{told}"
        );
        let (_, out, told) = run(&["certificates", "--config"]);
        assert!(out.contains("dieser Knoten  gesperrt"), "{out}{told}");
    }

    async fn answers(&self) {
        eventually(LIMIT, &format!("SL answers\n{}", self.cluster.stderr(SL)), async || {
            self.cluster.status(SL).await.is_ok()
        })
        .await;
    }

    /// How to ask SL with this certificate.
    fn shown(&self, who: Who) -> ClientConfig {
        let Files { certificate, key } = self.cluster.files(who);
        let config = self.cluster.client_config(SL, Who::Reader);
        ClientConfig { cert: certificate, key, ..config }
    }

    async fn tells_rp_that_it_is_revoked(&self) {
        let refused = match Client::connect(self.shown(Who::Node(RP))).await {
            // in TLS 1.3 the node judges the certificate after the client is done
            Ok(client) => client.status().await.map(|_| ()).expect_err("refused"),
            Err(failure) => failure,
        };
        let revoked = rustls::AlertDescription::CertificateRevoked;
        let told = matches!(&refused, ClientError::Connect(ConnectError::Alert { alert, .. })
            if *alert == revoked);
        assert!(told, "{refused:?}");
    }

    async fn partner(&self, land: Land) -> Partner {
        let partner = Partner::dial(self.shown(Who::Node(land))).await;
        let mut partner = partner.expect("may open a session");
        partner.hello(self.verbund(), land).await;
        partner
    }

    fn verbund(&self) -> VerbundId {
        let raw = fs::read(self.cluster.prepared().charter()).expect("charter");
        Charter::parse(raw.into()).expect("charter").id()
    }
}

/// The session has begun.
async fn speaks(partner: &mut Partner) {
    assert_eq!(partner.expect(|_| Some(())).await.expect("the session stands"), Some(()));
}

/// The session stands: SL says so every five seconds.
async fn beacon(partner: &mut Partner) {
    let beacon = partner.expect(|it| matches!(it, Message::Beacon(_)).then_some(()));
    assert_eq!(beacon.await.expect("the session stands"), Some(()));
}

const WEEK: time::Duration = time::Duration::days(7);
const LIMIT: Duration = Duration::from_secs(60);
