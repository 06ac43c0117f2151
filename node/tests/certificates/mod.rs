//! Certificates over time: files that change, and connections whose certificate ends or is revoked.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use registry_core::authorize::Role;
use registry_node::{
    audit::Audit,
    certificates::{CertificateBoard, Digests, Keeper, Level, Part, Setup, What},
    config::Tls,
    lifecycle::Shutdown,
    observe::Metrics,
    pki::{Issued, Request},
    policy::Rules,
    tls::{
        AcceptLimits, ConnectError, Crls, Listener, Material, MaterialError, MemberTrust, Profile,
        TlsContext,
    },
};
use registry_proto::terms::Land;
use rustls::{
    AlertDescription,
    pki_types::{CertificateDer, UnixTime, pem::PemObject},
};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use crate::{
    peer,
    support::{self, Client, Pki, Server, eventually, ping},
};

/// The node sl-1 with its files on disk.
struct Node {
    pki: Pki,
    context: Arc<TlsContext>,
    keeper: Keeper,
    board: CertificateBoard,
    metrics: Arc<Metrics>,
    files: Tls,
    dir: tempfile::TempDir,
}

// === revoked, expired, no longer trusted ===

#[tokio::test]
async fn a_client_that_is_revoked_is_disconnected_and_the_others_are_not() {
    let mut node = Node::new(Pki::new(), false);
    let server = Server::start(&node.context, AcceptLimits::default()).await;
    let bad = node.pki.issue_publisher();
    let revoked = node.pki.sl_ca.crl(2, &[&bad], in_a_week()).unwrap();
    let chain: Vec<CertificateDer<'_>> =
        CertificateDer::pem_slice_iter(bad.chain_pem.as_bytes()).map(Result::unwrap).collect();
    assert!(node.context.recognise(&chain, UnixTime::now()).is_ok());
    let bad = Client::with(&node.pki, bad);
    let good = Client::with(&node.pki, node.pki.issue_publisher());
    let mut bad_stream = bad.connect(server.address).await.unwrap();
    let mut good_stream = good.connect(server.address).await.unwrap();
    ping(&mut bad_stream).await.unwrap();
    ping(&mut good_stream).await.unwrap();

    fs::write(&node.files.crls[0], revoked).unwrap();
    node.look();
    assert!(ping(&mut bad_stream).await.is_err(), "disconnected");
    ping(&mut good_stream).await.unwrap();
    node.counts(r#"registry_tls_disconnects_total{listener="grpc",cause="revoked"} 1"#);
    // what it submitted before does not count for it any more either
    let refused = node.context.recognise(&chain, UnixTime::now()).unwrap_err();
    assert_eq!(refused, rustls::Error::InvalidCertificate(rustls::CertificateError::Revoked));
    let (remote, alert) = bad.refused(server.address).await;
    assert_eq!(alert, AlertDescription::CertificateRevoked);
    server.assert_refused(remote, "revoked").await;
    good.connect(server.address).await.unwrap();
}

#[tokio::test]
async fn a_browser_that_is_revoked_loses_a_connection_that_is_idle() {
    use axum::routing::get;
    use tokio::io::AsyncReadExt;

    let mut node = Node::new(Pki::new(), false);
    let shutdown = Shutdown::new();
    let (incoming, address) =
        support::incoming(&node.context, Listener::Web, &node.metrics, &shutdown).await;
    let router = axum::Router::new().route("/", get(|| async { "answer" }));
    let (patience, metrics) = (Default::default(), Arc::clone(&node.metrics));
    registry_node::web::serve_web(incoming, router, patience, metrics, &shutdown);
    let (bad, good) = (node.pki.issue_publisher(), node.pki.issue_publisher());
    let revoked = node.pki.sl_ca.crl(2, &[&bad], in_a_week()).unwrap();
    let mut streams = Vec::new();
    for issued in [bad, good] {
        let mut client = Client::with(&node.pki, issued);
        client.alpn(b"http/1.1");
        let mut stream = client.connect(address).await.unwrap();
        assert!(ask(&mut stream).await.ends_with("answer"));
        streams.push(stream);
    }

    fs::write(&node.files.crls[0], revoked).unwrap();
    node.look();
    // nothing is asked: the node ends it by itself
    assert_eq!(streams[0].read(&mut [0; 64]).await.unwrap_or(0), 0);
    assert!(ask(&mut streams[1]).await.ends_with("answer"));
    node.counts(r#"registry_tls_disconnects_total{listener="web",cause="revoked"} 1"#);
}

#[tokio::test]
async fn a_client_whose_certificate_ends_is_disconnected() {
    let mut node = Node::new(Pki::new(), false);
    let server = Server::start(&node.context, AcceptLimits::default()).await;
    let now = OffsetDateTime::now_utc();
    let request = Request {
        not_after: now + Duration::seconds(2),
        ..node.pki.client_request("publisher-sl")
    };
    let short = Client::with(&node.pki, node.pki.sl_ca.issue(&request).unwrap());
    let long = Client::with(&node.pki, node.pki.issue_publisher());
    let mut short = short.connect(server.address).await.unwrap();
    let mut long = long.connect(server.address).await.unwrap();
    ping(&mut short).await.unwrap();
    let gone = r#"registry_tls_disconnects_total{listener="grpc",cause="expired"} 1"#;
    let (keeper, metrics) = (std::sync::Mutex::new(&mut node.keeper), &node.metrics);
    eventually("the end of the certificate is seen", || {
        keeper.lock().unwrap().look(false);
        metrics.encode().lines().any(|line| line == gone)
    })
    .await;
    assert!(ping(&mut short).await.is_err());
    ping(&mut long).await.unwrap();
}

#[tokio::test]
async fn a_client_whose_anchor_was_taken_away_is_disconnected() {
    let mut node = Node::new(Pki::new(), false);
    let server = Server::start(&node.context, AcceptLimits::default()).await;
    let reader = node.pki.stranger_ca.issue(&node.pki.client_request("reader")).unwrap();
    let both = node.pki.sl_ca.pem() + &node.pki.stranger_ca.pem();
    fs::write(&node.files.client_anchors, both).unwrap();
    node.look();
    let client = Client::with(&node.pki, reader);
    let mut stream = client.connect(server.address).await.unwrap();
    ping(&mut stream).await.unwrap();
    node.look();
    ping(&mut stream).await.unwrap();

    fs::write(&node.files.client_anchors, node.pki.sl_ca.pem()).unwrap();
    node.look();
    assert!(ping(&mut stream).await.is_err());
    node.counts(r#"registry_tls_disconnects_total{listener="grpc",cause="not_trusted"} 1"#);
}

#[tokio::test]
async fn a_partner_that_was_dialled_is_left_when_it_is_revoked() {
    let pki = Pki::new();
    let issued = pki.sl_ca.issue(&pki.node_request("sl-1")).unwrap();
    let revoked = pki.sl_ca.crl(2, &[&issued], in_a_week()).unwrap();
    let server = Arc::new(TlsContext::new(Profile::BSI, pki.material(issued)).unwrap());
    let server = Server::start(&server, AcceptLimits::default()).await;
    // the node that dials has the files
    let mut node = Node::new(pki, false);
    let connector =
        registry_node::tls::PeerConnector::new(node.context.clone(), peer(Land::SL, "sl-1"));
    let mut stream = connector.connect("127.0.0.1", server.address.port()).await.unwrap();
    ping(&mut stream).await.unwrap();
    fs::write(&node.files.crls[0], revoked).unwrap();
    node.look();
    assert!(ping(&mut stream).await.is_err());
    node.counts(r#"registry_tls_disconnects_total{listener="dialled",cause="revoked"} 1"#);
    let again = connector.connect("127.0.0.1", server.address.port()).await.unwrap_err();
    assert!(matches!(again, ConnectError::Revoked { .. }), "{again}");
}

#[tokio::test]
async fn a_pin_does_not_outweigh_a_revocation() {
    let mut pki = Pki::new();
    let rp = pki.rp_ca.issue(&pki.node_request("rp-1")).unwrap();
    let revoked = pki.rp_ca.crl(1, &[&rp], in_a_week()).unwrap();
    pki.pin_rp(&rp);
    let mut node = Node::new(pki, false);
    let mut server = Server::start(&node.context, AcceptLimits::default()).await;
    let client = Client::with(&node.pki, rp);
    let mut stream = client.connect(server.address).await.unwrap();
    ping(&mut stream).await.unwrap();
    assert!(server.next_caller().await.identity.principal.peer.is_some());
    append(&node.files.crls[0], &revoked);
    node.look();
    assert!(ping(&mut stream).await.is_err());
}

// === overlapping ===

#[tokio::test]
async fn old_and_new_pins_and_anchors_count_side_by_side() {
    let mut pki = Pki::new();
    let now = OffsetDateTime::now_utc();
    // of one name: the CA changed its key
    let new_ca = registry_node::pki::Authority::root("RP CA", now).unwrap();
    let own = || pki.node_request("rp-1").self_signed().unwrap();
    let (old_pin, new_pin) = (own(), own());
    let by_old = pki.rp_ca.issue(&pki.node_request("rp-1")).unwrap();
    let by_new = new_ca.issue(&pki.node_request("rp-1")).unwrap();
    let lists =
        pki.rp_ca.crl(7, &[], in_a_week()).unwrap() + &new_ca.crl(1, &[], in_a_week()).unwrap();
    let both = pki.rp_ca.issue(&pki.node_request("rp-1")).unwrap();
    for pinned in [&old_pin, &new_pin, &both] {
        pki.pin_rp(pinned);
    }
    let mut node = Node::new(pki, false);
    append(&node.files.crls[0], &lists);
    node.look();
    node.context.change(|it| it.members[0].anchors.push(new_ca.der())).unwrap();
    let mut server = Server::start(&node.context, AcceptLimits::default()).await;
    for issued in [old_pin, new_pin, by_old, by_new, both] {
        let mut stream = Client::with(&node.pki, issued).connect(server.address).await.unwrap();
        ping(&mut stream).await.unwrap();
        let caller = server.next_caller().await;
        assert_eq!(caller.identity.principal.peer, Some(peer(Land::RP, "rp-1")));
        assert_eq!(caller.identity.principal.roles(), [Role::Peer]);
    }
}

#[tokio::test]
async fn a_list_of_the_new_key_of_a_ca_revokes_what_that_key_signed() {
    let pki = Pki::new();
    let new_ca = registry_node::pki::Authority::root("RP CA", OffsetDateTime::now_utc()).unwrap();
    let (bad, good) = (
        new_ca.issue(&pki.node_request("rp-1")).unwrap(),
        pki.rp_ca.issue(&pki.node_request("rp-1")).unwrap(),
    );
    let lists =
        pki.rp_ca.crl(7, &[], in_a_week()).unwrap() + &new_ca.crl(1, &[&bad], in_a_week()).unwrap();
    let mut node = Node::new(pki, false);
    append(&node.files.crls[0], &lists);
    node.context.change(|it| it.members[0].anchors.push(new_ca.der())).unwrap();
    node.look();
    let server = Server::start(&node.context, AcceptLimits::default()).await;
    let (_, alert) = Client::with(&node.pki, bad).refused(server.address).await;
    assert_eq!(alert, AlertDescription::CertificateRevoked);
    let mut good = Client::with(&node.pki, good).connect(server.address).await.unwrap();
    ping(&mut good).await.unwrap();
}

#[tokio::test]
async fn a_list_of_the_old_key_of_a_ca_says_nothing_about_the_new_key() {
    let pki = Pki::new();
    let new_ca = registry_node::pki::Authority::root("RP CA", OffsetDateTime::now_utc()).unwrap();
    let (bad, good) = (
        pki.rp_ca.issue(&pki.node_request("rp-1")).unwrap(),
        new_ca.issue(&pki.node_request("rp-1")).unwrap(),
    );
    let mut node = Node::new(pki, false);
    append(&node.files.crls[0], &node.pki.rp_ca.crl(7, &[&bad], in_a_week()).unwrap());
    node.context.change(|it| it.members[0].anchors.push(new_ca.der())).unwrap();
    node.look();
    let server = Server::start(&node.context, AcceptLimits::default()).await;
    let (_, alert) = Client::with(&node.pki, bad).refused(server.address).await;
    assert_eq!(alert, AlertDescription::CertificateRevoked);
    let mut good = Client::with(&node.pki, good).connect(server.address).await.unwrap();
    ping(&mut good).await.unwrap();
}

// === validated before the swap ===

#[tokio::test]
async fn what_cannot_be_used_changes_nothing_and_raises_an_alarm() {
    let mut node = Node::new(Pki::new(), false);
    let server = Server::start(&node.context, AcceptLimits::default()).await;
    let client = Client::with(&node.pki, node.pki.issue_publisher());
    let mut old = client.connect(server.address).await.unwrap();
    let before = support::server_certificate(&old);
    let now = OffsetDateTime::now_utc();
    let next = node.pki.sl_ca.issue(&node.pki.node_request("sl-1")).unwrap();
    let expired = Request {
        not_before: now - Duration::days(9),
        not_after: now - Duration::days(1),
        ..node.pki.node_request("sl-1")
    };
    let other_name = node.pki.sl_ca.issue(&node.pki.node_request("sl-9")).unwrap();
    let other_ca = node.pki.rp_ca.issue(&node.pki.node_request("sl-1")).unwrap();
    let weak = fs::read_to_string(keys().join("rsa2048.pem")).unwrap();
    for (certificate, key, cause) in [
        (&next.chain_pem, None, "keys may not be consistent"),
        (&"no PEM at all".to_owned(), None, "holds no certificate"),
        (&other_name.chain_pem, Some(&other_name.key_pem), "partners will not take it"),
        (&other_ca.chain_pem, Some(&other_ca.key_pem), "partners will not take it"),
        (&weak, None, "RSA key of 2048 bits, at least 3072 are needed"),
    ] {
        node.write(certificate, key);
        node.look();
        node.failed(Part::Certificate, cause);
    }
    let expired = node.pki.sl_ca.issue(&expired).unwrap();
    node.write(&expired.chain_pem, Some(&expired.key_pem));
    node.look();
    node.failed(Part::Certificate, "not valid now");
    fs::remove_file(&node.files.key).unwrap();
    node.look();
    node.failed(Part::Certificate, "cannot read");

    ping(&mut old).await.unwrap();
    let new = client.connect(server.address).await.unwrap();
    assert_eq!(support::server_certificate(&new), before);

    node.write(&next.chain_pem, Some(&next.key_pem));
    node.look();
    node.counts(r#"registry_tls_reload_failed{part="certificate"} 0"#);
    assert_eq!(node.board.load().failed, []);
    let new = client.connect(server.address).await.unwrap();
    assert_eq!(support::server_certificate(&new), next.chain[0]);
    ping(&mut old).await.unwrap();
}

#[tokio::test]
async fn an_expired_certificate_is_taken_if_there_is_nothing_better() {
    let pki = Pki::new();
    let now = OffsetDateTime::now_utc();
    let ended = |days: i64| Request {
        not_before: now - Duration::days(90),
        not_after: now - Duration::days(days),
        ..pki.node_request("sl-1")
    };
    let longer_ago = pki.sl_ca.issue(&ended(3)).unwrap();
    let lately = pki.sl_ca.issue(&ended(1)).unwrap();
    let first = pki.sl_ca.issue(&ended(2)).unwrap();
    let mut node = Node::with(pki, first, false);
    node.keeper.look(false);
    let own = node.board.load().expiries.iter().find(|it| it.what == What::Own).cloned().unwrap();
    assert_eq!(own.level(now.unix_timestamp()), Level::Expired);
    node.write(&longer_ago.chain_pem, Some(&longer_ago.key_pem));
    node.look();
    node.failed(Part::Certificate, "not valid now");
    node.write(&lately.chain_pem, Some(&lately.key_pem));
    node.look();
    assert_eq!(node.context.not_after(), (now - Duration::days(1)).unix_timestamp());
}

#[tokio::test]
async fn a_list_that_is_older_forged_or_damaged_is_refused_and_the_rest_is_loaded() {
    let mut node = Node::new(Pki::new(), false);
    let bad = node.pki.issue_publisher();
    let list =
        |number, revoked: &[&Issued]| node.pki.sl_ca.crl(number, revoked, in_a_week()).unwrap();
    let (newer, older) = (list(3, &[&bad]), list(2, &[]));
    let now = OffsetDateTime::now_utc();
    let forger = registry_node::pki::Authority::root("SL CA", now).unwrap();
    let forged = forger.crl(9, &[], in_a_week()).unwrap();
    let path = node.files.crls[0].clone();
    fs::write(&path, newer).unwrap();
    node.look();
    let server = Server::start(&node.context, AcceptLimits::default()).await;
    let client = Client::with(&node.pki, bad);
    for (text, cause) in [
        (older, "is older than the one in use"),
        (forged, "is not signed with the key of that issuer"),
        ("-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n".to_owned(), "cannot be used"),
        (String::new(), "cannot be used"),
    ] {
        fs::write(&path, text).unwrap();
        node.look();
        node.failed(Part::Crls, cause);
        let (_, alert) = client.refused(server.address).await;
        assert_eq!(alert, AlertDescription::CertificateRevoked, "the list in use stays");
    }
    // another part does not wait for the lists
    let next = node.pki.sl_ca.issue(&node.pki.node_request("sl-1")).unwrap();
    node.write(&next.chain_pem, Some(&next.key_pem));
    node.look();
    assert_eq!(node.context.material().chain, next.chain);
    assert_eq!(node.board.load().failed, [Part::Crls]);
}

#[tokio::test]
async fn a_list_that_is_refused_does_not_hold_up_that_of_another_issuer() {
    let mut node = Node::new(Pki::new(), false);
    let list = |ca: &registry_node::pki::Authority, number, revoked: &[&Issued]| {
        ca.crl(number, revoked, in_a_week()).unwrap()
    };
    let path = node.files.crls[0].clone();
    fs::write(&path, list(&node.pki.sl_ca, 3, &[]) + &list(&node.pki.rp_ca, 1, &[])).unwrap();
    node.look();
    let server = Server::start(&node.context, AcceptLimits::default()).await;
    let rp = node.pki.rp_ca.issue(&node.pki.node_request("rp-1")).unwrap();
    let revoked = list(&node.pki.rp_ca, 2, &[&rp]);
    let client = Client::with(&node.pki, rp);
    let mut stream = client.connect(server.address).await.unwrap();
    ping(&mut stream).await.unwrap();
    fs::write(&path, list(&node.pki.sl_ca, 2, &[]) + &revoked).unwrap();
    node.look();
    node.failed(Part::Crls, "is older than the one in use");
    assert!(ping(&mut stream).await.is_err());
    let (_, alert) = client.refused(server.address).await;
    assert_eq!(alert, AlertDescription::CertificateRevoked);
    assert_eq!(node.context.material().crls.iter().count(), 2);
}

#[tokio::test]
async fn a_list_that_cannot_be_used_is_left_out_at_a_start_and_raises_an_alarm() {
    let list = |ca: &registry_node::pki::Authority, number, revoked: &[&Issued]| {
        ca.crl(number, revoked, in_a_week()).unwrap()
    };
    // of a stranger who bears the name of RP's CA
    let (running, stranger) = (Node::new(Pki::new(), false), Pki::new());
    let Node { pki, mut files, dir, .. } = running;
    files.crls.extend([dir.path().join("rp.crl"), dir.path().join("page.crl")]);
    let (of_sl, of_rp) = (files.crls[0].clone(), files.crls[1].clone());
    let publisher = pki.issue_publisher();
    fs::write(&of_sl, list(&pki.sl_ca, 2, &[&publisher])).unwrap();
    fs::write(&of_rp, list(&stranger.rp_ca, 1, &[])).unwrap();
    fs::write(&files.crls[2], "<html>Wartungsarbeiten</html>").unwrap();
    let own = pki.sl_ca.issue(&pki.node_request("sl-1")).unwrap();
    let mut node = Node::start(pki, own, files.clone(), dir);
    node.keeper.look(false);
    node.failed(Part::Crls, "is not signed with the key of that issuer");
    node.failed(Part::Crls, "page.crl");

    // what can be used is
    let server = Server::start(&node.context, AcceptLimits::default()).await;
    let (_, alert) = Client::with(&node.pki, publisher).refused(server.address).await;
    assert_eq!(alert, AlertDescription::CertificateRevoked);
    let rp = node.pki.rp_ca.issue(&node.pki.node_request("rp-1")).unwrap();
    let revoked = list(&node.pki.rp_ca, 1, &[&rp]);
    let client = Client::with(&node.pki, rp);
    let mut stream = client.connect(server.address).await.unwrap();
    ping(&mut stream).await.unwrap();

    // the right lists come, without a restart
    fs::write(&of_rp, &revoked).unwrap();
    fs::write(&node.files.crls[2], list(&stranger.sl_ca, 1, &[])).unwrap();
    node.look();
    assert!(ping(&mut stream).await.is_err());
    fs::write(&node.files.crls[2], revoked).unwrap();
    node.look();
    node.counts(r#"registry_tls_reload_failed{part="crls"} 0"#);

    // where they are required and none can be used, nobody could come in
    files.crl_required = true;
    fs::write(&of_sl, "").unwrap();
    fs::write(&of_rp, "").unwrap();
    fs::write(&files.crls[2], "").unwrap();
    let refused = files.lists_at_start(None, &node.context.material()).unwrap_err();
    let MaterialError::NoCrls(left_out) = &refused else { panic!("{refused}") };
    assert_eq!(left_out.len(), 3, "each file is named: {refused}");
}

#[test]
fn who_begins_again_keeps_the_lists_that_a_running_node_would_keep() {
    for required in [false, true] {
        let node = Node::new(Pki::new(), required);
        let before = node.context.crls();
        let check = |what: &str| {
            let material = node.context.material();
            let (crls, left_out) = node.files.lists_at_start(Some(&before), &material).unwrap();
            assert_eq!((&crls, left_out.len()), (&before, 1), "{what}");
            TlsContext::new(Profile::BSI, Material { crls, ..material }).unwrap();
        };
        fs::write(&node.files.crls[0], "<html>Wartungsarbeiten</html>").unwrap();
        check("no list");
        fs::write(&node.files.crls[0], Pki::new().sl_ca.crl(9, &[], in_a_week()).unwrap()).unwrap();
        check("forged");
        fs::remove_file(&node.files.crls[0]).unwrap();
        check("missing");
        // under a charter with another key of that name, the list says nothing
        let material = Material { crls: before, ..Pki::new().sl_material() };
        let (crls, _) = node.files.lists_at_start(Some(&material.crls), &material).unwrap();
        TlsContext::new(Profile::BSI, Material { crls, ..material }).unwrap();
    }
}

#[tokio::test]
async fn without_a_list_a_certificate_counts_unless_lists_are_required() {
    let pki = Pki::new();
    let rp = || pki.rp_ca.issue(&pki.node_request("rp-1")).unwrap();
    let (first, second, third) = (rp(), rp(), rp());
    let rps_list = pki.rp_ca.crl(1, &[], in_a_week()).unwrap();
    let over = pki.rp_ca.crl(2, &[], OffsetDateTime::now_utc() - Duration::hours(1)).unwrap();

    // there is a list of SL's CA only
    let lax = Node::new(Pki::new(), false);
    let server = Server::start(&lax.context, AcceptLimits::default()).await;
    let known = lax.pki.rp_ca.issue(&lax.pki.node_request("rp-1")).unwrap();
    Client::with(&lax.pki, known).connect(server.address).await.unwrap();

    let mut strict = Node::new(pki, true);
    let server = Server::start(&strict.context, AcceptLimits::default()).await;
    let (_, alert) = Client::with(&strict.pki, first).refused(server.address).await;
    assert_eq!(alert, AlertDescription::UnknownCA, "whether it is revoked is not known");
    append(&strict.files.crls[0], &rps_list);
    strict.look();
    let client = Client::with(&strict.pki, second);
    let mut stream = client.connect(server.address).await.unwrap();
    ping(&mut stream).await.unwrap();
    // a list that has ended says nothing any more
    fs::write(&strict.files.crls[0], strict.pki.sl_ca.crl(2, &[], in_a_week()).unwrap() + &over)
        .unwrap();
    strict.look();
    assert!(ping(&mut stream).await.is_err());
    Client::with(&strict.pki, third).refused(server.address).await;
}

#[test]
fn lists_that_are_required_must_be_there() {
    let pki = Pki::new();
    assert!(Crls::new(Vec::new(), true).is_err());
    let weak = fs::read(keys().join("rsa2048.pem")).unwrap();
    let mut material = pki.sl_material();
    material.chain = vec![PemObject::from_pem_slice(&weak).unwrap()];
    let refused = TlsContext::new(Profile::BSI, material).unwrap_err();
    let is_weak = matches!(refused, MaterialError::Weak(_));
    assert!(is_weak && refused.to_string().contains("2048"), "{refused}");
}

#[tokio::test]
async fn a_weak_client_is_refused_with_the_reason_and_a_weak_anchor_does_not_count() {
    let pki = Pki::new();
    let server = Server::start(&pki.sl_context(), AcceptLimits::default()).await;
    let (chain, key) = weak_publisher();
    let client = Client::with_chain(&pki, chain, key);
    let (remote, _) = client.refused(server.address).await;
    server.assert_refused(remote, "bad_certificate").await;
    let lines = support::log_lines(remote);
    assert!(
        lines[0].contains("a certificate has an RSA key of 2048 bits, at least 3072 are needed"),
        "{lines:?}"
    );
    assert!(lines.iter().all(|it| !it.contains("CN=")), "nobody is named: {lines:?}");

    let mut material = pki.sl_material();
    let weak = fs::read(keys().join("rsa2048.pem")).unwrap();
    material.members.push(MemberTrust {
        land: Land::HE,
        nodes: Vec::new(),
        anchors: vec![PemObject::from_pem_slice(&weak).unwrap()],
        bar: None,
    });
    TlsContext::new(Profile::BSI, material).unwrap();
}

#[tokio::test]
async fn the_keys_of_the_profile_are_accepted_on_both_sides() {
    let rsa = |size| rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size).unwrap();
    for key in [
        rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap(),
        rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap(),
        rsa(rcgen::RsaKeySize::_3072),
        rsa(rcgen::RsaKeySize::_4096),
    ] {
        let pki = Pki::new();
        let own = pki.sl_ca.issue_for(&pki.node_request("sl-1"), &key).unwrap();
        let context = Arc::new(TlsContext::new(Profile::BSI, pki.material(own)).unwrap());
        let mut server = Server::start(&context, AcceptLimits::default()).await;
        let publisher = pki.client_request("publisher-sl");
        let publisher = pki.sl_ca.issue_for(&publisher, &key).unwrap();
        let mut stream = Client::with(&pki, publisher).connect(server.address).await.unwrap();
        ping(&mut stream).await.unwrap();
        assert_eq!(server.next_caller().await.identity.principal.roles(), [Role::Publisher]);
    }
}

#[tokio::test]
async fn a_node_that_is_revoked_itself_says_so() {
    let pki = Pki::new();
    let own = pki.sl_ca.issue(&pki.node_request("sl-1")).unwrap();
    let revoked = pki.sl_ca.crl(2, &[&own], in_a_week()).unwrap();
    let mut node = Node::with(pki, own, false);
    node.look();
    node.counts("registry_tls_own_certificate_revoked 0");
    fs::write(&node.files.crls[0], revoked).unwrap();
    node.look();
    node.counts("registry_tls_own_certificate_revoked 1");
    let (shown, now) = (node.board.load(), OffsetDateTime::now_utc().unix_timestamp());
    let own = shown.expiries.iter().find(|it| it.what == What::Own).unwrap();
    assert_eq!(own.level(now), Level::Revoked);
    let told = |line: &String| line.contains("ERROR") && line.contains("is revoked, partners will");
    assert!(support::all_lines().iter().any(told));
}

#[tokio::test]
async fn a_node_whose_certificate_is_not_valid_yet_says_so() {
    let pki = Pki::new();
    let not_before = OffsetDateTime::now_utc() + Duration::days(1);
    let early = Request { not_before, ..pki.node_request("sl-1") };
    let own = pki.sl_ca.issue(&early).unwrap();
    let mut node = Node::with(pki, own, false);
    node.look();
    node.counts("registry_tls_own_certificate_not_yet_valid 1");
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let shown = node.board.load();
    let own = shown.expiries.iter().find(|it| it.what == What::Own).unwrap();
    assert_eq!(own.level(now), Level::NotYet);
    let told = |line: &String| line.contains("WARN") && line.contains("is not valid yet");
    assert!(support::all_lines().iter().any(told));
    // one that is valid takes its place, also if it ends earlier
    let next = node.pki.sl_ca.issue(&node.pki.node_request("sl-1")).unwrap();
    node.write(&next.chain_pem, Some(&next.key_pem));
    node.look();
    node.counts("registry_tls_own_certificate_not_yet_valid 0");
}

#[tokio::test]
async fn what_ends_soon_is_in_the_metrics_and_on_the_board() {
    let pki = Pki::new();
    let now = OffsetDateTime::now_utc();
    let soon = Request { not_after: now + Duration::days(10), ..pki.node_request("sl-1") };
    let soon = Request { not_before: now - Duration::days(80), ..soon };
    let issued = pki.sl_ca.issue(&soon).unwrap();
    let mut node = Node::with(pki, issued, false);
    let mut server = Server::start(&node.context, AcceptLimits::default()).await;
    let rp = Client::with(&node.pki, node.pki.rp_ca.issue(&node.pki.node_request("rp-1")).unwrap());
    let _stream = rp.connect(server.address).await.unwrap();
    server.next_caller().await;
    node.keeper.look(true);
    let shown = node.board.load();
    let own = shown.expiries.first().unwrap();
    assert_eq!((own.what, own.name.as_str()), (What::Crl, "CN=SL CA"), "in a week");
    let own = shown.expiries.get(1).unwrap();
    assert_eq!((own.what, own.name.as_str()), (What::Own, "sl-1.demo.example"));
    assert_eq!(own.level(now.unix_timestamp()), Level::Days14);
    let whats: std::collections::BTreeSet<_> = shown.expiries.iter().map(|it| it.what).collect();
    assert_eq!(whats.len(), 5, "{shown:?}");
    let text = node.metrics.encode();
    let metric = r#"registry_certificate_expires_seconds{what="peer",name="rp-1.demo.example"} "#;
    let seconds = text.lines().find_map(|line| line.strip_prefix(metric)).unwrap();
    assert!(seconds.parse::<i64>().unwrap() > 80 * 86_400, "{seconds}");
}

// === impl Node ===

impl Node {
    fn new(pki: Pki, crl_required: bool) -> Self {
        let issued = pki.sl_ca.issue(&pki.node_request("sl-1")).unwrap();
        Self::with(pki, issued, crl_required)
    }

    fn with(pki: Pki, issued: Issued, crl_required: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let files = Tls {
            certificate: at("sl-1.pem"),
            key: at("sl-1.key"),
            client_anchors: at("clients.pem"),
            crls: vec![at("crls.pem")],
            crl_required,
            profile: Profile::BSI,
            rules: Rules {
                clients: pki.rules.clone(),
                file: Some(at("policy.toml")),
                ..Rules::default()
            },
        };
        fs::write(at("policy.toml"), "format = 1\n").unwrap();
        fs::write(&files.certificate, &issued.chain_pem).unwrap();
        fs::write(&files.key, &issued.key_pem).unwrap();
        fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&files.client_anchors, pki.sl_ca.pem()).unwrap();
        fs::write(&files.crls[0], pki.sl_ca.crl(1, &[], in_a_week()).unwrap()).unwrap();
        Self::start(pki, issued, files, dir)
    }

    /// A node that starts with these files.
    fn start(pki: Pki, issued: Issued, files: Tls, dir: tempfile::TempDir) -> Self {
        let digests = Digests::read(&files);
        let mut material = pki.material(issued);
        let (crls, left_out) = files.lists_at_start(None, &material).unwrap();
        material.crls = crls;
        let context = Arc::new(TlsContext::new(Profile::BSI, material).unwrap());
        let (metrics, board) = (support::metrics(), CertificateBoard::default());
        let keeper = Keeper::new(Setup {
            files: files.clone(),
            digests,
            left_out,
            begins_again: false,
            own: peer(Land::SL, "sl-1"),
            tls: context.clone(),
            metrics: metrics.clone(),
            board: board.clone(),
            audit: Audit::nowhere(),
        });
        Self { pki, context, keeper, board, metrics, files, dir }
    }

    /// Looks until a change of files is taken up: they must stand still for two looks.
    fn look(&mut self) {
        self.keeper.look(false);
        self.keeper.look(false);
    }

    fn write(&self, certificate: &str, key: Option<&Zeroizing<String>>) {
        fs::write(&self.files.certificate, certificate).unwrap();
        if let Some(key) = key {
            fs::write(&self.files.key, key).unwrap();
            fs::set_permissions(&self.files.key, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }

    fn counts(&self, line: &str) {
        let text = self.metrics.encode();
        assert!(text.lines().any(|it| it == line), "{line}\n{text}");
    }

    /// The alarm is there, on the board too, and the log says why.
    fn failed(&self, part: Part, cause: &str) {
        self.counts(&format!(r#"registry_tls_reload_failed{{part="{part}"}} 1"#));
        assert!(self.board.load().failed.contains(&part));
        let lines = support::all_lines();
        let dir = self.dir.path().display().to_string();
        let told = lines.iter().any(|line| {
            line.contains("cannot be loaded") && line.contains(cause) && line.contains(&dir)
        });
        assert!(told, "{cause} is not in the log");
    }
}

/// Asks for a page and keeps the connection.
async fn ask(stream: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin)) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    while !answer.ends_with("answer") {
        let mut buffer = [0; 256];
        let read = stream.read(&mut buffer).await.unwrap();
        assert_ne!(read, 0, "closed after {answer}");
        answer.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    answer
}

/// A certificate with a short key, with a chain to nobody.
fn weak_publisher() -> (Vec<CertificateDer<'static>>, rustls::pki_types::PrivateKeyDer<'static>) {
    let key = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048)
        .unwrap();
    let params =
        rcgen::CertificateParams::new(vec!["publisher-sl.demo.example".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    (vec![certificate.der().clone()], key.into())
}

fn append(path: &Path, text: &str) {
    let before = fs::read_to_string(path).unwrap();
    fs::write(path, before + text).unwrap();
}

fn keys() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/certificates/keys"))
}

fn in_a_week() -> OffsetDateTime {
    OffsetDateTime::now_utc() + Duration::days(7)
}
